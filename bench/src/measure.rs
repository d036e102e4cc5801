//! What a server process has used, read from `/proc`: CPU time and memory.
//!
//! CPU time comes from `schedstat` (nanoseconds, summed over the threads); where the kernel keeps
//! none, from `stat` (hundredths of a second). It contains the kernel's share: the system calls,
//! and on loopback also the delivery of what was written.

use std::fs;
use std::io::{Error, ErrorKind, Result};
use std::path::Path;
use std::thread;
use std::time::Duration;

/// CPU time since a process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cpu {
    /// Nanoseconds on a core.
    pub used_ns: u64,
    /// Nanoseconds ready to run while something else had the core: a measure of disturbance.
    pub waited_ns: u64,
}

impl Cpu {
    /// Reads the sums over all threads of a process.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let mut sum = Self::default();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let one = Self::of_thread(&task?.path())?;
            sum.used_ns += one.used_ns;
            sum.waited_ns += one.waited_ns;
        }
        Ok(sum)
    }

    /// Reads the sums once the process sleeps: while it runs, the kernel's count lags by a tick.
    pub(crate) fn settled(pid: u32) -> Result<Self> {
        let mut last = Self::of(pid)?;
        for _ in 0..100 {
            thread::sleep(Duration::from_millis(2));
            let now = Self::of(pid)?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(last)
    }

    /// What was used since an earlier reading.
    pub(crate) fn since(self, earlier: Self) -> Self {
        Self {
            used_ns: self.used_ns.saturating_sub(earlier.used_ns),
            waited_ns: self.waited_ns.saturating_sub(earlier.waited_ns),
        }
    }

    fn of_thread(task: &Path) -> Result<Self> {
        if let Ok(text) = fs::read_to_string(task.join("schedstat"))
            && let Some(cpu) = parse_schedstat(&text)
        {
            return Ok(cpu);
        }
        parse_stat(&fs::read_to_string(task.join("stat"))?)
            .ok_or_else(|| Error::new(ErrorKind::InvalidData, "unreadable stat"))
    }
}

/// Fields: time used, time waited, time slices.
fn parse_schedstat(text: &str) -> Option<Cpu> {
    let mut fields = text.split_ascii_whitespace().map(|field| field.parse().ok());
    let (used_ns, waited_ns) = (fields.next()??, fields.next()??);
    (used_ns > 0).then_some(Cpu { used_ns, waited_ns })
}

/// User and system time are the 14th and 15th field; the second is a name that may hold spaces.
fn parse_stat(text: &str) -> Option<Cpu> {
    const TICK_NS: u64 = 10_000_000;
    let mut fields = text.rsplit_once(')')?.1.split_ascii_whitespace().skip(11);
    let mut ticks = || fields.next()?.parse::<u64>().ok();
    Some(Cpu { used_ns: (ticks()? + ticks()?) * TICK_NS, waited_ns: 0 })
}

/// Memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Pages in memory, shared ones included.
    pub resident: u64,
    /// Pages written to and shared with nobody: what the process costs.
    pub private_dirty: u64,
}

impl Memory {
    /// Reads a process's totals.
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        let bytes = |name| {
            parse_kib(&text, name)
                .map(|kib| kib * 1024)
                .ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("no {name}")))
        };
        Ok(Self { resident: bytes("Rss:")?, private_dirty: bytes("Private_Dirty:")? })
    }

    /// Reads the totals once they stand still.
    pub(crate) fn settled(pid: u32) -> Result<Self> {
        let mut last = Self::of(pid)?;
        for _ in 0..20 {
            thread::sleep(Duration::from_millis(50));
            let now = Self::of(pid)?;
            if now == last {
                break;
            }
            last = now;
        }
        Ok(last)
    }
}

fn parse_kib(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.trim().strip_suffix(" kB")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedstat_without_time_falls_back() {
        let cpu = Cpu { used_ns: 12_345, waited_ns: 67 };
        assert_eq!(parse_schedstat("12345 67 8\n"), Some(cpu));
        assert_eq!(parse_schedstat("0 0 0\n"), None);
    }

    #[test]
    fn stat_survives_a_name_with_spaces_and_brackets() {
        let text = "7 (a b) c) S 1 7 7 0 -1 4194560 100 0 0 0 30 12 0 0 20 0";
        assert_eq!(parse_stat(text), Some(Cpu { used_ns: 420_000_000, waited_ns: 0 }));
    }

    #[test]
    fn own_process_has_memory_and_time() {
        let pid = std::process::id();
        let memory = Memory::of(pid).expect("smaps_rollup");
        assert!(memory.private_dirty > 0 && memory.resident >= memory.private_dirty);
        assert!(Cpu::of(pid).expect("schedstat").used_ns > 0);
    }
}
