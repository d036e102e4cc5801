//! Level 1: a compressor for messages, fast before all.
//!
//! One candidate for each position, from a table of hashes, and the fixed Huffman codes, as
//! zlib's fastest level does it and with the same size of output. What is different is the cost of
//! a message: a table that suits its length is cleared, not 128 KiB; and that of a connection that
//! keeps its history: about 100 KiB instead of 370.
//!
//! A wrong guess of the processor costs as much as looking at ten positions. So [`BATCH`]
//! positions are looked at without a branch, and only then it is asked whether one had a match.

use super::fixed::{Block, Buffer, EMPTY_BUFFER, MAX_MATCH};

/// The bytes a position is a candidate for: those of the history and those to be compressed, half
/// each. A position modulo this is an index and fits into the table.
const SIZE: usize = 1 << 16;
const SEGMENT: usize = SIZE / 2;
/// Bytes behind the ring that repeat its beginning, for loads across the end.
const MIRROR: usize = 16;
/// Positions looked at together, a power of two.
const BATCH: usize = 4;
/// Where a segment ends no matches are looked for: loads would go beyond it.
const LAST: usize = BATCH + 8;
const TABLE_BITS: u32 = 14;
const MIN_TABLE_BITS: u32 = 10;
/// Bytes that are hashed: one more than a match must have, for fewer but longer matches.
const HASHED: u32 = 5;

/// The compressor's memory: the last 32 KiB and where in them to look.
#[derive(Debug)]
pub(super) struct Quick {
    ring: Box<Ring>,
    table: Box<[u16; 1 << TABLE_BITS]>,
    buffer: Box<Buffer>,
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
            buffer: Box::new(EMPTY_BUFFER),
            position: 0,
            window: 1 << window_bits,
            forgotten: false,
        }
    }

    /// What it has allocated, in bytes.
    pub(super) const fn memory() -> usize {
        size_of::<Ring>() + size_of::<[u16; 1 << TABLE_BITS]>() + size_of::<Buffer>()
    }

    /// Appends the compressed message, without the four bytes that RFC 7692 §7.2.1 takes off;
    /// `false` when more than `most` bytes came out, which are then in `out`, not all of them.
    ///
    /// With `takeover` the messages before, which had it too, are its history.
    pub(super) fn deflate(
        &mut self,
        message: &[u8],
        takeover: bool,
        most: usize,
        out: &mut Vec<u8>,
    ) -> bool {
        let bits = if takeover { TABLE_BITS } else { table_bits(message.len()) };
        if !takeover || self.forgotten {
            self.reset(bits);
        }
        let most = out.len().saturating_add(most);
        let mut block = Block::new(&mut self.buffer, out);
        for segment in message.chunks(SEGMENT) {
            store(&mut self.ring, self.position, segment);
            let end = self.position + segment.len();
            let table = Table { places: &mut self.table, bits };
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

    /// Clears what a table of so many bits uses: a zero stands for the first position, which every
    /// other one may refer to.
    fn reset(&mut self, bits: u32) {
        self.position = 0;
        self.forgotten = false;
        self.table[..1 << bits].fill(0);
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

/// By hash, of so many bits, the last position that had it, modulo [`SIZE`].
struct Table<'a> {
    places: &'a mut [u16; 1 << TABLE_BITS],
    bits: u32,
}

impl Table<'_> {
    #[inline(always)]
    fn place(&mut self, bytes: u64) -> &mut u16 {
        let hash = (bytes << (64 - 8 * HASHED)).wrapping_mul(0x9e37_79b1_85eb_ca87);
        let hash = (hash >> ((64 - self.bits) % 64)) as usize;
        &mut self.places[hash % (1 << TABLE_BITS)]
    }
}

/// Writes the symbols of what stands in the ring at `positions`.
fn search<'a>(
    ring: &Ring,
    mut table: Table<'_>,
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
        for (index, slot) in distances.iter_mut().enumerate() {
            let at = at + index;
            let bytes = load8(ring, at);
            let place = table.place(bytes);
            let distance = (at as u16).wrapping_sub(*place);
            *place = at as u16;
            *slot = distance;
            let distance = usize::from(distance);
            let candidate = load8(ring, at.wrapping_sub(distance));
            // A distance of zero is one too far.
            let near = distance.wrapping_sub(1) < window;
            let same = (candidate ^ bytes) as u32 == 0;
            matches |= u32::from(near & same) << index;
        }
        if matches == 0 {
            // The longer nothing was found, the fewer positions are looked at.
            at += BATCH + (at - written) / 32;
            continue;
        }
        let index = matches.trailing_zeros() as usize % BATCH;
        at += index;
        let distance = usize::from(distances[index]);
        let length = common(ring, at, at.wrapping_sub(distance)).min(end - at);
        block.run(written, at, |from| load8(ring, from));
        block.copy(length, distance);
        at += length;
        written = at;
    }
    block.run(written, end, |from| load8(ring, from));
    block
}

/// How many bytes are the same at two positions, [`MAX_MATCH`] at most.
#[inline(always)]
fn common(ring: &Ring, one: usize, other: usize) -> usize {
    let differs = load16(ring, one) ^ load16(ring, other);
    if differs == 0 {
        return longer(ring, one, other);
    }
    (differs.trailing_zeros() / 8) as usize
}

#[inline(never)]
fn longer(ring: &Ring, one: usize, other: usize) -> usize {
    let mut length = 16;
    while length < MAX_MATCH {
        let differs = load16(ring, one + length) ^ load16(ring, other.wrapping_add(length));
        length += (differs.trailing_zeros() / 8) as usize;
        if differs != 0 {
            break;
        }
    }
    length.min(MAX_MATCH)
}
