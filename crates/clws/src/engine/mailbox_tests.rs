//! The mailbox under every interleaving of a worker and a few threads.

use super::*;
use std::collections::HashSet;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Worker {
    /// Between a turn and the next wait.
    Turned,
    /// It has said that it falls asleep, and waits for its sockets or a wake.
    Asleep,
    /// Its wait is over; it has yet to say so.
    Woken,
    /// It serves its sockets, and goes to the mailbox then.
    Busy,
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Sender {
    /// The letters it is going to post, the next one last.
    letters: Vec<u8>,
    /// It was told to wake the worker, and has not yet.
    wakes: bool,
}

/// The worker's loop and its senders: whatever happens with the mailbox locked is one step, a wake
/// is a step of its own, and a wait may end for a socket's sake.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Model {
    /// Those of one sender are joined where they stand side by side, as circulars are.
    tray: Tray<Vec<u8>>,
    worker: Worker,
    senders: Vec<Sender>,
    /// A wake that ends the worker's wait, now or later; many are one.
    notified: bool,
    /// How often a sender was told to wake the worker since it last collected.
    told: usize,
    collected: Vec<u8>,
    /// The letter that ends the worker, as a shutdown does.
    last: Option<u8>,
}

impl Model {
    fn new(senders: &[&[u8]], last: Option<u8>) -> Self {
        let sender = |letters: &&[u8]| Sender {
            letters: letters.iter().rev().copied().collect(),
            wakes: false,
        };
        Self {
            tray: Tray::new(),
            worker: Worker::Turned,
            senders: senders.iter().map(sender).collect(),
            notified: false,
            told: 0,
            collected: Vec::new(),
            last,
        }
    }

    fn send(&mut self, index: usize) {
        let sender = &mut self.senders[index];
        if std::mem::take(&mut sender.wakes) {
            self.notified = true;
        } else if let Some(letter) = sender.letters.pop() {
            if let Some(last) = self.tray.last().filter(|last| last[0] / 10 == letter / 10) {
                return last.push(letter);
            }
            sender.wakes = self.tray.put(vec![letter]);
            self.told += usize::from(sender.wakes);
            let sleeps = matches!(self.worker, Worker::Asleep | Worker::Woken);
            assert!(sleeps || !sender.wakes, "a busy worker needs no wake: {self:#?}");
            assert!(self.told <= 1, "one wake for all: {self:#?}");
        }
    }

    fn work(&mut self) {
        self.worker = match self.worker {
            Worker::Turned if self.tray.fall_asleep() => Worker::Asleep,
            // It looks at its sockets and does not wait, which takes a wake that is there.
            Worker::Turned => {
                self.notified = false;
                Worker::Busy
            }
            Worker::Asleep => {
                self.notified = false;
                Worker::Woken
            }
            Worker::Woken => {
                self.tray.asleep = false;
                Worker::Busy
            }
            Worker::Busy => {
                let mut batch = Vec::new();
                self.tray.collect(&mut batch);
                self.told = 0;
                let batch = batch.concat();
                self.collected.extend(&batch);
                if self.last.is_some_and(|last| batch.contains(&last)) {
                    self.tray.letters = None;
                    Worker::Ended
                } else {
                    Worker::Turned
                }
            }
            Worker::Ended => Worker::Ended,
        };
    }

    /// The models one step further. Sleep ends by itself only where that is wanted: a worker that
    /// no socket wakes must not need one.
    fn successors(&self, by_sockets: bool) -> Vec<Self> {
        let mut found = Vec::new();
        let mut step = |step: &dyn Fn(&mut Self)| {
            let mut next = self.clone();
            step(&mut next);
            found.push(next);
        };
        for (index, sender) in self.senders.iter().enumerate() {
            if sender.wakes || !sender.letters.is_empty() {
                step(&|next| next.send(index));
            }
        }
        let sleeps = self.worker == Worker::Asleep && !self.notified;
        if self.worker != Worker::Ended && (by_sockets || !sleeps) {
            step(&Self::work);
        }
        if self.worker == Worker::Busy {
            // It does not see yet that there are letters.
            step(&|next| next.worker = Worker::Turned);
        }
        found
    }
}

/// Goes through everything that can happen; gives the states in which nothing more can.
fn explore(start: Model) -> Vec<Model> {
    let (mut ends, mut seen, mut open) = (Vec::new(), HashSet::new(), vec![start]);
    while let Some(model) = open.pop() {
        if !seen.insert(model.clone()) {
            continue;
        }
        if model.successors(false).is_empty() {
            ends.push(model.clone());
        }
        open.extend(model.successors(true));
    }
    assert!(!ends.is_empty() && seen.len() > 100, "{} states", seen.len());
    ends
}

#[test]
fn no_letter_is_left_to_a_sleeping_worker() {
    let senders: [&[u8]; 3] = [&[1, 2, 3], &[11, 12, 13], &[21]];
    for end in explore(Model::new(&senders, None)) {
        assert_eq!(end.worker, Worker::Asleep);
        assert_eq!(end.tray.letters, Some(Vec::new()), "{end:#?}");
        let of = |ten: u8| end.collected.iter().copied().filter(move |one| one / 10 == ten);
        assert!(of(0).eq([1, 2, 3]) && of(1).eq([11, 12, 13]) && of(2).eq([21]), "{end:#?}");
    }
}

#[test]
fn what_comes_after_the_end_is_dropped_and_wakes_nobody() {
    let senders: [&[u8]; 2] = [&[1, 9], &[11, 12]];
    for end in explore(Model::new(&senders, Some(9))) {
        assert_eq!((end.worker, &end.tray.letters), (Worker::Ended, &None), "{end:#?}");
        assert!(end.collected.iter().filter(|one| **one < 10).eq(&[1, 9]), "{end:#?}");
    }
}
