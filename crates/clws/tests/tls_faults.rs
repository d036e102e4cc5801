//! Peers over TLS that fail, leave amid a record, close badly, or speak something else.

#![cfg(feature = "tls")]

#[path = "common/certs.rs"]
#[allow(dead_code, unreachable_pub, reason = "the library's own tests use it too")]
mod certs;
mod common;
#[path = "common/secure.rs"]
#[allow(dead_code, unreachable_pub, reason = "as in the rest of common")]
mod secure;

use clws::{Cause, Client, CloseCode, Limits, Origin, Server, Tls};
use common::raw::{self, CLOSE, FIN, PATIENCE, Raw, TEXT, close_payload, frame};
use common::{Event, Events, Heard, Recorder, Running, await_that, millis, reset};
use rustls::ClientConfig;
use secure::{Authority, Folder, Secure, config, config_of};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;

/// A server at `/`, plain and by TLS, and clients that trust it.
struct Served {
    server: Running,
    address: SocketAddr,
    events: Events,
    authority: Authority,
    client: Arc<ClientConfig>,
    _folder: Folder,
}

/// Closes with the code that stands in a text.
fn close_as_told(client: &Client, heard: Heard<'_>) {
    if let Heard::Text(text) = heard {
        client.close(text.parse().ok().and_then(CloseCode::new).expect("a code"), "yours");
    }
}

fn serve(limits: Limits, act: impl Fn(&Client, Heard<'_>) + Send + Sync + 'static) -> Served {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let (certificate, key) = authority.server(&["localhost"]).write(&folder, "served");
    let tls = Tls::from_files(certificate, key).expect("good files");
    let (recorder, events) = Recorder::new(act);
    let server = Server::builder().workers(2).limits(limits).resource("/", Origin::any(), recorder);
    let server = Running::start(server.bind_tls("127.0.0.1:0", tls).expect("a free port"));
    let address = server.handle.tls_addresses().next().expect("it listens");
    let client = Arc::new(config(&authority, None));
    Served { server, address, events, authority, client, _folder: folder }
}

impl Served {
    fn open(&self) -> Secure {
        Secure::open(self.address, &self.client, "localhost", "/").expect("a handshake")
    }

    fn plain(&self) -> SocketAddr {
        let all = self.server.handle.local_addresses();
        *all.iter().find(|address| **address != self.address).expect("two of them")
    }
}

/// Reads to the end, which must come, one way or the other.
#[track_caller]
fn ends(stream: &mut TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
    match stream.read_to_end(&mut Vec::new()) {
        Ok(_) => {}
        Err(error) => assert_eq!(error.kind(), ErrorKind::ConnectionReset, "{error}"),
    }
}

/// A17: who speaks something else is closed, and others go on, on both ports.
#[test]
fn what_a_port_does_not_speak_is_closed() {
    let served = serve(Limits::default(), common::echo);
    let (mut plain, mut secure) = (Raw::open(served.plain(), "/"), served.open());
    let mut hello = Vec::new();
    let name = "localhost".try_into().unwrap();
    let mut tls = rustls::ClientConnection::new(Arc::clone(&served.client), name).unwrap();
    tls.write_tls(&mut hello).unwrap();
    let zeros = vec![0; 10 * 1024 * 1024];
    let request = raw::request("localhost", "/", "").into_bytes();
    for (address, bytes) in [
        (served.plain(), &hello),
        (served.address, &request),
        (served.plain(), &zeros),
        (served.address, &zeros),
    ] {
        let mut stream = TcpStream::connect(address).unwrap();
        // It need not take all of that.
        let _ = stream.write_all(bytes);
        ends(&mut stream);
        plain.text("still here");
        assert_eq!(plain.frame().text(), "still here");
        secure.echo(b"still here").unwrap();
        served.open().echo(b"new").unwrap();
    }
    assert_eq!(served.server.handle.metrics().tls_errors, 2);
}

/// How a peer ends a connection without a word of WebSocket or TLS.
#[derive(Clone, Copy, Debug)]
enum Ending {
    Reset,
    Fin,
    /// It goes on reading.
    HalfFin,
}

/// E2: wherever a frame's record is cut off, nothing of it is heard, and the end is heard once.
#[test]
fn a_peer_may_go_at_any_byte_of_a_record() {
    let served = serve(Limits::default(), common::listen);
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let client = Arc::new(config_of(&[version], &served.authority, None));
        for ending in [Ending::Reset, Ending::Fin, Ending::HalfFin] {
            let (mut end, mut length) = (0, 1);
            while end < length {
                let opened = Secure::open(served.address, &client, "localhost", "/").unwrap();
                served.events.connected();
                let (mut tls, mut stream) = opened.0.into_parts();
                tls.writer().write_all(&frame(FIN | TEXT, b"hello")).unwrap();
                let mut record = Vec::new();
                tls.write_tls(&mut record).unwrap();
                length = record.len();
                stream.write_all(&record[..end]).unwrap();
                match ending {
                    Ending::Reset => reset(stream),
                    Ending::Fin => drop(stream),
                    Ending::HalfFin => {
                        stream.shutdown(Shutdown::Write).unwrap();
                        ends(&mut stream);
                    }
                }
                let (_, closed) = served.events.disconnected();
                let expected = (1006, Cause::Lost, false);
                assert_eq!((closed.code, closed.cause, closed.clean), expected, "{ending:?} {end}");
                end += 1;
            }
        }
    }
    assert_eq!(served.server.handle.client_count(), 0);
    assert_eq!(served.events.so_far().len(), 0);
}

