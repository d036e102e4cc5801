//! The opening handshake over real sockets: who gets a 101, who gets what else, and that each
//! connection gets exactly one answer (RFC 6455 §4).

mod common;

use clws::{Accept, Client, Hosts, Limits, Origin, Reject, Request, Resource, Server};
use common::raw::{End, FIN, KEY, Raw, TEXT, frame, request};
use common::{Recorder, Running, echo, listen, millis, ws};
use std::thread;
use tokio_tungstenite::tungstenite::http::header::HeaderMap;

fn server() -> Running {
    let (recorder, _events) = Recorder::new(echo);
    Running::start(Server::builder().resource("/echo", Origin::any(), recorder))
}

/// Sends a request and gives the status, after making sure that nothing else was answered.
#[track_caller]
fn status(server: &Running, request: &str) -> u16 {
    let mut raw = Raw::connect(server.address);
    raw.send(request.as_bytes());
    let answer = raw.answer();
    if answer.status != 101 {
        assert_eq!(answer.header("Connection").map(|c| c.starts_with("close")), Some(true));
        raw.finish();
        assert_eq!(raw.end(), End::Fin, "{answer:?}");
    }
    answer.status
}

/// A5: slow is legal, as long as the whole comes in time.
#[test]
fn a_handshake_in_one_byte_writes() {
    let server = server();
    let mut raw = Raw::connect(server.address);
    for byte in request(&raw.host(), "/echo", "").bytes() {
        raw.send(&[byte]);
    }
    raw.upgraded();
    raw.text("hello");
    assert_eq!(raw.frame().text(), "hello");
}

/// A9: RFC 6455 §4.2.1, row by row.
#[test]
fn what_an_opening_handshake_must_have() {
    let server = server();
    let legal = request("localhost", "/echo", "");
    let key = format!("Sec-WebSocket-Key: {KEY}\r\n");
    let version = "Sec-WebSocket-Version: 13\r\n";
    let upgrade = "Connection: Upgrade\r\n";
    for (from, to, expected) in [
        ("", "", 101),
        ("Upgrade: websocket", "uPGRADE: WebSocket", 101),
        (upgrade, "Connection: keep-alive, Upgrade\r\n", 101),
        (upgrade, "connection: keep-alive ,uPgRaDe\r\n", 101),
        (upgrade, "Connection: keep-alive\r\nConnection: upgrade\r\n", 101),
        ("/echo", "/echo?a=b", 101),
        ("/echo", "http://localhost/echo", 101),
        (&key, "", 400),
        (&key, &format!("{key}{key}"), 400),
        (KEY, "c2hvcnQ=", 400),
        (KEY, "dGhlIHNhbXBsZSBub25jZQ!!", 400),
        (version, "", 426),
        (version, "Sec-WebSocket-Version: 12\r\n", 426),
        (version, "Sec-WebSocket-Version: 14\r\n", 426),
        (version, "Sec-WebSocket-Version: 13, 13\r\n", 426),
        ("GET", "POST", 405),
        ("HTTP/1.1", "HTTP/1.0", 400),
        ("Upgrade: websocket\r\n", "", 426),
        (upgrade, "", 400),
        (upgrade, "Connection: keep-alive\r\n", 400),
        ("Host: localhost\r\n", "", 400),
        ("Host: localhost", "Host: localhost\r\nHost: localhost", 400),
        ("Upgrade: websocket", "Upgrade : websocket", 400),
        ("/echo", "/nothing", 404),
        ("/echo", "/Echo", 404),
        ("/echo", "/echo/", 404),
        ("/echo", "echo", 400),
    ] {
        let request = legal.replacen(from, to, 1);
        assert_eq!(status(&server, &request), expected, "{from:?} -> {to:?}");
    }
}

/// RFC 6455 §4.4: a server that doesn't speak the version names those it speaks.
#[test]
fn a_426_names_the_version() {
    let server = server();
    let mut raw = Raw::connect(server.address);
    raw.send(request("localhost", "/echo", "").replace(": 13", ": 99").as_bytes());
    let answer = raw.answer();
    assert_eq!((answer.status, answer.header("Sec-WebSocket-Version")), (426, Some("13, 8, 7")));
}

