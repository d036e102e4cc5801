//! The protocol before RFC 6455: versions 8 and 7, which only shake hands otherwise, and draft 76,
//! which is another protocol. The handshakes are those recorded in the drafts.

mod common;

use clws::{Accept, Cause, CloseCode, Dropped, Limits, Origin, Outcome, Reject, Request, Resource};
use clws::{Client, Hosts, Server};
use common::hixie::{self, Frame, Hixie};
use common::raw::{BINARY, End, FIN, PING, PONG, Raw, TEXT, request};
use common::{Event, Events, Recorder, Running, echo, listen};

/// A recording echo at `/` that also serves draft 76.
fn server() -> (Running, Events) {
    let (recorder, events) = Recorder::new(echo);
    let server = Server::builder().hixie76(true).resource("/", Origin::any(), recorder);
    (Running::start(server), events)
}

fn of_version(number: u8, path: &str, extra: &str) -> String {
    let legal = request("localhost", path, extra);
    legal.replace("Sec-WebSocket-Version: 13", &format!("Sec-WebSocket-Version: {number}"))
}

#[test]
fn versions_13_8_and_7_speak_the_same_frames() {
    let (server, events) = server();
    for number in [13, 8, 7] {
        let mut raw = Raw::connect(server.address);
        raw.send(of_version(number, "/", "").as_bytes());
        raw.upgraded();
        assert_eq!(events.connected().version(), number);
        raw.text("grüße");
        assert_eq!(raw.frame().text(), "grüße");
        raw.send_frame(FIN | BINARY, &[1, 2]);
        let back = raw.frame();
        assert_eq!((back.opcode, &*back.payload), (BINARY, &[1, 2][..]));
        raw.send_frame(FIN | PING, b"?");
        let pong = raw.frame();
        assert_eq!((pong.opcode, &*pong.payload), (PONG, &b"?"[..]));
        raw.close(1000, "done");
        assert_eq!(raw.closed().0, 1000);
        let (_, closed) = events.skip_to_disconnected();
        assert_eq!((closed.code, &*closed.reason, closed.clean), (1000, "done", true));
    }
}

/// Versions 7 and 8 have a header of their own for the origin. Where it is there it alone counts;
/// version 8 also stands for later drafts, which have `Origin`.
#[test]
fn each_version_has_its_origin_header() {
    const GOOD: &str = "http://good.example";
    const EVIL: &str = "http://evil.example";
    let (recorder, events) = Recorder::new(listen);
    let server = Server::builder().resource("/", Origin::exact([GOOD]), recorder);
    let server = Running::start(server);
    let new = |origin: &str| format!("Origin: {origin}\r\n");
    let old = |origin: &str| format!("Sec-WebSocket-Origin: {origin}\r\n");
    for (versions, headers, expected) in [
        (&[13][..], new(GOOD), 101),
        (&[13], old(GOOD), 403),
        (&[13], new(EVIL) + &old(GOOD), 403),
        (&[8, 7], old(GOOD), 101),
        (&[8, 7], old(EVIL), 403),
        (&[8, 7], new(GOOD), 101),
        (&[8, 7], old(EVIL) + &new(GOOD), 403),
        (&[8, 7], old(GOOD) + &new(EVIL), 101),
        (&[13, 8, 7], String::new(), 403),
    ] {
        for version in versions {
            let mut raw = Raw::connect(server.address);
            raw.send(of_version(*version, "/", &headers).as_bytes());
            assert_eq!(raw.answer().status, expected, "version {version}, {headers}");
            if expected == 101 {
                let client = events.skip_to_connected();
                assert_eq!(client.request().origin(), Some(GOOD));
            }
        }
    }
}

/// Unless it was asked for, draft 76 is refused, with the versions that are spoken.
#[test]
fn draft_76_is_off_by_default() {
    let (server, _events) = common::recording(Limits::default(), echo);
    let mut raw = Raw::connect(server.address);
    raw.send(&hixie::request("localhost", "/", ""));
    let answer = raw.answer();
    assert_eq!((answer.status, answer.header("Sec-WebSocket-Version")), (400, Some("13, 8, 7")));
    raw.skip_to_end();
    assert_eq!(server.handle.metrics().connected, 0);
}

