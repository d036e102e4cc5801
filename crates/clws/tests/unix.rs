//! Unix-domain sockets: who is served there, and what becomes of the file.

#![cfg(unix)]

mod common;

use clws::{Client, Error, Hosts, Origin, Server, ServerHandle};
use common::raw::{FIN, TEXT, close_payload, frame, request};
use common::{Events, Recorder, echo};
use std::fs;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder of a test's own, removed with all that is in it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("clws-{}-{number}", std::process::id()));
        fs::create_dir(&path).unwrap();
        Self(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("socket")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn server(hosts: Hosts) -> (Server, Events) {
    let (recorder, events) = Recorder::new(echo);
    (Server::builder().hosts(hosts).resource("/", Origin::any(), recorder), events)
}

fn start(path: &Path) -> (ServerHandle, Events) {
    let (server, events) = server(Hosts::local());
    (server.bind_unix(path).unwrap().start().unwrap(), events)
}

fn stop(handle: &ServerHandle) {
    handle.shutdown();
    handle.join();
}

/// The status of an upgrade that asks for this host.
fn status(path: &Path, host: &str) -> (UnixStream, String) {
    let mut stream = UnixStream::connect(path).expect("the server listens");
    stream.set_read_timeout(Some(common::raw::PATIENCE)).unwrap();
    stream.write_all(request(host, "/", "").as_bytes()).unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an answer");
        head.extend(byte);
    }
    let status = String::from_utf8(head).unwrap().split(' ').nth(1).unwrap().to_owned();
    (stream, status)
}

/// Sends a text and reads it back.
fn echoes(stream: &mut UnixStream, text: &str) {
    stream.write_all(&frame(FIN | TEXT, text.as_bytes())).unwrap();
    let expected = [&[FIN | TEXT, text.len() as u8], text.as_bytes()].concat();
    let mut answer = vec![0; expected.len()];
    stream.read_exact(&mut answer).expect("an answer");
    assert_eq!(answer, expected);
}

#[test]
fn a_client_is_served_and_has_no_address() {
    let folder = Folder::new();
    let (handle, events) = start(&folder.socket());
    assert_eq!(handle.local_paths(), [folder.socket()]);
    assert_eq!(handle.local_addresses(), []);
    let (mut stream, status) = status(&folder.socket(), "localhost");
    assert_eq!(status, "101");
    echoes(&mut stream, "hello");
    let client: Client = events.connected();
    assert_eq!((client.host(), client.port()), (None, None));
    assert!(format!("{:?}", client.request()).contains("a local socket"));
    stream.write_all(&frame(FIN | 8, &close_payload(1000, ""))).unwrap();
    let (_, closed) = events.skip_to_disconnected();
    assert!(closed.clean, "{closed:?}");
    let mut rest = Vec::new();
    stream.read_to_end(&mut rest).expect("a close frame and the end");
    assert_eq!(rest, [FIN | 8, 2, 3, 0xe8]);
    stop(&handle);
}

/// No browser comes this way, so what keeps foreign pages out of loopback addresses is not needed;
/// names that are named hold.
#[test]
fn any_host_may_be_asked_for_unless_some_are_named() {
    let folder = Folder::new();
    for (hosts, good, bad) in
        [(Hosts::local(), "101", "101"), (Hosts::named(["good.example"]), "101", "421")]
    {
        let (server, _events) = server(hosts);
        let handle = server.bind_unix(folder.socket()).unwrap().start().unwrap();
        assert_eq!(status(&folder.socket(), "good.example").1, good);
        assert_eq!(status(&folder.socket(), "other.example").1, bad);
        stop(&handle);
    }
}

#[test]
fn the_file_is_removed_with_the_server_and_can_be_used_again() {
    let folder = Folder::new();
    for _ in 0..2 {
        let (handle, _events) = start(&folder.socket());
        echoes(&mut status(&folder.socket(), "localhost").0, "here");
        stop(&handle);
        assert!(!folder.socket().exists());
    }
}

/// A file that took the place of the server's own is somebody else's.
#[test]
fn another_file_in_its_place_stays() {
    let folder = Folder::new();
    let (handle, _events) = start(&folder.socket());
    fs::remove_file(folder.socket()).unwrap();
    let _other = UnixListener::bind(folder.socket()).unwrap();
    stop(&handle);
    assert!(folder.socket().exists());
}

/// What a killed server leaves is in nobody's use.
#[test]
fn a_stale_file_is_replaced() {
    let folder = Folder::new();
    drop(UnixListener::bind(folder.socket()).unwrap());
    assert!(folder.socket().exists());
    let (handle, _events) = start(&folder.socket());
    echoes(&mut status(&folder.socket(), "localhost").0, "here");
    stop(&handle);
}

#[track_caller]
fn is_taken(path: &Path) {
    let Err(Error::Bind { address, source }) = server(Hosts::local()).0.bind_unix(path) else {
        panic!("{} is taken", path.display());
    };
    assert_eq!(address, format!("unix:{}", path.display()));
    assert_eq!(source.kind(), std::io::ErrorKind::AddrInUse);
}

#[test]
fn a_file_in_use_is_left_alone() {
    let folder = Folder::new();
    let (handle, _events) = start(&folder.socket());
    is_taken(&folder.socket());
    echoes(&mut status(&folder.socket(), "localhost").0, "still here");
    stop(&handle);
    // One whose queue of connections is full is in use as well; asking it must not wait for room.
    let _busy = UnixListener::bind(folder.socket()).unwrap();
    let address = socket2::SockAddr::unix(folder.socket()).unwrap();
    let mut waiting = Vec::new();
    loop {
        let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None);
        let socket = socket.unwrap();
        socket.set_nonblocking(true).unwrap();
        if socket.connect(&address).is_err() || waiting.len() > 8192 {
            break;
        }
        waiting.push(socket);
    }
    is_taken(&folder.socket());
}

#[test]
fn a_file_that_is_no_socket_is_left_alone() {
    let folder = Folder::new();
    fs::write(folder.socket(), "precious").unwrap();
    is_taken(&folder.socket());
    assert_eq!(fs::read_to_string(folder.socket()).unwrap(), "precious");
}

/// A socket that was bound elsewhere is served; its file is its maker's.
#[test]
fn a_listener_that_was_bound_elsewhere() {
    let folder = Folder::new();
    let listener = UnixListener::bind(folder.socket()).unwrap();
    let (server, _events) = server(Hosts::local());
    let handle = server.unix_listener(listener).unwrap().start().unwrap();
    assert_eq!(handle.local_paths(), [folder.socket()]);
    echoes(&mut status(&folder.socket(), "localhost").0, "here");
    stop(&handle);
    assert!(folder.socket().exists());
}

#[test]
fn a_path_that_can_not_be_is_an_error() {
    let folder = Folder::new();
    for path in [folder.0.join("no/such/folder"), folder.0.join("x".repeat(200))] {
        let error = server(Hosts::local()).0.bind_unix(&path).unwrap_err();
        assert!(error.to_string().contains("unix:"), "{error}");
    }
}