/// The close frames in all that comes until the server's end; other frames are short.
fn closes(secure: &mut Secure) -> Vec<Vec<u8>> {
    let (mut bytes, mut closes) = (Vec::new(), Vec::new());
    // An end without close_notify would be an error here.
    secure.0.read_to_end(&mut bytes).unwrap();
    let mut rest = &bytes[..];
    while let [first, len, payload @ ..] = rest {
        let (payload, more) = payload.split_at(usize::from(*len));
        if *first == FIN | CLOSE {
            closes.push(payload.to_vec());
        }
        rest = more;
    }
    closes
}

/// E4: both close at once, or three threads do; one close frame is on the wire, and TLS ends too.
#[test]
fn however_many_close_at_once_there_is_one_close_frame() {
    let served = serve(Limits::default(), close_as_told);
    for _ in 0..20 {
        let mut secure = served.open();
        let close = frame(FIN | CLOSE, &close_payload(4000, "mine"));
        secure.0.write_all(&[frame(FIN | TEXT, b"4001"), close].concat()).unwrap();
        assert_eq!(closes(&mut secure), [close_payload(4001, "yours")]);
        let (_, closed) = served.events.skip_to_disconnected();
        assert_eq!((closed.code, closed.cause, closed.clean), (4000, Cause::Server, true));

        let mut secure = served.open();
        let client = served.events.connected();
        let barrier = Barrier::new(3);
        thread::scope(|scope| {
            for number in 4001..=4003 {
                let (client, barrier) = (&client, &barrier);
                scope.spawn(move || {
                    barrier.wait();
                    client.close(CloseCode::new(number).expect("a code"), "");
                });
            }
        });
        secure.0.write_all(&frame(FIN | CLOSE, &close_payload(4000, ""))).unwrap();
        let frames = closes(&mut secure);
        assert_eq!(frames.len(), 1, "{frames:?}");
        let (_, closed) = served.events.skip_to_disconnected();
        // Whichever the worker heard of first.
        assert!(closed.clean && matches!(closed.cause, Cause::Server | Cause::Peer), "{closed:?}");
    }
}

/// E4: a close behind a large message doesn't cut it.
#[test]
fn a_close_waits_for_what_was_sent_before_it() {
    const LEN: usize = 1024 * 1024;
    let served = serve(Limits::default(), |client, heard| {
        if let Heard::Text(_) = heard {
            client.send_binary(&vec![7; LEN]);
            client.close(CloseCode::NORMAL, "");
        }
    });
    let mut secure = served.open();
    secure.0.write_all(&frame(FIN | TEXT, b"all, please")).unwrap();
    let mut bytes = vec![0; 10 + LEN];
    secure.0.read_exact(&mut bytes).unwrap();
    assert!(bytes[10..] == vec![7; LEN]);
    secure.0.write_all(&frame(FIN | CLOSE, &close_payload(1000, ""))).unwrap();
    assert_eq!(closes(&mut secure), [close_payload(1000, "")]);
}

/// E3: a peer that does not answer a close, or answers it and does not end the connection, or
/// sends for ever after it, is gone when its time is up.
#[test]
fn a_peer_that_does_not_end_is_dropped() {
    let mut limits = Limits::default();
    limits.close_timeout = millis(100);
    limits.linger_timeout = millis(100);
    let served = serve(limits, close_as_told);
    for (answers, goes_on) in [(false, false), (true, false), (true, true), (false, true)] {
        let mut secure = served.open();
        let client = served.events.connected();
        secure.0.write_all(&frame(FIN | TEXT, b"4001")).unwrap();
        assert!(matches!(served.events.next(), Event::Text(..)));
        if answers {
            secure.0.write_all(&frame(FIN | CLOSE, &close_payload(4001, ""))).unwrap();
        }
        let message = frame(FIN | TEXT, &[b'x'; 1000]);
        while goes_on && secure.0.write_all(&message).and_then(|()| secure.0.flush()).is_ok() {
            thread::yield_now();
        }
        let (_, closed) = served.events.disconnected();
        assert_eq!((closed.cause, closed.clean), (Cause::Server, answers));
        ends(secure.0.get_mut());
        assert!(!client.is_open());
    }
    await_that("all are gone", || served.server.handle.client_count() == 0);
}
