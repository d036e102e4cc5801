//! Peers that leave without a word, at any byte: user code hears of it once, and nothing is left.

use super::{Call, REQUEST, Rig, masked};
use crate::limits::Limits;
use crate::resource::{Cause, Closed};
use crate::session::Fate;
use clws_proto::frame::OpCode::{Binary, Ping, Text};

/// Ends a connection after each number of bytes of a conversation; the wire takes `room`.
fn leave_at_every_byte(room: usize, leave: impl Fn(&mut Rig)) {
    let frames = [masked(Text, b"echo"), masked(Ping, b"ping"), masked(Binary, &[7; 300])];
    let stream = [REQUEST, &frames.concat()].concat();
    for cut in 0..=stream.len() {
        let limits = Limits { max_clients: Some(1), ..Limits::default() };
        let mut rig = Rig::new(limits, Rig::idle());
        rig.wire.room = room;
        rig.receive(&stream[..cut]);
        let connected = cut >= REQUEST.len();
        assert_eq!(rig.kit.hub.reserve().is_none(), connected, "cut at {cut}");
        leave(&mut rig);
        rig.look();
        assert_eq!(rig.fates, [Fate::Close], "cut at {cut}");
        assert_eq!(rig.session.deadline(), None, "cut at {cut}");
        assert!(!rig.session.wants_turn() && !rig.session.wants_read(), "cut at {cut}");
        let closed = Closed { code: 1006, reason: String::new(), cause: Cause::Lost, clean: false };
        let calls = rig.take_calls();
        let ends = calls.iter().filter(|call| **call == Call::Disconnected(closed.clone()));
        assert_eq!(ends.count(), usize::from(connected), "cut at {cut}: {calls:?}");
        assert_eq!(calls.first() == Some(&Call::Connected), connected, "cut at {cut}");
        assert!(rig.kit.hub.reserve().is_some(), "the place is free again, cut at {cut}");
        assert_eq!(rig.kit.hub.clients().len(), 0, "cut at {cut}");
        rig.writable();
        assert_eq!(rig.take_calls(), [], "cut at {cut}");
    }
}

#[test]
fn a_reset_at_any_byte_is_told_once() {
    for room in [usize::MAX, 200, 10] {
        leave_at_every_byte(room, |rig| rig.session.handle_error(&mut rig.kit));
    }
}

#[test]
fn an_end_without_a_close_frame_at_any_byte_is_told_once() {
    for room in [usize::MAX, 200, 10] {
        leave_at_every_byte(room, |rig| rig.session.handle_eof(&mut rig.kit));
    }
}

/// The reset is found out by the write: the peer was gone already.
#[test]
fn a_peer_that_is_found_gone_by_a_write_is_told_once() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.wire.broken = true;
    rig.receive(&masked(Text, b"echo").repeat(3));
    rig.session.handle_error(&mut rig.kit);
    rig.look();
    assert_eq!(rig.fates, [Fate::Close]);
    let calls = rig.take_calls();
    assert!(matches!(calls.last(), Some(Call::Disconnected(_))), "{calls:?}");
    assert_eq!(calls.iter().filter(|call| matches!(call, Call::Disconnected(_))).count(), 1);
}
