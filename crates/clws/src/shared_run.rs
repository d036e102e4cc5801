//! Frames in a row that other clients get too: a reference to each, and nothing else.
//!
//! This is what piles up where messages go to many clients faster than sockets take them. It is
//! the same for all of these clients but for how far each has come, so what each keeps of it
//! decides what a crowd takes up.

use crate::budget::Counted;
use std::collections::VecDeque;
use std::sync::Arc;

/// Encoded frames that several clients get.
pub(crate) type SharedFrames = Arc<Counted<Box<[u8]>>>;

/// For so many more references there is room at least when a run grows.
const MIN_GROWTH: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct SharedRun {
    frames: VecDeque<SharedFrames>,
    /// How much of the first is written.
    written: usize,
}

impl SharedRun {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(crate) fn push(&mut self, frames: SharedFrames) {
        if self.frames.len() == self.frames.capacity() {
            // Not twice as many: one more message to a crowd shall not double what each holds.
            self.frames.reserve_exact((self.frames.len() / 4).max(MIN_GROWTH));
        }
        self.frames.push_back(frames);
    }

    /// The bytes of memory that are its own.
    #[inline]
    pub(crate) fn memory(&self) -> usize {
        self.frames.capacity() * size_of::<SharedFrames>()
    }

    /// What waits, where it is one piece.
    pub(crate) fn contiguous(&self) -> Option<&[u8]> {
        if self.frames.len() == 1 { self.slices().next() } else { None }
    }

    /// What waits, piece by piece.
    pub(crate) fn slices(&self) -> impl Iterator<Item = &[u8]> {
        let mut from = self.written;
        self.frames
            .iter()
            .map(move |frames| frames.get(std::mem::take(&mut from)..).unwrap_or_default())
    }

    /// Drops `count` bytes from the front: they are written. Gives the length of the frames that
    /// are written whole.
    pub(crate) fn advance(&mut self, count: usize) -> usize {
        let (mut done, mut whole) = (self.written + count, 0);
        while let Some(len) =
            self.frames.front().map(|front| front.len()).filter(|len| *len <= done)
        {
            self.frames.pop_front();
            done -= len;
            whole += len;
        }
        self.written = done;
        whole
    }

    /// Takes the frames out, each with the place from where on it waits.
    pub(crate) fn take(&mut self) -> impl Iterator<Item = (SharedFrames, usize)> {
        let mut from = std::mem::take(&mut self.written);
        self.frames.drain(..).map(move |frames| (frames, std::mem::take(&mut from)))
    }
}
