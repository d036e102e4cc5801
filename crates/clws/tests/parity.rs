//! Rows of docs/parity.md that have no other home: the queue of connections, lists of clients, text
//! that is there as bytes, origins, and bytes of a protocol that is gone.

mod common;

use clws::{Client, CloseCode, Dropped, Limits, Origin, Outcome, Server};
use common::raw::{End, Raw};
use common::{Event, Recorder, Running, await_that, echo, listen};
use std::collections::BTreeSet;
use std::thread;

#[test]
fn text_that_is_there_as_bytes_is_checked() {
    let (server, events) = common::recording(Limits::default(), listen);
    let mut raw = server.raw("/");
    let client = events.connected();
    for good in ["", "plain", "grüße €😀"] {
        assert_eq!(client.send_text_bytes(good.as_bytes()), Outcome::Sent);
        assert_eq!(raw.frame().text(), good);
    }
    let broken: [&[u8]; 6] = [
        b"\xff",
        b"cut \xe2\x82",
        b"\xc0\x80",
        b"surrogate \xed\xa0\x80",
        b"too high \xf4\x90\x80\x80",
        b"a long one, with the fault behind many good bytes, as fast checks have them \x80",
    ];
    for bytes in broken {
        assert_eq!(client.send_text_bytes(bytes), Outcome::Dropped(Dropped::InvalidUtf8));
    }
    assert!(client.is_open());
    await_that("nothing waits", || client.queued_bytes() == 0);
    client.send_text("nothing came before this");
    assert_eq!(raw.frame().text(), "nothing came before this");
}

/// Clients come and go on several threads, in every way there is to go; whoever is left is listed.
#[test]
fn lists_of_clients_are_exact_after_churn() {
    const THREADS: usize = 4;
    const ROUNDS: usize = 60;
    let (recorder, events) = Recorder::new(listen);
    let server = Server::builder().workers(3).resource("/", Origin::any(), recorder);
    let server = Running::start(server);
    let address = server.address;
    let churning: Vec<_> = (0..THREADS)
        .map(|number| {
            thread::spawn(move || {
                let mut stay = Vec::new();
                for round in 0..ROUNDS {
                    let mut raw = Raw::open(address, "/");
                    match (round + number) % 4 {
                        0 => stay.push(raw),
                        1 => drop(raw),
                        2 => common::reset(raw.stream),
                        _ => {
                            raw.close(1000, "");
                            raw.closed();
                        }
                    }
                }
                stay
            })
        })
        .collect();
    let stay: Vec<Raw> = churning.into_iter().flat_map(|one| one.join().unwrap()).collect();
    assert_eq!(stay.len(), THREADS * ROUNDS / 4);
    await_that("those who left are gone", || server.handle.client_count() == stay.len());
    let ports =
        |clients: &[Client]| clients.iter().filter_map(Client::port).collect::<BTreeSet<_>>();
    let expected: BTreeSet<u16> =
        stay.iter().map(|raw| raw.stream.local_addr().unwrap().port()).collect();
    assert_eq!(ports(&server.handle.clients()), expected);
    let left = THREADS * ROUNDS - stay.len();
    let mut disconnected = BTreeSet::new();
    while disconnected.len() < left {
        if let Event::Disconnected(client, _) = events.next() {
            assert!(disconnected.insert(client.id()), "told twice");
        }
    }
    drop(stay);
    await_that("all are gone", || server.handle.client_count() == 0);
    assert!(server.handle.clients().is_empty());
}

/// The queue of connections that nobody accepted yet has the length that was asked for: of more
/// clients than that, some can't connect until the server starts.
#[cfg(target_os = "linux")]
#[test]
fn the_backlog_reaches_the_system() {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    let connected = |backlog: u32| {
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let address: SocketAddr = free;
        let server = Server::builder().backlog(backlog).bind(address.to_string()).unwrap();
        let connect = || TcpStream::connect_timeout(&address, common::millis(300));
        let streams: Vec<_> = (0..12).map_while(|_| connect().ok()).collect();
        drop(server);
        streams.len()
    };
    assert!((1..8).contains(&connected(1)));
    assert_eq!(connected(64), 12);
}

