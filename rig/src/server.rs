//! The server under trial: a process of its own on the server's core.

use crate::process::{self, Core};
use crate::{Plan, Result};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to listen, and longer than a stop may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Which program serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// `clws serve`, as operators run it.
    Clws,
    /// This program's own server, with resources that `clws serve` does not have.
    Rig,
}

/// Where the log goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Log {
    File,
    /// Standard error is closed.
    Closed,
    /// A pipe that nobody reads.
    Stuck,
}

/// How a server is started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) program: Program,
    pub(crate) flags: Vec<String>,
    pub(crate) log: Log,
    /// The system's limit of open files.
    pub(crate) files: Option<u32>,
    /// A control group's list of processes, which it joins.
    pub(crate) group: Option<PathBuf>,
}

impl Launch {
    pub(crate) fn clws(flags: &[&str]) -> Self {
        let flags =
            ["--origin", "any"].iter().chain(flags).map(|flag| (*flag).to_owned()).collect();
        Self { program: Program::Clws, flags, log: Log::File, files: None, group: None }
    }

    /// The rig's own server, with limits as `name=value`.
    pub(crate) fn rig(limits: &[&str]) -> Self {
        let flags = limits.iter().map(|limit| (*limit).to_owned()).collect();
        Self { program: Program::Rig, flags, ..Self::clws(&[]) }
    }

    fn command(&self, plan: &Plan, listen: &str) -> Result<Command> {
        let (program, listening) = match self.program {
            Program::Clws => (plan.clws.clone(), vec!["serve", "--listen", listen]),
            Program::Rig => {
                let own = std::env::current_exe().map_err(|error| error.to_string())?;
                (own, vec!["serve", listen])
            }
        };
        let pinned = Core::Server.command();
        // The shell sets what Rust has no safe words for, and becomes the server.
        let files = self.files.map(|files| format!("ulimit -n {files}; ")).unwrap_or_default();
        let group = self.group.as_ref().map(|group| format!("echo $$ > {}; ", group.display()));
        let closed = if self.log == Log::Closed { " 2>&-" } else { "" };
        let script = format!("{files}{}exec \"$@\"{closed}", group.unwrap_or_default());
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh"]).arg(pinned.get_program()).args(pinned.get_args());
        command.arg(program).args(listening).args(&self.flags);
        Ok(command)
    }
}

#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    log: PathBuf,
    #[expect(dead_code, reason = "held open and never read")]
    stuck: Option<ChildStderr>,
}

impl Server {
    /// Starts a server on a free port and waits until it listens.
    pub(crate) fn start(plan: &Plan, name: &str, launch: &Launch) -> Result<Self> {
        Self::start_at(plan, name, launch, "127.0.0.1:0")
    }

    /// Starts a server at an address of the caller's choice.
    pub(crate) fn start_at(plan: &Plan, name: &str, launch: &Launch, at: &str) -> Result<Self> {
        let log = plan.output.join(format!("{name}.log"));
        let file = File::create(&log).map_err(|error| format!("{}: {error}", log.display()))?;
        let mut command = launch.command(plan, at)?;
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        match launch.log {
            Log::File => command.stderr(file),
            Log::Closed => command.stderr(Stdio::null()),
            Log::Stuck => command.stderr(Stdio::piped()),
        };
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let output = child.stdout.take();
        let stuck = child.stderr.take();
        let address = SocketAddr::from(([0; 4], 0));
        let mut server = Self { child, address, log, stuck };
        let mut line = String::new();
        let read = output.map(|output| BufReader::new(output).read_line(&mut line));
        let told = line.split("http://").nth(1).map(|rest| rest.trim().trim_end_matches('/'));
        let address = told.and_then(|address| address.parse().ok());
        server.address = address.ok_or_else(|| format!("the server did not start: {read:?}"))?;
        Ok(server)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The same process still runs.
    pub(crate) fn lives(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Lines of the log so far.
    pub(crate) fn log_lines(&self) -> usize {
        std::fs::read(&self.log).map_or(0, |text| text.split(|byte| *byte == b'\n').count() - 1)
    }

    /// Waits for a server that was asked to stop.
    pub(crate) fn wait(&mut self) -> Result<ExitStatus> {
        let give_up = Instant::now() + PATIENCE;
        while Instant::now() < give_up {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(5)),
                Ok(Some(status)) => return Ok(status),
                Err(error) => return Err(error.to_string()),
            }
        }
        Err(format!("the server still runs {PATIENCE:?} after it was told to stop"))
    }

    pub(crate) fn signal(&self, name: &str) -> Result<()> {
        process::signal(self.pid(), name)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when the process is already gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
