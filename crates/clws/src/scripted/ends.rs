//! How a stream over TLS ends: all that came before its end is heard, as over plain TCP, and no
//! message is heard that did not come whole.

use super::fairness::{offering, packed};
use super::secure::{Pair, VERSIONS};
use super::{Call, REQUEST, frames, masked};
use crate::client::Client;
use crate::limits::Limits;
use crate::resource::{Accept, Cause};
use crate::session::Fate;
use clws_proto::frame::OpCode::{Binary, Text};
use rustls::version;

impl Pair {
    /// A session whose handshakes are done and whose resource does this at each call.
    fn acting(act: impl Fn(&Client, &Call) + Send + Sync + 'static) -> Self {
        let mut pair = Self::with(&version::TLS13, Limits::default(), Box::new(act));
        pair.shake_hands(REQUEST);
        pair
    }

    /// The client says all of it and then its end; one read brings everything.
    fn say_last(&mut self, plain: &[u8]) {
        self.say(plain);
        self.tls.send_close_notify();
        let flight = self.flight();
        self.rig.receive(&flight);
    }

    /// What was heard of a client that is gone, up to its end.
    fn heard_of_gone(&mut self) -> Vec<Call> {
        let mut calls = self.rig.take_calls();
        let Some(Call::Disconnected(closed)) = calls.pop() else { panic!("{calls:?}") };
        assert_eq!((closed.code, closed.cause, closed.clean), (1006, Cause::Lost, false));
        assert_eq!(self.rig.fates, [Fate::Close]);
        assert!(self.rig.session.queue.is_none() && self.rig.session.stash.is_none());
        calls
    }

    fn is_told_the_end(&mut self) -> bool {
        self.hear();
        self.tls.process_new_packets().unwrap().peer_has_closed()
    }
}

fn echoes(count: usize) -> (Vec<u8>, Vec<Call>) {
    (masked(Text, b"echo").repeat(count), vec![Call::Text("echo".into()); count])
}

/// So many messages come with the end: all are heard and answered, and then it is acted on.
fn assert_heard_before_the_end(count: usize) {
    for version in VERSIONS {
        let mut pair = Pair::open(version, Limits::default());
        let (messages, calls) = echoes(count);
        pair.say_last(&messages);
        assert_eq!(pair.heard_of_gone(), calls);
        assert!(pair.is_told_the_end());
        assert_eq!(frames(&pair.read), (vec![(Text, b"echo".to_vec()); count], 0));
    }
}

#[test]
fn an_end_that_comes_with_a_flood_is_acted_on_behind_it() {
    assert_heard_before_the_end(1000);
}

/// One small answer, which might wait for others, goes before it.
#[test]
fn a_message_that_comes_with_the_end_is_answered_before_it() {
    assert_heard_before_the_end(1);
}

/// Turn by turn, and nothing of what may follow an end is read before it is acted on.
#[test]
fn an_end_waits_for_its_turn() {
    let mut pair = Pair::open(&version::TLS13, Limits::default());
    let (flood, _) = echoes(100);
    pair.say(&flood);
    pair.tls.send_close_notify();
    let (mut flight, rig) = (pair.flight(), &mut pair.rig);
    rig.kit.deal();
    rig.session.handle_input(&mut rig.kit, &mut flight, &mut rig.wire);
    for _ in 0..3 {
        assert_eq!(rig.take_calls().len(), 32);
        assert!(rig.session.wants_turn() && !rig.session.wants_read());
        rig.turn();
    }
    assert!(matches!(&rig.take_calls()[..], [.., Call::Text(_), Call::Disconnected(_)]));
    assert!(!rig.session.wants_turn());
}

#[test]
fn a_paused_client_that_said_its_end_is_heard_when_it_is_resumed() {
    let mut pair = Pair::open(&version::TLS13, Limits::default());
    pair.rig.client().pause_reading();
    let (flood, calls) = echoes(100);
    pair.say_last(&flood);
    assert_eq!((pair.rig.take_calls(), &pair.rig.fates[..]), (vec![], &[][..]));
    pair.rig.client().resume_reading();
    pair.rig.collect_mail();
    assert_eq!(pair.heard_of_gone(), calls);
    assert!(pair.is_told_the_end());
}

