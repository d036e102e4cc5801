//! A `clws serve` of its own for every chore: built, started on a free port, stopped by its pid.
//!
//! The server says `... listening on http://127.0.0.1:PORT/` on standard output, one line per
//! listener; the port it chose is read from there, so that no two chores can collide.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::Result;
use crate::process;
use crate::tls::Certificate;

/// How long a server may take to listen, and to leave after SIGTERM.
const PATIENCE: Duration = Duration::from_secs(15);

/// A running server; dropping it kills the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    /// Of its listeners, in the order it announced them.
    ports: Vec<u16>,
    log: PathBuf,
}

/// The binary to test: `chosen`, or `clws` built in release mode.
pub(crate) fn binary(chosen: Option<String>) -> Result<PathBuf> {
    if let Some(path) = chosen {
        let path = PathBuf::from(path);
        return path.canonicalize().map_err(|error| format!("{}: {error}", path.display()));
    }
    process::run(process::cargo().args([
        "build",
        "--quiet",
        "--release",
        "--package",
        "clws-cli",
    ]))?;
    Ok(process::target().join("release/clws"))
}

impl Server {
    /// Starts `binary serve` with `options` on a free loopback port and waits until it listens.
    /// Its standard error goes to `log`.
    pub(crate) fn start(binary: &Path, options: &[&str], log: PathBuf) -> Result<Self> {
        Self::start_on(1, binary, options, log)
    }

    /// The same, by TLS on a second port.
    pub(crate) fn start_tls(
        binary: &Path,
        options: &[&str],
        certificate: &Certificate,
        log: PathBuf,
    ) -> Result<Self> {
        let flags = certificate.flags();
        let flags = flags.iter().map(String::as_str);
        let options: Vec<&str> = options.iter().copied().chain(flags).collect();
        Self::start_on(2, binary, &options, log)
    }

    fn start_on(listeners: usize, binary: &Path, options: &[&str], log: PathBuf) -> Result<Self> {
        let (stderr, _) = process::log_pair(&log)?;
        let child = Command::new(binary)
            .args(["serve", "--listen", "127.0.0.1:0"])
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()
            .map_err(|error| format!("cannot start {}: {error}", binary.display()))?;
        let mut server = Self { child, ports: Vec::new(), log };
        let stdout = server.child.stdout.take().ok_or("the server has no standard output")?;
        let announced = announced_ports(stdout);
        for _ in 0..listeners {
            match announced.recv_timeout(PATIENCE) {
                Ok(port) => server.ports.push(port),
                Err(_) => return Err(server.describe("did not say `listening on ...:PORT`")),
            }
        }
        Ok(server)
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn address(&self) -> String {
        self.listener(0)
    }

    /// The same, where TLS is spoken.
    pub(crate) fn tls_address(&self) -> String {
        self.listener(1)
    }

    fn listener(&self, number: usize) -> String {
        format!("127.0.0.1:{}", self.ports.get(number).copied().unwrap_or(0))
    }

    /// Asks the server to stop and returns without waiting.
    pub(crate) fn terminate(&self) -> Result<()> {
        process::run(Command::new("kill").arg("-TERM").arg(self.child.id().to_string()))
    }

    /// Waits for a server that was asked to stop; it has to leave in time and with exit code 0.
    pub(crate) fn wait_stopped(&mut self) -> Result<()> {
        match process::wait_until(&mut self.child, Instant::now() + PATIENCE)? {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(self.describe(&format!("left with {status}"))),
            None => Err(self.describe(&format!("still ran {PATIENCE:?} after SIGTERM"))),
        }
    }

    /// Stops the server. That it already left by itself is an error too: it crashed.
    pub(crate) fn stop(mut self) -> Result<()> {
        if let Some(status) = self.left()? {
            return Err(self.describe(&format!("left before it was asked to: {status}")));
        }
        self.terminate()?;
        self.wait_stopped()
    }

    fn left(&mut self) -> Result<Option<ExitStatus>> {
        process::wait_until(&mut self.child, Instant::now())
    }

    fn describe(&self, what: &str) -> String {
        let log = process::tail(&self.log, 10);
        format!("the server {what}; the end of {}:\n{log}", self.log.display())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Both fail only when the process is already gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The ports that are announced; everything is read, so that the pipe can't fill up.
fn announced_ports(stdout: ChildStdout) -> mpsc::Receiver<u16> {
    let (found, ports) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(std::io::Result::ok);
        for port in lines.filter_map(|line| port_in(&line)) {
            // Nobody waits any more for more listeners than were asked for.
            let _ = found.send(port);
        }
    });
    ports
}

/// The number after the last colon of a line that announces a listener.
fn port_in(line: &str) -> Option<u16> {
    let address = line.split("listening on").nth(1)?;
    let after = address.rsplit(':').next()?;
    let digits = after.find(|c: char| !c.is_ascii_digit()).unwrap_or(after.len());
    after[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::port_in;

    #[test]
    fn finds_the_port_of_an_announcement() {
        assert_eq!(port_in("clws: listening on http://127.0.0.1:4711/"), Some(4711));
        assert_eq!(port_in("listening on ws://127.0.0.1:80"), Some(80));
        assert_eq!(port_in("listening on http://[::1]:9001/ (any origin)"), Some(9001));
    }

    #[test]
    fn takes_no_other_line_for_one() {
        assert_eq!(port_in("clws: workers: 2"), None);
        assert_eq!(port_in("listening on a socket"), None);
    }
}
