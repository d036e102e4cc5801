//! Crowds whose messages swell, in a worker of their own: who inflates, in which order, and what
//! waits for that and what does not.

use super::super::fairness::{offering, packed};
use super::super::{frames, masked};
use super::Random;
use super::link::{Found, Link};
use super::worker::Worker;
use crate::client::Client;
use crate::hub::{Hub, Settings};
use crate::limits::Limits;
use crate::origin::Origin;
use crate::resource::{Closed, Resource};
use crate::routes::{Route, Routes};
use crate::sending::SendOptions;
use crate::session::Phase;
use clws_proto::frame::OpCode::{Binary, Text};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

const MIB: usize = 1 << 20;

/// What user code saw, each with the client's number in the order of arrival.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Binary(usize),
    Drained,
    Gone,
}

#[derive(Clone, Default)]
struct Witness(Arc<Mutex<Vec<(u64, Seen)>>>);

impl Witness {
    fn saw(&self, client: &Client, what: Seen) {
        self.0.lock().unwrap().push((client.id() - 1, what));
    }
}

impl Resource for Witness {
    fn text(&self, client: &Client, message: &str) {
        if message == "much" {
            client.send_binary_with(&vec![7; 20_000], SendOptions::new().uncompressed());
        }
        self.saw(client, Seen::Text(message.to_owned()));
    }
    fn binary(&self, client: &Client, message: &[u8]) {
        self.saw(client, Seen::Binary(message.len()));
    }
    fn drained(&self, client: &Client) {
        self.saw(client, Seen::Drained);
    }
    fn disconnected(&self, client: &Client, _: &Closed) {
        self.saw(client, Seen::Gone);
    }
}

/// One worker and those who are connected to it.
struct Crowd {
    worker: Worker,
    links: Vec<Link>,
    witness: Witness,
    now: Instant,
    random: Random,
    turns: usize,
}

impl Crowd {
    fn new(limits: Limits) -> Self {
        let (witness, routes) = (Witness::default(), Routes::default());
        routes.register(Route::new("/test", Origin::any(), witness.clone())).unwrap();
        let settings = Settings { limits, ..Settings::default() };
        let hub = Arc::new(Hub::counting(settings, routes, Arc::default()));
        let (now, links) = (Instant::now(), Vec::new());
        Self { worker: Worker::new(hub, now), links, witness, now, random: Random(1), turns: 0 }
    }

    fn of(count: usize, limits: Limits) -> Self {
        let mut crowd = Self::new(limits);
        (0..count).for_each(|_| crowd.join(&[]));
        crowd
    }

    /// One more client, whose messages may be compressed, and what it says at once.
    fn join(&mut self, first: &[u8]) {
        let link = self.links.len();
        self.links.push(Link::with_room(2 * MIB, Random(link as u64)));
        self.worker.give(link);
        self.say(link, &[&offering(), first].concat());
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            self.turn();
            assert!(self.turns < 100_000, "{:#?}", self.worker.seats);
            answer.extend(self.hear(link));
        }
        assert!(String::from_utf8_lossy(&answer).contains("permessage-deflate"));
    }

    fn say(&mut self, link: usize, bytes: &[u8]) {
        assert_eq!(self.links[link].say(bytes), bytes.len());
    }

    /// Each in a turn of its own, so that their order is known.
    fn say_in_order(&mut self, links: std::ops::Range<usize>, bytes: &[u8]) {
        for link in links {
            self.say(link, bytes);
            self.turn();
        }
    }

    fn client(&self, slot: usize) -> Client {
        let Phase::Live(live) = &self.worker.seats[slot].session.phase else { panic!() };
        live.client.clone()
    }

    fn hear(&mut self, link: usize) -> Vec<u8> {
        match self.links[link].hear(usize::MAX) {
            Found::Bytes(bytes) => bytes,
            Found::Nothing => Vec::new(),
            other => panic!("{other:?}"),
        }
    }

    fn turn(&mut self) {
        self.now += Duration::from_micros(1);
        self.turns += 1;
        self.worker.turn(self.now, &mut self.links, &mut self.random);
    }

    /// Turns until nothing is left to do.
    fn rest(&mut self) {
        let last = self.turns + 100_000;
        while !self.worker.is_idle(&self.links) {
            assert!(self.turns < last, "{:#?}", self.worker.seats);
            self.turn();
        }
    }

    fn seen(&self) -> MutexGuard<'_, Vec<(u64, Seen)>> {
        self.witness.0.lock().unwrap()
    }

    fn take_seen(&self) -> Vec<(u64, Seen)> {
        std::mem::take(&mut *self.seen())
    }

    /// How many clients hold more of a message than makes it a long one, with what one step of an
    /// inflater may bring beyond that, in a buffer that grew by doubling.
    fn with_much(&self) -> usize {
        let most = 2 * (self.worker.kit.long() as usize + 2 * 32 * 1024);
        let seats = self.worker.seats.iter();
        seats.filter(|(_, seat)| seat.session.holding().waiting > most).count()
    }
}

