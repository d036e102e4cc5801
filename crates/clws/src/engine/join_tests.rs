//! Scenario F2: connections that the system accepts and will not watch.
//!
//! `epoll` refuses what can not be waited for, such as a plain file, so a file in a socket's place
//! is a connection that fails to register.

use super::acceptor::Acceptor;
use super::mailbox::Mailbox;
use super::stream::Stream;
use super::worker::Worker;
use crate::client::Client;
use crate::drain::Drain;
use crate::hub::{Hub, Settings};
use crate::limits::Limits;
use crate::origin::Origin;
use crate::peer::Peer;
use crate::resource::Resource;
use crate::routes::{Route, Routes};
use crate::session::Transport;
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// A text of two letters, masked with zeros, and its echo.
const HELLO: &[u8] = b"\x81\x82\0\0\0\0hi";
const ECHO: &[u8] = b"\x81\x02hi";

struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, message: &str) {
        client.send_text(message);
    }
}

/// An acceptor that is told what it accepted, and its only worker.
struct Pair {
    hub: Arc<Hub>,
    acceptor: Acceptor,
    mailbox: Arc<Mailbox>,
    thread: JoinHandle<()>,
}

impl Pair {
    /// One client, and one connection of each address.
    fn start() -> Self {
        let limits = Limits {
            max_clients: Some(1),
            max_connections_per_address: Some(1),
            ..Limits::default()
        };
        let routes = Routes::default();
        routes.register(Route::new("/", Origin::any(), Echo)).unwrap();
        let settings = Settings { limits, ..Settings::default() };
        let hub = Arc::new(Hub::counting(settings, routes, Arc::default()));
        let worker = Worker::new(Arc::clone(&hub)).unwrap();
        let mailbox = worker.mailbox();
        let acceptor = Acceptor::new(Arc::clone(&hub), vec![], vec![worker.mailbox()]).unwrap();
        Self { hub, acceptor, mailbox, thread: thread::spawn(move || worker.run()) }
    }

    fn accept(&self, stream: TcpStream) {
        let stream = Stream::Tcp(mio::net::TcpStream::from_std(stream));
        self.acceptor.hand_over(stream, stranger(), Transport::Tcp);
    }

    fn load(&self) -> usize {
        self.mailbox.load.load(Ordering::Relaxed)
    }

    fn stop(self) {
        self.hub.plan(Drain::default(), Instant::now(), |plan| {
            self.mailbox.post(super::Letter::Drain(Arc::clone(plan)));
        });
        self.thread.join().unwrap();
    }
}

/// Connections from this machine have no share of their address.
fn stranger() -> Peer {
    Peer { host: Some("203.0.113.7".parse().unwrap()), port: Some(4711) }
}

struct TempFile(PathBuf);

impl TempFile {
    fn new() -> Self {
        let name = format!("clws-unwatched-{}", std::process::id());
        let path = std::env::temp_dir().join(name);
        File::create(&path).unwrap();
        Self(path)
    }
}

impl Drop for TempFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A file in a socket's place. It holds the file's lock until it is closed.
fn unwatchable(path: &Path) -> TcpStream {
    let file = File::open(path).unwrap();
    file.lock().unwrap();
    TcpStream::from(OwnedFd::from(file))
}

fn await_that(what: &str, condition: impl Fn() -> bool) {
    let give_up = Instant::now() + Duration::from_secs(30);
    while !condition() {
        assert!(Instant::now() < give_up, "not within 30 s: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

/// A connection that was accepted, and its client's end.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let (accepted, _) = listener.accept().unwrap();
    accepted.set_nonblocking(true).unwrap();
    (accepted, client)
}

fn answer(client: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        head.extend(byte);
    }
    String::from_utf8(head).unwrap()
}

#[test]
fn scenario_f2_who_cannot_be_watched_is_dropped_and_others_are_served() {
    let (pair, file) = (Pair::start(), TempFile::new());
    let other = File::open(&file.0).unwrap();
    for _ in 0..3 {
        pair.accept(unwatchable(&file.0));
        await_that("it is closed", || other.try_lock().is_ok());
        other.unlock().unwrap();
        await_that("it is no load any more", || pair.load() == 0);
    }
    // Its address has its place again, and the server room for one.
    let (accepted, mut client) = connection();
    pair.accept(accepted);
    client.write_all(REQUEST).unwrap();
    let head = answer(&mut client);
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    // Served on, while others fail beside it.
    for _ in 0..3 {
        pair.accept(unwatchable(&file.0));
        client.write_all(HELLO).unwrap();
        let mut echo = [0; ECHO.len()];
        client.read_exact(&mut echo).unwrap();
        assert_eq!(echo, ECHO);
    }
    await_that("one is left", || pair.load() == 1);
    assert_eq!(pair.hub.counters.snapshot().accepted, 7);
    assert_eq!(pair.hub.counters.snapshot().connected, 1);
    drop(client);
    pair.stop();
}
