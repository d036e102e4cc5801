//! The process is stopped and goes on: nobody is given up for what could not be heard meanwhile.

use super::life::closed;
use super::{Call, REQUEST, Rig, frames, masked};
use crate::limits::Limits;
use crate::resource::Cause;
use crate::session::Fate;
use clws_proto::frame::OpCode::{Close, Ping, Pong, Text};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const STOP: Duration = Duration::from_secs(30);

#[test]
fn a_ping_that_could_not_be_answered_is_sent_again() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.pass(25 * SECOND);
    assert_eq!(frames(&rig.take_sent()).0[0].0, Ping);
    rig.stop(STOP);
    assert_eq!(rig.fates, []);
    rig.pass(25 * SECOND);
    let (sent, _) = frames(&rig.take_sent());
    assert_eq!((sent.len(), sent[0].0), (1, Ping));
    rig.receive(&masked(Pong, &sent[0].1));
    rig.pass(20 * SECOND);
    assert!(rig.client().is_open());
    // Who is really gone is found out one ping later.
    rig.pass(5 * SECOND);
    rig.stop(STOP);
    rig.pass(45 * SECOND);
    assert_eq!(closed(&mut rig).cause, Cause::Timeout);
}

#[test]
fn an_opening_handshake_is_forgiven_once() {
    let mut rig = Rig::new(Limits::default(), Rig::idle());
    rig.receive(&REQUEST[..20]);
    rig.stop(STOP);
    assert_eq!((rig.fates.len(), rig.wire.sent.len()), (0, 0));
    rig.pass(4 * SECOND);
    rig.receive(&REQUEST[20..]);
    assert_eq!(rig.take_calls(), [Call::Connected]);

    let mut rig = Rig::new(Limits::default(), Rig::idle());
    rig.receive(&REQUEST[..20]);
    rig.stop(STOP);
    rig.stop(STOP);
    assert!(rig.take_sent().starts_with(b"HTTP/1.1 408 "));
}

#[test]
fn an_unfinished_message_may_be_finished() {
    let message = masked(Text, b"echo");
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.receive(&message[..7]);
    rig.stop(STOP);
    rig.receive(&message[7..]);
    assert_eq!(frames(&rig.take_sent()).0, [(Text, b"echo".to_vec())]);
}

#[test]
fn a_reader_is_given_its_time_again() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.wire.room = 0;
    rig.receive(&masked(Text, b"echo"));
    rig.stop(STOP);
    assert_eq!(rig.fates, []);
    rig.pass(9 * SECOND);
    assert_eq!(rig.fates, []);
    rig.pass(SECOND);
    assert_eq!(rig.fates, [Fate::Abort]);
}

#[test]
fn the_answer_to_a_close_is_waited_for_again() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.client().close(crate::CloseCode::NORMAL, "");
    rig.collect_mail();
    rig.stop(STOP);
    assert_eq!(rig.fates, []);
    rig.receive(&masked(Close, b"\x03\xe8"));
    assert!(closed(&mut rig).clean);
    rig.stop(STOP);
    rig.pass(SECOND);
    assert_eq!(rig.fates, [Fate::HalfClose, Fate::Close]);
}

#[test]
fn idling_begins_anew_and_a_long_life_still_ends() {
    let limits = Limits { idle_timeout: Some(20 * SECOND), ..Limits::default() };
    let mut rig = Rig::open(limits, Rig::idle());
    rig.stop(STOP);
    assert!(rig.client().is_open());
    rig.pass(21 * SECOND);
    assert!(!rig.client().is_open());

    let limits = Limits { max_lifetime: Some(20 * SECOND), ..Limits::default() };
    let mut rig = Rig::open(limits, Rig::idle());
    rig.stop(STOP);
    assert!(!rig.client().is_open());
}
