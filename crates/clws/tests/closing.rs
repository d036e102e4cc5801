//! Ends, orderly and not: what the peer is told, what the resource is told, and that each client's
//! end is told once (RFC 6455 §7).

mod common;

use clws::{Cause, Client, CloseCode, Closed, Limits, Origin, Reject, Resource, Server};
use common::raw::{BINARY, CLOSE, End, FIN, PING, Raw, TEXT, close_payload, frame, header};
use common::{Events, Heard, Recorder, Running, echo, listen, millis, ws};
use std::io::Write;
use std::sync::{Arc, Barrier};
use std::thread;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Times short enough to wait for.
fn hasty() -> Limits {
    let mut limits = Limits::default();
    limits.close_timeout = millis(200);
    limits.linger_timeout = millis(100);
    limits
}

fn code(number: u16) -> CloseCode {
    CloseCode::new(number).expect("a code for the wire")
}

/// The client has ended as said, and nothing else is heard of it.
#[track_caller]
fn ended(events: &Events, code: u16, cause: Cause, clean: bool) -> Closed {
    let (client, closed) = events.skip_to_disconnected();
    assert_eq!((closed.code, closed.cause, closed.clean), (code, cause, clean));
    assert!(!client.is_open());
    assert_eq!(events.so_far().len(), 0, "nothing more");
    closed
}

/// Closes the client with what the text says: a code, a space and a reason.
fn close_as_told(client: &Client, heard: Heard<'_>) {
    if let Heard::Text(text) = heard {
        let (number, reason) = text.split_once(' ').unwrap();
        client.close(code(number.parse().unwrap()), reason);
    }
}

#[test]
fn a_close_of_the_client_is_answered() {
    let (server, events) = common::recording(Limits::default(), listen);
    for (number, reason) in [(1000, "done"), (1001, ""), (3000, "gr\u{fc}n"), (4999, "x")] {
        let mut ws = server.ws("/");
        let said = CloseFrame { code: number.into(), reason: reason.into() };
        ws.close(Some(said)).unwrap();
        let answer = ws::closed(&mut ws).unwrap();
        assert_eq!(u16::from(answer.code), number);
        let closed = ended(&events, number, Cause::Peer, true);
        assert_eq!(closed.reason, reason);
    }
    let mut ws = server.ws("/");
    ws.close(None).unwrap();
    assert_eq!(ws::closed(&mut ws), None);
    ended(&events, 1005, Cause::Peer, true);
}

#[test]
fn a_close_of_the_server_is_told() {
    let (server, events) = common::recording(Limits::default(), close_as_told);
    for (number, reason) in [(1000, "bye"), (1008, ""), (1013, "later"), (4000, "\u{20ac}")] {
        let mut ws = server.ws("/");
        ws.send(Message::text(format!("{number} {reason}"))).unwrap();
        let said = ws::closed(&mut ws).unwrap();
        assert_eq!((u16::from(said.code), &*said.reason), (number, reason));
        ended(&events, number, Cause::Server, true);
    }
}

/// RFC 6455 §5.5: a close frame is a control frame, so its reason has 123 bytes at most.
#[test]
fn a_long_reason_is_cut_between_characters() {
    let (server, _events) = common::recording(Limits::default(), close_as_told);
    let mut raw = server.raw("/");
    raw.text(&format!("1000 {}", "\u{20ac}".repeat(60)));
    assert_eq!(raw.frame().close(), (1000, &*"\u{20ac}".repeat(41)));
}

/// B9: what may not stand in a close frame (RFC 6455 §7.4).
#[test]
fn close_frames_that_are_wrong() {
    let (server, events) = common::recording(Limits::default(), listen);
    let wrong = [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535];
    let mut payloads: Vec<(Vec<u8>, u16)> =
        wrong.iter().map(|number| (close_payload(*number, ""), 1002)).collect();
    payloads.push((vec![3], 1002));
    payloads.push((vec![3, 232, 0xff], 1007));
    for (payload, expected) in payloads {
        let mut raw = server.raw("/");
        raw.send_frame(FIN | CLOSE, &payload);
        assert_eq!(raw.closed().0, expected, "{payload:?}");
        let (_, closed) = events.skip_to_disconnected();
        assert!(matches!(closed.cause, Cause::Protocol(_)), "{closed:?}");
        assert_eq!((closed.code, closed.clean), (1006, false));
    }
    let mut raw = server.raw("/");
    raw.send_frame(FIN | CLOSE, &close_payload(1000, &"r".repeat(124)));
    assert_eq!(raw.closed().0, 1002);
}

/// B9: RFC 6455 §5.5.1, after a close frame nothing counts.
#[test]
fn what_follows_a_close_frame_is_not_heard() {
    let (server, events) = common::recording(Limits::default(), echo);
    let mut raw = server.raw("/");
    let close = frame(FIN | CLOSE, &close_payload(1000, ""));
    raw.send(&[close, frame(FIN | TEXT, b"late"), frame(FIN | PING, b"late")].concat());
    assert_eq!(raw.closed(), (1000, String::new()));
    events.connected();
    ended(&events, 1000, Cause::Peer, true);
}

