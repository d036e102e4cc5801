//! A session from the first byte to the last: handshakes, closes, deadlines.

use super::{Call, REQUEST, Rig, frames, masked};
use crate::limits::Limits;
use crate::resource::{Cause, Closed};
use crate::session::Fate;
use clws_proto::frame::OpCode::{Close, Ping, Text};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

pub(super) fn closed(rig: &mut Rig) -> Closed {
    let calls = rig.take_calls();
    let ends: Vec<_> = calls
        .iter()
        .filter_map(|call| match call {
            Call::Disconnected(closed) => Some(closed.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(ends.len(), 1, "{calls:?}");
    ends[0].clone()
}

#[test]
fn first_frames_may_come_with_the_request_cut_anywhere() {
    let stream = [REQUEST, &masked(Text, b"echo"), &masked(Text, b"two")].concat();
    for cut in 0..=stream.len() {
        let mut rig = Rig::new(Limits::default(), Rig::idle());
        rig.receive(&stream[..cut]);
        rig.receive(&stream[cut..]);
        let expected = [Call::Connected, Call::Text("echo".into()), Call::Text("two".into())];
        assert_eq!(rig.take_calls(), expected, "cut at {cut}");
        let sent = rig.take_sent();
        let head = sent.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert_eq!(frames(&sent[head..]).0, [(Text, b"echo".to_vec())]);
    }
}

#[test]
fn a_request_that_trickles_is_refused_when_its_time_is_up() {
    let mut rig = Rig::new(Limits::default(), Rig::idle());
    for byte in REQUEST.iter().take(4) {
        rig.receive(&[*byte]);
        rig.pass(SECOND);
    }
    assert!(rig.wire.sent.is_empty() && rig.fates.is_empty());
    rig.pass(SECOND);
    assert!(rig.take_sent().starts_with(b"HTTP/1.1 408 "));
    assert_eq!(rig.fates, [Fate::HalfClose]);
    rig.pass(SECOND);
    assert_eq!(rig.fates, [Fate::HalfClose, Fate::Close]);
    assert_eq!(rig.take_calls(), []);
}

#[test]
fn a_peer_that_says_nothing_is_told_nothing() {
    let mut rig = Rig::new(Limits::default(), Rig::idle());
    rig.pass(5 * SECOND);
    assert_eq!((rig.fates.as_slice(), rig.wire.sent.len()), (&[Fate::Close][..], 0));
}

#[test]
fn a_refused_handshake_gets_one_response_whatever_follows() {
    let wrong = String::from_utf8_lossy(REQUEST).replace("/test", "/other");
    let mut rig = Rig::new(Limits::default(), Rig::idle());
    rig.receive(&[wrong.as_bytes(), REQUEST, &masked(Text, b"echo")].concat());
    rig.receive(REQUEST);
    let answer = String::from_utf8(rig.take_sent()).unwrap();
    assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{answer}");
    assert!(answer.starts_with("HTTP/1.1 404 "));
    assert_eq!(rig.take_calls(), []);
}

#[test]
fn section_7_1_1_the_server_shuts_its_side_down_first_and_waits_a_little() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.receive(&masked(Close, b"\x0b\xb8bye"));
    assert_eq!(frames(&rig.take_sent()).0, [(Close, b"\x0b\xb8".to_vec())]);
    let expected = Closed { code: 3000, reason: "bye".into(), cause: Cause::Peer, clean: true };
    assert_eq!(closed(&mut rig), expected);
    assert_eq!(rig.fates, [Fate::HalfClose]);
    rig.receive(&masked(Text, b"after the end"));
    assert_eq!(rig.take_calls(), []);
    rig.pass(SECOND);
    assert_eq!(rig.fates, [Fate::HalfClose, Fate::Close]);
}

#[test]
fn a_peer_that_never_answers_a_close_is_gone_in_five_seconds() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.client().close(crate::CloseCode::NORMAL, "");
    rig.collect_mail();
    rig.pass(4 * SECOND);
    assert_eq!((rig.fates.len(), rig.take_calls()), (0, vec![]));
    rig.pass(SECOND);
    assert_eq!(rig.fates, [Fate::Close]);
    let expected = Closed { code: 1006, reason: String::new(), cause: Cause::Server, clean: false };
    assert_eq!(closed(&mut rig), expected);
}

#[test]
fn a_peer_that_sends_for_ever_after_the_close_is_gone_too() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.receive(&masked(Close, b""));
    for _ in 0..10 {
        rig.pass(SECOND / 10);
        rig.receive(&masked(Text, &[b'x'; 1000]));
    }
    assert_eq!(rig.fates, [Fate::HalfClose, Fate::Close]);
}

