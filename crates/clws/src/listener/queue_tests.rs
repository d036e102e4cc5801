//! The queue under every interleaving of a few threads, and its bounds.

use super::*;
use std::cell::Cell;
use std::collections::HashSet;
use std::rc::Rc;

const BOUNDS: Bounds =
    Bounds { bytes: 100, events: 10, client_bytes: 40, client_events: 4, handshakes: 2, posts: 2 };

/// An owner nothing is done to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Nobody;

impl Owner for Nobody {
    fn hold(&self) {}

    fn unhold(&self) -> bool {
        false
    }

    fn tell(&self) {}
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Act {
    Push(Option<Key>, Kind, u8),
    Stop(Queued),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Worker {
    /// It goes to the mailbox, perhaps with something it has finished.
    Ready(Option<Ticket>),
    Running(Taken<u8, Nobody>),
    Asleep,
    /// Its sleep has ended; it has yet to lock the mailbox.
    Woken,
    Ended,
}

/// The mailbox's protocol: whatever happens with the mutex locked is one step, a notification is
/// a step of its own, and sleep may end without one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Model {
    queue: Queue<u8, Nobody>,
    workers: Vec<Worker>,
    /// What other threads are going to do, each its next act last.
    others: Vec<Vec<Act>>,
    notifications: usize,
    /// What was taken, for each lane; handshakes have none.
    taken: BTreeMap<Option<Key>, Vec<u8>>,
    /// What was queued and is not taken yet, if one worker is to keep that order.
    order: Option<VecDeque<u8>>,
}

impl Model {
    fn new(workers: usize, acts: &[&[Act]]) -> Self {
        let mut queue = Queue::new(Bounds { posts: 9, handshakes: 9, ..BOUNDS });
        for lane in [1, 2] {
            queue.enter(lane, Nobody).unwrap();
        }
        Self {
            queue,
            workers: vec![Worker::Ready(None); workers],
            others: acts.iter().map(|acts| acts.iter().rev().copied().collect()).collect(),
            notifications: 0,
            taken: BTreeMap::new(),
            order: (workers == 1).then(VecDeque::new),
        }
    }

    fn wake_all(&mut self) {
        for worker in self.workers.iter_mut().filter(|worker| **worker == Worker::Asleep) {
            *worker = Worker::Woken;
        }
    }

    fn act(&mut self, other: usize) {
        match self.others[other].pop() {
            Some(Act::Push(lane, kind, item)) => {
                if self.queue.push(lane, kind, item, |item| item) == Ok(true) {
                    self.notifications += 1;
                }
                if let Some(order) = &mut self.order {
                    order.push_back(item);
                }
            }
            Some(Act::Stop(queued)) => {
                self.queue.stop(queued, || 0);
                self.wake_all();
            }
            None => {}
        }
    }

    /// What a thread does with the mailbox locked, until it unlocks it.
    fn look(&mut self, index: usize, next: Option<Taken<u8, Nobody>>) {
        self.workers[index] = match next.or_else(|| self.queue.take()) {
            Some(taken) => {
                let lane = taken.ticket.lane;
                let same = |other: &Worker| match other {
                    Worker::Running(other) => other.ticket.lane == lane,
                    _ => false,
                };
                assert!(lane.is_none() || !self.workers.iter().any(same), "{self:#?}");
                self.taken.entry(lane).or_default().push(taken.item);
                if let Some(order) = &mut self.order {
                    assert_eq!(order.pop_front(), Some(taken.item));
                }
                Worker::Running(taken)
            }
            None if self.queue.is_over() => {
                self.wake_all();
                Worker::Ended
            }
            None => {
                self.queue.sleep();
                Worker::Asleep
            }
        };
    }

    fn work(&mut self, index: usize) {
        match self.workers[index].clone() {
            Worker::Ready(finished) => {
                let mut after = Aftermath::default();
                let next = finished.and_then(|ticket| self.queue.done(ticket, None, &mut after));
                if next.is_none() && !after.is_empty() {
                    // It unlocks the mailbox in between.
                    self.workers[index] = Worker::Ready(None);
                } else {
                    self.look(index, next);
                }
            }
            Worker::Woken => {
                self.queue.woke();
                self.look(index, None);
            }
            Worker::Running(taken) => self.workers[index] = Worker::Ready(Some(taken.ticket)),
            Worker::Asleep | Worker::Ended => {}
        }
    }

    /// The models one step further, without sleep that ends by itself.
    fn successors(&self) -> Vec<Self> {
        let mut found = Vec::new();
        let mut step = |step: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            step(&mut next);
            found.push(next);
        };
        for other in (0..self.others.len()).filter(|other| !self.others[*other].is_empty()) {
            step(&|next| next.act(other));
        }
        for (index, worker) in self.workers.iter().enumerate() {
            match worker {
                Worker::Asleep if self.notifications > 0 => step(&|next| {
                    next.notifications -= 1;
                    next.workers[index] = Worker::Woken;
                }),
                Worker::Asleep | Worker::Ended => {}
                _ => step(&|next| next.work(index)),
            }
        }
        if self.notifications > 0 && !self.workers.contains(&Worker::Asleep) {
            step(&|next| next.notifications -= 1);
        }
        found
    }

