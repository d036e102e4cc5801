//! What was inflated last: the history that matches refer to.

use crate::copy;

/// How far back a match may refer (RFC 1951 §3.2.5).
const HISTORY: usize = 1 << 15;
const SIZE: usize = 1 << 16;
/// Bytes copied at once.
const STEP: usize = 16;

/// Copies may go two steps beyond the end.
type Bytes = [u8; SIZE + 2 * STEP];

/// The last bytes, in one piece: 32 KiB of them stay when there is no more room for new ones.
#[derive(Debug)]
pub(super) struct Window {
    bytes: Box<Bytes>,
    /// Where the history begins and the next byte goes.
    start: usize,
    end: usize,
}

impl Window {
    pub(super) fn new() -> Self {
        let Ok(bytes) = vec![0; size_of::<Bytes>()].into_boxed_slice().try_into() else {
            unreachable!("as many as were asked for")
        };
        Self { bytes, start: 0, end: 0 }
    }

    /// What it has allocated, in bytes.
    pub(super) const fn memory() -> usize {
        size_of::<Bytes>()
    }

    pub(super) fn forget(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Ends the history where it is; what came out is still to be had.
    pub(super) fn begin_anew(&mut self) {
        self.start = self.end;
    }

    /// What matches may refer to.
    pub(super) fn history(&self) -> &[u8] {
        &self.bytes[self.start..self.end]
    }

    /// Forgets what lies further back than so many bytes.
    pub(super) fn shorten(&mut self, most: usize) {
        self.start = self.start.max(self.end.saturating_sub(most));
    }

    /// Moves the history to the beginning unless there is room for so many bytes, at most half of
    /// the window.
    pub(super) fn make_room(&mut self, bytes: usize) {
        if SIZE - self.end < bytes {
            let moved = self.end - HISTORY;
            self.bytes.copy_within(moved..self.end, 0);
            self.start = self.start.saturating_sub(moved);
            self.end = HISTORY;
        }
    }

    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// How many bytes fit.
    pub(super) fn room(&self) -> usize {
        SIZE - self.end
    }

    /// What came out since the end was there.
    pub(super) fn since(&self, end: usize) -> &[u8] {
        &self.bytes[end..self.end]
    }

    /// Adds bytes; there must be room.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        copy::fill(&mut self.bytes[self.end..self.end + bytes.len()], bytes);
        self.end += bytes.len();
    }

    /// To add many bytes and matches; [`Self::advance_to`] says where that ended.
    pub(super) fn cursor(&mut self) -> Cursor<'_> {
        Cursor { bytes: &mut self.bytes, start: self.start, end: self.end }
    }

    /// What a cursor brought out up to there is kept.
    pub(super) fn advance_to(&mut self, end: usize) {
        self.end = end;
    }
}

/// A window while it is written, in variables that can stay in registers.
pub(super) struct Cursor<'a> {
    bytes: &'a mut Bytes,
    start: usize,
    end: usize,
}

impl Cursor<'_> {
    /// The same place, to write from on a copy.
    pub(super) fn reborrow(&mut self) -> Cursor<'_> {
        Cursor { bytes: self.bytes, ..*self }
    }

    /// Where a copy wrote to.
    pub(super) fn advance_to(&mut self, end: usize) {
        self.end = end;
    }

    #[inline(always)]
    pub(super) fn end(&self) -> usize {
        self.end
    }

    /// Whether a match may be so far back.
    #[inline(always)]
    pub(super) fn reaches(&self, distance: usize) -> bool {
        distance <= self.end - self.start
    }

    /// Adds a byte; there must be room.
    #[inline(always)]
    pub(super) fn push(&mut self, byte: u8) {
        self.bytes[self.end % SIZE] = byte;
        self.end += 1;
    }

    /// Adds `length` bytes, at least one, from `distance` bytes before; there must be room, and
    /// the history must reach.
    #[inline(always)]
    pub(super) fn copy(&mut self, length: usize, distance: usize) {
        let (mut from, mut to) = (self.end - distance, self.end);
        self.end += length;
        if distance < STEP {
            return repeat(self.bytes, from, to, self.end);
        }
        // Most matches end within two steps, and how many they take is hard to guess.
        step(self.bytes, from, to, 0);
        step(self.bytes, from, to, STEP);
        while to + 2 * STEP < self.end {
            (from, to) = (from + STEP, to + STEP);
            step(self.bytes, from, to, STEP);
        }
    }
}

/// Copies what overlaps itself within a step: what was copied is copied again, twice as long each
/// time, until steps no longer overlap.
#[inline(never)]
fn repeat(bytes: &mut Bytes, mut from: usize, mut to: usize, end: usize) {
    while to < end && to - from < STEP {
        step(bytes, from, to, 0);
        to += to - from;
    }
    while to < end {
        step(bytes, from, to, 0);
        (from, to) = (from + STEP, to + STEP);
    }
}

/// Copies a step that is `ahead` of the two places, at most one step.
#[inline(always)]
fn step(bytes: &mut Bytes, from: usize, to: usize, ahead: usize) {
    let (from, to) = (from % SIZE + ahead, to % SIZE + ahead);
    let mut step = [0; STEP];
    step.copy_from_slice(&bytes[from..from + STEP]);
    bytes[to..to + STEP].copy_from_slice(&step);
}
