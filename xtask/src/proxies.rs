//! The server behind real proxies, set up as docs/behind-a-proxy.md says.
//!
//! Debian's packages are unpacked below `target/` and not installed, so that nothing of them runs
//! but what the checks start. The checks themselves are `conformance/proxies/proxies.py`; they run
//! in namespaces of their own, where the page's addresses and paths are theirs.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::args::Args;
use crate::process::{self, root, target};
use crate::{Result, server};

/// What the proxies take of Debian's; what the machine has already is not fetched.
const PACKAGES: [&str; 2] = ["nginx", "haproxy"];

/// `cargo xtask proxies`. The script's own output and exit code are the result.
pub(crate) fn proxies(mut args: Args) -> Result<()> {
    let chosen = args.value("--server")?;
    args.finish()?;
    if process::output(Command::new("id").arg("-u"))?.trim() != "0" {
        println!("skipped: takes root, for a network of its own");
        return Ok(());
    }
    let dir = target().join("proxies");
    let tree = unpacked(&dir)?;
    let binary = server::binary(chosen)?;
    let out = dir.join("out");
    process::create_dir(&out)?;
    process::run(
        Command::new("unshare")
            .args(["--net", "--mount", "python3"])
            .arg(root().join("conformance/proxies/proxies.py"))
            .args([&binary, &root().join("docs/behind-a-proxy.md"), &out])
            .env("PATH", path(&tree))
            .env("LD_LIBRARY_PATH", libraries(&tree)?)
            .env("PYTHONPATH", root().join("conformance/interop"))
            .env("PYTHONDONTWRITEBYTECODE", "1"),
    )
}

/// The folder with what is in the packages and those they need.
fn unpacked(dir: &Path) -> Result<PathBuf> {
    let (tree, packages) = (dir.join("tree"), dir.join("packages"));
    let stamp = dir.join("unpacked");
    if stamp.exists() {
        return Ok(tree);
    }
    process::create_dir(&packages.join("partial"))?;
    process::create_dir(&tree)?;
    let archives = format!("Dir::Cache::Archives={}", packages.display());
    let fetch = ["install", "--yes", "--download-only", "--no-install-recommends", "-o", &archives];
    process::apt_get(&[&fetch[..], &PACKAGES].concat(), &dir.join("apt.log"))?;
    for file in files(&packages)?.filter(|file| file.extension().is_some_and(|end| end == "deb")) {
        process::run(Command::new("dpkg").arg("--extract").arg(file).arg(&tree))?;
    }
    process::write(&stamp, "")?;
    Ok(tree)
}

fn files(dir: &Path) -> Result<impl Iterator<Item = PathBuf>> {
    let listed = dir.read_dir().map_err(|error| format!("cannot read {}: {error}", dir.display()));
    Ok(listed?.filter_map(|entry| entry.ok().map(|entry| entry.path())))
}

/// Where programs are: those of the packages first.
fn path(tree: &Path) -> String {
    let known = std::env::var("PATH").unwrap_or_default();
    format!("{}:/usr/sbin:{known}", tree.join("usr/sbin").display())
}

/// Where the packages' libraries are: in a folder that is named after the machine's kind.
fn libraries(tree: &Path) -> Result<String> {
    let dir = tree.join("usr/lib");
    if !dir.is_dir() {
        return Ok(String::new());
    }
    let dirs: Vec<String> = files(&dir)?.map(|dir| dir.display().to_string()).collect();
    Ok(dirs.join(":"))
}
