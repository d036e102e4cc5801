//! A drain as one session sees it: its moment, its last call, its deadline, and what is counted.

use super::leaving::{answer, assert_sent};
use super::life::closed;
use super::{Call, REQUEST, Rig, frames, masked};
use crate::limits::Limits;
use crate::resource::Cause;
use crate::session::Fate;
use crate::{CloseCode, Drain, DrainReport};
use clws_proto::frame::OpCode::Text;
use std::sync::atomic::Ordering;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const REASON: &str = "a new version comes";

fn quiet() -> Limits {
    Limits { ping_interval: None, ..Limits::default() }
}

fn drain(over: u64, deadline: Option<u64>) -> Drain {
    Drain {
        over: Duration::from_secs(over),
        deadline: deadline.map(Duration::from_secs),
        code: CloseCode::RESTART,
        reason: REASON.into(),
    }
}

fn report(rig: &Rig) -> DrainReport {
    rig.kit.hub.tally.report()
}

#[test]
fn each_client_is_closed_at_a_moment_of_its_own_within_the_window() {
    let mut ends = Vec::new();
    for others in 0..50 {
        let mut rig = Rig::open_behind(others, quiet(), Rig::idle());
        rig.drain(drain(100, None));
        let mut second = 0;
        while rig.client().is_open() {
            rig.receive(&masked(Text, b"echo"));
            assert_eq!(frames(&rig.take_sent()).0, [(Text, b"echo".to_vec())]);
            rig.pass(SECOND);
            second += 1;
        }
        assert_eq!(rig.take_calls().pop(), Some(Call::Closing(1012, REASON.into())));
        assert_sent(&mut rig, &[], 1012, REASON);
        assert_eq!(answer(&mut rig), Cause::Shutdown);
        assert_eq!(report(&rig).clean, 1);
        ends.push(second);
    }
    assert!(ends.iter().all(|second| *second <= 101), "{ends:?}");
    ends.sort_unstable();
    ends.dedup();
    assert!(ends.len() > 25, "they are spread: {ends:?}");
}

#[test]
fn without_a_window_the_moment_is_now_behind_what_had_come() {
    let mut rig = Rig::open(quiet(), Rig::idle());
    rig.reads_out = false;
    rig.drain(drain(0, None));
    assert!(rig.session.is_reading_out());
    for _ in 0..3 {
        rig.receive(&masked(Text, b"echo"));
    }
    rig.read_out();
    assert_sent(&mut rig, &["echo"; 3], 1012, REASON);
    assert_eq!(answer(&mut rig), Cause::Shutdown);
}

#[test]
fn a_client_that_is_held_is_read_to_the_end_first() {
    let limits = Limits { send_queue_high: 64, send_queue_low: 16, ..quiet() };
    let mut rig = Rig::open(limits, Rig::idle());
    rig.wire.room = 0;
    let many: Vec<u8> = (0..40).flat_map(|_| masked(Text, b"echo")).collect();
    rig.receive(&many);
    assert!(!rig.session.wants_read());
    rig.drain(drain(0, None));
    assert!(rig.client().is_open(), "what is kept has not been answered");
    while rig.client().is_open() {
        rig.make_room(20);
    }
    rig.make_room(usize::MAX / 2);
    assert_sent(&mut rig, &["echo"; 40], 1012, REASON);
}

#[test]
fn at_the_last_call_it_is_closed_whatever_is_left() {
    for (deadline, last) in [(None, 5), (Some(60), 55), (Some(2), 1)] {
        let mut rig = Rig::open(quiet(), Rig::idle());
        rig.keeps.store(true, Ordering::Relaxed);
        rig.drain(drain(0, deadline));
        if last > 1 {
            rig.pass((last - 1) * SECOND);
            assert!(rig.client().is_open(), "{deadline:?}");
        }
        rig.pass(SECOND + SECOND / 5);
        assert_sent(&mut rig, &[], 1012, REASON);
    }
}

#[test]
fn what_is_left_at_the_deadline_is_reset_and_counted() {
    let mut rig = Rig::open(quiet(), Rig::idle());
    rig.drain(drain(0, Some(3)));
    assert_sent(&mut rig, &[], 1012, REASON);
    rig.pass(3 * SECOND);
    rig.session.cut_off(&mut rig.kit);
    rig.look();
    assert_eq!(rig.fates, [Fate::Abort]);
    let closed = closed(&mut rig);
    assert_eq!((closed.cause, closed.clean), (Cause::Shutdown, false));
    assert_eq!((report(&rig).forced, report(&rig).clean), (1, 0));
    rig.session.cut_off(&mut rig.kit);
    assert_eq!(report(&rig).forced, 1, "once");
}

#[test]
fn a_client_that_has_answered_is_not_forced() {
    let mut rig = Rig::open(quiet(), Rig::idle());
    rig.drain(drain(0, Some(3)));
    rig.take_sent();
    answer(&mut rig);
    rig.session.cut_off(&mut rig.kit);
    rig.look();
    assert_eq!(rig.fates, [Fate::HalfClose, Fate::Close]);
    assert_eq!((report(&rig).forced, report(&rig).clean), (0, 1));
}

#[test]
fn a_second_drain_hastens_the_first_and_changes_no_words() {
    let mut rig = Rig::open(quiet(), Rig::idle());
    rig.drain(drain(1_000_000, Some(2_000_000)));
    rig.pass(SECOND);
    assert!(rig.client().is_open());
    rig.drain(drain(2_000_000, Some(100)));
    rig.pass(SECOND);
    assert!(rig.client().is_open(), "a later moment changes nothing");
    assert_eq!(rig.kit.drain.as_ref().unwrap().deadline, Some(rig.kit.now + 99 * SECOND));
    rig.drain(Drain::default());
    assert_sent(&mut rig, &[], 1012, REASON);
    assert_eq!(rig.kit.drain.as_ref().unwrap().deadline, Some(rig.kit.now + 99 * SECOND));
}

#[test]
fn a_drain_overrides_idling() {
    let limits = Limits { idle_timeout: Some(10 * SECOND), ..quiet() };
    let mut rig = Rig::open(limits, Rig::idle());
    rig.reads_out = false;
    rig.pass(11 * SECOND);
    assert!(rig.session.is_reading_out());
    rig.drain(drain(0, None));
    rig.read_out();
    assert_sent(&mut rig, &[], 1012, REASON);
}

#[test]
fn unfinished_handshakes_are_refused_and_counted() {
    for cut in [0, 1, 20, REQUEST.len() - 1] {
        let mut rig = Rig::new(quiet(), Rig::idle());
        rig.receive(&REQUEST[..cut]);
        rig.drain(drain(100, None));
        assert!(rig.take_sent().starts_with(b"HTTP/1.1 503 "));
        assert_eq!((report(&rig).refused, report(&rig).clean), (1, 0));
        rig.receive(&REQUEST[cut..]);
        assert_eq!((rig.take_calls(), report(&rig).refused), (vec![], 1));
    }
}
