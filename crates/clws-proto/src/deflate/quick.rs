//! Level 1: a compressor for messages, fast before all.
//!
//! One candidate for each position, from a table of hashes, and the fixed Huffman codes, as
//! zlib's fastest level does it and with the same size of output. What is different is the cost of
//! a message: a table that suits its length is cleared, not 128 KiB; and that of a connection that
//! keeps its history: 96 KiB instead of 370.

use super::candidates::{BLOCK, COMPARED, Candidates, Finder, MAX_HASHED, MIRROR, Ring, SIZE};
use super::candidates::{TABLE_BITS, Table};
use super::fixed::{Block, EMPTY_BUFFER, MAX_MATCH};
use crate::copy;
use fearless_simd::{Level, Simd, dispatch};
use std::ops::Range;

/// What is put into the ring at once, beside as much history.
const SEGMENT: usize = SIZE / 2;
/// The shortest match that is worth its code.
const LEAST: usize = 4;
const MIN_TABLE_BITS: u32 = 10;
/// Bytes that are hashed, more than the four a match must have: matches are fewer but longer, which
/// makes little difference to the size where there is much to refer to.
const HASHED: usize = 7;
/// The same for a message that stands alone and is shorter than [`SHORT`] bytes.
const HASHED_IF_SHORT: usize = 5;
const SHORT: usize = 4096;

/// The compressor's memory: the last 32 KiB and where in them to look.
#[derive(Debug)]
pub(super) struct Quick {
    ring: Box<Ring>,
    table: Box<Table>,
    /// Where the next message begins.
    position: usize,
    window: usize,
    /// The history is not to be used any more.
    forgotten: bool,
}

impl Quick {
    /// Without history; `window_bits` is at most 15.
    pub(super) fn new(window_bits: u8) -> Self {
        Self {
            ring: boxed(),
            table: boxed(),
            position: 0,
            window: 1 << window_bits,
            forgotten: false,
        }
    }

    /// What it has allocated, in bytes.
    pub(super) const fn memory() -> usize {
        size_of::<Ring>() + size_of::<Table>()
    }

    /// Appends the compressed message, without the four bytes that RFC 7692 §7.2.1 takes off;
    /// `false` when more than `most` bytes came out, which are then in `out`, not all of them.
    ///
    /// With `takeover` the messages before, which had it too, are its history, back to one that had
    /// not.
    pub(super) fn deflate(
        &mut self,
        message: &[u8],
        takeover: bool,
        most: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        self.deflate_with(Level::new(), message, takeover, most, out)
    }

    /// With the registers of a level that the processor has; the same comes out with all of them.
    fn deflate_with(
        &mut self,
        level: Level,
        message: &[u8],
        takeover: bool,
        most: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let bits = if takeover { TABLE_BITS } else { table_bits(message.len()) };
        if !takeover || self.forgotten {
            self.position = 0;
            // A zero stands for the first position, which every other one may refer to.
            self.table[..1 << bits].fill(0);
        }
        // The rest of the table may be older than this message.
        self.forgotten = !takeover;
        let hashed = if takeover || message.len() >= SHORT { HASHED } else { HASHED_IF_SHORT };
        dispatch!(level, simd => {
            self.block(Finder::new(simd, hashed, bits), message, most, out)
        })
    }

    #[inline(always)]
    fn block<S: Simd>(
        &mut self,
        finder: Finder<S>,
        message: &[u8],
        most: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let most = out.len().saturating_add(most);
        let mut buffer = EMPTY_BUFFER;
        let mut block = Block::new(&mut buffer, out);
        for segment in message.chunks(SEGMENT) {
            store(&mut self.ring, self.position, segment);
            let end = self.position + segment.len();
            let positions = self.position..end;
            block = search(finder, &self.ring, &mut self.table, self.window, positions, block);
            self.position = end;
            if block.bytes() > most {
                return false;
            }
        }
        block.end();
        out.len() <= most
    }

    /// Forgets the history; it costs nothing before the next message.
    pub(super) fn forget(&mut self) {
        self.forgotten = true;
    }

    /// The history, as far as the window goes.
    pub(super) fn history(&self) -> Box<[u8]> {
        let len = if self.forgotten { 0 } else { self.position.min(self.window) };
        let start = (self.position - len) % SIZE;
        let first = len.min(SIZE - start);
        [&self.ring[start..start + first], &self.ring[..len - first]].concat().into()
    }

