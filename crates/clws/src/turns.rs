//! Whose turn is next: what an engine notes of its sessions besides their sockets.
//!
//! Most sessions are served when their socket is ready. Listed ones are served once in the next
//! turn. Those that go on with a long compressed message stand in a queue and inflate one after
//! another, as all of them at once would hold all their messages in memory. The worker and the
//! engine of the tests both go by this.

use crate::hub::Kit;
use crate::session::Session;
use std::collections::VecDeque;
use std::time::Instant;

/// A session by its slot and its number: when its turn comes the slot may be another's.
pub(crate) type Entry = (u32, u64);

/// What is known of one session.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four facts, each changing by itself")]
pub(crate) struct Standing {
    /// More may be there to read than the last event's turn allowed.
    pub(crate) readable: bool,
    /// The peer's end, or an error, is there to be read behind everything else.
    pub(crate) end_waits: bool,
    /// It stands in the list for the next turn.
    listed: bool,
    /// It stands in the queue of those that inflate long messages.
    queued: bool,
    /// How many more reads take at least what had come when the session's time was up.
    last_reads: u8,
}

impl Standing {
    /// Notes what the system says of the socket.
    pub(crate) fn note(&mut self, readable: bool, ended: bool) {
        self.readable |= readable || ended;
        self.end_waits |= ended;
    }

    /// Whether its turn comes with the list's, once.
    pub(crate) fn is_listed(&self) -> bool {
        self.listed
    }

    /// Its turn has come.
    pub(crate) fn unlist(&mut self) {
        self.listed = false;
    }

    /// Whether what the socket holds is all that will come.
    pub(crate) fn is_ending(&self) -> bool {
        self.end_waits || self.last_reads > 0
    }

    /// Whether what had come when the session's time was up is to be read, from now on.
    pub(crate) fn begins_reading_out(&self, session: &Session) -> bool {
        self.last_reads == 0 && session.is_reading_out()
    }

    /// Has the socket read, ready or not, so often at most.
    pub(crate) fn begin_reading_out(&mut self, reads: usize) {
        self.last_reads = u8::try_from(reads).unwrap_or(u8::MAX);
        self.readable = true;
    }

    /// Counts a read, if they are counted; whether it was the last.
    #[inline]
    pub(crate) fn has_read_out(&mut self, session: &Session) -> bool {
        if self.last_reads == 0 {
            return false;
        }
        self.last_reads -= 1;
        let done = self.last_reads == 0 || !self.readable;
        if done && session.wants_read() {
            self.last_reads = 0;
            return true;
        }
        if done {
            // It was held in the middle, and goes on where it stopped.
            (self.last_reads, self.readable) = (1, true);
        }
        false
    }

    /// Since when it inflates a long message; where it does not, or not now, it leaves the queue.
    pub(crate) fn swells(&mut self, session: &Session, kit: &Kit) -> Option<Instant> {
        let since = session.swelling(kit);
        self.queued = since.is_some();
        since
    }
}

/// The first in the queue, and since when its message is unfinished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct First {
    pub(crate) entry: Entry,
    since: Instant,
}

/// The sessions that have to be served whatever their sockets say.
#[derive(Debug)]
pub(crate) struct Turns {
    /// There is more to read, or something was sent to them.
    listed: Vec<Entry>,
    swelling: VecDeque<Entry>,
}

impl Turns {
    /// With room from the start, so that no first time costs an allocation.
    pub(crate) fn with_capacity(count: usize) -> Self {
        Self { listed: Vec::with_capacity(count), swelling: VecDeque::new() }
    }

    /// Whether anybody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.swelling.is_empty()
    }

    /// Whether sessions wait to inflate long messages.
    pub(crate) fn is_crowded(&self) -> bool {
        !self.swelling.is_empty()
    }

    pub(crate) fn list(&mut self, entry: Entry, standing: &mut Standing) {
        if !std::mem::replace(&mut standing.listed, true) {
            self.listed.push(entry);
        }
    }

    /// Swaps the list for `other`, which is empty.
    pub(crate) fn take_listed(&mut self, other: &mut Vec<Entry>) {
        std::mem::swap(&mut self.listed, other);
    }

    /// Has a session that was served come again, if it wants that.
    #[inline]
    pub(crate) fn settle(
        &mut self,
        slot: u32,
        session: &Session,
        standing: &mut Standing,
        kit: &mut Kit,
    ) {
        let swells = session.swelling(kit).is_some();
        if swells && !std::mem::replace(&mut standing.queued, true) {
            self.swelling.push_back((slot, session.id()));
            kit.crowded = true;
        }
        // What is due of one in the queue, but its message, is not for the queue to put off.
        let is_due = if swells { session.is_drained() } else { session.wants_turn() };
        if is_due || (standing.readable && session.wants_read()) {
            self.list((slot, session.id()), standing);
        }
    }

    /// Takes the first in the queue that still inflates a long message, as `swells` says, to be
    /// served and handed back.
    pub(crate) fn first(
        &mut self,
        mut swells: impl FnMut(Entry) -> Option<Instant>,
    ) -> Option<First> {
        while let Some(entry) = self.swelling.pop_front() {
            if let Some(since) = swells(entry) {
                return Some(First { entry, since });
            }
        }
        None
    }

    /// Takes the first back after it was served. It stays the first until its message is whole, so
    /// that few are unfinished at a time; with another message it is the last.
    pub(crate) fn served(&mut self, first: First, swells: Option<Instant>) {
        match swells {
            Some(since) if since == first.since => self.swelling.push_front(first.entry),
            Some(_) => self.swelling.push_back(first.entry),
            None => {}
        }
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
