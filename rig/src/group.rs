//! A control group of the system's with a bound of memory, for one server.
//!
//! Takes root and a memory controller that is mounted at `/sys/fs/cgroup`, of either version. What
//! sockets hold is part of the group's memory in version 2; version 1 counts it apart, from when it
//! has a bound of its own, and it is added here.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

const NAME: &str = "clws-rig";
const ROOT: &str = "/sys/fs/cgroup";

/// What a group uses, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Usage {
    pub(crate) all: u64,
    /// Of that for sockets.
    pub(crate) sockets: u64,
}

/// Dropping it takes the group away, once its processes have ended.
#[derive(Debug)]
pub(crate) struct Group {
    path: PathBuf,
    files: &'static Files,
}

/// What a version calls its files.
#[derive(Debug)]
struct Files {
    parent: &'static str,
    limit: &'static str,
    usage: &'static str,
    /// The limit and the usage of sockets, where they are counted apart.
    sockets: Option<(&'static str, &'static str)>,
    events: &'static str,
}

const VERSIONS: [Files; 2] = [
    Files {
        parent: "",
        limit: "memory.max",
        usage: "memory.current",
        sockets: None,
        events: "memory.events",
    },
    Files {
        parent: "memory",
        limit: "memory.limit_in_bytes",
        usage: "memory.usage_in_bytes",
        sockets: Some(("memory.kmem.tcp.limit_in_bytes", "memory.kmem.tcp.usage_in_bytes")),
        events: "memory.oom_control",
    },
];

impl Group {
    /// A new group that may use so many bytes; none where the system lets nobody make one.
    pub(crate) fn make(bytes: u64) -> Option<Self> {
        VERSIONS.iter().find_map(|files| {
            let path = Path::new(ROOT).join(files.parent).join(NAME);
            // What a run left that was killed.
            let _ = fs::remove_dir(&path);
            fs::create_dir(&path).ok()?;
            let group = Self { path, files };
            let limits = [Some(files.limit), files.sockets.map(|(limit, _)| limit)];
            limits.into_iter().flatten().try_for_each(|limit| group.set(limit, bytes))?;
            Some(group)
        })
    }

    /// Fails where the controller is missing: an ordinary folder has no such file.
    fn set(&self, limit: &str, bytes: u64) -> Option<()> {
        let file = self.path.join(limit);
        file.exists().then(|| fs::write(file, bytes.to_string()).ok()).flatten()
    }

    /// The list of its processes, which who writes its number to joins.
    pub(crate) fn processes(&self) -> PathBuf {
        self.path.join("cgroup.procs")
    }

    fn number(&self, file: &str) -> u64 {
        let text = fs::read_to_string(self.path.join(file)).unwrap_or_default();
        text.trim().parse().unwrap_or(0)
    }

    /// What it uses now.
    pub(crate) fn usage(&self) -> Usage {
        let all = self.number(self.files.usage);
        match self.files.sockets {
            Some((_, usage)) => {
                let sockets = self.number(usage);
                Usage { all: all + sockets, sockets }
            }
            None => Usage { all, sockets: self.entry("memory.stat", "sock ").unwrap_or(0) },
        }
    }

    /// How many of its processes were killed for want of memory; not a number where nobody knows.
    pub(crate) fn kills(&self) -> f64 {
        self.entry(self.files.events, "oom_kill ").map_or(f64::NAN, |kills| kills as f64)
    }

    /// The number behind a name in a file of many.
    fn entry(&self, file: &str, name: &str) -> Option<u64> {
        let text = fs::read_to_string(self.path.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix(name))?.trim().parse().ok()
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // A process that has just ended is counted a little longer.
        for _ in 0..100 {
            if fs::remove_dir(&self.path).is_ok() || !self.path.exists() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
