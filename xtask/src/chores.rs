//! The short chores: the benchmarks, and the rig.
//!
//! Benchmarks live in a workspace of their own (`bench/`), so that their dependencies stay out of
//! the server's build.

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

pub(crate) fn require(path: &str) -> Result<()> {
    if root().join(path).exists() { Ok(()) } else { Err(format!("there is no {path}")) }
}
