//! Node.js packages below `target/`: installed once per list of pinned versions.

use std::path::Path;
use std::process::Command;

use crate::Result;
use crate::process;

/// Installs `packages` (`name@version`) into `dir/node_modules`, unless just these are there.
///
/// No package's install script runs: nothing here needs one, and some would compile C++.
pub(crate) fn install(dir: &Path, packages: &[&str]) -> Result<()> {
    let stamp = dir.join("installed");
    let wanted = packages.join("\n");
    if stamp.exists() && process::read(&stamp)? == wanted {
        return Ok(());
    }
    process::create_dir(dir)?;
    // Without a package.json here npm would walk up and install beside some parent's.
    process::write(&dir.join("package.json"), "{\"private\": true}\n")?;
    let mut npm = Command::new("npm");
    npm.args(["install", "--no-audit", "--no-fund", "--ignore-scripts", "--save-exact"]);
    npm.args(packages).current_dir(dir);
    process::run_logged(&mut npm, &dir.join("npm.log"))?;
    process::write(&stamp, &wanted)
}
