//! Figures, their bounds, and how both are told: a line for each scenario, and a JSON file.

use crate::scenarios::Scenario;
use crate::{Plan, Result};
use serde_json::{Value, json};
use std::fmt;
use std::io::{self, Write};
use std::time::Instant;

/// What a figure must keep to.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
    Exactly(f64),
    /// It is told for its own sake.
    None,
}

/// One thing that was measured.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    bound: Bound,
    unit: &'static str,
    timed: bool,
    routine: bool,
}

impl Figure {
    pub(crate) fn at_most(name: &str, value: f64, bound: f64, unit: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            value,
            bound: Bound::AtMost(bound),
            unit,
            timed: false,
            routine: false,
        }
    }

    pub(crate) fn at_least(name: &str, value: f64, bound: f64, unit: &'static str) -> Self {
        Self { bound: Bound::AtLeast(bound), ..Self::at_most(name, value, bound, unit) }
    }

    pub(crate) fn exactly(name: &str, value: f64, bound: f64) -> Self {
        Self { bound: Bound::Exactly(bound), ..Self::at_most(name, value, bound, "") }
    }

    pub(crate) fn told(name: &str, value: f64, unit: &'static str) -> Self {
        Self { bound: Bound::None, ..Self::at_most(name, value, 0.0, unit) }
    }

    /// The figure is a time that other programs on the machine lengthen.
    pub(crate) fn timed(self) -> Self {
        Self { timed: true, ..self }
    }

    /// The figure is the same in every scenario: worth its place in the line only if it fails.
    pub(crate) fn routine(self) -> Self {
        Self { routine: true, ..self }
    }

    /// On a busy machine times are told, and not held against their bounds.
    pub(crate) fn excuse(self) -> Self {
        if self.timed && !self.passes() { Self { bound: Bound::None, ..self } } else { self }
    }

    /// What is not a number meets no bound.
    pub(crate) fn passes(&self) -> bool {
        match self.bound {
            Bound::AtMost(bound) => self.value <= bound,
            Bound::AtLeast(bound) => self.value >= bound,
            Bound::Exactly(bound) => (self.value - bound).abs() < 0.5,
            Bound::None => true,
        }
    }

    fn json(&self) -> Value {
        let (kind, bound) = match self.bound {
            Bound::AtMost(bound) => ("at most", json!(bound)),
            Bound::AtLeast(bound) => ("at least", json!(bound)),
            Bound::Exactly(bound) => ("exactly", json!(bound)),
            Bound::None => ("none", Value::Null),
        };
        json!({ "name": self.name, "value": self.value, "unit": self.unit, "kind": kind,
                "bound": bound, "passes": self.passes() })
    }
}

/// Three digits are enough for a figure.
fn short(value: f64) -> String {
    match value {
        value if value.fract() == 0.0 || value.abs() >= 100.0 => format!("{value:.0}"),
        value if value.abs() >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, unit, .. } = self;
        let mark = if self.passes() { "" } else { "!! " };
        let unit = if unit.is_empty() { String::new() } else { format!(" {unit}") };
        write!(f, "{mark}{name} {}{unit}", short(self.value))?;
        match self.bound {
            Bound::AtMost(bound) => write!(f, " (≤ {})", short(bound)),
            Bound::AtLeast(bound) => write!(f, " (≥ {})", short(bound)),
            Bound::Exactly(bound) => write!(f, " (= {})", short(bound)),
            Bound::None => Ok(()),
        }
    }
}