/// The request that stands in the draft gets the answer that stands there.
#[test]
fn the_handshake_of_draft_76_as_it_was_recorded() {
    struct Sample;
    impl Resource for Sample {
        fn accept(&self, request: &Request) -> Result<Accept, Reject> {
            let offer = request.subprotocols().next().unwrap_or_default().to_owned();
            Ok(Accept::new().subprotocol(offer))
        }
    }
    let server = Server::builder().hixie76(true).hosts(Hosts::any());
    let server = Running::start(server.resource("/demo", Origin::any(), Sample));
    let request = hixie::request("example.com", "/demo", "Sec-WebSocket-Protocol: sample\r\n");
    let hixie = Hixie::over(Raw::connect(server.address), &request);
    assert_eq!(
        hixie.head,
        "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Origin: http://example.com\r\n\
         Sec-WebSocket-Location: ws://example.com/demo\r\nSec-WebSocket-Protocol: sample\r\n\r\n"
    );
    let clients = server.handle.clients();
    let [client] = &*clients else { panic!("{clients:?}") };
    assert_eq!((client.version(), client.subprotocol()), (0, Some("sample")));
    assert_eq!(client.request().origin(), Some("http://example.com"));
}

#[test]
fn draft_76_keeps_the_query_and_obeys_origins_and_paths() {
    let (recorder, events) = Recorder::new(listen);
    let origin = Origin::exact(["http://example.com"]);
    let server = Server::builder().hixie76(true).resource("/test", origin, recorder);
    let server = Running::start(server.resource("/no", Origin::none(), Recorder::new(listen).0));
    let hixie = Hixie::open(server.address, "/test?foo");
    assert!(hixie.head.contains("Location: ws://localhost/test?foo\r\n"), "{}", hixie.head);
    let client = events.connected();
    assert_eq!((client.resource_name(), client.query_string()), ("/test", Some("foo")));
    for (path, expected) in [("/no", 403), ("/nothing", 404)] {
        let mut raw = Raw::connect(server.address);
        raw.send(&hixie::request("localhost", path, ""));
        assert_eq!(raw.answer().status, expected);
    }
    // The same server serves the others as ever.
    let mut raw = Raw::connect(server.address);
    raw.upgrade("/test", "Origin: http://example.com\r\n");
}

#[test]
fn text_goes_both_ways_in_draft_76() {
    let (server, events) = server();
    let mut hixie = Hixie::open(server.address, "/");
    let client = events.connected();
    let long = "ü€😀".repeat(20_000);
    for text in ["", "hello", "grüße", &long] {
        hixie.text(text);
        assert_eq!(events.text(), text);
        assert_eq!(hixie.heard(), text);
    }
    assert_eq!(client.send_text("from elsewhere"), Outcome::Sent);
    assert_eq!(hixie.heard(), "from elsewhere");
    // There are no fragments: the message comes whole.
    assert_eq!(client.send_text_fragmented("in one piece", 3), Outcome::Sent);
    assert_eq!(hixie.heard(), "in one piece");
    for byte in [&[0][..], b"cut", &[0xff]].concat() {
        hixie.raw.send(&[byte]);
    }
    assert_eq!(hixie.heard(), "cut");
}

/// What the draft does not have is an error that the caller sees, and costs the client nothing.
#[test]
fn binary_and_pings_are_not_for_draft_76() {
    let (server, events) = server();
    let mut hixie = Hixie::open(server.address, "/");
    let client = events.connected();
    let unsupported = Outcome::Dropped(Dropped::Unsupported);
    assert_eq!(client.send_binary(b"x"), unsupported);
    assert_eq!(client.send_binary_fragmented(b"x", 1), unsupported);
    assert_eq!(client.ping(b"x"), unsupported);
    assert!(client.is_open());
    assert_eq!(client.queued_bytes(), 0);
    client.send_text("still here");
    assert_eq!(hixie.heard(), "still here");
}