/// A11: a refused request is the last thing that is read.
#[test]
fn what_follows_a_refused_request_is_not_answered() {
    let server = server();
    let refused = request("localhost", "/nothing", "");
    let second = request("localhost", "/echo", "");
    for behind in [second.as_bytes(), &frame(FIN | TEXT, b"hello"), &vec![b'x'; 100_000]] {
        let mut raw = Raw::connect(server.address);
        raw.send(&[refused.as_bytes(), behind].concat());
        assert_eq!(raw.answer().status, 404);
        raw.finish();
        assert_eq!(raw.end(), End::Fin);
    }
    assert_eq!(server.handle.metrics().connected, 0);
}

/// A12: frames may stand behind the request in the same segment, and the cut may be anywhere.
#[test]
fn frames_right_behind_the_request_at_every_cut() {
    let server = server();
    let frames = [frame(FIN | TEXT, b"one"), frame(FIN | TEXT, "zw\u{f6}".as_bytes())].concat();
    let bytes = [request("localhost", "/echo", "").into_bytes(), frames].concat();
    for cut in 0..=bytes.len() {
        let mut raw = Raw::connect(server.address);
        let (first, second) = bytes.split_at(cut);
        raw.send(first);
        raw.send(second);
        raw.upgraded();
        assert_eq!(raw.frame().text(), "one", "cut at {cut}");
        assert_eq!(raw.frame().text(), "zw\u{f6}", "cut at {cut}");
    }
}

/// A16, a small count: peers that are gone at any stage leave nothing behind.
#[test]
fn peers_that_reset_leave_nothing_behind() {
    const ROUNDS: u64 = 50;
    let (server, events) = common::recording(Limits::default(), echo);
    for _ in 0..ROUNDS {
        common::reset(Raw::connect(server.address).stream);
        let mut raw = Raw::connect(server.address);
        raw.send(b"GET / HTTP/1.1\r\nHo");
        common::reset(raw.stream);
        common::reset(server.raw("/").stream);
    }
    for _ in 0..ROUNDS {
        let (_, closed) = events.skip_to_disconnected();
        assert_eq!((closed.code, closed.clean), (1006, false));
    }
    assert_eq!(server.handle.client_count(), 0);
    let metrics = server.handle.metrics();
    assert_eq!((metrics.connected, metrics.disconnected), (ROUNDS, ROUNDS));
    let mut raw = server.raw("/");
    raw.text("still here");
    assert_eq!(raw.frame().text(), "still here");
}

struct Strict;

impl Resource for Strict {
    fn accept(&self, request: &Request) -> Result<Accept, Reject> {
        match request.query_string() {
            Some("teapot") => Err(Reject::new(418, "short and stout")),
            Some("odd") => Err(Reject::new(200, "refused all the same")),
            Some("forbidden") => Err(Reject::forbidden("not you")),
            Some("split") => {
                assert!(Accept::new().header("X-Bad", "a\r\nInjected: yes").is_err());
                assert!(Accept::new().header("X-Bad\r\n", "a").is_err());
                Ok(Accept::new())
            }
            Some("unoffered") => Ok(Accept::new().subprotocol("other")),
            _ => {
                let chosen = request.subprotocols().find(|name| *name != "old");
                let accept = Accept::new().header("X-Seen", request.path()).unwrap();
                Ok(match chosen {
                    Some(name) => accept.subprotocol(name),
                    None => accept,
                })
            }
        }
    }

    fn text(&self, client: &Client, _: &str) {
        client.send_text(client.subprotocol().unwrap_or("none"));
    }
}

#[test]
fn accept_may_refuse_with_a_status_and_a_reason() {
    let server = Running::start(Server::builder().resource("/", Origin::any(), Strict));
    for (query, status, reason) in [
        ("teapot", 418, "short and stout"),
        ("odd", 500, "refused all the same"),
        ("forbidden", 403, "not you"),
        ("unoffered", 500, ""),
    ] {
        let mut raw = Raw::connect(server.address);
        raw.send(request("localhost", &format!("/?{query}"), "").as_bytes());
        let answer = raw.answer();
        assert_eq!(answer.status, status, "{query}");
        assert!(answer.body.contains(reason), "{answer:?}");
        assert_eq!(raw.end(), End::Fin);
    }
    let mut raw = Raw::connect(server.address);
    let answer = raw.upgrade("/?split", "");
    assert!(!answer.head.contains("Injected"), "{answer:?}");
    let metrics = server.handle.metrics();
    assert_eq!((metrics.refused, metrics.connected, metrics.panics), (4, 1, 0));
}

