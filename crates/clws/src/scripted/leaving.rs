//! Ends that the clock brings about: idle clients, long lives, and what must not be lost by them.

use super::life::closed;
use super::{Act, Call, Rig, frames, masked};
use crate::limits::Limits;
use crate::resource::Cause;
use crate::session::Fate;
use clws_proto::frame::OpCode::{Close, Ping, Pong, Text};
use std::sync::atomic::Ordering;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
/// Longer than a second by the step that these moments are kept in.
const ROUNDED: Duration = Duration::from_millis(1100);
const IDLE: &str = "idle for too long";
const LIFETIME: &str = "connected for long enough";

fn idle() -> Limits {
    Limits { idle_timeout: Some(60 * SECOND), ping_interval: None, ..Limits::default() }
}

fn short_life() -> Limits {
    Limits { max_lifetime: Some(100 * SECOND), ping_interval: None, ..Limits::default() }
}

/// What was sent must be these texts and then a close.
#[track_caller]
pub(super) fn assert_sent(rig: &mut Rig, texts: &[&str], code: u16, reason: &str) {
    let (frames, left) = frames(&rig.take_sent());
    let mut expected: Vec<_> = texts.iter().map(|text| (Text, text.as_bytes().to_vec())).collect();
    expected.push((Close, [&code.to_be_bytes(), reason.as_bytes()].concat()));
    assert_eq!((frames, left), (expected, 0));
}

/// Lets it answer the close, and gives why it ended.
#[track_caller]
pub(super) fn answer(rig: &mut Rig) -> Cause {
    rig.receive(&masked(Close, b"\x03\xe9"));
    let closed = closed(rig);
    assert!(closed.clean, "{closed:?}");
    closed.cause
}

#[test]
fn an_idle_client_is_closed_and_not_before_its_time() {
    let mut rig = Rig::open(idle(), Rig::idle());
    rig.pass(59 * SECOND);
    assert_eq!(rig.take_sent(), []);
    rig.pass(ROUNDED);
    assert_eq!(rig.take_calls(), [Call::Closing(1001, IDLE.into())]);
    assert_sent(&mut rig, &[], 1001, IDLE);
    assert_eq!(answer(&mut rig), Cause::Idle);
}

#[test]
fn pings_and_pongs_are_no_messages() {
    let limits = Limits { ping_interval: Some(25 * SECOND), ..idle() };
    let mut rig = Rig::open(limits, Rig::idle());
    for _ in 0..2 {
        rig.pass(25 * SECOND);
        let (frames, _) = frames(&rig.take_sent());
        rig.receive(&masked(Pong, &frames[0].1));
    }
    rig.receive(&masked(Ping, b"peer's"));
    rig.client().ping(b"program's");
    rig.collect_mail();
    rig.take_sent();
    rig.pass(11 * SECOND);
    assert_sent(&mut rig, &[], 1001, IDLE);
}

