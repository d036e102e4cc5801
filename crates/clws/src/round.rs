//! Small messages of several sessions: their sockets are read from, then what came is worked on,
//! then the answers are written, each in one go.
//!
//! The system's code for reading, its code for writing, and what a message takes between them, with
//! TLS, are each as large as the processor's first cache. One after another for each message, they
//! are fetched anew each time. Whatever is not small, or comes alone, goes its way at once.

use crate::client::SessionId;
use crate::hub::Kit;
use crate::session::{Output, SMALL, Session};
use crate::turns::Standing;
use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSlice};
use std::ops::Range;

/// The most sessions that wait for one another: each then waits for so many clients' callbacks.
pub(crate) const MEMBERS: usize = 32;

/// What came from a session, or is for it: where its bytes are.
type Part = (SessionId, Range<usize>);

/// The sessions that wait for one another.
#[derive(Debug)]
pub(crate) struct Round {
    received: VecDeque<Part>,
    /// How much of the receive buffer they take up.
    used: usize,
    answered: VecDeque<Part>,
    answers: Vec<u8>,
    /// More sockets are ready than the one that is served.
    more_ready: bool,
}

impl Round {
    /// The most of the receive buffer that those take up who wait.
    pub(crate) const ROOM: usize = MEMBERS * SMALL;

    /// With room from the start, so that no first time costs an allocation.
    pub(crate) fn new() -> Self {
        Self {
            received: VecDeque::with_capacity(MEMBERS),
            used: 0,
            answered: VecDeque::with_capacity(MEMBERS),
            answers: Vec::with_capacity(Self::ROOM),
            more_ready: false,
        }
    }

    /// Notes whether more sockets are ready than the one that is served next.
    #[inline]
    pub(crate) fn expect_more(&mut self, more: bool) {
        self.more_ready = more;
    }

    /// Where in the receive buffer the next read begins.
    #[inline]
    pub(crate) fn start(&self) -> usize {
        self.used
    }

    /// Whether what was read of a session whose socket is ready, `count` bytes, waits to be worked
    /// on: for others that are ready too, or behind those that wait already. What is read to the
    /// stream's end is done with at once.
    #[inline]
    pub(crate) fn takes(&self, standing: &Standing, count: usize) -> bool {
        let others = self.more_ready || !self.received.is_empty();
        others && count <= SMALL && !standing.is_ending()
    }

    /// Keeps them; whether they are enough to be worked on.
    #[inline]
    pub(crate) fn put(&mut self, entry: SessionId, standing: &mut Standing, count: usize) -> bool {
        standing.in_round = true;
        let from = self.used;
        self.used += count;
        self.received.push_back((entry, from..self.used));
        self.received.len() >= MEMBERS
    }

    /// Whether nobody waits to be worked on.
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.received.is_empty()
    }

    /// Takes the first of what is to be worked on; all are taken before another is put in.
    #[inline]
    pub(crate) fn next_received(&mut self) -> Option<Part> {
        let next = self.received.pop_front();
        if next.is_none() {
            self.used = 0;
        }
        next
    }

    /// Has a session work on its `input`, and keeps its small answers; whether there are any.
    #[inline]
    pub(crate) fn work(
        &mut self,
        entry: SessionId,
        session: &mut Session,
        kit: &mut Kit,
        input: &mut [u8],
        out: &mut dyn Output,
    ) -> bool {
        let mut out = self.defer(session.deferrable(), out);
        session.handle_input(kit, input, &mut out);
        let from = out.from;
        self.note(entry, from)
    }

    /// An output that keeps up to `room` bytes for [`Self::next_answer`], and writes to `out` what
    /// is more.
    #[inline]
    fn defer<'a>(&'a mut self, room: usize, out: &'a mut dyn Output) -> Deferred<'a> {
        let (from, answers) = (self.answers.len(), &mut self.answers);
        Deferred { answers, from, room, out }
    }

    /// Notes whose the bytes are that were kept from `from` on; whether there are any.
    #[inline]
    fn note(&mut self, entry: SessionId, from: usize) -> bool {
        let range = from..self.answers.len();
        let some = !range.is_empty();
        if some {
            self.answered.push_back((entry, range));
        }
        some
    }

    /// Takes the first answer to be written; all are taken before another is kept.
    #[inline]
    pub(crate) fn next_answer(&mut self) -> Option<(SessionId, &[u8])> {
        let Some((entry, range)) = self.answered.pop_front() else {
            self.answers.clear();
            return None;
        };
        Some((entry, self.answers.get(range).unwrap_or_default()))
    }
}

/// The way out of a session that is worked on.
struct Deferred<'a> {
    answers: &'a mut Vec<u8>,
    /// Where what was kept begins.
    from: usize,
    room: usize,
    out: &'a mut dyn Output,
}

impl Deferred<'_> {
    /// Writes what was kept, then `slices`, of which nothing is taken before all that is out.
    #[cold]
    fn write_through(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.room = 0;
        while let Some(kept) = self.answers.get(self.from..).filter(|kept| !kept.is_empty()) {
            match self.out.write(&[IoSlice::new(kept)])? {
                0 => return Err(ErrorKind::WriteZero.into()),
                count => self.from += count,
            }
        }
        self.out.write(slices)
    }
}

impl Output for Deferred<'_> {
    #[inline]
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match slices {
            [bytes] if bytes.len() <= self.room => {
                self.room -= bytes.len();
                self.answers.extend_from_slice(bytes);
                Ok(bytes.len())
            }
            _ => self.write_through(slices),
        }
    }
}

#[cfg(test)]
#[path = "round_tests.rs"]
mod tests;
