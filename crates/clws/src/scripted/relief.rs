//! What a session is counted for, and how it gives way when memory is short.

use super::{Call, REQUEST, Rig, frames, masked};
use crate::budget::{Charge, Holding};
use crate::limits::Limits;
use crate::resource::{Cause, Closed};
use crate::session::Fate;
use clws_proto::frame::OpCode::{self, Binary, Close, Ping, Text};
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const SECOND: Duration = Duration::from_secs(1);

fn closed(rig: &mut Rig) -> Closed {
    let calls = rig.take_calls();
    let Some(Call::Disconnected(closed)) = calls.last() else { panic!("{calls:?}") };
    closed.clone()
}

/// A message of 500,000 bytes but for its end, and the end.
fn long_message() -> (Vec<u8>, Vec<u8>) {
    let mut message = masked(Binary, &vec![7; 500_000]);
    let end = message.split_off(message.len() - 10);
    (message, end)
}

fn send_in_pieces(rig: &mut Rig, bytes: &[u8]) {
    bytes.chunks(60_000).for_each(|piece| rig.receive(piece));
}

#[test]
fn what_is_held_is_counted_and_counts_nothing_afterwards() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    let idle = rig.session.holding();
    assert_eq!((idle.waiting, idle.shared), (0, 0));
    assert!((REQUEST.len() / 2..4000).contains(&idle.kept), "{idle:?}");

    let (begun, end) = long_message();
    send_in_pieces(&mut rig, &begun);
    let Holding { kept, waiting, shared } = rig.session.holding();
    assert_eq!((kept, shared), (idle.kept, 0));
    assert!((499_990..1_100_000).contains(&waiting), "{waiting}");
    rig.wire.room = 1000;
    rig.receive(&end);
    let waiting = rig.session.holding().waiting;
    assert!((499_000..1_100_000).contains(&waiting), "the answer waits: {waiting}");
    rig.make_room(MIB);
    assert_eq!(rig.session.holding(), idle);

    rig.client().pause_reading();
    rig.receive(&masked(Text, &[b'x'; 5000]));
    assert!(rig.session.holding().waiting >= 5000);
    rig.client().resume_reading();
    rig.collect_mail();
    assert_eq!(rig.session.holding(), idle);
}

#[test]
fn an_unfinished_request_is_counted() {
    let mut rig = Rig::new(Limits::default(), Rig::idle());
    rig.receive(&[&REQUEST[..REQUEST.len() - 2], b"X: ", &[b'x'; 8000]].concat());
    assert!((8000..20_000).contains(&rig.session.holding().waiting));
    rig.session.handle_error(&mut rig.kit);
    assert_eq!(rig.session.holding().waiting, 0);
}

/// Messages to many are counted once, however many queues they wait in.
#[test]
fn what_is_sent_to_many_counts_itself() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    let total = rig.kit.hub.budget.total().clone();
    rig.wire.room = 0;
    crate::send_binary_to([rig.client()], &vec![1; 50_000]);
    assert!((50_000..50_020).contains(&total.bytes()), "{}", total.bytes());
    rig.collect_mail();
    let Holding { waiting, shared, .. } = rig.session.holding();
    assert!(waiting < 2000 && shared > 50_000, "{waiting} {shared}");
    assert!((50_000..50_020).contains(&total.bytes()));
    rig.make_room(MIB);
    assert_eq!((total.bytes(), rig.session.holding().shared), (0, 0));
}

#[test]
fn a_throttled_client_is_not_read_from_and_what_came_is_worked_off() {
    let mut rig = Rig::open(Limits { turn_messages: 1, ..Limits::default() }, Rig::idle());
    rig.kit.deal();
    let mut bytes = masked(Text, b"echo").repeat(3);
    rig.session.handle_input(&mut rig.kit, &mut bytes, &mut rig.wire);
    assert!(!rig.session.throttle(true));
    rig.turn();
    rig.turn();
    assert_eq!(frames(&rig.take_sent()).0.len(), 3);
    assert!(!rig.session.wants_read() && !rig.session.wants_turn());
    assert!(rig.session.throttle(false), "it goes on");
    assert!(rig.session.wants_read() && !rig.session.throttle(false));
}

