//! `cargo xtask fuzz-smoke`: every fuzz target for a short while, two at a time.
//!
//! cargo-fuzz lists the targets, so a new one needs no word here; where cargo-fuzz is missing it is
//! built below `target/tools`. Without a nightly compiler there is nothing to build them with, and
//! the chore says so and is content.

use crate::args::Args;
use crate::chores::require;
use crate::process::{self, cargo, target};
use crate::{Failure, Result};
use std::process::Command;
use std::sync::Mutex;
use std::thread;

/// So many targets run at once, as many as small machines have cores.
const AT_ONCE: usize = 2;

/// A crash in any target fails; what it found stays in `fuzz/artifacts`.
pub(crate) fn fuzz_smoke(mut args: Args) -> Result<()> {
    let seconds = args.value("--seconds")?.unwrap_or_else(|| "20".to_owned());
    args.finish()?;
    let seconds: u32 = seconds.parse().map_err(|_| format!("{seconds:?} is no number"))?;
    require("fuzz/Cargo.toml")?;
    if !has_nightly() {
        println!("skipped: no nightly toolchain (rustup toolchain install nightly)");
        return Ok(());
    }
    install_cargo_fuzz()?;
    let listed = process::output(fuzz()?.arg("list"))?;
    let targets: Vec<&str> = listed.split_whitespace().collect();
    if targets.is_empty() {
        return Err("fuzz/ lists no target".to_owned());
    }
    process::run_logged(fuzz()?.arg("build"), &target().join("fuzz-build.log"))?;
    run_all(&targets, seconds)?;
    println!("fuzz-smoke: no crash; targets: {}", targets.len());
    Ok(())
}

/// Runs every target, also when one fails: each finding is worth having.
fn run_all(targets: &[&str], seconds: u32) -> Result<()> {
    let waiting = Mutex::new(targets.iter());
    let work = || {
        let mut failures = Vec::new();
        loop {
            let next = waiting.lock().map_or(None, |mut waiting| waiting.next());
            let Some(name) = next else { return failures };
            match run_one(name, seconds) {
                Ok(runs) => println!("fuzz-smoke: {name}: {runs} runs in {seconds} s"),
                Err(failure) => failures.push(format!("{name}: {failure}")),
            }
        }
    };
    let failures: Vec<Failure> = thread::scope(|scope| {
        let workers: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .flat_map(|worker| worker.join().unwrap_or_else(|_| vec!["a panic".to_owned()]))
            .collect()
    });
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n")) }
}

/// Gives how often the target ran.
fn run_one(name: &str, seconds: u32) -> Result<String> {
    let limit = format!("-max_total_time={seconds}");
    let log = target().join(format!("fuzz-{name}.log"));
    // Long inputs from the beginning: most are read as structures, and short ones hold little.
    let options = [&*limit, "-len_control=10", "-timeout=20", "-print_final_stats=1"];
    process::run_logged(fuzz()?.args(["run", name, "--"]).args(options), &log)?;
    Ok(executions(&process::read(&log)?).unwrap_or("unknown").to_owned())
}

/// How many inputs were tried, by libFuzzer's last words.
fn executions(log: &str) -> Option<&str> {
    log.lines()
        .rev()
        .find_map(|line| line.strip_prefix("stat::number_of_executed_units:"))
        .map(str::trim)
}

/// Asks rustup, because `cargo +nightly` may install a toolchain unasked.
fn has_nightly() -> bool {
    let listed = Command::new("rustup").args(["toolchain", "list"]).output();
    listed.is_ok_and(|output| lists_nightly(&String::from_utf8_lossy(&output.stdout)))
}

fn lists_nightly(toolchains: &str) -> bool {
    // One with a date is not what `+nightly` means.
    toolchains.lines().filter_map(|line| line.split_whitespace().next()).any(|name| {
        name.strip_prefix("nightly").is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('-').is_some_and(|host| !host.starts_with("20"))
        })
    })
}

/// `cargo +nightly fuzz`, found in `target/tools` or on the path.
fn fuzz() -> Result<Command> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::iter::once(target().join("tools/bin")).chain(std::env::split_paths(&path));
    let path = std::env::join_paths(dirs).map_err(|error| format!("PATH: {error}"))?;
    let mut command = cargo();
    command.args(["+nightly", "fuzz"]).env("PATH", path);
    Ok(command)
}

fn install_cargo_fuzz() -> Result<()> {
    let tools = target().join("tools");
    let own = tools.join("bin/cargo-fuzz");
    if process::installed(&own) || process::installed("cargo-fuzz".as_ref()) {
        return Ok(());
    }
    process::create_dir(&tools)?;
    let mut install = cargo();
    install.args(["install", "cargo-fuzz", "--locked", "--root"]).arg(&tools);
    process::run_logged(&mut install, &tools.join("cargo-fuzz.log"))
}

#[cfg(test)]
mod tests {
    use super::{executions, lists_nightly};

    #[test]
    fn knows_a_nightly_toolchain_by_its_name() {
        let stable = "stable-x86_64-unknown-linux-gnu (active, default)\n";
        assert!(lists_nightly(&format!("{stable}nightly-x86_64-unknown-linux-gnu\n")));
        assert!(lists_nightly("nightly-aarch64-apple-darwin (default)"));
        for other in ["", stable, "nightly-2026-01-01-x86_64-unknown-linux-gnu", "my-nightly"] {
            assert!(!lists_nightly(other), "{other:?}");
        }
    }

    #[test]
    fn reads_the_number_of_runs() {
        let log = "#9\tDONE\nstat::number_of_executed_units: 1234\nstat::peak_rss_mb: 80\n";
        assert_eq!(executions(log), Some("1234"));
        assert_eq!(executions("crashed"), None);
    }
}
