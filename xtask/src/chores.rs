//! The short chores: benchmarks, the rig, and a smoke run of the fuzz targets.
//!
//! Benchmarks and fuzz targets live in workspaces of their own (`bench/`, `fuzz/`), so that their
//! dependencies and their nightly compiler stay out of the server's build.

use crate::args::Args;
use crate::process::{self, cargo, root, target};
use crate::{Result, node, server};

/// The benchmark's peers on Node.js.
const BENCH_PACKAGES: &[&str] = &["ws@8.23.0"];

/// `cargo xtask bench ARGS`: the harness gets every argument as it stands.
pub(crate) fn bench(args: Args) -> Result<()> {
    let manifest = "bench/Cargo.toml";
    require(manifest)?;
    server::binary(None)?;
    let args = args.rest();
    if args.iter().any(|word| word == "deflate") {
        node::install(&target().join("bench-node"), BENCH_PACKAGES)?;
    }
    let mut harness = cargo();
    harness.args(["run", "--release", "--manifest-path", manifest, "--"]).args(args);
    process::run(&mut harness)
}

/// `cargo xtask rig`: scenarios of `rig/`, all or those named; it judges, and leaves its figures in
/// `target/rig`.
pub(crate) fn rig(mut args: Args) -> Result<()> {
    let server = server::binary(args.value("--server")?)?;
    let mut rig = cargo();
    rig.args(["run", "--quiet", "--release", "--package", "clws-rig", "--", "run", "--server"]);
    rig.arg(server).arg("--output").arg(target().join("rig")).args(args.rest());
    process::run(&mut rig)
}

/// `cargo xtask fuzz-smoke`: a crash in any target fails; what it found stays in `fuzz/artifacts`.
pub(crate) fn fuzz_smoke(mut args: Args) -> Result<()> {
    let seconds = args.value("--seconds")?.unwrap_or_else(|| "20".to_owned());
    args.finish()?;
    let seconds: u32 = seconds.parse().map_err(|_| format!("{seconds:?} is no number"))?;
    require("fuzz/Cargo.toml")?;
    install_cargo_fuzz()?;
    let listed = process::output(fuzz()?.arg("list"))?;
    let targets: Vec<&str> = listed.split_whitespace().collect();
    if targets.is_empty() {
        return Err("fuzz/ lists no target".to_owned());
    }
    for name in &targets {
        println!("fuzz-smoke: {name} for {seconds} s");
        let limit = format!("-max_total_time={seconds}");
        let log = target().join(format!("fuzz-{name}.log"));
        process::run_logged(fuzz()?.args(["run", name, "--", &limit]), &log)?;
    }
    println!("fuzz-smoke: no crash; targets: {}", targets.len());
    Ok(())
}

/// `cargo +nightly fuzz`, found in `target/tools` or on the path.
fn fuzz() -> Result<std::process::Command> {
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

fn require(path: &str) -> Result<()> {
    if root().join(path).exists() { Ok(()) } else { Err(format!("there is no {path}")) }
}
