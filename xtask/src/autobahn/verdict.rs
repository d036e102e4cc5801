//! Compares what the suite reported with what is allowed, and says it in few lines.
//!
//! A fault is a case that did not run, a behaviour nobody allowed, or an expectation that
//! nothing needs. NON-STRICT and UNCLEAN are faults like any other.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::cases::Case;
use super::expectations::Expectation;
use crate::Result;

/// What needs nobody's permission.
const FINE: &[&str] = &["OK", "INFORMATIONAL"];

/// How many faults are worth reading one by one.
const SHOWN: usize = 40;

/// What the suite reported of one case: its behaviour, that of its close, the peer's close code.
#[derive(Clone, Debug)]
pub(super) struct Outcome {
    pub(super) behaviour: String,
    pub(super) close: String,
    pub(super) code: Option<u64>,
}

/// A run's result; prints as the lines worth reading.
#[derive(Debug)]
pub(super) struct Verdict {
    behaviours: BTreeMap<String, usize>,
    closes: BTreeMap<String, usize>,
    allowed: Vec<(Expectation, usize)>,
    faults: Vec<String>,
}

impl Verdict {
    /// Judges the `selected` of the `listed` cases.
    pub(super) fn new(
        listed: &BTreeSet<Case>,
        selected: &BTreeSet<Case>,
        outcomes: &BTreeMap<Case, Outcome>,
        expectations: &[Expectation],
    ) -> Self {
        let allowed = expectations.iter().map(|each| (each.clone(), 0)).collect();
        let (behaviours, closes) = (BTreeMap::new(), BTreeMap::new());
        let mut verdict = Self { behaviours, closes, allowed, faults: Vec::new() };
        for case in selected {
            match outcomes.get(case) {
                Some(outcome) => verdict.judge(case, outcome),
                None => verdict.faults.push(format!("{case}: did not run")),
            }
        }
        verdict.find_stale(listed, outcomes);
        verdict
    }

    /// How many faults there are.
    pub(super) fn faults(&self) -> usize {
        self.faults.len()
    }

    /// Whether the run passes.
    pub(super) fn result(&self) -> Result<()> {
        match self.faults.len() {
            0 => Ok(()),
            faults => Err(format!("{faults} faults")),
        }
    }

    fn judge(&mut self, case: &Case, outcome: &Outcome) {
        *self.behaviours.entry(outcome.behaviour.clone()).or_default() += 1;
        *self.closes.entry(outcome.close.clone()).or_default() += 1;
        let behaviour = self.admits(case, &outcome.behaviour);
        let close = self.admits(case, &outcome.close);
        if !(behaviour && close) {
            let Outcome { behaviour, close, code } = outcome;
            let code = code.map_or("none".to_owned(), |code| code.to_string());
            self.faults.push(format!("{case}: {behaviour} (close: {close}, code: {code})"));
        }
    }

    /// Whether `said` is fine by itself or allowed for this case; notes which line allowed it.
    fn admits(&mut self, case: &Case, said: &str) -> bool {
        if FINE.contains(&said) {
            return true;
        }
        let fits = |each: &Expectation| each.behaviour == said && each.cases.matches(case);
        let line = self.allowed.iter_mut().find(|(each, _)| fits(each));
        line.map(|(_, used)| *used += 1).is_some()
    }

    /// Lines that nothing needed. One whose cases all stayed out of this run is not judged.
    fn find_stale(&mut self, listed: &BTreeSet<Case>, outcomes: &BTreeMap<Case, Outcome>) {
        for (line, used) in &self.allowed {
            let exists = listed.iter().any(|case| line.cases.matches(case));
            let ran = outcomes.keys().any(|case| line.cases.matches(case));
            if *used == 0 && (ran || !exists) {
                let Expectation { cases, behaviour, .. } = line;
                self.faults.push(format!("stale expectation: {cases} {behaviour}"));
            }
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (line, used) in self.allowed.iter().filter(|(_, used)| *used > 0) {
            let Expectation { cases, behaviour, reason } = line;
            writeln!(f, "allowed {cases} {behaviour}, {used} times: {reason}")?;
        }
        for fault in self.faults.iter().take(SHOWN) {
            writeln!(f, "FAULT {fault}")?;
        }
        if let Some(more @ 1..) = self.faults.len().checked_sub(SHOWN) {
            writeln!(f, "FAULT and {more} more")?;
        }
        writeln!(f, "behavior:      {}", counts(&self.behaviours))?;
        writeln!(f, "behaviorClose: {}", counts(&self.closes))
    }
}

fn counts(counts: &BTreeMap<String, usize>) -> String {
    let counts = counts.iter().map(|(behaviour, count)| format!("{behaviour} {count}"));
    counts.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::expectations;
    use super::{BTreeMap, BTreeSet, Case, Outcome, Verdict};

    fn cases(numbers: &[&str]) -> BTreeSet<Case> {
        numbers.iter().map(|number| number.parse().unwrap()).collect()
    }

    fn outcomes(said: &[(&str, &str, &str)]) -> BTreeMap<Case, Outcome> {
        let outcome = |&(number, behaviour, close): &(&str, &str, &str)| {
            let (behaviour, close) = (behaviour.to_owned(), close.to_owned());
            (number.parse().unwrap(), Outcome { behaviour, close, code: Some(1000) })
        };
        said.iter().map(outcome).collect()
    }

    fn faults(said: &[(&str, &str, &str)], expected: &str) -> Vec<String> {
        let listed = cases(&["1.1.1", "1.1.2", "12.1.1", "12.1.2"]);
        let selected = cases(&["1.1.1", "12.1.1"]);
        let expected = expectations::parse(expected).unwrap();
        Verdict::new(&listed, &selected, &outcomes(said), &expected).faults
    }

    #[test]
    fn fine_and_allowed_behaviours_pass() {
        let said = [("1.1.1", "OK", "INFORMATIONAL"), ("12.1.1", "UNIMPLEMENTED", "OK")];
        assert_eq!(faults(&said, "12.* UNIMPLEMENTED later"), Vec::<String>::new());
    }

    #[test]
    fn everything_else_is_a_fault_on_either_side() {
        for bad in ["NON-STRICT", "UNCLEAN", "FAILED", "WRONG CODE", "UNIMPLEMENTED"] {
            assert_eq!(faults(&[("1.1.1", bad, "OK"), ("12.1.1", "OK", "OK")], "").len(), 1);
            assert_eq!(faults(&[("1.1.1", "OK", bad), ("12.1.1", "OK", "OK")], "").len(), 1);
        }
    }

    #[test]
    fn an_expectation_allows_its_cases_and_behaviour_only() {
        let said = [("1.1.1", "UNIMPLEMENTED", "OK"), ("12.1.1", "FAILED", "OK")];
        assert_eq!(faults(&said, "12.* UNIMPLEMENTED later").len(), 3);
    }

    #[test]
    fn a_missing_case_is_a_fault() {
        assert_eq!(faults(&[("1.1.1", "OK", "OK")], ""), ["12.1.1: did not run"]);
    }

    #[test]
    fn an_expectation_nothing_needs_is_stale() {
        let said = [("1.1.1", "OK", "OK"), ("12.1.1", "OK", "OK")];
        assert_eq!(faults(&said, "12.* FAILED x"), ["stale expectation: 12.* FAILED"]);
        assert_eq!(faults(&said, "99.* FAILED x").len(), 1);
        assert_eq!(faults(&said, "12.1.2 FAILED not selected").len(), 0);
    }
}