#[test]
fn accept_may_choose_a_subprotocol_and_add_headers() {
    let server = Running::start(Server::builder().resource("/", Origin::any(), Strict));
    let header = |headers: &HeaderMap, name: &str| {
        headers.get(name).map(|value| value.to_str().unwrap().to_owned())
    };
    for (offer, chosen) in [("old, new", Some("new")), ("v2", Some("v2"))] {
        let (mut ws, answer) =
            ws::open_with(server.address, "/", &[("Sec-WebSocket-Protocol", offer)]);
        let headers = answer.headers();
        assert_eq!(header(headers, "sec-websocket-protocol").as_deref(), chosen);
        assert_eq!(header(headers, "x-seen").as_deref(), Some("/"));
        ws.send("which?".into()).unwrap();
        assert_eq!(ws.read().unwrap().to_text().unwrap(), chosen.unwrap());
    }
    // A client that gets none of what it offers must be told none.
    let mut raw = Raw::connect(server.address);
    let answer = raw.upgrade("/", "Sec-WebSocket-Protocol: old\r\n");
    assert_eq!(answer.header("Sec-WebSocket-Protocol"), None);
}

/// RFC 6455 §9.1: what the server did not negotiate it doesn't accept.
#[test]
fn unknown_extensions_are_declined() {
    let server = server();
    let mut raw = Raw::connect(server.address);
    let answer = raw.upgrade("/echo", "Sec-WebSocket-Extensions: x-unknown; a=b\r\n");
    assert_eq!(answer.header("Sec-WebSocket-Extensions"), None);
}

#[test]
fn a_foreign_origin_is_refused() {
    let rule = Origin::exact(["https://good.example"]);
    let (recorder, _events) = Recorder::new(listen);
    let server = Server::builder().resource("/", rule, recorder);
    let server =
        Running::start(server.resource("/own", Origin::same_host(), Recorder::new(listen).0));
    for (path, origin, expected) in [
        ("/", "Origin: https://good.example\r\n", 101),
        ("/", "Origin: https://good.example.evil.example\r\n", 403),
        ("/", "Origin: http://good.example\r\n", 403),
        ("/", "Origin: null\r\n", 403),
        ("/", "Origin: \r\n", 403),
        ("/", "", 403),
        ("/own", "", 101),
        ("/own", "Origin: http://localhost\r\n", 101),
        ("/own", "Origin: http://other\r\n", 403),
        ("/own", "Origin: null\r\n", 403),
    ] {
        assert_eq!(
            status(&server, &request("localhost", path, origin)),
            expected,
            "{path} {origin}"
        );
    }
}

/// RFC 6455 §4.1 has browsers send one `Origin`; two are nobody's.
#[test]
fn two_origins_are_refused() {
    let server = server();
    let both = "Origin: http://a\r\nOrigin: http://b\r\n";
    assert!(matches!(status(&server, &request("localhost", "/echo", both)), 400 | 403));
}

/// A1, shortened: the time counts in total, not from byte to byte.
#[test]
fn a_request_that_takes_too_long_gets_408() {
    let mut limits = Limits::default();
    limits.handshake_timeout = millis(200);
    let (server, _events) = common::recording(limits, listen);
    let mut raw = Raw::connect(server.address);
    let mut sender = Raw::over(raw.stream.try_clone().unwrap());
    let sending = thread::spawn(move || {
        use std::io::Write;
        let _ = sender.stream.write_all(b"GET / HTTP/1.1\r\nX: ");
        // One byte at a time, until the server ends it.
        while sender.stream.write_all(b"x").is_ok() {
            thread::park_timeout(millis(20));
        }
    });
    assert_eq!(raw.answer().status, 408);
    // What went on arriving after the answer may turn the end into a reset.
    raw.skip_to_end();
    sending.join().unwrap();
}

