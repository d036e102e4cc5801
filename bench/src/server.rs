//! The servers under test as processes: how each is started, and that each is ended again.

use std::io::{Error, ErrorKind, Result};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::peers::{Deflate, Peer};
use crate::scenario::Layer;

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
    SockudoWs,
    Yawc,
    Ws,
}

impl Server {
    /// The servers that a layer's scenarios are run on.
    pub(crate) const fn for_layer(layer: Layer) -> &'static [Self] {
        match layer {
            Layer::Plain => &[
                Self::Bare,
                Self::Clws,
                Self::TokioWebsockets,
                Self::Fastwebsockets,
                Self::TokioTungstenite,
            ],
            Layer::Tls => &[Self::Bare, Self::Clws],
            Layer::Deflate { .. } => &[Self::Clws, Self::SockudoWs, Self::Yawc, Self::Ws],
        }
    }

    /// The name, as on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Clws => "clws",
            Self::TokioWebsockets => "tokio-websockets",
            Self::Fastwebsockets => "fastwebsockets",
            Self::TokioTungstenite => "tokio-tungstenite",
            Self::SockudoWs => "sockudo-ws",
            Self::Yawc => "yawc",
            Self::Ws => "ws",
        }
    }

    /// The server within this program; none where it is another one.
    const fn peer(self, layer: Layer) -> Option<Peer> {
        match (self, layer) {
            (Self::Clws, Layer::Deflate { .. }) => Some(Peer::ClwsDeflate),
            (Self::Clws | Self::Ws, _) => None,
            (Self::Bare, Layer::Tls) => Some(Peer::BareTls),
            (Self::Bare, _) => Some(Peer::Bare),
            (Self::TokioWebsockets, _) => Some(Peer::TokioWebsockets),
            (Self::Fastwebsockets, _) => Some(Peer::Fastwebsockets),
            (Self::TokioTungstenite, _) => Some(Peer::TokioTungstenite),
            (Self::SockudoWs, _) => Some(Peer::SockudoWs),
            (Self::Yawc, _) => Some(Peer::Yawc),
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
    /// What is between the messages and the socket.
    pub layer: Layer,
    /// The level that servers compress with.
    pub level: u8,
    /// Where npm installed its packages.
    pub node_modules: PathBuf,
}

impl Launch {
    /// The servers that can be started; `tell` says on stderr which are left out and what to do.
    pub(crate) fn available(&self, servers: &[Server], tell: bool) -> Vec<Server> {
        let there = |server: &Server| {
            let (file, how) = match server.peer(self.layer) {
                Some(_) => return true,
                None if *server == Server::Ws => {
                    (self.node_modules.join("ws"), "`cargo xtask bench` installs it")
                }
                None => {
                    (self.clws.clone(), "`cargo build --release` makes it; --clws names another")
                }
            };
            let found = file.exists();
            if !found && tell {
                eprintln!("{} is left out: there is no {}; {how}", server.name(), file.display());
            }
            found
        };
        servers.iter().copied().filter(there).collect()
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
        match server.peer(self.layer) {
            Some(peer) => self.peer_command(peer, address),
            None if server == Server::Ws => self.node_command(address),
            None => self.clws_command(address),
        }
    }

    fn clws_command(&self, address: SocketAddr) -> Result<Command> {
        let mut command = self.pinned();
        command.arg(absolute(&self.clws)?).args(["serve", "--workers", "1", "--origin", "any"]);
        // A keepalive ping between the replies would be taken for a wrong one.
        command.args(["--ping-interval", "off"]);
        if self.layer == Layer::Tls {
            command.args(["--listen", "127.0.0.1:0", "--tls-self-signed", "--tls-listen"]);
        } else {
            command.arg("--listen");
        }
        command.arg(address.to_string());
        Ok(command)
    }

    fn peer_command(&self, peer: Peer, address: SocketAddr) -> Result<Command> {
        let name = peer.to_possible_value().expect("every peer has a name");
        let mut command = self.pinned();
        command.arg(std::env::current_exe()?).args(["serve", name.get_name()]);
        command.args(["--listen", &address.to_string()]);
        if self.many_clients {
            command.arg("--many-clients");
        }
        if let Some(deflate) = self.deflate() {
            command.args(["--level", &deflate.level.to_string()]);
            if deflate.takeover {
                command.arg("--takeover");
            }
        }
        Ok(command)
    }

    /// `ws`, by a script that gets its options as one word of JSON.
    fn node_command(&self, address: SocketAddr) -> Result<Command> {
        let Deflate { level, takeover } = self.deflate().unwrap_or_default();
        let options = serde_json::json!({
            "host": address.ip().to_string(),
            "port": address.port(),
            "level": level,
            "takeover": takeover,
        });
        let mut command = self.pinned();
        command.arg("node").arg(concat!(env!("CARGO_MANIFEST_DIR"), "/src/peers/ws.cjs"));
        command.arg(options.to_string()).env("NODE_PATH", absolute(&self.node_modules)?);
        Ok(command)
    }

    const fn deflate(&self) -> Option<Deflate> {
        match self.layer {
            Layer::Deflate { takeover } => Some(Deflate { level: self.level, takeover }),
            Layer::Plain | Layer::Tls => None,
        }
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
