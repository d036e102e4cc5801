//! The servers under test as processes: how each is started, and that each is ended again.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::peers::Peer;

/// How long a server may take until it accepts.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A server's name on the command line, in the order they are measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Server {
    Bare,
    Clws,
    TokioWebsockets,
    Fastwebsockets,
    TokioTungstenite,
}

impl Server {
    /// The name, as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Clws => "clws",
            Self::TokioWebsockets => "tokio-websockets",
            Self::Fastwebsockets => "fastwebsockets",
            Self::TokioTungstenite => "tokio-tungstenite",
        }
    }

    const fn peer(self) -> Option<Peer> {
        match self {
            Self::Clws => None,
            Self::Bare => Some(Peer::Bare),
            Self::TokioWebsockets => Some(Peer::TokioWebsockets),
            Self::Fastwebsockets => Some(Peer::Fastwebsockets),
            Self::TokioTungstenite => Some(Peer::TokioTungstenite),
        }
    }
}

/// How servers are started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The `clws` program.
    pub clws: PathBuf,
    /// The core the server has to itself.
    pub core: usize,
    /// Whether to show what the server prints.
    pub verbose: bool,
    /// Whether the server is told to expect many clients, mostly idle.
    pub many_clients: bool,
}

impl Launch {
    /// The servers that can be started; says on stderr which are left out and what to do.
    pub(crate) fn available(&self, servers: &[Server]) -> Vec<Server> {
        let missing = servers.contains(&Server::Clws) && !self.clws.is_file();
        if missing {
            eprintln!(
                "clws is left out: there is no {}. Build it with `cargo build --release`, \
                 or name one with --clws.",
                self.clws.display()
            );
        }
        servers.iter().copied().filter(|server| *server != Server::Clws || !missing).collect()
    }

    /// Starts a server on a free port and waits until it accepts.
    pub(crate) fn start(&self, server: Server) -> Result<Running> {
        let address = free_address()?;
        self.wait(server.name(), self.command(server, address)?, address)
    }

    /// Starts a server of this program that is not one of the echo servers.
    pub(crate) fn start_peer(&self, peer: Peer) -> Result<Running> {
        let address = free_address()?;
        let name = peer.to_possible_value().expect("every peer has a name");
        self.wait(name.get_name(), self.peer_command(peer, address)?, address)
    }

    fn wait(&self, name: &str, mut command: Command, address: SocketAddr) -> Result<Running> {
        command.stdin(Stdio::null());
        if !self.verbose {
            command.stdout(Stdio::null()).stderr(Stdio::null());
        }
        let mut running = Running { child: command.spawn()?, address };
        let began = Instant::now();
        while TcpStream::connect(address).is_err() {
            if let Some(status) = running.child.try_wait()? {
                return Err(not_started(name, &format!("it ended with {status}")));
            }
            if began.elapsed() > START_LIMIT {
                return Err(not_started(name, "it does not accept"));
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(running)
    }

    fn command(&self, server: Server, address: SocketAddr) -> Result<Command> {
        let Some(peer) = server.peer() else {
            let mut command = self.pinned();
            command.arg(absolute(&self.clws)?).args(["serve", "--listen", &address.to_string()]);
            command.args(["--workers", "1", "--origin", "any"]);
            return Ok(command);
        };
        let mut command = self.peer_command(peer, address)?;
        if self.many_clients {
            command.arg("--many-clients");
        }
        Ok(command)
    }

    fn peer_command(&self, peer: Peer, address: SocketAddr) -> Result<Command> {
        let name = peer.to_possible_value().expect("every peer has a name");
        let mut command = self.pinned();
        command.arg(std::env::current_exe()?).args(["serve", name.get_name()]);
        command.args(["--listen", &address.to_string()]);
        Ok(command)
    }

    fn pinned(&self) -> Command {
        let mut command = Command::new("taskset");
        command.arg("-c").arg(self.core.to_string());
        command
    }
}

fn absolute(program: &Path) -> Result<PathBuf> {
    program.canonicalize()
}

fn not_started(server: &str, why: &str) -> Error {
    let text = format!("{server} did not start: {why} (--verbose shows its output)");
    Error::new(ErrorKind::NotFound, text)
}

fn free_address() -> Result<SocketAddr> {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()
}

/// A started server; dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Running {
    /// Its process number.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing left to end.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
