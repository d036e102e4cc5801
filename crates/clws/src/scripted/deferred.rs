//! Small answers wait until the engine has read from others too; nothing else does.

use super::{Act, Call, Rig, frames, masked};
use crate::limits::Limits;
use crate::session::Fate;
use clws_proto::frame::OpCode::{Binary, Close, Ping, Pong, Text};
use std::time::Duration;

impl Rig {
    fn write_answers(&mut self) {
        self.answer();
        self.look();
    }
}

fn open() -> Rig {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.wire.writes = 0;
    rig
}

#[test]
fn small_answers_wait_and_leave_in_one_write() {
    let mut rig = open();
    let input = [masked(Binary, b"one"), masked(Ping, b"two"), masked(Binary, b"three")].concat();
    assert!(rig.receive_deferring(&input));
    assert_eq!(rig.wire.writes, 0);
    rig.write_answers();
    assert_eq!(rig.wire.writes, 1);
    let answers = [(Binary, &b"one"[..]), (Pong, b"two"), (Binary, b"three")];
    assert_eq!(frames(&rig.take_sent()), (answers.map(|(op, is)| (op, is.to_vec())).into(), 0));
    assert!(!rig.owns_buffers());
}

#[test]
fn what_has_no_answer_waits_for_nothing() {
    let mut rig = open();
    assert!(!rig.receive_deferring(&masked(Pong, b"")));
    assert!(!rig.owns_buffers());
}

#[test]
fn a_long_answer_leaves_at_once() {
    for (len, waits) in [(2000, true), (2100, false), (60_000, false)] {
        let mut rig = open();
        assert_eq!(rig.receive_deferring(&masked(Binary, &vec![7; len])), waits, "{len}");
        assert_eq!(rig.wire.sent.is_empty(), waits);
    }
    let mut rig = open();
    assert!(!rig.receive_deferring(&masked(Binary, &[7; 100]).repeat(25)));
    assert_eq!(frames(&rig.take_sent()).0.len(), 25);
}

#[test]
fn nothing_waits_beyond_the_low_mark() {
    let limits = Limits { send_queue_low: 100, ..Limits::default() };
    let mut rig = Rig::open(limits, Rig::idle());
    assert!(rig.receive_deferring(&masked(Binary, &[7; 90])));
    rig.write_answers();
    assert!(!rig.receive_deferring(&masked(Binary, &[7; 110])));
}

#[test]
fn an_answer_behind_what_the_socket_refused_does_not_wait() {
    let mut rig = open();
    rig.wire.room = 3;
    rig.receive(&masked(Binary, b"much"));
    assert!(!rig.receive_deferring(&masked(Binary, b"more")));
    rig.make_room(usize::MAX);
    let answers = vec![(Binary, b"much".to_vec()), (Binary, b"more".to_vec())];
    assert_eq!(frames(&rig.take_sent()), (answers, 0));
}

#[test]
fn what_the_socket_refuses_of_an_answer_that_waited_is_kept() {
    let mut rig = open();
    assert!(rig.receive_deferring(&masked(Binary, b"answer")));
    rig.wire.room = 3;
    rig.write_answers();
    assert_eq!((rig.take_sent().len(), rig.queued()), (3, 5));
    assert!(rig.session.wants_write());
}

#[test]
fn an_engine_that_has_nothing_to_write_of_it_may_ask_all_the_same() {
    let mut rig = open();
    rig.wire.room = 3;
    rig.receive(&masked(Binary, b"much"));
    rig.wire.room = usize::MAX;
    rig.write_answers();
    assert_eq!((rig.take_sent().len(), rig.queued()), (3, 3));
    assert!(rig.session.stall.is_some());
}

/// It is told as late as it is written.
#[test]
fn an_answer_that_waited_is_a_sign_of_life() {
    let minute = Duration::from_mins(1);
    let limits = Limits { idle_timeout: Some(minute), ping_interval: None, ..Limits::default() };
    let act: Act = Box::new(|client, call| {
        if matches!(call, Call::Pong(_)) {
            client.send_text("heard");
        }
    });
    let mut rig = Rig::open(limits, act);
    rig.pass(minute * 3 / 4);
    assert!(rig.receive_deferring(&masked(Pong, b"here")));
    rig.write_answers();
    rig.take_calls();
    rig.pass(minute * 3 / 4);
    assert_eq!(rig.take_calls(), []);
}