/// What came of a scenario.
#[derive(Debug)]
pub(crate) enum Outcome {
    Measured(Vec<Figure>),
    /// The machine lacks what it takes.
    Skipped(&'static str),
}

fn line(id: &str, seconds: f64, outcome: &Result<Outcome>) -> (bool, String) {
    let (passes, verdict, text) = match outcome {
        Ok(Outcome::Measured(figures)) => {
            let passes = figures.iter().all(Figure::passes);
            let worth = figures.iter().filter(|figure| !(figure.routine && figure.passes()));
            let texts: Vec<_> = worth.map(Figure::to_string).collect();
            (passes, if passes { "pass" } else { "FAIL" }, texts.join(", "))
        }
        Ok(Outcome::Skipped(why)) => (true, "skip", (*why).to_owned()),
        Err(failure) => (false, "FAIL", failure.clone()),
    };
    (passes, format!("{id:<5} {verdict} {seconds:>4.0} s  {text}"))
}

/// Whether nothing but times missed their bounds. Other programs on the machine may have had a part
/// in that, so it is worth a second look.
fn missed_times_alone(outcome: &Result<Outcome>) -> bool {
    let Ok(Outcome::Measured(figures)) = outcome else { return false };
    let mut missed = figures.iter().filter(|figure| !figure.passes()).peekable();
    missed.peek().is_some() && missed.all(|figure| figure.timed)
}

/// Runs scenarios one after the other, one that misses only its times once more; an error says how
/// many failed.
pub(crate) fn run_all<'a>(
    plan: &Plan,
    scenarios: impl Iterator<Item = &'a Scenario>,
) -> Result<()> {
    crate::process::Core::Load.take()?;
    let mut results = Vec::new();
    let mut failed = Vec::new();
    for scenario in scenarios {
        let measure = || {
            let begun = Instant::now();
            let outcome = (scenario.run)(plan);
            let seconds = begun.elapsed().as_secs_f64();
            let (passes, line) = line(scenario.id, seconds, &outcome);
            say(&line);
            (outcome, seconds, passes, line)
        };
        let mut measured = measure();
        if missed_times_alone(&measured.0) {
            measured = measure();
        }
        let (outcome, seconds, passes, line) = measured;
        let figures = match &outcome {
            Ok(Outcome::Measured(figures)) => figures.iter().map(Figure::json).collect(),
            _ => Vec::new(),
        };
        results.push(json!({ "scenario": scenario.id, "says": scenario.says, "passes": passes,
                             "seconds": seconds, "line": line, "figures": figures }));
        failed.extend((!passes).then_some(scenario.id));
    }
    let file = plan.output.join(if plan.short { "short.json" } else { "full.json" });
    let text = format!("{:#}\n", json!(results));
    std::fs::write(&file, text).map_err(|error| format!("{}: {error}", file.display()))?;
    let (all, failures) = (results.len(), failed.len());
    say(&format!("{all} scenarios, {failures} failed; figures in {}", file.display()));
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// Prints a line. Who does not read on, as `head` does not, does not end a run that writes its
/// figures to a file.
fn say(line: &str) {
    let _ = writeln!(io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_to_their_bounds() {
        assert!(Figure::at_most("a", 1.0, 1.0, "s").passes());
        assert!(!Figure::at_most("a", 1.1, 1.0, "s").passes());
        assert!(!Figure::at_least("a", 0.9, 1.0, "s").passes());
        assert!(!Figure::exactly("a", 3.0, 4.0).passes());
        assert!(!Figure::at_most("a", f64::NAN, 1.0, "s").passes());
        assert!(!Figure::exactly("a", f64::NAN, 1.0).passes());
        assert!(Figure::told("a", 1.0, "s").passes());
    }

    #[test]
    fn only_times_are_worth_a_second_look() {
        let time = |value| Figure::at_most("p99", value, 10.0, "ms").timed();
        let lost = |count| Figure::exactly("faults", count, 0.0);
        let missed = |figures| missed_times_alone(&Ok(Outcome::Measured(figures)));
        assert!(missed(vec![time(11.0), lost(0.0)]));
        assert!(!missed(vec![time(11.0), lost(1.0)]));
        assert!(!missed(vec![time(9.0), lost(1.0)]));
        assert!(!missed(vec![time(9.0), lost(0.0)]));
    }

    #[test]
    fn a_failed_figure_is_marked_in_its_line() {
        let figures =
            vec![Figure::at_most("time", 5.25, 5.0, "s"), Figure::exactly("in", 3.0, 3.0)];
        let (passes, line) = line("A1", 7.0, &Ok(Outcome::Measured(figures)));
        assert!(!passes);
        assert_eq!(line, "A1    FAIL    7 s  !! time 5.25 s (≤ 5), in 3 (= 3)");
    }
}