/// A message that swells to a MiB.
fn long() -> Vec<u8> {
    packed(Binary, &vec![7; MIB])
}

#[test]
fn long_messages_are_inflated_one_after_another_in_the_order_they_came() {
    let mut crowd = Crowd::of(20, Limits::default());
    crowd.say_in_order(0..5, &long());
    (5..20).for_each(|link| crowd.say(link, &long()));
    while crowd.seen().len() < 20 {
        assert!(crowd.with_much() <= 1, "{} hold much", crowd.with_much());
        crowd.turn();
    }
    let seen = crowd.take_seen();
    let expected: Vec<_> = (0..5).map(|number| (number, Seen::Binary(MIB))).collect();
    assert_eq!(seen[..5], expected);
    let mut numbers: Vec<_> = seen.into_iter().map(|(number, _)| number).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (0..20).collect::<Vec<_>>());
    crowd.rest();
    assert!(crowd.worker.seats.iter().all(|(_, seat)| seat.is_at_rest()));
}

#[test]
fn nobody_has_a_second_message_while_others_wait_for_their_first() {
    let mut crowd = Crowd::of(5, Limits::default());
    crowd.say_in_order(0..5, &long().repeat(3));
    crowd.rest();
    let order: Vec<_> = crowd.take_seen().into_iter().map(|(number, _)| number).collect();
    assert_eq!(order, [0, 1, 2, 3, 4].repeat(3));
}

#[test]
fn short_messages_do_not_wait_for_long_ones() {
    let mut crowd = Crowd::of(11, Limits::default());
    (0..10).for_each(|link| crowd.say(link, &long().repeat(2)));
    crowd.turn();
    let mut heard = 0;
    while crowd.worker.kit.crowded {
        for message in [masked(Text, b"plain"), packed(Text, b"compressed")] {
            crowd.say(10, &message);
            // A read may have to be tried again.
            (0..3).for_each(|_| crowd.turn());
            let seen = crowd.take_seen();
            assert_eq!(seen.iter().filter(|(number, _)| *number == 10).count(), 1, "{seen:?}");
            heard += 1;
        }
    }
    assert!(heard >= 50, "{heard}");
}

/// Some systems tell of a socket's end apart from its bytes. These may wait for others by then.
#[test]
fn whoever_is_told_of_twice_is_heard_before_it_has_gone() {
    for seed in 0..50 {
        let mut crowd = Crowd::of(2, Limits::default());
        crowd.random = Random(seed);
        for link in 0..2 {
            crowd.say(link, &masked(Text, b"last"));
            crowd.links[link].end();
        }
        crowd.rest();
        for number in 0..2 {
            let seen = crowd.seen().clone().into_iter();
            let of_it: Vec<_> =
                seen.filter(|(who, _)| *who == number).map(|(_, what)| what).collect();
            assert_eq!(of_it, [Seen::Text("last".into()), Seen::Gone], "{seed}");
        }
    }
}

