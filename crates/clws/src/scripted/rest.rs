//! When a session rests: an engine asks no more about one that rested before and after it was
//! served. What each of these brings about would be missed then.

use super::fairness::{offering, packed};
use super::{Call, Rig, frames, masked};
use crate::hub::Settings;
use crate::limits::Limits;
use crate::session::Transport;
use clws_proto::close::CloseCode;
use clws_proto::deflate::DeflateConfig;
use clws_proto::frame::OpCode::{Binary, Close, Ping, Pong, Text};
use std::sync::atomic::Ordering;
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn open(limits: Limits) -> Rig {
    let rig = Rig::open(limits, Rig::idle());
    assert!(rig.session.is_at_rest());
    rig
}

#[test]
fn a_client_that_is_answered_rests() {
    let mut rig = open(Limits::default());
    for input in [masked(Binary, b"echo"), masked(Ping, b"ping"), masked(Binary, &[1; 9000])] {
        rig.receive(&input);
        assert!(rig.session.is_at_rest());
        // The first byte of a frame is no message yet.
        rig.receive(&input[..1]);
        assert!(rig.session.is_at_rest());
        rig.receive(&input[1..]);
        assert!(rig.session.is_at_rest());
    }
}

#[test]
fn one_whose_pong_is_awaited_does_not_rest() {
    let mut rig = open(Limits::default());
    rig.pass(25 * SECOND);
    assert!(!rig.session.is_at_rest());
    rig.receive(&masked(Binary, b"a sign of life, but no pong"));
    assert!(!rig.session.is_at_rest());
    let (sent, _) = frames(&rig.take_sent());
    rig.receive(&masked(Pong, &sent[0].1));
    assert!(rig.session.is_at_rest());
}

#[test]
fn one_whose_message_is_unfinished_does_not_rest() {
    let message = masked(Binary, &[1; 300]);
    let mut rig = open(Limits::default());
    rig.receive(&message[..100]);
    assert!(!rig.session.is_at_rest());
    rig.receive(&message[100..]);
    assert!(rig.session.is_at_rest());
    let ping = masked(Ping, b"in two pieces");
    rig.receive(&ping[..8]);
    assert!(!rig.session.is_at_rest());
    rig.receive(&ping[8..]);
    assert!(rig.session.is_at_rest());
}

#[test]
fn one_whose_socket_is_full_does_not_rest() {
    let mut rig = open(Limits::default());
    rig.wire.room = 3;
    rig.receive(&masked(Binary, b"answer"));
    assert!(!rig.session.is_at_rest());
    rig.make_room(1000);
    assert!(rig.session.is_at_rest());
}

#[test]
fn one_that_is_paused_with_messages_received_does_not_rest() {
    let mut rig = open(Limits::default());
    rig.client().pause_reading();
    rig.receive(&masked(Binary, b"later"));
    assert!(!rig.session.is_at_rest());
    rig.client().resume_reading();
    rig.collect_mail();
    assert!(rig.session.is_at_rest());
}

#[test]
fn one_that_waits_for_drained_does_not_rest() {
    let limits = Limits { send_queue_high: 1000, send_queue_low: 100, ..Limits::default() };
    let mut rig = open(limits);
    let mut buffer = masked(Binary, &[1; 1000]);
    rig.kit.deal();
    rig.session.handle_input(&mut rig.kit, &mut buffer, &mut rig.wire);
    assert!(rig.session.is_drained() && !rig.session.is_at_rest());
    rig.turn();
    assert_eq!(rig.take_calls(), [Call::Binary(1000), Call::Drained]);
    assert!(rig.session.is_at_rest());
}

#[test]
fn one_that_keeps_a_history_does_not_rest() {
    for (ours, theirs) in [(false, false), (true, false), (false, true)] {
        let deflate = DeflateConfig {
            server_no_context_takeover: !ours,
            client_no_context_takeover: !theirs,
            ..DeflateConfig::default()
        };
        let settings = Settings { deflate, ..Settings::default() };
        let mut rig = Rig::with(settings, "127.0.0.1:9", &Transport::Tcp, Rig::idle());
        rig.receive(&offering());
        rig.receive(&packed(Binary, &[1; 9000]));
        assert_eq!(rig.session.is_at_rest(), !ours && !theirs);
    }
}

#[test]
fn one_that_is_about_to_leave_does_not_rest() {
    let limits =
        Limits { max_lifetime: Some(100 * SECOND), ping_interval: None, ..Limits::default() };
    let mut rig = open(limits);
    rig.keeps.store(true, Ordering::Relaxed);
    while !matches!(rig.take_calls()[..], [Call::Closing(..)]) {
        rig.pass(SECOND);
    }
    assert_eq!(rig.take_sent(), []);
    assert!(!rig.session.is_at_rest());
    rig.receive(&masked(Text, b"echo"));
    assert!(!rig.session.is_at_rest());
}

#[test]
fn one_that_closes_does_not_rest() {
    let mut rig = open(Limits::default());
    rig.receive(&masked(Close, &[3, 232]));
    assert!(!rig.session.is_at_rest());
    let mut rig = open(Limits::default());
    rig.client().close(CloseCode::NORMAL, "");
    rig.collect_mail();
    assert!(!rig.session.is_at_rest());
}
