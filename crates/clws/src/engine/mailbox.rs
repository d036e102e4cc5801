//! What other threads leave for a worker.
//!
//! A letter wakes the worker only if it is about to sleep: one wake for a batch, none while it is
//! busy. What clients can leave here is bounded by their send queues' limits, which count letters
//! on their way.

use super::stream::Stream;
use crate::budget::{Charge, Total};
use crate::client::{self, Courier};
use crate::drain::Plan;
use crate::peer::Peer;
use crate::session::Transport;
use mio::Waker;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Debug)]
pub(super) enum Letter {
    /// A connection that was accepted.
    Join(Stream, Peer, Transport),
    /// For one session.
    Mail(client::Letter),
    /// For several.
    Circular(client::Circular),
    /// Close all clients and end.
    Drain(Arc<Plan>),
}

impl Letter {
    /// The bytes of memory behind it.
    fn memory(&self) -> usize {
        match self {
            Self::Mail(letter) => size_of::<Self>() + letter.mail.memory(),
            Self::Circular(circular) => size_of::<Self>() + circular.memory(),
            _ => size_of::<Self>(),
        }
    }
}

/// Letters, and whether the worker sleeps: plain data, of which each method is one step with the
/// mailbox locked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Tray<L> {
    /// `None` once the worker has ended: what comes then is dropped.
    letters: Option<Vec<L>>,
    /// The worker is about to sleep, or does, and nobody has woken it yet.
    asleep: bool,
}

impl<L> Tray<L> {
    fn new() -> Self {
        Self { letters: Some(Vec::new()), asleep: false }
    }

    /// Takes a letter in; whether the worker is to be woken.
    fn put(&mut self, letter: L) -> bool {
        let Some(letters) = &mut self.letters else { return false };
        letters.push(letter);
        std::mem::take(&mut self.asleep)
    }

    /// The latest letter, which the worker will collect without being woken once more.
    fn last(&mut self) -> Option<&mut L> {
        self.letters.as_mut()?.last_mut()
    }

    fn fall_asleep(&mut self) -> bool {
        self.asleep = self.letters.as_ref().is_none_or(Vec::is_empty);
        self.asleep
    }

    fn collect(&mut self, batch: &mut Vec<L>) {
        if let Some(letters) = &mut self.letters {
            std::mem::swap(letters, batch);
        }
    }
}

#[derive(Debug)]
struct Inbox {
    tray: Tray<Letter>,
    /// Stands for the letters until they are collected: then sessions count what is in them.
    charge: Charge,
}

impl Inbox {
    fn count(&mut self, bytes: usize) {
        let waiting = self.charge.bytes() + bytes;
        self.charge.set(waiting);
    }

    /// Adds a circular to the last letter, if that goes to the same sessions, or gives it back.
    fn join(&mut self, circular: client::Circular) -> Result<(), client::Circular> {
        let Some(Letter::Circular(last)) = self.tray.last() else { return Err(circular) };
        let before = last.memory();
        last.join(circular)?;
        let added = last.memory() - before;
        self.count(added);
        Ok(())
    }
}

#[derive(Debug)]
pub(super) struct Mailbox {
    inbox: Mutex<Inbox>,
    /// There are letters. It changes with the mailbox locked. A worker that looks at it without may
    /// be a turn late; before it falls asleep it looks at the letters themselves.
    filled: AtomicBool,
    waker: Waker,
    /// How many connections the worker has, counting those on their way.
    pub(super) load: AtomicUsize,
}

impl Mailbox {
    pub(super) fn new(waker: Waker, total: &Arc<Total>) -> Self {
        let inbox = Inbox { tray: Tray::new(), charge: Charge::new(total, 0) };
        let filled = AtomicBool::new(false);
        Self { inbox: Mutex::new(inbox), filled, waker, load: AtomicUsize::new(0) }
    }

    fn lock(&self) -> MutexGuard<'_, Inbox> {
        self.inbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn post(&self, letter: Letter) {
        self.put(self.lock(), letter);
    }

    fn put(&self, mut inbox: MutexGuard<'_, Inbox>, letter: Letter) {
        inbox.count(letter.memory());
        let wake = inbox.tray.put(letter);
        self.filled.store(true, Ordering::Relaxed);
        drop(inbox);
        if wake {
            self.wake();
        }
    }

    /// Has the worker take a turn soon, even if it is just about to sleep.
    pub(super) fn wake(&self) {
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake a worker");
        }
    }

    /// Says that the worker will sleep until it is woken; `false` when letters are waiting.
    pub(super) fn fall_asleep(&self) -> bool {
        self.lock().tray.fall_asleep()
    }

    pub(super) fn wake_up(&self) {
        self.lock().tray.asleep = false;
    }

    /// Exchanges the letters for an empty `batch`, whose memory serves the next ones. One that was
    /// posted at this moment may be left for the next time.
    pub(super) fn collect(&self, batch: &mut Vec<Letter>) {
        if !self.filled.load(Ordering::Relaxed) {
            return;
        }
        let mut inbox = self.lock();
        self.filled.store(false, Ordering::Relaxed);
        inbox.tray.collect(batch);
        inbox.charge.set(0);
    }

    /// Takes no more letters and drops those that wait, connections among them.
    pub(super) fn shut(&self) {
        let mut inbox = self.lock();
        let letters = inbox.tray.letters.take();
        inbox.charge.set(0);
        drop(inbox);
        // What they hold may send when it is dropped, to this very mailbox.
        drop(letters);
    }
}

impl Courier for Mailbox {
    fn deliver(&self, letter: client::Letter) {
        self.post(Letter::Mail(letter));
    }

    fn deliver_all(&self, circular: client::Circular) {
        let mut inbox = self.lock();
        if let Err(circular) = inbox.join(circular) {
            self.put(inbox, Letter::Circular(circular));
        }
    }
}

#[cfg(test)]
#[path = "mailbox_tests.rs"]
mod tests;
