//! What a process uses, read from `/proc`, and signals to it.

use crate::Result;
use std::fs;
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::Duration;

/// Pages of memory that are resident, in bytes; none of a process that is gone.
pub(crate) fn memory(pid: u32) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib * 1024)
}

/// Open file descriptors.
pub(crate) fn files(pid: u32) -> Option<usize> {
    Some(fs::read_dir(format!("/proc/{pid}/fd")).ok()?.count())
}

/// CPU time used so far, by user code and by the kernel for it.
pub(crate) fn cpu(pid: u32) -> Option<Duration> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is a name that may hold spaces; the 14th and 15th are hundredths.
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Duration::from_millis((ticks()? + ticks()?) * 10))
}

/// Sends a signal by its name, as `TERM`.
pub(crate) fn signal(pid: u32, name: &str) -> Result<()> {
    quietly(Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()))
}

/// Runs a small program of the system that has to succeed.
pub(crate) fn quietly(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{command:?} failed: {status}")),
        Err(error) => Err(format!("{command:?} cannot run: {error}")),
    }
}

/// Where the server runs, and where the load does, if there are several cores.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Core {
    Server,
    Load,
}

impl Core {
    fn number(self) -> String {
        static CORES: OnceLock<usize> = OnceLock::new();
        let cores = CORES.get_or_init(|| thread::available_parallelism().map_or(1, usize::from));
        (self as usize % cores).to_string()
    }

    /// The beginning of a command that runs there.
    pub(crate) fn command(self) -> Command {
        let mut command = Command::new("taskset");
        command.args(["-c", &self.number()]);
        command
    }

    /// Moves this process there.
    pub(crate) fn take(self) -> Result<()> {
        let pid = std::process::id().to_string();
        quietly(Command::new("taskset").args(["-a", "-p", "-c", &self.number(), &pid]))
    }
}

/// What the machine did since it was looked at, apart from the rig's own processes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Machine {
    server: u32,
    /// Seconds of all cores: those with work, and all.
    busy: f64,
    all: f64,
    own: f64,
}

impl Machine {
    pub(crate) fn look(server: u32) -> Self {
        let (busy, all) = cores().unwrap_or_default();
        Self { server, busy, all, own: own_time(server) }
    }

    /// The part of the cores' time that other programs used.
    pub(crate) fn others(self) -> f64 {
        let now = Self::look(self.server);
        let others = (now.busy - self.busy) - (now.own - self.own);
        others / (now.all - self.all).max(0.01)
    }
}

/// Of the server, of this process, and of its children that have ended.
fn own_time(server: u32) -> f64 {
    let own = std::process::id();
    let text = fs::read_to_string(format!("/proc/{own}/stat")).unwrap_or_default();
    let fields = text.rsplit_once(')').map(|(_, rest)| rest.split_ascii_whitespace());
    let ticks =
        fields.into_iter().flatten().skip(11).take(4).filter_map(|one| one.parse::<f64>().ok());
    let own = ticks.sum::<f64>() / 100.0;
    own + cpu(server).unwrap_or_default().as_secs_f64()
}

/// The first line of `/proc/stat`: user, nice, system, idle, waiting for disks, then more work.
fn cores() -> Option<(f64, f64)> {
    let text = fs::read_to_string("/proc/stat").ok()?;
    let fields = text.lines().next()?.split_ascii_whitespace().skip(1).take(8);
    let ticks: Vec<f64> = fields.filter_map(|one| one.parse().ok()).collect();
    let all: f64 = ticks.iter().sum();
    let idle: f64 = ticks.iter().skip(3).take(2).sum();
    Some(((all - idle) / 100.0, all / 100.0))
}

#[cfg(test)]
mod tests {
    #[test]
    fn this_process_can_be_read() {
        let pid = std::process::id();
        assert!(super::memory(pid).is_some_and(|bytes| bytes > 100_000));
        assert!(super::files(pid).is_some_and(|count| count >= 3));
        assert!(super::cpu(pid).is_some());
        assert_eq!(super::memory(u32::MAX), None);
    }
}
