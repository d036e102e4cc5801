//! The rig: hostile and faulty peers against a server process, and what others notice of them.
//!
//! `cargo xtask rig` runs this. It starts a server on one core and the load on another: *innocents*
//! that echo numbered messages and miss nothing, and, in a process of its own, the *attack* of a
//! scenario. What a scenario measured is held against its bounds in one line. Everything stays on
//! loopback and is bounded in count and time. Linux only: processes are read from `/proc`.

#![allow(
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "figures are counts and sizes far below 2^52, and never negative"
)]

mod attack;
mod crowd;
mod group;
mod innocents;
mod peer;
mod process;
mod proxy;
mod random;
mod report;
mod scenarios;
mod serve;
mod server;
mod stage;
mod trial;
mod wire;

use scenarios::SCENARIOS;
use std::path::PathBuf;
use std::process::ExitCode;

/// Why a scenario could not be measured, in one sentence for people.
type Failure = String;
type Result<T> = std::result::Result<T, Failure>;

/// What a run was asked for.
#[derive(Clone, Debug)]
struct Plan {
    /// Less of everything: all scenarios in about three minutes.
    short: bool,
    /// The `clws` program.
    clws: PathBuf,
    /// Where logs and results go.
    output: PathBuf,
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let ended = match &*words {
        ["serve", settings @ ..] => serve::run(settings),
        ["attack", id, settings @ ..] => stage::run(id, settings),
        ["run", settings @ ..] => run(settings),
        _ => Err("usage: clws-rig run|attack|serve".to_owned()),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("rig: {failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<()> {
    let mut plan =
        Plan { short: false, clws: "target/release/clws".into(), output: "target/rig".into() };
    let (mut chosen, mut left_out) = (Vec::new(), Vec::new());
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut path = || words.next().map(PathBuf::from).ok_or(format!("{word} needs a path"));
        match *word {
            "--short" => plan.short = true,
            "--server" => plan.clws = path()?,
            "--output" => plan.output = path()?,
            "--without" => left_out.extend(words.next().map(|id| id.to_uppercase())),
            id => chosen.push(id.to_uppercase()),
        }
    }
    let known = |id: &String| SCENARIOS.iter().any(|one| one.id == id);
    if let Some(unknown) = chosen.iter().chain(&left_out).find(|id| !known(id)) {
        let ids: Vec<_> = SCENARIOS.iter().map(|one| one.id).collect();
        return Err(format!("no scenario {unknown:?}; there are {}", ids.join(", ")));
    }
    let create = |error| format!("cannot create {}: {error}", plan.output.display());
    std::fs::create_dir_all(&plan.output).map_err(create)?;
    let named = |ids: &[String], id| ids.iter().any(|one| one == id);
    let wanted = |id| (chosen.is_empty() || named(&chosen, id)) && !named(&left_out, id);
    report::run_all(&plan, SCENARIOS.iter().copied().filter(|one| wanted(one.id)))
}
