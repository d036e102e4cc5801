//! The Autobahn `TestSuite` against the server: what to run, how to judge it, what to print.
//!
//! `install` brings the suite, `shards` drives it, `cases` names its cases, `expectations` reads
//! what is allowed to differ, `verdict` compares. Results and logs stay in
//! `target/autobahn/run`.

mod cases;
mod expectations;
mod install;
mod shards;
mod verdict;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::Result;
use crate::args::Args;
use crate::process::{self, root, target};
use crate::server::{self, Server};
use crate::tls::Certificate;
use cases::{Case, Pattern};
use verdict::Verdict;

/// How many cases the pinned suite has; fewer would mean that it lists them wrongly.
const SUITE_SIZE: usize = 517;

/// Bytes a message may have: group 9 sends 16 MiB, more than the server's default of 1 MiB.
const MAX_MESSAGE: &str = "16777216";

/// A run that fits into every push: everything but compression, and of its 216 cases those with
/// 16 bytes, 1 KiB and 8 KiB in fragments, for each of the twelve parameter sets.
const DEFAULT_CASES: &[&str] = &[
    "1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "9.*", "10.*", //
    "12.*.1", "12.*.5", "12.*.11", "12.2.8", "12.5.10", "13.*.1", "13.*.5", "13.*.11",
];

/// `cargo xtask conformance`: fails on any behaviour that is neither fine nor expected.
pub(crate) fn conformance(mut args: Args) -> Result<()> {
    let full = args.flag("--full");
    let tls = args.flag("--tls");
    let url = args.value("--url")?;
    let chosen = args.value("--server")?;
    args.finish()?;
    let expected = expectations::parse(&process::read(&expectations_file())?)?;
    let suite = install::suite(&target().join("autobahn"))?;
    let listed = suite.cases()?;
    if listed.len() != SUITE_SIZE {
        return Err(format!("the suite lists {} cases, not {SUITE_SIZE}", listed.len()));
    }
    let patterns: &[&str] = if full { &["*"] } else { DEFAULT_CASES };
    let selected = select(&listed, patterns)?;
    if selected.is_empty() {
        return Err("no case is selected".to_owned());
    }

    let out = target().join("autobahn/run");
    shards::clear(&out)?;
    let server = if url.is_none() { Some(start(chosen, tls, &out)?) } else { None };
    let own = server.as_ref().map(|server| {
        if tls {
            format!("wss://{}/echo", server.tls_address())
        } else {
            format!("ws://{}/echo", server.address())
        }
    });
    let url = url.or(own).unwrap_or_default();

    let started = Instant::now();
    let run = shards::run(&suite, &url, &selected, &out)?;
    let verdict = Verdict::new(&listed, &selected, &run.outcomes, &expected);
    print!("{verdict}");
    println!(
        "autobahn: {} of {} cases ran in {} s, {} faults",
        run.outcomes.len(),
        selected.len(),
        started.elapsed().as_secs(),
        verdict.faults()
    );
    let stopped = server.map_or(Ok(()), Server::stop);
    verdict.result().and(run.finished).and(stopped)
}

/// The suite's client does not look at certificates.
fn start(chosen: Option<String>, tls: bool, out: &Path) -> Result<Server> {
    let (binary, log) = (server::binary(chosen)?, out.join("server.log"));
    let options = ["--origin", "any", "--max-message-size", MAX_MESSAGE];
    if tls {
        Server::start_tls(&binary, &options, &Certificate::make(&out.join("tls"))?, log)
    } else {
        Server::start(&binary, &options, log)
    }
}

fn expectations_file() -> PathBuf {
    root().join("conformance/expectations.txt")
}

fn select(listed: &BTreeSet<Case>, patterns: &[&str]) -> Result<BTreeSet<Case>> {
    let patterns: Vec<Pattern> =
        patterns.iter().map(|pattern| pattern.parse()).collect::<Result<_>>()?;
    let wanted = |case: &&Case| patterns.iter().any(|pattern| pattern.matches(case));
    Ok(listed.iter().filter(wanted).cloned().collect())
}
