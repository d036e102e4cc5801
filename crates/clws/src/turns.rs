//! Whose turn is next: what an engine notes of its sessions besides their sockets.
//!
//! Most sessions are served when their socket is ready. Listed ones are served once in the next
//! turn. Those that go on with a long compressed message stand in a queue and inflate one after
//! another, as all of them at once would hold all their messages in memory. Long messages that
//! have come whole are read whole, a few in each round. The worker and the engine of the tests both
//! go by this.

use crate::client::SessionId;
use crate::hub::Kit;
use crate::session::Session;
use clws_proto::frame::MAX_HEADER;
use std::collections::VecDeque;
use std::io;
use std::time::Instant;

/// The most of long messages that is read whole in one round of all sessions: so many turns' bytes,
/// and no more than this many bytes. The others have to wait for it once a round, however many
/// sessions send long messages.
const LONG_TURNS: usize = 16;
const MAX_LONG: usize = 1024 * 1024;

/// What is known of one session.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "six facts, each changing by itself")]
pub(crate) struct Standing {
    /// More may be there to read than the last event's turn allowed.
    pub(crate) readable: bool,
    /// The peer's end, or an error, is there to be read behind everything else.
    pub(crate) end_waits: bool,
    /// It stands in the list for the next turn.
    listed: bool,
    /// It stands in the queue of those that inflate long messages.
    queued: bool,
    /// What was read of it waits for others. Nothing may be read before it is worked on.
    pub(crate) in_round: bool,
    /// Its latest message was longer than a turn: it is served with the list, in whose order those
    /// like it are read.
    long: bool,
    /// How much of a long message had come when it was looked at last, in turns' bytes, and one;
    /// 0 before that.
    seen: u8,
    /// How many more reads take at least what had come when the session's time was up.
    last_reads: u8,
}

impl Standing {
    /// Notes what the system says of the socket.
    pub(crate) fn note(&mut self, readable: bool, ended: bool) {
        self.readable |= readable || ended;
        self.end_waits |= ended;
    }