/// Checks who passes a rule and who does not; `-` stands for a request without the header.
#[track_caller]
fn check_origins(rule: &Origin, pass: &str, fail: &str) {
    for (list, expected) in [(pass, true), (fail, false)] {
        for origin in list.lines().map(str::trim).filter(|origin| !origin.is_empty()) {
            let sent = (origin != "-").then_some(origin);
            assert_eq!(rule.allows(sent, Some("localhost")), expected, "{rule:?}, {origin}");
        }
    }
}

/// J1: who passes which rule. `null` and no header at all are cases of their own.
#[test]
fn origins_that_pass_and_origins_that_only_look_so() {
    check_origins(&Origin::any(), "-\nnull\nhttp://any.example", "");
    check_origins(&Origin::none(), "-", "null\nhttp://any.example");
    check_origins(
        &Origin::exact(["https://example.com", "http://127.0.0.1:8080"]),
        "https://example.com
         https://EXAMPLE.com
         http://127.0.0.1:8080",
        "-
         null
         http://example.com
         https://example.com:443
         https://example.com/
         https://www.example.com
         https://example.com.evil.example
         http://127.0.0.1
         http://127.0.0.1:80
         http://[::1]:8080
         https://ex\u{e4}mple.com",
    );
    check_origins(&Origin::exact(["null"]), "null", "-\nhttp://null");
    let own = |origin: Option<&str>| origin.is_some_and(|one| one.contains("own"));
    check_origins(&Origin::from(own), "https://own.example", "-\nhttps://foreign.example");
    for rule in
        [Origin::none(), Origin::same_host(), Origin::prefix(["http://x"]), Origin::exact(["x"])]
    {
        assert!(!rule.allows(Some(""), Some("localhost")), "{rule:?} and an empty origin");
    }
}

/// J1: a prefix ends on a boundary, and only a port may follow it.
#[test]
fn prefixes_of_origins_end_on_a_boundary() {
    check_origins(
        &Origin::prefix(["http://localhost", "https://example.com:8443"]),
        "http://localhost
         HTTP://LocalHost
         http://localhost:8080
         http://localhost:1
         http://localhost:65535
         https://example.com:8443",
        "-
         null
         http://localhos
         http://localhost.
         http://localhost.evil.example
         http://localhost-evil.example
         http://localhostevil.example
         http://localhost@evil.example
         http://localhost:80@evil.example
         http://localhost:
         http://localhost:65536
         http://localhost:+80
         http://localhost:080
         http://localhost:8080/
         http://localhost/
         http://localhost\\.evil.example
         https://localhost
         http://evil.example?http://localhost
         https://example.com
         https://example.com:84430",
    );
}

/// Codes that only stand for what was on no wire, and those nobody may send (RFC 6455 §7.4).
#[test]
fn codes_that_must_not_be_sent() {
    for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
        assert_eq!(CloseCode::new(code), None, "{code}");
    }
    let (server, events) = common::recording(Limits::default(), listen);
    for code in [1000, 1001, 1003, 1008, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999] {
        let mut raw = server.raw("/");
        let client = events.skip_to_connected();
        client.close(CloseCode::new(code).expect("a code to be sent"), "why");
        assert_eq!(raw.frame().close(), (code, "why"));
        raw.close(code, "");
        assert_eq!(raw.end(), End::Fin);
    }
}

/// Flash is gone, and with it what it asked every port before it connected.
#[test]
fn a_flash_policy_request_is_no_request() {
    let (server, _events) = common::recording(Limits::default(), echo);
    let mut raw = Raw::connect(server.address);
    raw.send(b"<policy-file-request/>\0");
    let answer = raw.answer();
    assert_eq!(answer.status, 400);
    assert!(!answer.body.contains("cross-domain"), "{answer:?}");
    assert_eq!(raw.end(), End::Fin);
}
