//! Drives the suite: cases dealt out to shards, two processes at work, results read back.
//!
//! There are more shards than processes: the load evens out, and a process that dies, which
//! reports only at its end, loses one shard's results.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::cases::Case;
use super::install::Suite;
use super::verdict::Outcome;
use crate::Result;
use crate::process;

const PROCESSES: usize = 2;
const SHARDS: usize = 12;

/// For the whole run; the full suite takes about ten minutes with compression.
const TIME_LIMIT: Duration = Duration::from_mins(25);

/// What a run brought: an outcome per case that ran, and whether every process ended well.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) outcomes: BTreeMap<Case, Outcome>,
    pub(super) finished: Result<()>,
}

/// Makes `out` an empty directory: an old report must not pass for a new one.
pub(super) fn clear(out: &Path) -> Result<()> {
    if out.exists() {
        fs::remove_dir_all(out).map_err(|error| format!("{}: {error}", out.display()))?;
    }
    process::create_dir(out)
}

/// Runs `cases` against `url`; reports and logs go to `out`.
pub(super) fn run(suite: &Suite, url: &str, cases: &BTreeSet<Case>, out: &Path) -> Result<Run> {
    let deadline = Instant::now() + TIME_LIMIT;
    let shards = deal(cases);
    let waiting = Mutex::new(shards.iter().enumerate());
    let worker = || {
        let mut finished = Ok(());
        loop {
            let next = waiting.lock().map_err(|_| "a worker panicked".to_owned())?.next();
            let Some((at, shard)) = next else { return finished };
            finished =
                finished.and(run_shard(suite, url, shard, &out.join(at.to_string()), deadline));
        }
    };
    let finished = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..PROCESSES).map(|_| scope.spawn(worker)).collect();
        let panicked = || Err("a worker panicked".to_owned());
        let ends = workers.into_iter().map(|each| each.join().unwrap_or_else(|_| panicked()));
        ends.fold(Ok(()), Result::and)
    });
    let mut outcomes = BTreeMap::new();
    for at in 0..shards.len() {
        read_report(&out.join(at.to_string()).join("index.json"), &mut outcomes)?;
    }
    Ok(Run { outcomes, finished })
}

/// Deals the cases out, the costly ones first, always to the shard with the least to do.
fn deal(cases: &BTreeSet<Case>) -> Vec<BTreeSet<Case>> {
    let mut costly: Vec<&Case> = cases.iter().collect();
    costly.sort_by(|a, b| b.cost().total_cmp(&a.cost()));
    let mut shards = vec![(0.0_f64, BTreeSet::new()); SHARDS.min(cases.len())];
    for case in costly {
        let Some(least) = shards.iter_mut().min_by(|a, b| a.0.total_cmp(&b.0)) else { break };
        least.0 += case.cost();
        least.1.insert(case.clone());
    }
    shards.into_iter().map(|(_, cases)| cases).collect()
}

fn run_shard(
    suite: &Suite,
    url: &str,
    cases: &BTreeSet<Case>,
    dir: &Path,
    deadline: Instant,
) -> Result<()> {
    process::create_dir(dir)?;
    let cases: Vec<String> = cases.iter().map(Case::to_string).collect();
    let spec = json!({
        "outdir": dir,
        "servers": [{ "agent": "clws", "url": url }],
        "cases": cases,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    });
    let spec_file = dir.join("spec.json");
    process::write(&spec_file, &spec.to_string())?;
    let log = dir.join("wstest.log");
    let (stdout, stderr) = process::log_pair(&log)?;
    let mut client = suite.fuzzing_client(&spec_file);
    client.current_dir(dir).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
    let mut client = client.spawn().map_err(|error| format!("cannot start wstest: {error}"))?;
    match process::wait_until(&mut client, deadline)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(format!("wstest: {status}\n{}", process::tail(&log, 10))),
        None => {
            client.kill().and_then(|()| client.wait()).map_err(|error| error.to_string())?;
            Err(format!("wstest: killed, the whole run may take {TIME_LIMIT:?}"))
        }
    }
}

/// Reads a shard's `index.json`; when there is none its cases stay missing.
fn read_report(file: &Path, outcomes: &mut BTreeMap<Case, Outcome>) -> Result<()> {
    if !file.exists() {
        return Ok(());
    }
    let unreadable = || format!("{} is not a report", file.display());
    let report: Value = serde_json::from_str(&process::read(file)?).map_err(|_| unreadable())?;
    for cases in report.as_object().ok_or_else(unreadable)?.values() {
        for (number, case) in cases.as_object().ok_or_else(unreadable)? {
            let text = |key: &str| case[key].as_str().map(str::to_owned).ok_or_else(unreadable);
            let outcome = Outcome {
                behaviour: text("behavior")?,
                close: text("behaviorClose")?,
                code: case["remoteCloseCode"].as_u64(),
            };
            outcomes.insert(number.parse()?, outcome);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{SHARDS, deal};

    #[test]
    fn every_case_is_dealt_out_once() {
        let cases: BTreeSet<_> =
            (1..100).map(|number| format!("9.{number}.1").parse().unwrap()).collect();
        let shards = deal(&cases);
        assert_eq!(shards.len(), SHARDS);
        assert_eq!(shards.iter().map(BTreeSet::len).sum::<usize>(), cases.len());
        assert_eq!(shards.into_iter().flatten().collect::<BTreeSet<_>>(), cases);
    }

    #[test]
    fn few_cases_make_few_shards() {
        assert_eq!(deal(&BTreeSet::from(["1.1.1".parse().unwrap()])).len(), 1);
    }
}
