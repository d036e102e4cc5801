//! What the tests over real sockets share: a server on a port of the system's choice, a resource
//! that records what it hears, a client made of bytes (`raw`), one that compresses (`packed`), one
//! of draft 76 (`hixie`) and a stranger's client (`ws`).
//!
//! Nothing here sleeps. Whoever waits for something waits for it alone, with a patience that only
//! a broken server exhausts.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

pub mod hixie;
pub mod packed;
pub mod raw;
pub mod ws;

use clws::{Client, Closed, Limits, Origin, Reject, Resource, Server, ServerHandle, Text};
use raw::{PATIENCE, Raw};
use socket2::{Domain, SockRef, Socket, Type};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// What a resource was told, kept.
#[derive(Clone, Debug)]
pub enum Event {
    Connected(Client),
    Text(Client, String),
    Binary(Client, Vec<u8>),
    Pong(Client, Vec<u8>),
    Drained(Client),
    Disconnected(Client, Closed),
}

/// What a resource is told, as it is lent.
#[derive(Clone, Copy, Debug)]
pub enum Heard<'a> {
    Connected,
    Text(&'a str),
    Binary(&'a [u8]),
    Pong(&'a [u8]),
    Drained,
    Disconnected(&'a Closed),
}

impl Heard<'_> {
    fn keep(self, client: &Client) -> Event {
        let client = client.clone();
        match self {
            Self::Connected => Event::Connected(client),
            Self::Text(text) => Event::Text(client, text.to_owned()),
            Self::Binary(bytes) => Event::Binary(client, bytes.to_vec()),
            Self::Pong(payload) => Event::Pong(client, payload.to_vec()),
            Self::Drained => Event::Drained(client),
            Self::Disconnected(closed) => Event::Disconnected(client, closed.clone()),
        }
    }
}

type Act = dyn Fn(&Client, Heard<'_>) + Send + Sync;

/// A resource that records every event, then acts on it.
pub struct Recorder {
    events: Sender<Event>,
    act: Box<Act>,
}

impl Recorder {
    pub fn new(act: impl Fn(&Client, Heard<'_>) + Send + Sync + 'static) -> (Self, Events) {
        let (events, receiver) = channel();
        (Self { events, act: Box::new(act) }, Events(receiver))
    }

    fn note(&self, client: &Client, heard: Heard<'_>) {
        // Nobody may listen any more when the last clients of a test leave.
        let _ = self.events.send(heard.keep(client));
        (self.act)(client, heard);
    }
}

impl Resource for Recorder {
    fn connected(&self, client: &Client) -> Result<(), Reject> {
        self.note(client, Heard::Connected);
        Ok(())
    }

    fn text(&self, client: &Client, message: &str) {
        self.note(client, Heard::Text(message));
    }

    fn binary(&self, client: &Client, message: &[u8]) {
        self.note(client, Heard::Binary(message));
    }

    fn pong(&self, client: &Client, payload: &[u8]) {
        self.note(client, Heard::Pong(payload));
    }

    fn drained(&self, client: &Client) {
        self.note(client, Heard::Drained);
    }

    fn disconnected(&self, client: &Client, closed: &Closed) {
        self.note(client, Heard::Disconnected(closed));
    }
}

/// Sends messages back.
pub fn echo(client: &Client, heard: Heard<'_>) {
    match heard {
        Heard::Text(text) => _ = client.send_text(text),
        Heard::Binary(bytes) => _ = client.send_binary(bytes),
        _ => {}
    }
}

/// A resource that only does so, and allocates nothing for it.
pub struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, message: &str) {
        client.send_text(message);
    }

    fn binary(&self, client: &Client, message: &[u8]) {
        client.send_binary(message);
    }
}

/// The same, with texts that it does not read.
pub struct Relay;

impl Resource for Relay {
    fn reads_text(&self) -> bool {
        false
    }

    fn unread_text(&self, client: &Client, message: Text<'_>) {
        client.send_unread(message);
    }
}

/// Does nothing.
pub fn listen(_: &Client, _: Heard<'_>) {}

/// What a recording resource heard.
pub struct Events(Receiver<Event>);

impl Events {
    #[track_caller]
    pub fn next(&self) -> Event {
        self.0.recv_timeout(PATIENCE).expect("the resource hears of something")
    }

    /// The next event, which must be a new client.
    #[track_caller]
    pub fn connected(&self) -> Client {
        match self.next() {
            Event::Connected(client) => client,
            other => panic!("expected a new client, got {other:?}"),
        }
    }

    /// The next event, which must be a text.
    #[track_caller]
    pub fn text(&self) -> String {
        match self.next() {
            Event::Text(_, text) => text,
            other => panic!("expected a text, got {other:?}"),
        }
    }

    /// The next event, which must be the end of a client.
    #[track_caller]
    pub fn disconnected(&self) -> (Client, Closed) {
        match self.next() {
            Event::Disconnected(client, closed) => (client, closed),
            other => panic!("expected the end of a client, got {other:?}"),
        }
    }

    /// Goes on to a new client, whatever came before.
    #[track_caller]
    pub fn skip_to_connected(&self) -> Client {
        loop {
            if let Event::Connected(client) = self.next() {
                return client;
            }
        }
    }

    /// Goes on to the end of a client, whatever came before.
    #[track_caller]
    pub fn skip_to_disconnected(&self) -> (Client, Closed) {
        loop {
            if let Event::Disconnected(client, closed) = self.next() {
                return (client, closed);
            }
        }
    }

    /// Everything that was heard up to now.
    pub fn so_far(&self) -> Vec<Event> {
        self.0.try_iter().collect()
    }
}

/// A running server; it is shut down when the test is over.
pub struct Running {
    pub handle: ServerHandle,
    pub address: SocketAddr,
}

impl Running {
    pub fn start(server: Server) -> Self {
        let handle = server.bind("127.0.0.1:0").expect("a free port").start().expect("threads");
        let address = handle.local_addresses()[0];
        Self { handle, address }
    }

    pub fn raw(&self, path: &str) -> Raw {
        Raw::open(self.address, path)
    }

    pub fn ws(&self, path: &str) -> ws::Ws {
        ws::open(self.address, path)
    }

    /// Has every worker go round a few times: what was on its way before is done after. The
    /// server must serve an echo at `/echo` and have one worker.
    pub fn turns(&self) {
        let mut probe = self.raw("/echo");
        for _ in 0..20 {
            probe.text("turn");
            assert_eq!(probe.frame().text(), "turn");
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.handle.shutdown();
    }
}

/// A server with one recording resource at `/` for every origin.
pub fn recording(
    limits: Limits,
    act: impl Fn(&Client, Heard<'_>) + Send + Sync + 'static,
) -> (Running, Events) {
    let (recorder, events) = Recorder::new(act);
    let server = Server::builder().limits(limits).resource("/", Origin::any(), recorder);
    (Running::start(server), events)
}

pub const fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Waits until something is so that nothing tells of, such as a counter.
#[track_caller]
pub fn await_that(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        std::thread::yield_now();
    }
}

/// Ends a connection with RST instead of FIN.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a socket");
    drop(stream);
}

/// A client whose system takes little of what it doesn't read.
pub fn narrow(address: SocketAddr) -> Raw {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(16 * 1024).expect("a socket");
    socket.connect(&address.into()).expect("the server listens");
    Raw::over(socket.into())
}