/// The keepalive of the other versions is made of pings, so here there is none: a quiet client of
/// draft 76 stays while a mute one of RFC 6455 is dropped.
#[test]
fn a_quiet_client_of_draft_76_stays() {
    let (recorder, events) = Recorder::new(echo);
    let mut limits = Limits::default();
    limits.ping_interval = Some(common::millis(100));
    limits.pong_timeout = common::millis(100);
    let server = Server::builder().hixie76(true).limits(limits);
    let server = Running::start(server.resource("/", Origin::any(), recorder));
    let mut hixie = Hixie::open(server.address, "/");
    let quiet = events.connected();
    for _ in 0..3 {
        let _mute = server.raw("/");
        let (client, closed) = events.skip_to_disconnected();
        assert_eq!((client.version(), closed.cause), (13, Cause::Timeout));
    }
    assert!(quiet.is_open());
    hixie.text("awake");
    assert_eq!(hixie.heard(), "awake");
}

/// A close is `FF 00`, with neither code nor reason, whoever begins.
#[test]
fn closes_of_draft_76() {
    let (server, events) = server();
    let mut hixie = Hixie::open(server.address, "/");
    events.connected();
    hixie.close();
    assert_eq!(hixie.frame(), Frame::Close);
    assert_eq!(hixie.raw.end(), End::Fin);
    let (_, closed) = events.disconnected();
    assert_eq!((closed.code, closed.cause, closed.clean), (1005, Cause::Peer, true));

    let mut hixie = Hixie::open(server.address, "/");
    let client = events.connected();
    client.send_text("last");
    client.close(CloseCode::NORMAL, "not told");
    assert_eq!(client.send_text("too late"), Outcome::Dropped(Dropped::Closed));
    assert_eq!(hixie.heard(), "last");
    assert_eq!(hixie.frame(), Frame::Close);
    hixie.close();
    assert_eq!(hixie.raw.end(), End::Fin);
    let (_, closed) = events.disconnected();
    assert_eq!((closed.cause, closed.clean), (Cause::Server, true));
}

/// Limits and UTF-8 hold here too; the end can't be explained to the peer.
#[test]
fn what_breaks_the_rules_of_draft_76_ends_the_client() {
    let mut limits = Limits::default();
    limits.max_message_size = 100;
    let (recorder, events) = Recorder::new(echo);
    let server = Server::builder().hixie76(true).limits(limits);
    let server = Running::start(server.resource("/", Origin::any(), recorder));
    let exactly = "x".repeat(100);
    let mut hixie = Hixie::open(server.address, "/");
    hixie.text(&exactly);
    assert_eq!(hixie.heard(), exactly);
    let (above, broken) = ([&[0][..], &[b'x'; 101], &[0xff]].concat(), vec![0, 0xc3, b'x', 0xff]);
    for bytes in [above, broken] {
        let mut hixie = Hixie::open(server.address, "/");
        hixie.raw.send(&bytes);
        assert_eq!(hixie.frame(), Frame::Close);
        hixie.raw.skip_to_end();
        let (_, closed) = events.skip_to_disconnected();
        assert!(matches!(closed.cause, Cause::Protocol(_)), "{closed:?}");
    }
    let heard = events.so_far();
    let texts = heard.iter().filter(|event| matches!(event, Event::Text(..))).count();
    assert_eq!(texts, 0, "{heard:?}");
}

/// Clients of every version are listed side by side.
#[test]
fn version_numbers_are_told_as_they_are() {
    let (server, events) = server();
    let _raws: Vec<Raw> = [13, 8, 7]
        .map(|number| {
            let mut raw = Raw::connect(server.address);
            raw.send(of_version(number, "/", "").as_bytes());
            raw.upgraded();
            events.connected();
            raw
        })
        .into();
    let mut hixie = Hixie::open(server.address, "/");
    events.connected();
    let versions: Vec<u8> = server.handle.clients().iter().map(Client::version).collect();
    assert_eq!(versions, [13, 8, 7, 0]);
    hixie.close();
    let mut raw = server.raw("/");
    raw.send_frame(FIN | TEXT, b"x");
    assert_eq!(raw.frame().text(), "x");
}
