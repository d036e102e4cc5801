//! Virtual environments of Python 2.7, for programs of the drafts' time that never left it.
//!
//! The machine has to have a `CPython` 2.7 (`$PYTHON27`, on the path, or one of pyenv's);
//! everything else comes from `PyPI`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;
use crate::process;

/// Says whether this Python is of use.
const PROBE: &str = "import sys, ssl, zlib; assert sys.version_info[:2] == (2, 7)";

/// The last virtualenv that makes environments for Python 2.7.
const VIRTUALENV: &str = "virtualenv==20.21.1";

/// Installs `requirements` into `dir/venv27`, unless the same packages are already there, and
/// returns that environment.
pub(crate) fn environment(dir: &Path, requirements: &Path) -> Result<PathBuf> {
    let wanted = process::read(requirements)?;
    let environment = dir.join("venv27");
    let stamp = environment.join("installed");
    if stamp.exists() && process::read(&stamp)? == wanted {
        return Ok(environment);
    }
    let python = find_python()?;
    let bootstrap = dir.join("bootstrap");
    for old in [&environment, &bootstrap] {
        // Absent on a fresh clone; whatever else hinders the removal hinders the next step too.
        let _ = fs::remove_dir_all(old);
    }
    process::create_dir(dir)?;
    let bin = bootstrap.join("bin");
    step(dir, Command::new("python3").args(["-m", "venv"]).arg(&bootstrap))?;
    step(dir, Command::new(bin.join("pip")).args(["install", VIRTUALENV]))?;
    let mut virtualenv = Command::new(bin.join("virtualenv"));
    step(dir, virtualenv.arg("--python").arg(python).arg(&environment))?;
    let mut pip = Command::new(environment.join("bin/pip"));
    step(dir, pip.arg("install").arg("--requirement").arg(requirements))?;
    process::write(&stamp, &wanted)?;
    Ok(environment)
}

fn step(dir: &Path, command: &mut Command) -> Result<()> {
    process::run_logged(command, &dir.join("install.log"))
}

fn find_python() -> Result<PathBuf> {
    let given = std::env::var_os("PYTHON27").map(PathBuf::from);
    let on_path = PathBuf::from("python2.7");
    let candidates = given.into_iter().chain([on_path]).chain(pyenv_pythons());
    let mut usable = candidates.filter(|python| {
        let mut probe = Command::new(python);
        let probe = probe.args(["-c", PROBE]).stdin(Stdio::null());
        probe.stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok_and(|s| s.success())
    });
    let none = "no usable CPython 2.7 (with ssl and zlib); set PYTHON27 to one";
    usable.next().ok_or_else(|| none.to_owned())
}

/// pyenv's `python2.7` on the path is a shim that only works where 2.7 was chosen; the versions
/// themselves always do.
fn pyenv_pythons() -> Vec<PathBuf> {
    let home = std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".pyenv"));
    let Some(pyenv) = std::env::var_os("PYENV_ROOT").map(PathBuf::from).or(home) else {
        return Vec::new();
    };
    let versions = fs::read_dir(pyenv.join("versions")).into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin/python2.7")).collect()
}
