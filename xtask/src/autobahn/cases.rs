//! Case numbers of the suite (`6.4.1`), patterns over them (`12.*`), and what a case costs.

use std::fmt;
use std::str::FromStr;

/// A case's number, ordered as a person would: 1.2.8 before 1.2.10.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Case(Vec<u16>);

impl Case {
    /// Seconds one process of the suite needs for it, roughly; only the balance matters.
    pub(super) fn cost(&self) -> f64 {
        // Groups 12 and 13 send a thousand messages; the last part chooses their KiB.
        const KIB: [f64; 19] = [
            0.0, 0.02, 0.06, 0.25, 1.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 8.0, 16.0, 32.0, 64.0,
            128.0, 128.0, 128.0, 128.0,
        ];
        let size = usize::from(self.0.get(2).copied().unwrap_or(0));
        match self.0.first() {
            Some(12 | 13) => {
                let per_kib = if size <= 10 { 0.035 } else { 0.06 };
                0.3 + KIB.get(size).unwrap_or(&128.0) * per_kib
            }
            Some(9) => 1.0,
            Some(2 | 7) => 0.1,
            _ => 0.05,
        }
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.0.iter().map(u16::to_string).collect();
        f.write_str(&parts.join("."))
    }
}

impl FromStr for Case {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split('.').map(str::parse).collect::<Result<_, _>>();
        parts.map(Self).map_err(|_| format!("{text:?} is no case number"))
    }
}

/// Which cases are meant: a `*` is any one part, as the last part any parts that follow.
#[derive(Clone, Debug)]
pub(super) struct Pattern(Vec<Option<u16>>);

impl Pattern {
    pub(super) fn matches(&self, case: &Case) -> bool {
        let open = self.0.last() == Some(&None);
        let long_enough =
            if open { case.0.len() >= self.0.len() } else { case.0.len() == self.0.len() };
        let fits = |(want, part): (&Option<u16>, &u16)| want.is_none_or(|want| want == *part);
        long_enough && self.0.iter().zip(&case.0).all(fits)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |part: &Option<u16>| part.map_or("*".to_owned(), |part| part.to_string());
        f.write_str(&self.0.iter().map(part).collect::<Vec<_>>().join("."))
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let part = |part: &str| match part {
            "*" => Ok(None),
            number => number.parse().map(Some).map_err(|_| format!("{text:?} is no case pattern")),
        };
        text.split('.').map(part).collect::<Result<_, _>>().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::{Case, Pattern};

    fn matches(pattern: &str, case: &str) -> bool {
        let pattern: Pattern = pattern.parse().unwrap();
        pattern.matches(&case.parse().unwrap())
    }

    #[test]
    fn a_star_stands_for_one_part_and_at_the_end_for_all_parts() {
        assert!(matches("12.*", "12.1.1"));
        assert!(matches("*", "1.1.1"));
        assert!(matches("12.*.1", "12.5.1"));
        assert!(!matches("12.*.1", "12.5.11"));
        assert!(!matches("1.*", "12.1.1"));
        assert!(matches("6.4.1", "6.4.1"));
        assert!(!matches("6.4", "6.4.1"));
        assert!("1.x".parse::<Pattern>().is_err());
    }

    #[test]
    fn cases_sort_by_number() {
        let case = |text: &str| text.parse::<Case>().unwrap();
        assert!(case("1.2.8") < case("1.2.10"));
        assert_eq!(case("9.1.1").to_string(), "9.1.1");
        assert!("".parse::<Case>().is_err());
    }
}
