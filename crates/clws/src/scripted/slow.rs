//! Peers that take a little of what waits, and go on to: `min_drain_rate`.

use super::life::closed;
use super::{Rig, masked};
use crate::limits::Limits;
use crate::resource::Cause;
use crate::session::Fate;
use clws_proto::frame::OpCode::{Binary, Ping};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn limits() -> Limits {
    Limits { min_drain_rate: Some(256), ..Limits::default() }
}

/// A session for whose peer `waiting` bytes wait, none of which it has taken.
fn stalled(limits: Limits, waiting: usize) -> Rig {
    let mut rig = Rig::open(limits, Rig::idle());
    rig.wire.room = 0;
    rig.receive(&masked(Binary, &vec![7; waiting]));
    assert!(rig.session.wants_write());
    rig
}

/// A second passes, in which the peer speaks; then it takes `bytes`.
fn take(rig: &mut Rig, bytes: usize) {
    rig.pass(SECOND);
    rig.receive(&masked(Ping, b""));
    if rig.fates.is_empty() {
        rig.make_room(bytes);
    }
}

#[test]
fn a_peer_that_takes_less_than_the_rate_is_reset() {
    let mut rig = stalled(limits(), 100_000);
    for _ in 0..9 {
        take(&mut rig, 255);
        assert_eq!(rig.fates, []);
    }
    take(&mut rig, 255);
    assert_eq!(rig.fates, [Fate::Abort]);
    let closed = closed(&mut rig);
    assert_eq!((closed.cause, closed.code, closed.clean), (Cause::Timeout, 1006, false));
}

#[test]
fn a_peer_that_takes_as_much_as_the_rate_stays_until_it_is_done() {
    const WAITING: usize = 100_000;
    let mut rig = stalled(limits(), WAITING);
    let mut seconds = 0;
    while rig.session.wants_write() {
        // A byte more, as what it takes after a window's last moment counts for the next.
        take(&mut rig, if seconds % 10 == 8 { 512 } else { 256 });
        seconds += 1;
        assert_eq!(rig.fates, [], "after {seconds} s");
    }
    assert!(seconds > 300 && rig.wire.sent.len() > WAITING);
}

/// What it took in excess counts for one window more, however much it was.
#[test]
fn a_link_that_stood_still_may_recover_but_nobody_lives_on_the_past() {
    let mut rig = stalled(limits(), 1 << 20);
    for _ in 0..3 {
        (0..9).for_each(|_| take(&mut rig, 10_000));
        rig.pass(8 * SECOND);
        (0..3).for_each(|_| take(&mut rig, 100));
        assert_eq!(rig.fates, []);
    }
    (0..9).for_each(|_| take(&mut rig, 10_000));
    let fast = rig.wire.sent.len();
    let mut seconds = 0;
    while rig.fates.is_empty() {
        take(&mut rig, 100);
        seconds += 1;
    }
    assert_eq!(rig.fates, [Fate::Abort]);
    assert!((10..=30).contains(&seconds), "{seconds} s");
    assert!(fast < rig.wire.sent.len() && rig.wire.sent.len() < fast + 3000);
}

#[test]
fn a_peer_that_stops_has_its_time_from_what_it_took_last() {
    let mut rig = stalled(limits(), 1 << 20);
    (0..17).for_each(|_| take(&mut rig, 1000));
    for _ in 0..9 {
        take(&mut rig, 0);
        assert_eq!(rig.fates, []);
    }
    take(&mut rig, 0);
    assert_eq!(rig.fates, [Fate::Abort]);
}

#[test]
fn a_peer_that_takes_what_there_is_may_take_little() {
    let mut rig = Rig::open(limits(), Rig::idle());
    for _ in 0..50 {
        rig.wire.room = 0;
        rig.receive(&masked(Binary, b"a few bytes"));
        rig.pass(9 * SECOND);
        assert_eq!(rig.fates, []);
        rig.make_room(usize::MAX);
        assert!(!rig.session.wants_write());
    }
    assert!(rig.client().is_open());
}

#[test]
fn what_filled_the_socket_is_not_held_in_favour_of_the_peer() {
    let mut rig = Rig::open(limits(), Rig::idle());
    rig.wire.room = 50_000;
    rig.receive(&masked(Binary, &vec![7; 100_000]));
    for _ in 0..10 {
        take(&mut rig, 100);
    }
    assert_eq!(rig.fates, [Fate::Abort]);
}

/// The system says that a socket takes more once a third of its buffer is free: a slow peer on a
/// far way needs longer for that than the server's patience.
#[test]
fn room_that_was_not_told_of_counts() {
    for min_drain_rate in [None, Some(256)] {
        let mut rig = stalled(Limits { min_drain_rate, ..Limits::default() }, 100_000);
        for _ in 0..10 {
            rig.wire.room = 3000;
            rig.pass(10 * SECOND);
            rig.receive(&masked(Ping, b""));
            assert_eq!(rig.fates, [], "{min_drain_rate:?}");
        }
        rig.pass(10 * SECOND);
        assert_eq!(rig.fates, [Fate::Abort]);
    }
}

/// A dead peer's last bytes were not taken when they were found to be, up to ten seconds later.
#[test]
fn room_that_is_found_late_is_no_second_patience() {
    let mut rig = stalled(limits(), 100_000);
    rig.wire.room = 3000;
    for _ in 0..10 {
        rig.pass(SECOND);
        assert_eq!(rig.fates, []);
    }
    rig.pass(SECOND);
    assert_eq!(rig.fates, [Fate::Abort]);
}

#[test]
fn a_stop_of_the_process_begins_the_window_anew() {
    let mut rig = stalled(limits(), 100_000);
    for _ in 0..9 {
        take(&mut rig, 100);
    }
    rig.stop(30 * SECOND);
    for _ in 0..9 {
        take(&mut rig, 100);
    }
    assert_eq!(rig.fates, []);
    take(&mut rig, 100);
    assert_eq!(rig.fates, [Fate::Abort]);
}