#[test]
fn what_follows_a_close_of_the_server_is_not_heard() {
    let (server, events) = common::recording(Limits::default(), close_as_told);
    let mut raw = server.raw("/");
    raw.text("1000 bye");
    raw.text("1001 late");
    raw.send_frame(FIN | PING, b"late");
    let frame = raw.frame();
    assert_eq!(frame.close(), (1000, "bye"));
    raw.close(1000, "");
    assert_eq!(raw.end(), End::Fin);
    events.connected();
    assert_eq!(events.text(), "1000 bye");
    ended(&events, 1000, Cause::Server, true);
}

/// E2: RST or FIN at every byte of a frame.
#[test]
fn a_connection_that_ends_within_a_frame() {
    let (server, events) = common::recording(Limits::default(), echo);
    let bytes = frame(FIN | TEXT, &[b'x'; 126]);
    for cut in (0..12).chain([70, bytes.len() - 1]) {
        for with_reset in [false, true] {
            let mut raw = server.raw("/");
            raw.send(&bytes[..cut]);
            if with_reset {
                common::reset(raw.stream);
            } else {
                raw.finish();
                assert_eq!(raw.end(), End::Fin, "cut at {cut}");
            }
            events.connected();
            ended(&events, 1006, Cause::Lost, false);
        }
    }
    assert_eq!(server.handle.client_count(), 0);
}

/// E2: a whole message before the end is heard, and answered where the peer still listens.
#[test]
fn a_message_right_before_a_half_close_is_answered() {
    let (server, events) = common::recording(Limits::default(), echo);
    let mut raw = server.raw("/");
    raw.text("last words");
    raw.finish();
    assert_eq!(raw.frame().text(), "last words");
    assert_eq!(raw.end(), End::Fin);
    events.connected();
    assert_eq!(events.text(), "last words");
    ended(&events, 1006, Cause::Lost, false);
}

/// E3: the peer never answers a close.
#[test]
fn a_peer_that_does_not_answer_a_close_is_dropped() {
    let (server, events) = common::recording(hasty(), close_as_told);
    let mut raw = server.raw("/");
    raw.text("1000 bye");
    assert_eq!(raw.frame().close(), (1000, "bye"));
    raw.skip_to_end();
    ended(&events, 1006, Cause::Server, false);
}

/// E3: the peer answers, and never closes TCP.
#[test]
fn a_peer_that_does_not_end_the_connection_is_dropped() {
    let (server, events) = common::recording(hasty(), close_as_told);
    let mut raw = server.raw("/");
    raw.text("1000 bye");
    assert_eq!(raw.frame().close(), (1000, "bye"));
    raw.close(1000, "");
    assert_eq!(raw.end(), End::Fin);
    ended(&events, 1000, Cause::Server, true);
    is_gone(&mut raw);
}

/// E3: the peer sends for ever after a close.
#[test]
fn a_peer_that_goes_on_sending_is_dropped() {
    for answers in [false, true] {
        let (server, events) = common::recording(hasty(), close_as_told);
        let mut raw = server.raw("/");
        raw.text("1000 bye");
        assert_eq!(raw.frame().close(), (1000, "bye"));
        if answers {
            raw.close(1000, "");
        }
        is_gone(&mut raw);
        let (_, closed) = events.skip_to_disconnected();
        assert_eq!((closed.cause, closed.clean), (Cause::Server, answers));
    }
}

/// Sends until the other end's system says that nobody is there.
fn is_gone(raw: &mut Raw) {
    let message = frame(FIN | TEXT, &[b'x'; 1000]);
    while raw.stream.write_all(&message).is_ok() {
        thread::yield_now();
    }
}

/// E4: both close at once; each sends one close frame and is content with the other's.
#[test]
fn both_ends_close_at_once() {
    let (server, events) = common::recording(Limits::default(), close_as_told);
    for _ in 0..50 {
        let mut raw = server.raw("/");
        let close = frame(FIN | CLOSE, &close_payload(4000, "mine"));
        raw.send(&[frame(FIN | TEXT, b"4001 yours"), close].concat());
        assert_eq!(raw.closed(), (4001, "yours".to_owned()));
        let (_, closed) = events.skip_to_disconnected();
        assert_eq!((closed.code, &*closed.reason), (4000, "mine"));
        assert_eq!((closed.cause, closed.clean), (Cause::Server, true));
    }
}

/// E4: a close behind a large message doesn't cut it.
#[test]
fn a_close_waits_for_what_was_sent_before_it() {
    const LEN: usize = 1024 * 1024;
    let (server, _events) = common::recording(Limits::default(), |client, heard| {
        if let Heard::Text(_) = heard {
            client.send_binary(&vec![7; LEN]);
            client.close(CloseCode::NORMAL, "that was all");
            client.send_text("too late");
        }
    });
    let mut raw = common::narrow(server.address);
    raw.upgrade("/", "");
    raw.text("all, please");
    assert!(raw.frame().payload == vec![7; LEN]);
    assert_eq!(raw.frame().close(), (1000, "that was all"));
    raw.close(1000, "");
    assert_eq!(raw.end(), End::Fin);
}

