//! Where the bytes of a position may have stood before (RFC 1951 §3.2.5): one candidate for each.
//!
//! A wrong guess of the processor costs as much as looking at ten positions, and so does waiting
//! for one thing to know where the next is. So a block of positions is looked at without a branch
//! and without a look at the candidates themselves: an entry of the table says enough of the bytes
//! it stands for.

use fearless_simd::{Simd, prelude::*, u8x16, u8x32, u32x8};

/// The bytes a position is a candidate for: those of the history and those to be compressed, half
/// each. A position modulo this is an index.
pub(super) const SIZE: usize = 1 << 16;
/// Bytes that are compared at once.
pub(super) const COMPARED: usize = 32;
/// Bytes behind the ring that repeat its beginning, for loads across the end.
pub(super) const MIRROR: usize = COMPARED;
pub(super) type Ring = [u8; SIZE + MIRROR];

/// Positions looked at together.
pub(super) const BLOCK: usize = 32;
/// Positions in one register.
const LANES: usize = 8;
/// The most bytes that are hashed.
pub(super) const MAX_HASHED: usize = 8;

pub(super) const TABLE_BITS: u32 = 13;
/// By a part of the hash of some bytes: another part, in the upper half, and the last position that
/// had it, modulo [`SIZE`].
pub(super) type Table = [u32; 1 << TABLE_BITS];

/// What [`Finder::look`] found for the positions of a block.
pub(super) struct Candidates {
    pub(super) entries: [u32; BLOCK],
    /// A bit for each position whose bytes have the hash of the candidate's, the first lowest.
    pub(super) alike: u32,
}

/// How bytes are hashed.
#[derive(Clone, Copy)]
pub(super) struct Finder<S: Simd> {
    simd: S,
    /// Bits of a hash that are an index.
    bits: u32,
    /// Which bytes make the first four of each position, and its last four that are hashed.
    first: u8x32<S>,
    last: u8x32<S>,
}

impl<S: Simd> Finder<S> {
    /// Hashes so many bytes, 4 to [`MAX_HASHED`], to so many bits, at most [`TABLE_BITS`].
    #[inline(always)]
    pub(super) fn new(simd: S, hashed: usize, bits: u32) -> Self {
        Self { simd, bits, first: four(simd, 0), last: four(simd, hashed - 4) }
    }

    /// Looks a block of positions up and notes them; the ring is right up to [`MAX_HASHED`] bytes
    /// behind it, or what is found there means nothing.
    #[inline(always)]
    pub(super) fn look(&self, ring: &Ring, table: &mut Table, at: usize) -> Candidates {
        let [mut hashes, mut noted, mut entries] = [[0; BLOCK]; 3];
        let lanes = u32x8::from_slice(self.simd, &[0, 1, 2, 3, 4, 5, 6, 7]);
        for group in (0..BLOCK).step_by(LANES) {
            let hash = self.hash(ring, at + group);
            (hash >> (32 - self.bits)).store_slice(&mut hashes[group..group + LANES]);
            let here = (lanes + (at + group) as u32) & (SIZE - 1) as u32;
            ((hash << 16) | here).store_slice(&mut noted[group..group + LANES]);
        }
        for index in 0..BLOCK {
            let place = &mut table[hashes[index] as usize % table.len()];
            entries[index] = *place;
            *place = noted[index];
        }
        let mut alike = 0;
        for group in (0..BLOCK).step_by(LANES) {
            let [found, noted] = [&entries, &noted]
                .map(|all| u32x8::from_slice(self.simd, &all[group..group + LANES]) >> 16);
            alike |= (found.simd_eq(noted).to_bitmask() as u32) << group;
        }
        Candidates { entries, alike }
    }

    #[inline(always)]
    fn hash(&self, ring: &Ring, at: usize) -> u32x8<S> {
        let start = at % SIZE;
        let bytes = u8x16::from_slice(self.simd, &ring[start..start + 16]);
        let bytes = u8x32::block_splat(bytes);
        let first: u32x8<S> = bytes.swizzle_dyn_within_blocks(self.first).bitcast();
        let last: u32x8<S> = bytes.swizzle_dyn_within_blocks(self.last).bitcast();
        first * 0x9e37_79b1 + last * 0x85eb_ca77
    }

    /// How many bytes are the same at two positions, [`COMPARED`] at most.
    #[inline(always)]
    pub(super) fn common(&self, ring: &Ring, one: usize, other: usize) -> usize {
        let [one, other] = [one, other].map(|at| {
            let start = at % SIZE;
            u8x32::from_slice(self.simd, &ring[start..start + COMPARED])
        });
        (!one.simd_eq(other).to_bitmask()).trailing_zeros() as usize
    }
}

/// For each of [`LANES`] positions which four bytes it takes, from so many bytes behind it on.
#[inline(always)]
fn four<S: Simd>(simd: S, offset: usize) -> u8x32<S> {
    let mut from = [0; 4 * LANES];
    for (index, from) in from.iter_mut().enumerate() {
        *from = (index / 4 + index % 4 + offset) as u8;
    }
    u8x32::from_slice(simd, &from)
}