    fn woken_by_themselves(&self) -> Vec<Self> {
        let asleep = (0..self.workers.len()).filter(|at| self.workers[*at] == Worker::Asleep);
        let woken = asleep.map(|index| {
            let mut next = self.clone();
            next.workers[index] = Worker::Woken;
            next
        });
        woken.collect()
    }
}

/// Goes through everything that can happen; gives the states in which nothing more can.
fn explore(start: Model) -> Vec<Model> {
    let (mut ends, mut seen, mut open) = (Vec::new(), HashSet::new(), vec![start]);
    while let Some(model) = open.pop() {
        if !seen.insert(model.clone()) {
            continue;
        }
        let next = model.successors();
        if next.is_empty() {
            ends.push(model.clone());
        }
        open.extend(next);
        open.extend(model.woken_by_themselves());
    }
    assert!(!ends.is_empty() && seen.len() > 100, "{} states", seen.len());
    ends
}

const A: Option<Key> = Some(1);
const B: Option<Key> = Some(2);
const E: Kind = Kind::Event(1);

#[test]
fn nothing_is_left_behind_and_lanes_keep_their_order() {
    let events = [Act::Push(A, E, 1), Act::Push(A, E, 2), Act::Push(B, E, 3)];
    let others = [Act::Push(Some(COMMON), Kind::Post, 4), Act::Push(None, Kind::Handshake, 5)];
    for workers in 1..=3 {
        for end in explore(Model::new(workers, &[&events, &others])) {
            let all = vec![Worker::Asleep; workers];
            assert_eq!(end.workers, all, "{end:#?}");
            let expected =
                [(A, vec![1, 2]), (B, vec![3]), (Some(COMMON), vec![4]), (None, vec![5])];
            assert_eq!(end.taken, BTreeMap::from(expected));
            assert_eq!((end.queue.bytes(), end.queue.events()), (0, 0));
        }
    }
}

#[test]
fn two_readers_that_fill_two_lanes_wake_enough_threads() {
    let one = [Act::Push(A, E, 1), Act::Push(A, E, 2), Act::Push(A, E, 3)];
    let two = [Act::Push(B, E, 4), Act::Push(B, E, 5)];
    for end in explore(Model::new(2, &[&one, &two])) {
        assert_eq!(end.workers, [Worker::Asleep, Worker::Asleep]);
        assert_eq!(end.taken, BTreeMap::from([(A, vec![1, 2, 3]), (B, vec![4, 5])]));
    }
}

/// One event runs, of another client one is queued: a second thread must come, nobody may wait
/// for the first.
#[test]
fn a_lane_that_can_run_has_a_thread_while_another_blocks() {
    let acts = [Act::Push(A, E, 1), Act::Push(A, E, 2), Act::Push(B, E, 3)];
    let (mut seen, mut open) = (HashSet::new(), vec![Model::new(2, &[&acts])]);
    while let Some(model) = open.pop() {
        if !seen.insert(model.clone()) {
            continue;
        }
        let blocked =
            |worker: &&Worker| matches!(worker, Worker::Running(taken) if taken.item == 1);
        let stuck = model.workers.iter().any(|worker| blocked(&worker));
        // What is left if the first event never ends.
        let next: Vec<Model> = model
            .successors()
            .into_iter()
            .filter(|next| !stuck || next.workers.iter().filter(blocked).count() == 1)
            .collect();
        if next.is_empty() && stuck {
            assert_eq!(model.taken.get(&B), Some(&vec![3]), "{model:#?}");
        }
        open.extend(next);
        open.extend(model.woken_by_themselves());
    }
    assert!(seen.len() > 100);
}

#[test]
fn every_thread_ends_once_the_clients_have_left() {
    let reader = [Act::Push(A, E, 1), Act::Push(A, Kind::End, 2), Act::Push(B, Kind::End, 3)];
    for stop in [Queued::Finish, Queued::Drop] {
        for end in explore(Model::new(2, &[&reader, &[Act::Stop(stop)]])) {
            assert_eq!(end.workers, [Worker::Ended, Worker::Ended], "{end:#?}");
            assert_eq!(end.taken[&A].last(), Some(&2));
            assert_eq!(end.taken[&B].last(), Some(&3));
        }
    }
}

/// An owner that knows whether it is held and how often it was to be told otherwise.
#[derive(Clone, Debug, Default)]
struct Tap(Rc<(Cell<bool>, Cell<usize>)>);

impl Tap {
    fn is_held(&self) -> bool {
        self.0.0.get()
    }

    fn told(&self) -> usize {
        self.0.1.get()
    }
}

impl Owner for Tap {
    fn hold(&self) {
        self.0.0.set(true);
    }