    /// Takes such a history for its own, of a window of this size.
    pub(super) fn remember(&mut self, history: &[u8]) {
        self.table.fill(0);
        store(&mut self.ring, 0, history);
        let (ring, table, len) = (&self.ring, &mut self.table, history.len());
        dispatch!(Level::new(), simd => {
            note(Finder::new(simd, HASHED, TABLE_BITS), ring, table, len);
        });
        (self.position, self.forgotten) = (history.len(), false);
    }
}

fn boxed<T: Copy + Default, const N: usize>() -> Box<[T; N]> {
    let Ok(array) = vec![T::default(); N].into_boxed_slice().try_into() else {
        unreachable!("as many as were asked for")
    };
    array
}

/// A table that has one or two places for each byte.
fn table_bits(bytes: usize) -> u32 {
    (bytes.max(1).ilog2() + 1).clamp(MIN_TABLE_BITS, TABLE_BITS)
}

/// Puts a segment at its place in the ring.
fn store(ring: &mut Ring, position: usize, segment: &[u8]) {
    let start = position % SIZE;
    let (first, second) = segment.split_at(segment.len().min(SIZE - start));
    copy::fill(&mut ring[start..start + first.len()], first);
    copy::fill(&mut ring[..second.len()], second);
    let (ring, mirror) = ring.split_at_mut(SIZE);
    mirror.copy_from_slice(&ring[..MIRROR]);
}

#[inline(always)]
fn load8(ring: &Ring, position: usize) -> u64 {
    let start = position % SIZE;
    u64::from_le_bytes(ring[start..start + 8].try_into().unwrap_or_default())
}

/// Notes all positions of a history that are followed by enough of it.
#[inline(always)]
fn note<S: Simd>(finder: Finder<S>, ring: &Ring, table: &mut Table, len: usize) {
    for at in (0..len.saturating_sub(BLOCK + MAX_HASHED)).step_by(BLOCK) {
        finder.look(ring, table, at);
    }
}

/// Writes the symbols of what stands in the ring at `positions`.
#[inline(always)]
fn search<'a, S: Simd>(
    finder: Finder<S>,
    ring: &Ring,
    table: &mut Table,
    window: usize,
    positions: Range<usize>,
    mut block: Block<'a>,
) -> Block<'a> {
    let end = positions.end;
    let last = end.saturating_sub(MAX_HASHED);
    // What is looked at next, and how far everything is written.
    let (mut at, mut written) = (positions.start, positions.start);
    while at < last {
        let Candidates { entries, mut alike } = finder.look(ring, table, at);
        if last - at < BLOCK {
            alike &= (1 << (last - at)) - 1;
        }
        while alike != 0 {
            let index = alike.trailing_zeros() as usize % BLOCK;
            let (here, there) = (at + index, entries[index] as u16);
            let distance = usize::from((here as u16).wrapping_sub(there));
            let mut length = finder.common(ring, here, usize::from(there));
            // Both are rare. An entry may stand for a position behind this one, or for this one,
            // which was looked at when it was the last of a message: a distance of zero is one too
            // far.
            if distance.wrapping_sub(1) >= window || length < LEAST {
                alike &= alike - 1;
                continue;
            }
            if length == COMPARED {
                length = common_beyond(ring, here, here.wrapping_sub(distance), length);
            }
            let length = length.min(end - here);
            block.run(written, here, |from| load8(ring, from));
            block.copy(length, distance);
            written = here + length;
            alike &= (u64::MAX << (index + length).min(63)) as u32;
        }
        // The longer nothing was found, the fewer positions are looked at.
        at = written.max(at + BLOCK + at.saturating_sub(written) / 8);
    }
    block.run(written, end, |from| load8(ring, from));
    block
}

/// How many bytes are the same at two positions, [`MAX_MATCH`] at most, where the first `length`
/// are known to be.
#[inline(never)]
fn common_beyond(ring: &Ring, one: usize, other: usize, mut length: usize) -> usize {
    while length < MAX_MATCH {
        let differs = load8(ring, one + length) ^ load8(ring, other.wrapping_add(length));
        length += (differs.trailing_zeros() / 8) as usize;
        if differs != 0 {
            break;
        }
    }
    length.min(MAX_MATCH)
}

#[cfg(test)]
#[path = "quick_tests.rs"]
mod tests;
