//! Sockets that a service manager passes on: a shell hands its standard input, which is a socket,
//! over as descriptor 3, which is what systemd does.

#![cfg(unix)]

#[path = "../../clws/tests/common/raw.rs"]
#[allow(dead_code, unreachable_pub, reason = "the library's tests use it too, and more of it")]
mod raw;
mod serving;

use raw::Raw;
use serving::{Serving, clws};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::Stdio;

const PASS: &str = "exec 3<&0 </dev/null; export LISTEN_FDS=1 LISTEN_PID=$$ LISTEN_FDNAMES=web;";

/// Starts it with `socket`, to listen on so many.
fn start(count: usize, socket: OwnedFd, arguments: &[&str]) -> Serving {
    let arguments = [&["serve"], arguments].concat();
    Serving::start_by_shell(count, PASS, Stdio::from(socket), &arguments)
}

#[test]
fn a_passed_socket_is_served() {
    for name in ["systemd", "systemd:web"] {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        // Who comes before the server does is served, too.
        let early = Raw::connect(address);
        let serving = start(1, listener.into(), &["--listen", name]);
        assert_eq!(serving.addresses, [address]);
        let mut clients = [early, Raw::connect(address)];
        for raw in &mut clients {
            raw.upgrade("/echo", "");
            raw.text("here");
            assert_eq!(raw.frame().text(), "here");
        }
        drop(clients);
        serving.signal("TERM");
        assert_eq!(serving.wait().code(), Some(0));
    }
}

/// The file of a passed socket is the service manager's: it stays.
#[test]
fn a_passed_unix_socket_is_served() {
    let path = std::env::temp_dir().join(format!("clws-passed-{}", std::process::id()));
    let listener = UnixListener::bind(&path).expect("a socket");
    let serving = start(1, listener.into(), &["--listen", "systemd"]);
    assert_eq!(serving.paths, [&*path]);
    let mut stream = UnixStream::connect(&path).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("it takes bytes");
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a page");
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    serving.signal("TERM");
    assert_eq!(serving.wait().code(), Some(0));
    std::fs::remove_file(&path).expect("the file is still there");
}

#[test]
fn a_passed_socket_may_speak_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let tls = ["--tls-self-signed", "--tls-listen", "systemd", "--listen", "127.0.0.1:0"];
    let serving = start(2, listener.into(), &tls);
    assert_eq!(serving.secure, [address]);
}

/// Nothing was passed on, or nothing of that name.
#[test]
fn without_a_socket_it_says_so() {
    for address in ["systemd", "systemd:other"] {
        let output = clws().args(["serve", "--listen", address]).output().expect("it runs");
        let error = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(1));
        let begin = format!("clws: cannot listen on {address}: ");
        assert!(error.starts_with(&begin) && error.contains("LISTEN_FDS"), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}