    fn unhold(&self) -> bool {
        self.0.0.replace(false)
    }

    fn tell(&self) {
        self.0.1.set(self.told() + 1);
    }
}

fn tapped(lanes: usize) -> (Queue<u8, Tap>, Vec<Tap>) {
    let mut queue = Queue::new(BOUNDS);
    let taps = vec![(); lanes].iter().map(|()| Tap::default()).collect::<Vec<_>>();
    for (index, tap) in taps.iter().enumerate() {
        queue.enter(index + 1, tap.clone()).unwrap();
    }
    (queue, taps)
}

fn event(queue: &mut Queue<u8, Tap>, lane: Key, size: usize) {
    queue.push(Some(lane), Kind::Event(size), 0, |item| item).unwrap();
}

/// Takes one entry and finishes it.
fn turn(queue: &mut Queue<u8, Tap>) {
    let taken = queue.take().unwrap();
    let mut after = Aftermath::default();
    queue.done(taken.ticket, None, &mut after);
    after.tell.iter().for_each(Tap::tell);
}

#[test]
fn a_full_share_holds_its_client_alone_until_half_is_left() {
    for (size, filling, low) in [(1, 4, 2), (20, 2, 1), (1000, 1, 1)] {
        let (mut queue, taps) = tapped(2);
        for count in 1..=filling {
            event(&mut queue, 1, size);
            assert_eq!(taps[0].is_held(), count == filling, "{size}");
        }
        if size < 1000 {
            assert!(!taps[1].is_held());
        }
        for count in 1..=filling {
            turn(&mut queue);
            assert_eq!(taps[0].is_held(), count < low, "{size}");
        }
        assert_eq!(taps[0].told(), 1, "{size}");
    }
}

#[test]
fn a_full_mailbox_holds_everybody_new_clients_too() {
    let (mut queue, taps) = tapped(4);
    for lane in 1..=3 {
        (0..3).for_each(|_| event(&mut queue, lane, 1));
        assert!(taps.iter().all(|tap| !tap.is_held()));
    }
    event(&mut queue, 4, 1);
    assert!(taps.iter().all(Tap::is_held));
    let late = Tap::default();
    queue.enter(5, late.clone()).unwrap();
    assert!(late.is_held());
    for _ in 0..4 {
        turn(&mut queue);
        assert!(taps.iter().all(Tap::is_held));
    }
    turn(&mut queue);
    assert!(!late.is_held() && taps.iter().all(|tap| !tap.is_held() && tap.told() == 1));
}

/// A client whose own share is full stays held when the mailbox is relieved.
#[test]
fn both_bounds_must_allow_reading() {
    let (mut queue, taps) = tapped(2);
    event(&mut queue, 2, 60);
    (0..4).for_each(|_| event(&mut queue, 1, 10));
    assert!(taps.iter().all(Tap::is_held));
    turn(&mut queue);
    assert_eq!((taps[0].is_held(), taps[1].is_held()), (true, false));
    turn(&mut queue);
    assert!(taps[0].is_held());
    turn(&mut queue);
    assert!(!taps[0].is_held());
}

#[test]
fn handshakes_and_posts_have_bounds_and_one_drained_stands_for_many() {
    let (mut queue, taps) = tapped(1);
    for (lane, kind) in [(None, Kind::Handshake), (Some(COMMON), Kind::Post)] {
        for _ in 0..2 {
            queue.push(lane, kind, 0, |item| item).unwrap();
        }
        assert_eq!(queue.push(lane, kind, 7, |item| item), Err((Refusal::Full, 7)));
        turn(&mut queue);
        turn(&mut queue);
        queue.push(lane, kind, 0, |item| item).unwrap();
        turn(&mut queue);
    }
    for _ in 0..2 {
        queue.push(A, Kind::Drained, 1, |item| item).unwrap();
        assert!(queue.push(A, Kind::Drained, 2, |item| item).is_err());
        let taken = queue.take().unwrap();
        queue.push(A, Kind::Drained, 3, |item| item).unwrap();
        queue.done(taken.ticket, None, &mut Aftermath::default());
        turn(&mut queue);
    }
    assert!(!taps[0].is_held());
}

#[test]
fn a_client_that_is_lost_or_has_left_gets_nothing_more() {
    let (mut queue, _taps) = tapped(1);
    event(&mut queue, 1, 1);
    let taken = queue.take().unwrap();
    queue.done(taken.ticket, Some(Health::Rejected), &mut Aftermath::default());
    for kind in [Kind::Event(1), Kind::Post, Kind::Drained, Kind::Free] {
        assert_eq!(queue.push(A, kind, 1, |item| item), Err((Refusal::Gone, 1)));
    }
    queue.push(A, Kind::End, 1, |item| item).unwrap();
    assert!(queue.push(A, Kind::End, 1, |item| item).is_err());
    assert_eq!(queue.take().unwrap().health, Health::Rejected);
    assert!(queue.push(B, E, 1, |item| item).is_err());
}
