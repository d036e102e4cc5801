//! Level 1: a compressor for messages, fast before all.
//!
//! One candidate for each position, from a table of hashes, and the fixed Huffman codes, as
//! zlib's fastest level does it and with the same size of output. What is different is the cost of
//! a message: a table that suits its length is cleared, not 128 KiB; and that of a connection that
//! keeps its history: 96 KiB instead of 370.
//!
//! A wrong guess of the processor costs as much as looking at ten positions. So [`BATCH`]
//! positions are looked at without a branch, and only then it is asked whether one had a match.

use super::fixed::{Block, EMPTY_BUFFER, MAX_MATCH};

/// The bytes a position is a candidate for: those of the history and those to be compressed, half
/// each. A position modulo this is an index and fits into the table.
const SIZE: usize = 1 << 16;
const SEGMENT: usize = SIZE / 2;
/// Bytes behind the ring that repeat its beginning, for loads across the end.
const MIRROR: usize = 16;
/// Positions looked at together, a power of two.
const BATCH: usize = 8;
/// Where a segment ends no matches are looked for: loads would go beyond it.
const LAST: usize = BATCH + 8;
const TABLE_BITS: u32 = 14;
const MIN_TABLE_BITS: u32 = 10;
/// Bytes that are hashed, more than the four a match must have: matches are fewer but longer, which
/// makes little difference to the size where there is much to refer to.
const HASHED: u32 = 7;
/// The same for a message that stands alone and is shorter than [`SHORT`] bytes.
const HASHED_IF_SHORT: u32 = 5;
const SHORT: usize = 4096;

/// The compressor's memory: the last 32 KiB and where in them to look.
#[derive(Debug)]
pub(super) struct Quick {
    ring: Box<Ring>,
    table: Box<[u16; 1 << TABLE_BITS]>,
    /// Where the next message begins.
    position: usize,
    window: usize,
    /// The history is not to be used any more.
    forgotten: bool,
}

type Ring = [u8; SIZE + MIRROR];

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
        size_of::<Ring>() + size_of::<[u16; 1 << TABLE_BITS]>()
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
        let bits = if takeover { TABLE_BITS } else { table_bits(message.len()) };
        if !takeover || self.forgotten {
            self.position = 0;
            // A zero stands for the first position, which every other one may refer to.
            self.table[..1 << bits].fill(0);
        }
        // The rest of the table may be older than this message.
        self.forgotten = !takeover;
        if takeover || message.len() >= SHORT {
            self.block::<HASHED>(message, bits, most, out)
        } else {
            self.block::<HASHED_IF_SHORT>(message, bits, most, out)
        }
    }

    fn block<const BYTES: u32>(
        &mut self,
        message: &[u8],
        bits: u32,
        most: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let most = out.len().saturating_add(most);
        let mut buffer = EMPTY_BUFFER;
        let mut block = Block::new(&mut buffer, out);
        for segment in message.chunks(SEGMENT) {
            store(&mut self.ring, self.position, segment);
            let end = self.position + segment.len();
            let table = Table::<BYTES> { places: &mut self.table, bits };
            block = search(&self.ring, table, self.window, self.position..end, block);
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
        let mut table = Table::<HASHED> { places: &mut self.table, bits: TABLE_BITS };
        for at in 0..history.len().saturating_sub(LAST) {
            *table.place(load8(&self.ring, at)) = at as u16;
        }
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
    ring[start..start + first.len()].copy_from_slice(first);
    ring[..second.len()].copy_from_slice(second);
    let (ring, mirror) = ring.split_at_mut(SIZE);
    mirror.copy_from_slice(&ring[..MIRROR]);
}

#[inline(always)]
fn load8(ring: &Ring, position: usize) -> u64 {
    let start = position % SIZE;
    u64::from_le_bytes(ring[start..start + 8].try_into().unwrap_or_default())
}

#[inline(always)]
fn load16(ring: &Ring, position: usize) -> u128 {
    let start = position % SIZE;
    u128::from_le_bytes(ring[start..start + 16].try_into().unwrap_or_default())
}

/// By the hash of so many bytes, the last position that had it, modulo [`SIZE`].
struct Table<'a, const BYTES: u32> {
    places: &'a mut [u16; 1 << TABLE_BITS],
    /// Bits of a hash.
    bits: u32,
}

impl<const BYTES: u32> Table<'_, BYTES> {
    #[inline(always)]
    fn place(&mut self, bytes: u64) -> &mut u16 {
        let hash = (bytes << (64 - 8 * BYTES)).wrapping_mul(0x9e37_79b1_85eb_ca87);
        let hash = (hash >> ((64 - self.bits) % 64)) as usize;
        &mut self.places[hash % (1 << TABLE_BITS)]
    }
}

/// Writes the symbols of what stands in the ring at `positions`.
fn search<'a, const BYTES: u32>(
    ring: &Ring,
    mut table: Table<'_, BYTES>,
    window: usize,
    positions: std::ops::Range<usize>,
    mut block: Block<'a>,
) -> Block<'a> {
    let end = positions.end;
    let last = end.saturating_sub(LAST);
    // Where the next batch begins, and how far everything is written.
    let (mut at, mut written) = (positions.start, positions.start);
    while at < last {
        let mut matches = 0_u32;
        let mut distances = [0_u16; BATCH];
        let mut differs = [0_u64; BATCH];
        for index in 0..BATCH {
            let at = at + index;
            let bytes = load8(ring, at);
            let place = table.place(bytes);
            let distance = (at as u16).wrapping_sub(*place);
            *place = at as u16;
            distances[index] = distance;
            differs[index] = load8(ring, at.wrapping_sub(usize::from(distance))) ^ bytes;
            matches |= u32::from(differs[index] as u32 == 0) << index;
        }
        // What is too far back is rare. A position that is looked at again, behind a match shorter
        // than the batch, finds itself: a distance of zero is one too far.
        let mut index = matches.trailing_zeros() as usize % BATCH;
        while matches != 0 && usize::from(distances[index]).wrapping_sub(1) >= window {
            matches &= matches - 1;
            index = matches.trailing_zeros() as usize % BATCH;
        }
        if matches == 0 {
            // The longer nothing was found, the fewer positions are looked at.
            at += BATCH + (at - written) / 32;
            continue;
        }
        at += index;
        let distance = usize::from(distances[index]);
        let differs = differs[index];
        let length = if differs == 0 {
            common(ring, at, at.wrapping_sub(distance), 8)
        } else {
            (differs.trailing_zeros() / 8) as usize
        };
        let length = length.min(end - at);
        block.run(written, at, |from| load8(ring, from));
        block.copy(length, distance);
        at += length;
        written = at;
    }
    block.run(written, end, |from| load8(ring, from));
    block
}

/// How many bytes are the same at two positions, [`MAX_MATCH`] at most, where the first `length`
/// are known to be.
#[inline(always)]
fn common(ring: &Ring, one: usize, other: usize, length: usize) -> usize {
    let differs = load16(ring, one + length) ^ load16(ring, other.wrapping_add(length));
    if differs == 0 {
        return common_beyond(ring, one, other, length + 16);
    }
    length + (differs.trailing_zeros() / 8) as usize
}

#[inline(never)]
fn common_beyond(ring: &Ring, one: usize, other: usize, mut length: usize) -> usize {
    while length < MAX_MATCH {
        let differs = load16(ring, one + length) ^ load16(ring, other.wrapping_add(length));
        length += (differs.trailing_zeros() / 8) as usize;
        if differs != 0 {
            break;
        }
    }
    length.min(MAX_MATCH)
}
