//! What a session makes of silence: pings, round trips, and how much room that takes.

use super::{Call, Rig, frames, masked};
use crate::client::Shared;
use crate::limits::Limits;
use crate::session::Session;
use clws_proto::frame::OpCode::{Ping, Pong, Text};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

/// Waits for the keepalive's ping and gives its payload.
fn ping(rig: &mut Rig) -> Vec<u8> {
    rig.pass(25 * SECOND);
    let (frames, _) = frames(&rig.take_sent());
    assert_eq!((frames.len(), frames[0].0), (1, Ping));
    frames[0].1.clone()
}

#[test]
fn the_latest_answered_ping_tells_the_round_trip() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    assert_eq!(rig.client().round_trip(), None);
    for millis in [40, 7] {
        let payload = ping(&mut rig);
        rig.pass(millis * MILLI);
        // Whatever comes before it or with it.
        rig.receive(&[masked(Text, b"a"), masked(Pong, &payload), masked(Text, b"b")].concat());
        assert_eq!(rig.client().round_trip(), Some(millis * MILLI));
    }
    let payload = ping(&mut rig);
    rig.receive(&masked(Pong, &payload));
    assert_eq!(rig.client().round_trip(), Some(MILLI / 1000), "never nothing once it is known");
}

#[test]
fn a_pong_that_answers_no_current_ping_tells_nothing() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    let first = ping(&mut rig);
    rig.pass(SECOND);
    rig.receive(&masked(Text, b"a sign of life, but no pong"));
    let second = ping(&mut rig);
    rig.pass(SECOND);
    rig.receive(&masked(Pong, &first));
    assert_eq!(rig.client().round_trip(), None);
    rig.receive(&masked(Pong, &second));
    assert_eq!(rig.client().round_trip(), Some(SECOND));
    rig.pass(SECOND);
    rig.receive(&masked(Pong, &second));
    assert_eq!(rig.client().round_trip(), Some(SECOND), "answered already");
    assert!(!rig.take_calls().iter().any(|call| matches!(call, Call::Pong(_))));
}

#[test]
fn what_was_not_listened_to_is_not_measured() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    let payload = ping(&mut rig);
    rig.client().pause_reading();
    rig.pass(30 * SECOND);
    rig.client().resume_reading();
    rig.collect_mail();
    rig.receive(&masked(Pong, &payload));
    assert_eq!(rig.client().round_trip(), None);
}

/// Every idle client holds these and little else, so each byte counts.
#[test]
fn an_idle_session_stays_small() {
    assert!(size_of::<Session>() <= 320, "{}", size_of::<Session>());
    assert!(size_of::<Shared>() <= 216, "{}", size_of::<Shared>());
}
