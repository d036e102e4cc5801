//! A running `clws serve` on ports of the system's choice, as the tests see it.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use crate::raw::{PATIENCE, Raw};
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;

pub fn clws() -> Command {
    Command::new(env!("CARGO_BIN_EXE_clws"))
}

/// A running `clws serve`, killed if the test doesn't end it.
pub struct Serving {
    pub child: Child,
    lines: Receiver<String>,
    pub errors: Receiver<String>,
    pub addresses: Vec<SocketAddr>,
    /// Those where TLS is spoken.
    pub secure: Vec<SocketAddr>,
    /// Files of Unix-domain sockets.
    pub paths: Vec<PathBuf>,
}

/// The lines of a stream as they come; it is read to its end, so that the child never blocks.
fn lines(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            let _ = sender.send(line);
        }
    });
    receiver
}

/// The lines of its log.
fn told(child: &mut Child) -> Receiver<String> {
    lines(child.stderr.take().expect("a pipe"))
}

impl Serving {
    /// Starts it on a port of the system's choice.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_on(1, &[&["serve", "--listen", "127.0.0.1:0"], arguments].concat())
    }

    /// Starts it with a pipe for its log that nobody reads: `child.stderr`.
    pub fn start_unread(arguments: &[&str]) -> Self {
        let arguments = [&["serve", "--listen", "127.0.0.1:0"], arguments].concat();
        Self::spawn(1, clws().args(arguments).stdin(Stdio::null()), |_| channel().1)
    }

    pub fn start_on(count: usize, arguments: &[&str]) -> Self {
        Self::spawn(count, clws().args(arguments).stdin(Stdio::null()), told)
    }

    /// Starts it by a shell, which runs `before` ahead of it.
    #[cfg(unix)]
    pub fn start_by_shell(count: usize, before: &str, stdin: Stdio, arguments: &[&str]) -> Self {
        let script = format!("{before} exec \"$0\" \"$@\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_clws")]).args(arguments);
        Self::spawn(count, shell.stdin(stdin), told)
    }

    /// Runs a command that becomes `clws serve`, which listens on so many places.
    fn spawn(
        count: usize,
        command: &mut Command,
        errors: impl FnOnce(&mut Child) -> Receiver<String>,
    ) -> Self {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let lines = lines(child.stdout.take().expect("a pipe"));
        let errors = errors(&mut child);
        let (addresses, secure, paths) = (Vec::new(), Vec::new(), Vec::new());
        let mut serving = Self { child, lines, errors, addresses, secure, paths };
        for _ in 0..count {
            let line = serving.lines.recv_timeout(PATIENCE).expect("it says where it listens");
            let place = line.strip_prefix("listening on ").expect("an address");
            if let Some(path) = place.strip_prefix("unix:") {
                serving.paths.push(path.into());
                continue;
            }
            let (scheme, address) = place.split_once("://").expect("a scheme");
            let address = address.strip_suffix('/').expect("a page").parse().expect("an address");
            match scheme {
                "http" => serving.addresses.push(address),
                "https" => serving.secure.push(address),
                _ => panic!("{line}"),
            }
        }
        serving
    }

    pub fn raw(&self, path: &str) -> Raw {
        Raw::open(self.addresses[0], path)
    }

    pub fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-s", name, &id]).status().unwrap().success());
    }

    pub fn wait(mut self) -> ExitStatus {
        let status = self.child.wait().expect("it ends");
        assert_eq!(self.lines.iter().collect::<Vec<_>>(), [""; 0], "nothing more on stdout");
        status
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