/// A way of talking and its name.
type Talk = (&'static str, fn(&mut Rig));

#[test]
fn a_message_either_way_is_no_idling() {
    let talk: [Talk; 4] = [
        ("heard", |rig| rig.receive(&masked(Text, b"hello"))),
        ("answered", |rig| rig.receive(&masked(Text, b"echo"))),
        ("told", |rig| _ = rig.client().send_text("news")),
        ("told with others", |rig| _ = crate::send_text_to([rig.client()], "news")),
    ];
    for (how, talk) in talk {
        let mut rig = Rig::open(idle(), Rig::idle());
        for _ in 0..60 {
            rig.pass(59 * SECOND);
            talk(&mut rig);
            rig.collect_mail();
        }
        assert!(rig.client().is_open(), "{how}");
        rig.pass(61 * SECOND);
        assert!(!rig.client().is_open(), "{how}");
    }
}

#[test]
fn a_client_that_is_not_listened_to_does_not_idle() {
    let mut rig = Rig::open(idle(), Rig::idle());
    rig.client().pause_reading();
    rig.pass(600 * SECOND);
    assert!(rig.client().is_open());
    rig.client().resume_reading();
    rig.collect_mail();
    rig.pass(59 * SECOND);
    assert!(rig.client().is_open());
    rig.pass(ROUNDED);
    assert!(!rig.client().is_open());
}

#[test]
fn a_message_that_has_come_when_the_time_is_up_keeps_the_client() {
    let mut rig = Rig::open(idle(), Rig::idle());
    rig.reads_out = false;
    rig.pass(60 * SECOND);
    rig.receive(&masked(Text, b"echo"));
    rig.read_out();
    assert_eq!(frames(&rig.take_sent()).0, [(Text, b"echo".to_vec())]);
    rig.pass(59 * SECOND);
    assert!(rig.client().is_open());
    rig.pass(ROUNDED);
    assert_sent(&mut rig, &[], 1001, IDLE);
}

#[test]
fn a_long_life_ends_up_to_a_tenth_early_and_never_late() {
    let mut ends = Vec::new();
    for number in 0..50 {
        let mut rig = Rig::open_behind(number, short_life(), Rig::idle());
        for second in 0..=100 {
            rig.receive(&masked(Text, b"busy"));
            if !rig.client().is_open() {
                ends.push(second);
                break;
            }
            rig.pass(SECOND);
        }
        assert_sent(&mut rig, &[], 1001, LIFETIME);
        assert_eq!(answer(&mut rig), Cause::Lifetime);
    }
    assert!(ends.iter().all(|second| (90..=101).contains(second)), "{ends:?}");
    ends.sort_unstable();
    ends.dedup();
    assert!(ends.len() > 5, "they are spread: {ends:?}");
}

#[test]
fn what_had_come_is_answered_before_the_close() {
    let mut rig = Rig::open(short_life(), Rig::idle());
    rig.reads_out = false;
    rig.pass(100 * SECOND);
    for _ in 0..3 {
        rig.receive(&masked(Text, b"echo"));
    }
    rig.read_out();
    assert_sent(&mut rig, &["echo"; 3], 1001, LIFETIME);
    rig.receive(&masked(Text, b"echo"));
    assert_eq!(rig.take_sent(), [], "after the close frame nothing is answered");
}

#[test]
fn what_is_on_its_way_from_elsewhere_arrives_before_the_close() {
    let mut rig = Rig::open(short_life(), Rig::idle());
    rig.pass(85 * SECOND);
    assert!(rig.client().send_text("late").is_sent());
    rig.pass(15 * SECOND);
    assert_eq!(rig.take_calls(), [Call::Closing(1001, LIFETIME.into())]);
    assert!(!rig.client().send_text("too late").is_sent());
    rig.collect_mail();
    assert_sent(&mut rig, &["late"], 1001, LIFETIME);
    assert_eq!(answer(&mut rig), Cause::Lifetime);
}

#[test]
fn who_never_stops_sending_is_closed_at_the_last_call() {
    let mut rig = Rig::open(short_life(), Rig::idle());
    rig.reads_out = false;
    rig.pass(100 * SECOND);
    assert!(rig.client().is_open());
    rig.pass(5 * SECOND);
    assert_sent(&mut rig, &[], 1001, LIFETIME);
    rig.pass(5 * SECOND);
    assert_eq!(rig.fates, [Fate::Close]);
    assert_eq!(closed(&mut rig).cause, Cause::Lifetime);
}

#[test]
fn a_client_the_program_does_not_read_from_is_not_waited_for() {
    let mut rig = Rig::open(short_life(), Rig::idle());
    rig.reads_out = false;
    rig.client().pause_reading();
    rig.pass(100 * SECOND);
    assert_sent(&mut rig, &[], 1001, LIFETIME);
}

#[test]
fn a_resource_may_say_goodbye_and_close_by_itself_later() {
    let goodbye: fn() -> Act = || {
        Box::new(|client, call| {
            if matches!(call, Call::Closing(..)) {
                client.send_text("goodbye");
            }
        })
    };
    let mut rig = Rig::open(short_life(), goodbye());
    rig.pass(100 * SECOND);
    assert_sent(&mut rig, &["goodbye"], 1001, LIFETIME);

    let mut rig = Rig::open(short_life(), goodbye());
    rig.keeps.store(true, Ordering::Relaxed);
    rig.pass(100 * SECOND);
    assert_eq!(frames(&rig.take_sent()).0, [(Text, b"goodbye".to_vec())]);
    rig.client().send_text("more");
    rig.client().close(crate::CloseCode::GOING_AWAY, "mine");
    rig.collect_mail();
    assert_sent(&mut rig, &["more"], 1001, "mine");
    assert_eq!(answer(&mut rig), Cause::Lifetime);

    let mut rig = Rig::open(short_life(), Rig::idle());
    rig.keeps.store(true, Ordering::Relaxed);
    rig.pass(100 * SECOND);
    assert!(rig.client().is_open());
    rig.pass(5 * SECOND);
    assert_sent(&mut rig, &[], 1001, LIFETIME);
}

#[test]
fn a_panic_while_it_is_told_costs_the_client() {
    let panics: Act = Box::new(|_, call| {
        assert!(!matches!(call, Call::Closing(..)), "as the test wants it");
    });
    let mut rig = Rig::open(short_life(), panics);
    rig.pass(100 * SECOND);
    let (frames, _) = frames(&rig.take_sent());
    assert_eq!((frames[0].0, &frames[0].1[..2]), (Close, &1011_u16.to_be_bytes()[..]));
    assert_eq!(answer(&mut rig), Cause::Panic);
}