/// A2: a peer that says nothing is told nothing.
#[test]
fn a_silent_peer_is_closed() {
    let mut limits = Limits::default();
    limits.handshake_timeout = millis(100);
    let (server, _events) = common::recording(limits, listen);
    assert_eq!(Raw::connect(server.address).end(), End::Fin);
    assert_eq!(server.handle.metrics().refused, 0);
}

#[test]
fn a_request_above_its_limits_is_refused() {
    let server = server();
    let padding = |len: usize| format!("X-Padding: {}\r\n", "x".repeat(len));
    let many = |count: usize| "A: b\r\n".repeat(count);
    let long_path = |len: usize| format!("/echo?{}", "x".repeat(len));
    let of = |path: &str, extra: &str| request("localhost", path, extra);
    for (what, request, expected) in [
        ("a long header", of("/echo", &padding(15_000)), 101),
        ("a longer one", of("/echo", &padding(17_000)), 431),
        ("many headers", of("/echo", &many(59)), 101),
        ("one too many", of("/echo", &many(60)), 431),
        ("a long path", of(&long_path(8_000), ""), 101),
        ("a longer one", of(&long_path(8_200), ""), 414),
    ] {
        assert_eq!(status(&server, &request), expected, "{what}");
    }
}

/// A15: the excess gets 503, and a place is free again when a client has left.
#[test]
fn no_more_clients_than_allowed() {
    let mut limits = Limits::default();
    limits.max_clients = Some(5);
    let (server, events) = common::recording(limits, listen);
    for round in 0..3 {
        let mut clients: Vec<Raw> = (0..5).map(|_| server.raw("/")).collect();
        assert_eq!(server.handle.client_count(), 5);
        assert_eq!(server.handle.clients().len(), 5);
        for _ in 0..3 {
            assert_eq!(status(&server, &request("localhost", "/", "")), 503, "round {round}");
        }
        // A refusal takes no place away for ever, and neither does a client that leaves.
        let mut first = clients.remove(0);
        first.close(1000, "");
        first.closed();
        events.skip_to_disconnected();
        assert_eq!(server.handle.client_count(), 4);
        clients.push(server.raw("/"));
        assert_eq!(status(&server, &request("localhost", "/", "")), 503);
        drop(clients);
        for _ in 0..5 {
            events.skip_to_disconnected();
        }
        assert_eq!(server.handle.client_count(), 0);
    }
    let metrics = server.handle.metrics();
    assert_eq!((metrics.connected, metrics.disconnected, metrics.refused), (18, 18, 12));
}

/// A place is not lost to a client that `accept` turned away or panicked about.
#[test]
fn a_rejected_client_takes_no_place() {
    struct Moody;
    impl Resource for Moody {
        fn accept(&self, request: &Request) -> Result<Accept, Reject> {
            match request.query_string() {
                Some("no") => Err(Reject::forbidden("no")),
                Some("panic") => panic!("an accept that panics on purpose"),
                _ => Ok(Accept::new()),
            }
        }
    }
    let mut limits = Limits::default();
    limits.max_clients = Some(1);
    let server = Server::builder().limits(limits).resource("/", Origin::any(), Moody);
    let server = Running::start(server);
    for (query, expected) in [("no", 403), ("panic", 500), ("no", 403), ("yes", 101)] {
        assert_eq!(status(&server, &request("localhost", &format!("/?{query}"), "")), expected);
    }
    assert_eq!(server.handle.metrics().panics, 1);
}

/// J2: a page whose name was made to lead here (DNS rebinding) has an origin that fits its host.
#[test]
fn a_foreign_name_for_this_machine_is_refused() {
    let server = |hosts| {
        let resource = Recorder::new(listen).0;
        let server = Server::builder().resource("/own", Origin::same_host(), resource);
        Running::start(server.hosts(hosts))
    };
    let request = |host: &str| request(host, "/own", &format!("Origin: http://{host}\r\n"));
    let by_default = server(Hosts::default());
    assert_eq!(status(&by_default, &request("evil.example")), 421);
    assert_eq!(status(&by_default, &request("localhost:80")), 101);
    let named = server(Hosts::named(["good.example"]));
    assert_eq!(status(&named, &request("good.example")), 101);
    assert_eq!(status(&named, &request("evil.example")), 421);
    assert_eq!(status(&server(Hosts::any()), &request("evil.example")), 101);
}