#[test]
fn a_violation_is_answered_with_its_code_and_ends_the_client() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.receive(b"\x81\x05hello");
    let (frames, _) = frames(&rig.take_sent());
    assert_eq!((frames[0].0, &frames[0].1[..2]), (Close, &1002_u16.to_be_bytes()[..]));
    let cause = Cause::Protocol(crate::ProtocolError::Unmasked);
    let expected = Closed { code: 1006, reason: String::new(), cause, clean: false };
    assert_eq!(closed(&mut rig), expected);
    assert_eq!(rig.fates, [Fate::HalfClose]);
}

#[test]
fn a_panic_costs_its_client_and_nobody_else() {
    let panics = Box::new(|_: &crate::Client, call: &Call| {
        assert!(!matches!(call, Call::Text(_)), "as the test wants it");
    });
    let mut rig = Rig::open(Limits::default(), panics);
    rig.receive(&[masked(Text, b"boom"), masked(Text, b"unseen")].concat());
    let (frames, _) = frames(&rig.take_sent());
    assert_eq!((frames[0].0, &frames[0].1[..2]), (Close, &1011_u16.to_be_bytes()[..]));
    rig.receive(&masked(Close, b"\x03\xf3"));
    assert_eq!(closed(&mut rig).cause, Cause::Panic);
    assert_eq!(rig.kit.hub.counters.snapshot().panics, 1);
    assert!(!rig.owns_buffers());
}

#[test]
fn a_silent_peer_is_pinged_and_then_given_up() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.pass(25 * SECOND);
    assert_eq!(frames(&rig.take_sent()).0[0].0, Ping);
    rig.pass(19 * SECOND);
    assert_eq!(rig.fates, []);
    rig.pass(SECOND);
    assert_eq!(rig.fates, [Fate::Close]);
    assert_eq!(closed(&mut rig).cause, Cause::Timeout);
}

#[test]
fn a_peer_that_takes_nothing_of_what_waits_is_reset_after_ten_seconds() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.wire.room = 0;
    rig.receive(&masked(Text, b"echo"));
    rig.pass(9 * SECOND);
    rig.receive(&masked(Ping, b"alive but not reading"));
    assert_eq!(rig.fates, []);
    rig.pass(SECOND);
    assert_eq!(rig.fates, [Fate::Abort]);
    assert_eq!(closed(&mut rig).cause, Cause::Timeout);
}

#[test]
fn a_peer_that_takes_a_little_now_and_then_stays() {
    let limits = Limits { min_drain_rate: None, ..Limits::default() };
    let mut rig = Rig::open(limits, Rig::idle());
    rig.wire.room = 0;
    rig.receive(&masked(clws_proto::frame::OpCode::Binary, &[0; 20]));
    for _ in 0..20 {
        rig.pass(9 * SECOND);
        rig.make_room(1);
        rig.receive(&masked(Ping, b""));
    }
    assert_eq!(rig.fates, []);
}

#[test]
fn shutdown_says_1001_to_clients_and_503_to_those_who_come() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.drain(crate::Drain::default());
    let (frames, _) = frames(&rig.take_sent());
    assert_eq!((frames[0].0, &frames[0].1[..2]), (Close, &1001_u16.to_be_bytes()[..]));
    rig.receive(&masked(Close, b"\x03\xe9"));
    let closed = closed(&mut rig);
    assert_eq!((closed.cause, closed.clean), (Cause::Shutdown, true));

    let mut rig = Rig::new(Limits::default(), Rig::idle());
    rig.receive(&REQUEST[..20]);
    rig.drain(crate::Drain::default());
    assert!(rig.take_sent().starts_with(b"HTTP/1.1 503 "));
}
