//! The `idle` measurement: what a server's process grows by per idle client.
//!
//! Measured three times: after the opening handshakes; after every client exchanged one message,
//! when buffers that are kept show; and some seconds later, when those may be gone that are kept for
//! a next message soon. The kernel's socket buffers belong to no process and are not in it.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use rustls::ClientConfig;

use crate::channel::Channel;
use crate::measure::Memory;
use crate::scenario::{Layer, Scenario, ScenarioId};
use crate::secure;
use crate::server::{Launch, Server};
use crate::talk::Talk;
use crate::wire::{self, Kind};

/// Clients per source address: ephemeral ports are counted per address.
const PER_ADDRESS: usize = 5_000;
/// How long the clients rest.
const REST: Duration = Duration::from_secs(6);
/// Files open beside the clients' sockets.
const OTHER_FILES: u64 = 100;

/// Memory per idle client.
#[derive(Args, Clone, Debug)]
pub(crate) struct IdleArgs {
    /// Servers to measure, separated by commas; all by default
    #[arg(long, value_enum, value_delimiter = ',')]
    pub servers: Vec<Server>,
    /// Clients to open
    #[arg(long, default_value_t = 10_000)]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=60_000))]
    pub clients: u32,
    /// Bytes of payload in the one message each client exchanges
    #[arg(long, default_value_t = 16 * 1024)]
    pub message: usize,
    /// Over TLS
    #[arg(long, conflicts_with_all = ["deflate", "takeover"])]
    pub tls: bool,
    /// With permessage-deflate
    #[arg(long)]
    pub deflate: bool,
    /// With context takeover in both directions
    #[arg(long, requires = "deflate")]
    pub takeover: bool,
}

impl IdleArgs {
    pub(crate) const fn layer(&self) -> Layer {
        match (self.tls, self.deflate) {
            (true, _) => Layer::Tls,
            (_, true) => Layer::Deflate { takeover: self.takeover },
            _ => Layer::Plain,
        }
    }
}

/// Measures one server after the other and prints a table.
pub(crate) fn run(args: &IdleArgs, launch: &Launch) -> Result<()> {
    raise_file_limit(u64::from(args.clients) + OTHER_FILES)?;
    let layer = match launch.layer {
        Layer::Plain => "",
        Layer::Tls => " over TLS",
        Layer::Deflate { takeover: false } => " with permessage-deflate",
        Layer::Deflate { takeover: true } => " with permessage-deflate and context takeover",
    };
    println!("{} idle clients{layer}, bytes of server memory each", args.clients);
    let rest = format!("{} s later", REST.as_secs());
    println!("{:<18} {:>20} {:>20} {rest:>20}", "", "after the handshake", "after one message");
    print!("{:<18}", "server");
    (0..3).for_each(|_| print!(" {:>10} {:>9}", "private", "resident"));
    println!();
    let named = |server: &Server| args.servers.is_empty() || args.servers.contains(server);
    let wanted: Vec<Server> =
        Server::for_layer(launch.layer).iter().copied().filter(named).collect();
    for server in launch.available(&wanted, true) {
        let measured = measure(args, launch, server)
            .map_err(|error| Error::new(error.kind(), format!("{}: {error}", server.name())))?;
        print!("{:<18}", server.name());
        for Memory { private_dirty, resident } in measured {
            print!(" {private_dirty:>10} {resident:>9}");
        }
        println!();
    }
    Ok(())
}

fn measure(args: &IdleArgs, launch: &Launch, server: Server) -> Result<[Memory; 3]> {
    let running = launch.start(server)?;
    let bare = server == Server::Bare;
    let tls = match launch.layer {
        Layer::Tls => Some(secure::client()?),
        Layer::Plain | Layer::Deflate { .. } => None,
    };
    let before = Memory::settled(running.pid())?;
    let mut clients = Vec::with_capacity(args.clients as usize);
    for number in 0..args.clients as usize {
        let mut channel = connect(running.address, number, tls.as_ref())?;
        wire::open_for(&mut channel, running.address.port(), launch.layer, bare)?;
        clients.push(channel);
    }
    let opened = Memory::settled(running.pid())?;
    exchange(&mut clients, args.message, launch.layer, bare)?;
    let used = Memory::settled(running.pid())?;
    std::thread::sleep(REST);
    let rested = Memory::settled(running.pid())?;
    Ok([opened, used, rested].map(|after| per_client(before, after, args.clients)))
}

fn per_client(before: Memory, after: Memory, clients: u32) -> Memory {
    let share = |before: u64, after: u64| after.saturating_sub(before) / u64::from(clients);
    Memory {
        resident: share(before.resident, after.resident),
        private_dirty: share(before.private_dirty, after.private_dirty),
    }
}

/// Connects from one of several loopback addresses.
fn connect(address: SocketAddr, number: usize, tls: Option<&Arc<ClientConfig>>) -> Result<Channel> {
    let source = Ipv4Addr::new(127, 0, 0, 1 + (number / PER_ADDRESS) as u8);
    let flags = SocketFlags::CLOEXEC;
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, flags, None)?;
    bind(&socket, &SocketAddrV4::new(source, 0))?;
    rustix::net::connect(&socket, &address)?;
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    Channel::new(stream, tls)
}

/// Has every client in turn send one message and read its echo.
fn exchange(clients: &mut [Channel], len: usize, layer: Layer, bare: bool) -> Result<()> {
    let scenario = Scenario {
        id: ScenarioId::Medium,
        title: "",
        clients: clients.len(),
        kind: Kind::Binary,
        payload: len,
        in_flight: 1,
        layer,
        target: 1.0,
    };
    let mut talk = Talk::new(&scenario, 0, &wire::payload(Kind::Binary, len)?, bare)?;
    let mut buffer = vec![0; 64 * 1024];
    for client in clients {
        talk.restart();
        talk.begin(true);
        client.write_all(talk.batch())?;
        loop {
            let count = client.read(&mut buffer)?;
            if count == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, "the connection ended"));
            }
            if talk.take(&buffer[..count])? {
                break;
            }
        }
    }
    Ok(())
}

/// Servers inherit the limit, so it is raised once, here.
fn raise_file_limit(files: u64) -> Result<()> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= files) {
        return Ok(());
    }
    if limit.maximum.is_some_and(|maximum| maximum < files) {
        let text = format!("{files} open files are needed; raise `ulimit -n` or use --clients");
        return Err(Error::new(ErrorKind::PermissionDenied, text));
    }
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum: limit.maximum })?;
    Ok(())
}