/// The slot of one that stood in the queue belongs to a newcomer, who comes behind all others.
#[test]
fn one_that_goes_makes_way_and_leaves_its_place_in_the_queue_to_nobody() {
    let mut crowd = Crowd::of(4, Limits::default());
    crowd.say_in_order(0..4, &long());
    // The first, and one behind another.
    for slot in [0, 2] {
        let client = crowd.client(slot);
        crowd.links[slot].reset();
        client.send_text("cannot be written");
    }
    crowd.turn();
    crowd.turn();
    assert_eq!((crowd.worker.seats.len(), crowd.take_seen().len()), (2, 2));
    (0..2).for_each(|_| crowd.join(&long()));
    assert!(crowd.worker.seats.contains(0) && crowd.worker.seats.contains(2));
    crowd.rest();
    let expected: Vec<_> = [1, 3, 4, 5].map(|number| (number, Seen::Binary(MIB))).into();
    assert_eq!(crowd.take_seen(), expected);
}

#[test]
fn one_that_is_not_listened_to_holds_nobody_up_and_comes_back() {
    let mut crowd = Crowd::of(3, Limits::default());
    crowd.say_in_order(0..3, &long());
    crowd.say(0, &masked(Text, b"more"));
    let paused = crowd.client(0);
    paused.pause_reading();
    crowd.rest();
    assert_eq!(crowd.take_seen(), [(1, Seen::Binary(MIB)), (2, Seen::Binary(MIB))]);
    paused.resume_reading();
    crowd.rest();
    assert_eq!(crowd.take_seen(), [(0, Seen::Binary(MIB)), (0, Seen::Text("more".into()))]);
}

/// It is due in the next turn, whoever inflates what meanwhile.
#[test]
fn drained_does_not_wait_in_the_queue() {
    let limits = Limits { send_queue_low: 2000, send_queue_high: 8000, ..Limits::default() };
    let mut crowd = Crowd::of(4, limits);
    crowd.say_in_order(0..3, &long());
    crowd.say(3, &[masked(Text, b"much"), long()].concat());
    // A read and a write may have to be tried again.
    (0..4).for_each(|_| crowd.turn());
    assert_eq!(crowd.take_seen(), [(3, Seen::Text("much".into())), (3, Seen::Drained)]);
    assert_eq!(frames(&crowd.hear(3)).0, [(Binary, vec![7; 20_000])]);
    crowd.rest();
    let numbers: Vec<_> = crowd.take_seen().into_iter().map(|(number, _)| number).collect();
    assert_eq!(numbers, [0, 1, 2, 3]);
}

/// Though it be a single byte.
#[test]
fn a_crowd_gets_on_however_little_a_turn_brings() {
    for turn_bytes in [1, 2, 4, 100] {
        let mut crowd = Crowd::of(3, Limits { turn_bytes, ..Limits::default() });
        let message = packed(Binary, &vec![7; 100_000]);
        (0..3).for_each(|link| crowd.say(link, &message.repeat(2)));
        crowd.rest();
        let seen = crowd.take_seen();
        assert_eq!(seen.len(), 6, "{turn_bytes} bytes in a turn: {seen:?}");
        assert!(seen.iter().all(|(_, seen)| *seen == Seen::Binary(100_000)), "{seen:?}");
    }
}

#[test]
fn what_a_crowd_leaves_is_freed_when_nobody_has_needed_it_for_a_while() {
    let mut crowd = Crowd::of(20, Limits::default());
    (0..20).for_each(|link| crowd.say(link, &long()));
    crowd.rest();
    let kept = crowd.worker.kit.pool.kept();
    assert!(kept >= MIB, "{kept}");
    // One goes on and needs a buffer.
    for second in 1..=4 {
        crowd.now += Duration::from_secs(1);
        crowd.say(0, &long());
        crowd.rest();
        let now = crowd.worker.kit.pool.kept();
        assert!(now >= if second < 2 { kept } else { MIB }, "{now} after {second} s");
    }
    let kept = crowd.worker.kit.pool.kept();
    assert!(kept <= 2 * MIB, "{kept}");
    while let Some(due) = crowd.worker.kit.deadline() {
        crowd.now = due;
        crowd.turn();
    }
    assert!(!crowd.worker.kit.pool.has_spares());
}
