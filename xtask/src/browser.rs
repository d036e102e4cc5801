//! The browser test: Debian's Chromium, driven by playwright-core.
//!
//! The checks themselves are `conformance/browser/page.mjs`; this only brings what it needs.

use std::path::Path;
use std::process::Command;

use crate::args::Args;
use crate::process::{self, root, target};
use crate::{Result, node, server};

const CHROMIUM: &str = "/usr/bin/chromium";
const PACKAGES: &[&str] = &["playwright-core@1.65.1"];

/// `cargo xtask browser`. The script's own output and exit code are the result.
pub(crate) fn browser(mut args: Args) -> Result<()> {
    let chosen = args.value("--server")?;
    args.finish()?;
    let script = root().join("conformance/browser/page.mjs");
    if !script.exists() {
        return Err(format!("{} is missing", script.display()));
    }
    let out = target().join("browser");
    process::create_dir(&out)?;
    install_chromium(&out.join("apt.log"))?;
    node::install(&out, PACKAGES)?;
    let binary = server::binary(chosen)?;
    process::run(
        Command::new("node")
            .arg(script)
            .arg("--server")
            .arg(binary)
            .arg("--out")
            .arg(&out)
            .env("NODE_PATH", out.join("node_modules")),
    )
}

fn install_chromium(log: &Path) -> Result<()> {
    if Path::new(CHROMIUM).exists() {
        return Ok(());
    }
    process::apt_get(&["install", "--yes", "--no-install-recommends", "chromium"], log)
}