#[test]
fn a_close_waits_with_all_before_it() {
    let mut rig = open();
    let input = [masked(Binary, b"last"), masked(Close, &[3, 232])].concat();
    assert!(rig.receive_deferring(&input));
    rig.answer();
    let answers = vec![(Binary, b"last".to_vec()), (Close, vec![3, 232])];
    assert_eq!(frames(&rig.take_sent()), (answers, 0));
    rig.look();
    assert_eq!(rig.fates, [Fate::HalfClose]);
}

/// A peer that has all gets less time to go.
#[test]
fn a_close_that_the_socket_refuses_has_the_time_of_one_that_waits() {
    let mut rig = open();
    let limits = Limits::default();
    rig.wire.room = 1;
    rig.receive(&masked(Close, &[3, 232]));
    rig.pass(limits.linger_timeout.max(limits.close_timeout / 2));
    assert_eq!((rig.queued(), &rig.fates[..]), (3, &[][..]));
    rig.make_room(usize::MAX);
    assert_eq!(frames(&rig.take_sent()), (vec![(Close, vec![3, 232])], 0));
    assert_eq!(rig.fates, [Fate::HalfClose]);
}

/// The first answer is refused when the second, which is too long to wait, is to follow it.
#[test]
fn what_the_socket_refuses_stands_before_all_else() {
    let cases = [1000, 5000].map(|len| [0, 3, 9, 10, 11].map(|room| (len, room)));
    for (len, room) in cases.into_iter().flatten() {
        // Whoever may have no more waiting than this is written to between two messages.
        let limits = Limits { send_queue_low: 10, send_queue_high: 10, ..Limits::default() };
        let mut rig = Rig::open(limits, Rig::idle());
        rig.wire.room = room;
        let input = [masked(Binary, b"answer!!"), masked(Binary, &vec![7; len])].concat();
        assert_eq!(rig.receive_deferring(&input), room < 10, "{len} {room}");
        rig.write_answers();
        assert_eq!(rig.client().queued_bytes(), 10 + 4 + len - room);
        rig.make_room(usize::MAX);
        let answers = vec![(Binary, b"answer!!".to_vec()), (Binary, vec![7; len])];
        assert_eq!(frames(&rig.take_sent()), (answers, 0), "{len} {room}");
        assert_eq!(rig.client().queued_bytes(), 0);
    }
}

#[test]
fn an_answer_that_is_refused_gives_no_more_time_to_whoever_reads_too_slowly() {
    let act: Act = Box::new(|client, call| {
        if matches!(call, Call::Text(_)) {
            client.send_binary(&[7; 100]);
            client.send_binary(&[7; 100]);
        }
    });
    let limits = Limits { send_queue_low: 10, send_queue_high: 10, ..Limits::default() };
    let abort = limits.abort_timeout;
    let mut rig = Rig::open(limits, act);
    rig.wire.room = 1;
    assert!(rig.receive_deferring(&[masked(Binary, b"answer!!"), masked(Text, b"more")].concat()));
    rig.answer();
    assert_eq!(rig.session.deadline(), Some(rig.kit.now + abort));
    assert_eq!(rig.fates, []);
}

#[test]
fn an_answer_waits_although_more_messages_wait_for_their_turn() {
    let limits = Limits { turn_messages: 2, ..Limits::default() };
    let mut rig = Rig::open(limits, Rig::idle());
    assert!(rig.receive_deferring(&masked(Binary, b"x").repeat(3)));
    assert_eq!(rig.take_calls(), [Call::Binary(1), Call::Binary(1)]);
    rig.write_answers();
    assert_eq!(frames(&rig.take_sent()).0.len(), 3);
    assert_eq!(rig.take_calls(), [Call::Binary(1)]);
}

/// The worst that can become of an answer: its client is gone when it should be written.
#[test]
fn a_socket_that_breaks_meanwhile_ends_its_client() {
    let mut rig = open();
    assert!(rig.receive_deferring(&masked(Binary, b"answer")));
    rig.wire.broken = true;
    rig.write_answers();
    assert!(matches!(rig.take_calls()[..], [Call::Binary(6), Call::Disconnected(_)]));
    assert_eq!(rig.fates, [Fate::Close]);
}