/// Its silence is ours; but what is unfinished has its time, or memory would be held for ever.
#[test]
fn a_throttled_client_misses_no_ping_but_its_message_has_its_time() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.session.throttle(true);
    rig.pass(120 * SECOND);
    assert_eq!((rig.take_sent(), rig.fates.len()), (vec![], 0));
    rig.session.throttle(false);
    rig.receive(&long_message().0);
    rig.session.throttle(true);
    rig.pass(29 * SECOND);
    assert_eq!(rig.fates, []);
    rig.pass(SECOND);
    assert_eq!(closed(&mut rig).cause, Cause::Protocol(crate::ProtocolError::MessageTimeout));
}

fn close_code(frame: &(OpCode, Vec<u8>)) -> (OpCode, u16) {
    (frame.0, u16::from_be_bytes(*frame.1.first_chunk().unwrap()))
}

#[test]
fn a_client_that_reads_is_told_why_it_is_shed() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    send_in_pieces(&mut rig, &long_message().0);
    rig.session.shed(&mut rig.kit, &mut rig.wire);
    assert!(rig.session.holding().waiting == 0, "it holds nothing any more");
    rig.look();
    assert_eq!(close_code(&frames(&rig.take_sent()).0[0]), (Close, 1013));
    assert_eq!(closed(&mut rig).cause, Cause::Memory);
    assert_eq!(rig.fates, [Fate::HalfClose]);
    assert_eq!(rig.kit.hub.metrics().memory_shed, 1);
    rig.receive(&masked(Ping, b"not heard"));
    rig.pass(SECOND);
    assert_eq!(rig.fates, [Fate::HalfClose, Fate::Close]);
}

#[test]
fn a_client_that_does_not_read_is_reset_when_it_is_shed() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.wire.room = 0;
    rig.receive(&masked(Binary, &vec![1; 100_000]));
    assert!(rig.session.holding().waiting > 100_000);
    rig.session.shed(&mut rig.kit, &mut rig.wire);
    rig.look();
    assert_eq!((rig.fates.as_slice(), rig.session.holding().waiting), (&[Fate::Abort][..], 0));
    assert_eq!(closed(&mut rig).cause, Cause::Memory);
}

#[test]
fn a_request_that_is_shed_gets_503() {
    let mut rig = Rig::new(Limits::default(), Rig::idle());
    rig.receive(&REQUEST[..50]);
    rig.session.shed(&mut rig.kit, &mut rig.wire);
    rig.look();
    assert!(rig.take_sent().starts_with(b"HTTP/1.1 503 "));
    assert_eq!((rig.take_calls(), rig.fates.as_slice()), (vec![], &[Fate::HalfClose][..]));
}

#[test]
fn new_clients_are_refused_while_memory_is_short() {
    let limits = Limits { memory_budget: Some(MIB), ..Limits::default() };
    let mut rig = Rig::new(limits.clone(), Rig::idle());
    let others = Charge::new(rig.kit.hub.budget.total(), 7 * 128 * KIB);
    rig.receive(REQUEST);
    assert!(rig.take_sent().starts_with(b"HTTP/1.1 503 "));
    let metrics = rig.kit.hub.metrics();
    assert_eq!((metrics.refused, metrics.memory_refused), (1, 1));
    assert_eq!(metrics.memory_held, others.bytes() as u64);

    let mut rig = Rig::new(limits, Rig::idle());
    let _others = Charge::new(rig.kit.hub.budget.total(), 7 * 128 * KIB - 1);
    rig.receive(REQUEST);
    assert!(rig.take_sent().starts_with(b"HTTP/1.1 101 "));
}