/// Where nothing is left to be heard but the end.
#[test]
fn an_end_behind_a_message_that_pauses_its_client_waits_too() {
    for behind in [0, 40] {
        let mut pair = Pair::acting(|client, call| {
            if *call == Call::Text("the last".into()) {
                client.pause_reading();
            }
        });
        let (flood, mut calls) = echoes(behind);
        pair.say_last(&[flood, masked(Text, b"the last")].concat());
        calls.push(Call::Text("the last".into()));
        assert_eq!(pair.rig.take_calls(), calls);
        assert_eq!(pair.rig.fates, []);
        assert!(!pair.rig.session.wants_turn() && !pair.rig.session.wants_read());
        pair.rig.client().resume_reading();
        pair.rig.collect_mail();
        assert_eq!(pair.heard_of_gone(), []);
    }
}

#[test]
fn an_end_behind_more_than_the_queue_takes_waits_until_all_is_heard() {
    let limits = Limits { send_queue_low: 2500, send_queue_high: 10_000, ..Limits::default() };
    let mut pair = Pair::open(&version::TLS13, limits);
    pair.rig.wire.room = 0;
    pair.say_last(&masked(Binary, &[7; 1000]).repeat(200));
    assert_eq!(pair.rig.fates, []);
    while pair.rig.fates.is_empty() {
        assert!(!pair.rig.session.wants_read());
        pair.rig.make_room(1500);
    }
    let calls = pair.heard_of_gone();
    assert_eq!(calls.iter().filter(|call| **call == Call::Binary(1000)).count(), 200);
}

#[test]
fn an_end_behind_a_message_that_is_being_inflated_waits_for_it() {
    let long = packed(Binary, &vec![7; 1 << 20]);
    // Whole ones are heard; one that is cut is not.
    for (last, heard) in [(&long[..], 2), (&long[..long.len() - 1], 1)] {
        let mut pair = Pair::new(&version::TLS13, Limits::default());
        pair.shake_hands(&offering());
        pair.say_last(&[&long, last].concat());
        assert_eq!(pair.heard_of_gone(), vec![Call::Binary(1 << 20); heard]);
    }
}

/// What comes while the handshake is decided elsewhere waits for that, and so does the end.
#[test]
fn an_end_while_the_handshake_is_being_decided_comes_behind_it() {
    for count in [0, 1, 100] {
        let mut pair = Pair::new(&version::TLS13, Limits::default());
        *pair.rig.pendings.lock().unwrap() = Some(Vec::new());
        pair.talk(|len| len);
        let (flood, calls) = echoes(count);
        pair.say_last(&[REQUEST, &flood].concat());
        assert_eq!((pair.rig.take_calls(), &pair.rig.fates[..]), (vec![], &[][..]));
        assert!(!pair.rig.session.wants_turn());
        let pending = pair.rig.pendings.lock().unwrap().as_mut().and_then(Vec::pop).unwrap();
        pending.decide(Ok(Accept::new()));
        pair.rig.collect_mail();
        assert_eq!(pair.heard_of_gone(), [vec![Call::Connected], calls].concat());
        assert!(pair.is_told_the_end() && pair.answered());
    }
}

/// The end of TCP alone may have been made by anybody: what is cut by it is not heard, what came
/// whole is.
#[test]
fn a_flood_that_is_cut_is_heard_up_to_its_last_whole_record() {
    let (flood, calls) = echoes(100);
    for kept in [1, 20, 40] {
        let mut pair = Pair::open(&version::TLS13, Limits::default());
        pair.say(&flood);
        let mut flight = pair.flight();
        pair.say(&masked(Text, b"to be cut"));
        flight.extend(&pair.flight()[..kept.min(30)]);
        pair.rig.receive(&flight);
        assert_eq!(pair.rig.take_calls(), calls);
        pair.rig.session.handle_eof(&mut pair.rig.kit);
        pair.rig.writable();
        assert_eq!(pair.heard_of_gone(), []);
    }
}
