//! A listener's queue between the threads that fill it and those that work it off.
//!
//! A thread that has nothing to do sleeps. Whoever queues something notifies one only if one
//! sleeps that nobody has notified yet, and only if what was queued can run now: the many events
//! of one read cost one wake, and none while the threads are busy.

use super::queue::Queue;
use super::work::{Aftermath, Bounds, Health, Key, Kind, Owner, Queued, Refusal, Taken, Ticket};
use crate::budget::{Charge, Total};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// What an event takes up besides its payload, in bytes.
pub(super) const EVENT: usize = 100;
/// How far what is counted for the server's memory may be off, in bytes.
const STEP: usize = 16 * 1024;

#[derive(Debug)]
pub(super) struct Mailbox<T, O> {
    inside: Mutex<Inside<T, O>>,
    work: Condvar,
    over: Condvar,
}

#[derive(Debug)]
struct Inside<T, O> {
    queue: Queue<T, O>,
    /// How many threads have not ended.
    threads: usize,
    /// Stands for what is queued, once a server counts it.
    charge: Option<Charge>,
}

impl<T, O: Owner + Clone> Inside<T, O> {
    /// Counts what is queued: exactly when it is nothing, else to within a step.
    fn count(&mut self) {
        let held = self.queue.bytes() + self.queue.events() * EVENT;
        if let Some(charge) = &mut self.charge
            && (held == 0 || held.abs_diff(charge.bytes()) >= STEP)
        {
            charge.set(held);
        }
    }
}

impl<T, O: Owner + Clone> Mailbox<T, O> {
    pub(super) fn new(bounds: Bounds) -> Self {
        let inside = Inside { queue: Queue::new(bounds), threads: 0, charge: None };
        Self { inside: Mutex::new(inside), work: Condvar::new(), over: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inside<T, O>> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn set_bounds(&self, set: impl FnOnce(&mut Bounds)) {
        set(&mut self.lock().queue.bounds);
    }

    /// Counts what is queued from now on.
    pub(super) fn count_in(&self, total: &Arc<Total>) {
        self.lock().charge = Some(Charge::new(total, 0));
    }

    pub(super) fn bytes(&self) -> usize {
        self.lock().queue.bytes()
    }

    pub(super) fn events(&self) -> usize {
        self.lock().queue.events()
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.lock().queue.is_stopping()
    }

    pub(super) fn enter(&self, key: Key, owner: O) -> Result<(), Refusal> {
        self.lock().queue.enter(key, owner)
    }

    pub(super) fn push(&self, lane: Option<Key>, kind: Kind, item: T) -> Result<(), (Refusal, T)> {
        self.push_as(lane, kind, item, |item| item)
    }

    /// Queues what `item` makes of `raw`, which is given back if it is refused.
    pub(super) fn push_as<M>(
        &self,
        lane: Option<Key>,
        kind: Kind,
        raw: M,
        item: impl FnOnce(M) -> T,
    ) -> Result<(), (Refusal, M)> {
        let mut inside = self.lock();
        let pushed = inside.queue.push(lane, kind, raw, item);
        inside.count();
        drop(inside);
        pushed.map(|notify| {
            if notify {
                self.work.notify_one();
            }
        })
    }

    /// For the listener's threads: reports what was worked on and waits for the next entry.
    /// `None` ends the thread.
    pub(super) fn next(&self, finished: Option<(Ticket, Option<Health>)>) -> Option<Taken<T, O>> {
        let mut after = Aftermath::default();
        let mut inside = self.lock();
        let next = finished
            .and_then(|(ticket, health)| inside.queue.done(ticket, health, &mut after))
            .or_else(|| inside.queue.take());
        inside.count();
        if !after.is_empty() {
            drop(inside);
            clear_up(after);
            inside = self.lock();
        }
        if next.is_some() {
            return next;
        }
        loop {
            if let Some(taken) = inside.queue.take() {
                return Some(taken);
            }
            if inside.queue.is_over() {
                drop(inside);
                self.work.notify_all();
                return None;
            }
            inside.queue.sleep();
            inside = self.work.wait(inside).unwrap_or_else(PoisonError::into_inner);
            inside.queue.woke();
        }
    }

    pub(super) fn stop(&self, queued: Queued, order: impl Fn() -> T) -> Vec<O> {
        let close_now = self.lock().queue.stop(queued, order);
        self.work.notify_all();
        self.over.notify_all();
        close_now
    }

    /// Counts threads that are about to start.
    pub(super) fn add_threads(&self, count: usize) {
        self.lock().threads += count;
    }

    /// Counts threads that ended, or did not start.
    pub(super) fn remove_threads(&self, count: usize) {
        self.lock().threads -= count;
        self.over.notify_all();
    }

    /// Waits until the listener was stopped and its threads have ended.
    pub(super) fn join(&self) {
        let running = |inside: &mut Inside<T, O>| inside.threads > 0 || !inside.queue.is_stopping();
        let guard = self.over.wait_while(self.lock(), running);
        drop(guard.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Does what must not be done with the mailbox locked.
fn clear_up<O: Owner>(Aftermath { tell, gone }: Aftermath<O>) {
    tell.iter().for_each(Owner::tell);
    // A client's data is the program's, and so is what happens when it is dropped.
    if catch_unwind(AssertUnwindSafe(|| drop((tell, gone)))).is_err() {
        tracing::error!("dropping a client's data panicked");
    }
}
