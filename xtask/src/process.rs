//! Running other programs: quietly with a log, for their output, or with a time limit.
//!
//! Paths of the repository live here too, because every program runs relative to one of them.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::Result;

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_path_buf()
}

/// Where Cargo builds; everything a chore installs or writes goes below it.
pub(crate) fn target() -> PathBuf {
    let chosen = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    root().join(chosen.unwrap_or_else(|| PathBuf::from("target")))
}

/// `cargo`, run in the repository's root.
///
/// Found on the path rather than taken from `$CARGO`: only rustup's proxy understands `+nightly`.
pub(crate) fn cargo() -> Command {
    let mut command = Command::new("cargo");
    command.current_dir(root());
    command
}

pub(crate) fn create_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(|error| format!("cannot create {}: {error}", path.display()))
}

pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
}

pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// Runs with this terminal's output; anything but success is an error.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).status();
    let status = status.map_err(|error| format!("cannot start {}: {error}", name(command)))?;
    require(command, status)
}

/// Runs with all output into `log`; on failure the log's last lines join the error.
pub(crate) fn run_logged(command: &mut Command, log: &Path) -> Result<()> {
    let (out, err) = log_pair(log)?;
    run(command.stdout(out).stderr(err))
        .map_err(|failure| format!("{failure}\n{}", tail(log, 20).trim_end()))
}

/// Refreshes Debian's lists, then has `apt-get` do what `words` say; the output goes into `log`.
pub(crate) fn apt_get(words: &[&str], log: &Path) -> Result<()> {
    for words in [&["update"], words] {
        let mut apt = Command::new("apt-get");
        apt.arg("--quiet").args(words).env("DEBIAN_FRONTEND", "noninteractive");
        run_logged(&mut apt, log)?;
    }
    Ok(())
}

/// Runs for what it prints; its complaints stay on the terminal.
pub(crate) fn output(command: &mut Command) -> Result<String> {
    let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| format!("cannot start {}: {error}", name(command)))?;
    require(command, output.status)?;
    String::from_utf8(output.stdout).map_err(|_| format!("{} printed no UTF-8", name(command)))
}

/// Two handles on a new log file, for standard output and standard error.
pub(crate) fn log_pair(log: &Path) -> Result<(File, File)> {
    let failed = |error| format!("cannot write {}: {error}", log.display());
    let file = File::create(log).map_err(failed)?;
    let copy = file.try_clone().map_err(failed)?;
    Ok((file, copy))
}

/// The last `lines` lines of a log, or nothing when there is no log.
pub(crate) fn tail(log: &Path, lines: usize) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

/// Waits for `child` until `deadline`; `None` means it is still running.
pub(crate) fn wait_until(child: &mut Child, deadline: Instant) -> Result<Option<ExitStatus>> {
    loop {
        let status = child.try_wait().map_err(|error| format!("cannot wait: {error}"))?;
        if status.is_some() || Instant::now() >= deadline {
            return Ok(status);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether `program --version` works, that is, whether it is installed.
pub(crate) fn installed(program: &Path) -> bool {
    let mut command = Command::new(program);
    command.arg("--version").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn require(command: &Command, status: ExitStatus) -> Result<()> {
    if status.success() { Ok(()) } else { Err(format!("{} failed: {status}", name(command))) }
}

fn name(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}