/// E4: several threads close at once; one close frame goes out.
#[test]
fn three_threads_close_at_once() {
    let (server, events) = common::recording(Limits::default(), listen);
    for _ in 0..50 {
        let mut raw = server.raw("/");
        let client = events.connected();
        let barrier = Arc::new(Barrier::new(3));
        let closers: Vec<_> = (4001..=4003)
            .map(|number| {
                let (client, barrier) = (client.clone(), Arc::clone(&barrier));
                thread::spawn(move || {
                    barrier.wait();
                    client.close(code(number), "");
                })
            })
            .collect();
        let number = raw.frame().close().0;
        assert!((4001..=4003).contains(&number));
        raw.close(number, "");
        assert_eq!(raw.end(), End::Fin);
        for closer in closers {
            closer.join().unwrap();
        }
        ended(&events, number, Cause::Server, true);
    }
}

#[test]
fn a_close_from_another_thread_reaches_an_idle_client() {
    let (server, events) = common::recording(Limits::default(), listen);
    let mut raw = server.raw("/");
    let client = events.connected();
    client.send_text("one");
    client.close(CloseCode::RESTART, "soon back");
    assert!(!client.is_open());
    assert_eq!(raw.frame().text(), "one");
    assert_eq!(raw.frame().close(), (1012, "soon back"));
    raw.close(1012, "");
    assert_eq!(raw.end(), End::Fin);
    ended(&events, 1012, Cause::Server, true);
}

struct Picky;

impl Resource for Picky {
    fn connected(&self, client: &Client) -> Result<(), Reject> {
        client.send_text("a word before");
        let no = Reject::forbidden("not today");
        match client.query_string() {
            Some("code") => Err(no.close_code(CloseCode::TRY_AGAIN)),
            _ => Err(no),
        }
    }

    fn text(&self, _: &Client, _: &str) {
        unreachable!("what a rejected client sent is not heard");
    }
}

/// A rejection from `connected` closes the client and drops what it sent already.
#[test]
fn a_client_that_connected_rejects() {
    let server = Running::start(Server::builder().resource("/", Origin::any(), Picky));
    for (query, expected) in [("", 1008), ("code", 1013)] {
        let mut raw = Raw::connect(server.address);
        let request = common::raw::request("localhost", &format!("/?{query}"), "");
        raw.send(&[request.as_bytes(), &frame(FIN | TEXT, b"hello?")].concat());
        raw.upgraded();
        assert_eq!(raw.frame().text(), "a word before");
        assert_eq!(raw.frame().close(), (expected, "not today"));
        raw.close(expected, "");
        assert_eq!(raw.end(), End::Fin);
    }
    assert_eq!(server.handle.metrics().panics, 0);
}

#[test]
fn a_rejection_is_told_to_disconnected() {
    struct Rejecting(Recorder);
    impl Resource for Rejecting {
        fn connected(&self, _: &Client) -> Result<(), Reject> {
            Err(Reject::forbidden("no"))
        }
        fn disconnected(&self, client: &Client, closed: &Closed) {
            self.0.disconnected(client, closed);
        }
    }
    let (recorder, events) = Recorder::new(listen);
    let server = Server::builder().resource("/", Origin::any(), Rejecting(recorder));
    let server = Running::start(server);
    let mut ws = server.ws("/");
    assert_eq!(u16::from(ws::closed(&mut ws).unwrap().code), 1008);
    ended(&events, 1008, Cause::Rejected, true);
}

/// An end in the middle of a flood: the peer's library sees a clean close all the same.
#[test]
fn a_server_that_closes_a_busy_client_still_closes_it_cleanly() {
    let (server, events) = common::recording(Limits::default(), |client, heard| {
        if let Heard::Text("500") = heard {
            client.close(CloseCode::NORMAL, "enough");
        }
        echo(client, heard);
    });
    let mut ws = server.ws("/");
    for number in 0..1000 {
        ws.write(Message::text(number.to_string())).unwrap();
    }
    ws.flush().unwrap();
    for number in 0..500 {
        assert_eq!(ws.read().unwrap(), Message::text(number.to_string()));
    }
    let Message::Close(Some(said)) = ws.read().unwrap() else { panic!("a close frame") };
    assert_eq!((u16::from(said.code), &*said.reason), (1000, "enough"));
    assert!(matches!(ws.read(), Err(Error::ConnectionClosed)));
    ended(&events, 1000, Cause::Server, true);
}

/// A message that is never finished ends with 1008 when its time is up.
#[test]
fn an_unfinished_message_has_its_time() {
    let mut limits = Limits::default();
    limits.message_timeout = millis(200);
    let (server, events) = common::recording(limits, listen);
    let mut cut = server.raw("/");
    cut.send(&header(FIN | BINARY, 1000));
    cut.send(b"not all");
    let mut fragmented = server.raw("/");
    fragmented.send_frame(TEXT, b"not all");
    for raw in [&mut cut, &mut fragmented] {
        assert_eq!(raw.closed().0, 1008);
        let (_, closed) = events.skip_to_disconnected();
        assert!(matches!(closed.cause, Cause::Protocol(_)), "{closed:?}");
    }
}