    /// Whether its turn comes with the list's, whatever its socket says.
    pub(crate) fn is_for_the_list(&self) -> bool {
        self.listed || self.long
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
    #[inline(always)]
    pub(crate) fn has_read_out(&mut self, session: &Session) -> bool {
        self.last_reads > 0 && self.count_read(session)
    }

    #[inline(never)]
    fn count_read(&mut self, session: &Session) -> bool {
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
    pub(crate) entry: SessionId,
    since: Instant,
}

/// The sessions that have to be served whatever their sockets say.
#[derive(Debug)]
pub(crate) struct Turns {
    /// There is more to read, or something was sent to them.
    listed: Vec<SessionId>,
    swelling: VecDeque<SessionId>,
    turn_bytes: usize,
    /// How much of long messages may still be read whole in this round.
    long_left: usize,
    /// Sessions were put off in this round, and in the one before.
    put_off: bool,
    waited_for: bool,
}

impl Turns {
    /// With room from the start, so that no first time costs an allocation.
    pub(crate) fn new(count: usize, turn_bytes: usize) -> Self {
        Self {
            listed: Vec::with_capacity(count),
            swelling: VecDeque::new(),
            turn_bytes,
            long_left: long(turn_bytes),
            put_off: false,
            waited_for: false,
        }
    }

    /// A buffer with room for all that is read at once, behind as many bytes as `before` says.
    pub(crate) fn buffer(&self, before: usize) -> Vec<u8> {
        vec![0; before + self.room()]
    }

    fn room(&self) -> usize {
        2 * self.turn_bytes + long(self.turn_bytes)
    }

    /// Begins a round.
    pub(crate) fn begin(&mut self) {
        self.long_left = long(self.turn_bytes);
        self.waited_for = std::mem::take(&mut self.put_off);
    }

    /// Whether a session is read in a later round: when there is room for its long message again,
    /// or when more of that will have come. Those whose long message comes by surprise take none of
    /// the room before them. `peek` looks at the first bytes in the socket, and says how many those
    /// are and how many there are in all.
    #[inline(always)]
    pub(crate) fn puts_off(
        &mut self,
        session: &Session,
        standing: &mut Standing,
        peek: impl FnOnce(&mut [u8]) -> io::Result<(usize, usize)>,
    ) -> bool {
        if !standing.long || session.expected() > 0 {
            return false;
        }
        let has_room = self.long_left > 0;
        self.put_off |= !has_room;
        !has_room || (!standing.is_ending() && self.grows(session, standing, peek))
    }

    /// Whether a long message is not whole yet, and is looked at for the first time, or has come
    /// further by a turn's bytes since the last. It costs two system calls.
    #[cold]
    fn grows(
        &self,
        session: &Session,
        standing: &mut Standing,
        peek: impl FnOnce(&mut [u8]) -> io::Result<(usize, usize)>,
    ) -> bool {
        let before = std::mem::take(&mut standing.seen);
        let mut header = [0; MAX_HEADER];
        let Ok((peeked, come)) = peek(&mut header) else { return false };
        let Some(lacks) = session.lacks(header.get(..peeked).unwrap_or_default()) else {
            return false;
        };
        let seen = u8::try_from(come / self.turn_bytes + 1).unwrap_or(u8::MAX);
        let whole = peeked + lacks;
        let waits = come < whole && whole <= self.room() && before < seen;
        if waits {
            standing.seen = seen;
        }
        waits
    }

    /// How many bytes a session may have read in one turn.
    ///
    /// Of a frame that is known to be long that is twice as much: larger pieces would cost fewer
    /// calls and more cache misses.
    #[inline(always)]
    pub(crate) fn budget(&self, session: &Session, standing: &Standing, kit: &Kit) -> usize {
        let (expected, turn) = (session.expected(), session.turn_bytes(kit));
        // To the end of a long message, so that the next one may be read whole. Else more than is
        // expected, so that a frame's end does not look like a full buffer.
        let next = if standing.long && expected > 0 { 0 } else { turn };
        expected.saturating_add(next).min(2 * self.turn_bytes)
    }

    /// Notes that `count` bytes of `budget` were read into `buffer`, reads the rest of a long
    /// message that begins with them, if this round has room for it, and gives how many bytes that
    /// makes.
    ///
    /// Read in pieces it would be copied together, with one of each session unfinished at a time,
    /// in memory that no cache holds.
    #[inline(always)]
    pub(crate) fn go_on(
        &mut self,
        session: &Session,
        standing: &mut Standing,
        buffer: &mut [u8],
        (count, budget): (usize, usize),
        mut read: impl FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> usize {
        // A short read empties the socket; what comes then is told again.
        standing.readable = count == budget || standing.end_waits;
        if count < budget {
            standing.long = standing.long && session.expected() > 0;
            return count;
        }
        count + self.read_rest(session, standing, buffer, count, &mut read)
    }

    /// The part of [`Self::go_on`] for what may be long: all `count` bytes that might be were read.
    #[cold]
    fn read_rest(
        &mut self,
        session: &Session,
        standing: &mut Standing,
        buffer: &mut [u8],
        count: usize,
        read: &mut dyn FnMut(&mut [u8]) -> io::Result<usize>,
    ) -> usize {
        let expected = session.expected();
        if expected > 0 {
            standing.long |= expected >= self.turn_bytes;
            return 0;
        }
        let lacks = session.lacks(buffer.get(..count).unwrap_or_default());
        let lacks = lacks.filter(|lacks| *lacks > 0);
        let rest = lacks.and_then(|lacks| buffer.get_mut(count..count + lacks));
        let surprises = !std::mem::replace(&mut standing.long, rest.is_some());
        let has_room = self.long_left > 0 && !(surprises && self.waited_for);
        let Some(rest) = rest.filter(|_| has_room) else { return 0 };
        // If it fails, so does the next one.
        let more = read(rest).unwrap_or(0);
        self.long_left = self.long_left.saturating_sub(count + more);
        more
    }

    /// Whether anybody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.listed.is_empty() && self.swelling.is_empty()
    }

    /// Whether sessions wait to inflate long messages.
    pub(crate) fn is_crowded(&self) -> bool {
        !self.swelling.is_empty()
    }

    pub(crate) fn list(&mut self, entry: SessionId, standing: &mut Standing) {
        if !std::mem::replace(&mut standing.listed, true) {
            self.listed.push(entry);
        }
    }

    /// Swaps the list for `other`, which is empty.
    pub(crate) fn take_listed(&mut self, other: &mut Vec<SessionId>) {
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
        mut swells: impl FnMut(SessionId) -> Option<Instant>,
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

fn long(turn_bytes: usize) -> usize {
    turn_bytes.saturating_mul(LONG_TURNS).min(MAX_LONG)
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
