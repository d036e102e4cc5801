//! How much memory the machine has, or the control group that the process runs in.

use std::fs;
use std::path::Path;

/// The budget where the system does not say how much memory there is, in bytes.
const UNKNOWN: usize = 512 * 1024 * 1024;
/// Where control groups are looked at; version 1 has a folder of its own for memory.
const GROUPS: &str = "/sys/fs/cgroup";

/// A quarter of the memory, or [`UNKNOWN`].
pub(super) fn quarter() -> usize {
    let read = |path: &Path| fs::read_to_string(path).ok();
    memory(read).map_or(UNKNOWN, |bytes| bytes / 4)
}

/// The least of what the machine has and what the control groups above this process allow.
fn memory(read: impl Fn(&Path) -> Option<String>) -> Option<usize> {
    let machine = read(Path::new("/proc/meminfo")).and_then(|text| of_machine(&text));
    let own = read(Path::new("/proc/self/cgroup")).unwrap_or_default();
    let groups = own.lines().filter_map(|line| of_groups(line, &read)).min();
    machine.into_iter().chain(groups).min()
}

/// `MemTotal`, in `proc_meminfo(5)`.
fn of_machine(meminfo: &str) -> Option<usize> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: usize = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The least limit of the group that a line of `/proc/self/cgroup` names and of those above it;
/// in a container the line may name a path that only the host has, so the root is always asked.
fn of_groups(line: &str, read: impl Fn(&Path) -> Option<String>) -> Option<usize> {
    let mut parts = line.splitn(3, ':');
    let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
    let (root, file) = match controllers {
        "" => (GROUPS.to_owned(), "memory.max"),
        "memory" => (format!("{GROUPS}/memory"), "memory.limit_in_bytes"),
        _ => return None,
    };
    let path = Path::new(path.trim_start_matches('/'));
    let limit = |group: &Path| read(&Path::new(&root).join(group).join(file));
    // "max" is no number: no limit.
    path.ancestors().filter_map(|group| limit(group)?.trim().parse().ok()).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEMINFO: (&str, &str) = ("/proc/meminfo", "MemTotal:        8000 kB\nMemFree: 1 kB\n");
    const MACHINE: Option<usize> = Some(8000 * 1024);

    /// What is found where these files are and no others.
    fn found(files: &[(&str, &str)]) -> Option<usize> {
        memory(|path| {
            let file = files.iter().find(|(name, _)| Path::new(name) == path);
            file.map(|(_, text)| (*text).to_owned())
        })
    }

    #[test]
    fn the_machine_has_what_it_says() {
        assert_eq!(found(&[MEMINFO]), MACHINE);
        assert_eq!(found(&[]), None);
        assert_eq!(found(&[("/proc/meminfo", "MemTotal: many\n")]), None);
    }

    #[test]
    fn the_tightest_group_above_counts() {
        let own = ("/proc/self/cgroup", "0::/a/b\n");
        let max = |group: &'static str| (group, "max\n");
        let outer = ("/sys/fs/cgroup/a/memory.max", "4096000\n");
        let inner = ("/sys/fs/cgroup/a/b/memory.max", "2048000\n");
        assert_eq!(found(&[MEMINFO, own, max(outer.0), max(inner.0)]), MACHINE);
        assert_eq!(found(&[MEMINFO, own, outer, max(inner.0)]), Some(4_096_000));
        assert_eq!(found(&[MEMINFO, own, outer, inner]), Some(2_048_000));
        let container = ("/proc/self/cgroup", "0::/\n");
        let mounted = ("/sys/fs/cgroup/memory.max", "1024000\n");
        assert_eq!(found(&[MEMINFO, container, mounted]), Some(1_024_000));
    }

    #[test]
    fn groups_of_version_1_count_too() {
        let own = ("/proc/self/cgroup", "5:cpu,cpuacct:/x\n4:memory:/pod/x\n0::/\n");
        let limit = ("/sys/fs/cgroup/memory/pod/x/memory.limit_in_bytes", "2048000\n");
        assert_eq!(found(&[MEMINFO, own, limit]), Some(2_048_000));
        let none = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        assert_eq!(found(&[MEMINFO, own, none]), MACHINE);
        let container = ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1024000\n");
        assert_eq!(found(&[MEMINFO, own, container]), Some(1_024_000));
    }
}
