//! What other threads leave for a worker.
//!
//! A letter wakes the worker only if it is about to sleep: one wake for a batch, none while it is
//! busy. What clients can leave here is bounded by their send queues' limits, which count letters
//! on their way.

use super::stream::Stream;
use crate::client::{self, Courier};
use crate::peer::Peer;
use crate::session::Transport;
use mio::Waker;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

#[derive(Debug)]
pub(super) enum Letter {
    /// A connection that was accepted.
    Join(Stream, Peer, Transport),
    /// For one session.
    Mail(client::Letter),
    /// Close all clients and end.
    Shutdown,
}

#[derive(Debug)]
pub(super) struct Mailbox {
    /// `None` once the worker has ended: what comes then is dropped.
    letters: Mutex<Option<Vec<Letter>>>,
    asleep: AtomicBool,
    waker: Waker,
    /// How many connections the worker has, counting those on their way.
    pub(super) load: AtomicUsize,
}

impl Mailbox {
    pub(super) fn new(waker: Waker) -> Self {
        Self {
            letters: Mutex::new(Some(Vec::new())),
            asleep: AtomicBool::new(false),
            waker,
            load: AtomicUsize::new(0),
        }
    }

    pub(super) fn post(&self, letter: Letter) {
        self.post_all(std::iter::once(letter));
    }

    fn post_all(&self, new: impl Iterator<Item = Letter>) {
        match &mut *self.letters.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(letters) => letters.extend(new),
            None => return,
        }
        // Ordered against `fall_asleep`: either this sees the worker asleep, or the worker sees
        // the letter.
        if self.asleep.swap(false, Ordering::SeqCst)
            && let Err(error) = self.waker.wake()
        {
            tracing::error!(%error, "cannot wake a worker");
        }
    }

    /// Says that the worker will sleep until it is woken; `false` when letters are waiting.
    pub(super) fn fall_asleep(&self) -> bool {
        self.asleep.store(true, Ordering::SeqCst);
        let letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        let empty = letters.as_ref().is_none_or(Vec::is_empty);
        drop(letters);
        if !empty {
            self.wake_up();
        }
        empty
    }

    pub(super) fn wake_up(&self) {
        self.asleep.store(false, Ordering::SeqCst);
    }

    /// Exchanges the letters for an empty `batch`, whose memory serves the next ones.
    pub(super) fn collect(&self, batch: &mut Vec<Letter>) {
        let mut letters = self.letters.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(letters) = &mut *letters {
            std::mem::swap(letters, batch);
        }
    }

    /// Takes no more letters and drops those that wait, connections among them.
    pub(super) fn shut(&self) {
        *self.letters.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

impl Courier for Mailbox {
    fn deliver(&self, letter: client::Letter) {
        self.post(Letter::Mail(letter));
    }

    fn deliver_all(&self, letters: Vec<client::Letter>) {
        self.post_all(letters.into_iter().map(Letter::Mail));
    }
}
