//! The file that allows a behaviour besides OK and INFORMATIONAL, case pattern by case pattern.
//!
//! A line is `PATTERN BEHAVIOUR REASON`; `#` starts a comment line. The reason is required: who
//! allows a fault says why.

use super::cases::Pattern;
use crate::Result;

/// What the suite can say of a case.
const BEHAVIOURS: &[&str] =
    &["FAILED", "NON-STRICT", "UNCLEAN", "UNIMPLEMENTED", "WRONG CODE", "FAILED BY CLIENT"];

/// One line of the file.
#[derive(Clone, Debug)]
pub(super) struct Expectation {
    pub(super) cases: Pattern,
    pub(super) behaviour: String,
    pub(super) reason: String,
}

/// Reads the whole file; a line that cannot be read is an error, never skipped.
pub(super) fn parse(text: &str) -> Result<Vec<Expectation>> {
    let lines = text.lines().enumerate();
    let lines = lines.filter(|(_, line)| !line.trim().is_empty() && !line.starts_with('#'));
    lines
        .map(|(at, line)| {
            parse_line(line).map_err(|why| format!("expectations, line {}: {why}", at + 1))
        })
        .collect()
}

fn parse_line(line: &str) -> Result<Expectation> {
    let (cases, rest) = line.trim().split_once(char::is_whitespace).ok_or("no behaviour")?;
    let rest = rest.trim_start();
    let known = BEHAVIOURS.iter().rev().find(|known| rest.starts_with(**known));
    let behaviour = known.ok_or_else(|| format!("{rest:?} starts with no known behaviour"))?;
    let reason = rest[behaviour.len()..].trim();
    if reason.is_empty() {
        return Err("no reason".to_owned());
    }
    Ok(Expectation {
        cases: cases.parse()?,
        behaviour: (*behaviour).to_owned(),
        reason: reason.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn reads_pattern_behaviour_and_reason() {
        let read = parse("# why\n\n12.*  UNIMPLEMENTED  no deflate\n7.1.6 WRONG CODE a\n").unwrap();
        assert_eq!(read.len(), 2);
        assert_eq!(read[0].cases.to_string(), "12.*");
        assert_eq!(read[0].behaviour, "UNIMPLEMENTED");
        assert_eq!(read[0].reason, "no deflate");
        assert_eq!(read[1].behaviour, "WRONG CODE");
    }

    #[test]
    fn a_line_it_cannot_read_is_an_error() {
        for line in ["12.*", "12.* UNIMPLEMENTED", "12.* SOMETIMES x", "a.b FAILED x"] {
            assert!(parse(line).is_err(), "{line}");
        }
    }
}
