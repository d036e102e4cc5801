//! The symbols of a block, as fast as they can be read (RFC 1951 §3.2.3).

use super::bits::{AHEAD, Bits};
use super::tables::{self, DISTANCES, Distances, Entry, LITERALS, Literals};
use super::window::Cursor;

/// The longest match.
pub(super) const MAX_MATCH: usize = 258;
/// Bytes that one turn of [`Codes::rush`] brings out at most.
pub(super) const TURN: usize = 3 + MAX_MATCH;
/// Bits that a distance takes at most.
const MAX_DISTANCE_BITS: u32 = 28;

/// Not DEFLATE data, or a match that refers to what is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invalid;

/// The codes of a block.
#[derive(Debug, Default)]
pub(super) struct Codes {
    literals: Literals,
    distances: Distances,
    /// They are the fixed ones.
    fixed: bool,
}

impl Codes {
    /// Makes codes of their lengths.
    pub(super) fn make(&mut self, literals: &[u8], distances: &[u8]) -> Result<(), Invalid> {
        self.fixed = false;
        let whole = literals[256] > 0
            && self.literals.build(literals, tables::literal)
            && self.distances.build(distances, tables::distance);
        whole.then_some(()).ok_or(Invalid)
    }

    /// Makes the fixed codes (§3.2.6).
    pub(super) fn fix(&mut self) {
        if !self.fixed {
            let mut lengths = [8; LITERALS];
            lengths[144..256].fill(9);
            lengths[256..280].fill(7);
            self.literals.build(&lengths, tables::literal);
            self.distances.build(&[5; DISTANCES], tables::distance);
            self.fixed = true;
        }
    }

    /// What a literal's or a length's bits stand for.
    pub(super) fn literal(&self, bits: u64) -> Entry {
        self.literals.find(bits)
    }

    /// What a distance's bits stand for.
    pub(super) fn distance(&self, bits: u64) -> Entry {
        self.distances.find(bits)
    }

    /// Reads symbols until the window's end is at `until` or behind, by less than [`TURN`], or the
    /// block ends, which is `true`, or fewer than [`AHEAD`] bytes are left.
    ///
    /// Also with an error what came before it is in the window.
    pub(super) fn rush(
        &self,
        piece: &mut &[u8],
        from: &mut Bits,
        window: &mut Cursor<'_>,
        until: usize,
    ) -> Result<bool, Invalid> {
        // Copies that nothing refers to can stay in registers.
        let (mut bits, mut rest, mut cursor) = (*from, *piece, window.reborrow());
        let result = loop {
            let Some(next) = rest.first_chunk::<AHEAD>() else { break Ok(false) };
            if cursor.end() >= until {
                break Ok(false);
            }
            let mut read = bits.refill(next, 0);
            let mut entry = self.literals.first(bits.peek());
            for _ in 0..3 {
                let Some(byte) = entry.as_literal() else { break };
                cursor.push(byte);
                bits.skip_fast(entry.raw());
                entry = self.literals.first(bits.peek());
            }
            // After three codes of the first table there are bits enough for a length.
            if entry.is_special() {
                entry = self.literals.resolve(entry, bits.peek());
            }
            if entry.is_special() {
                bits.skip_fast(entry.raw());
                rest = &rest[read..];
                break if entry.is_end() { Ok(true) } else { Err(Invalid) };
            }
            let found = bits.peek();
            bits.skip_fast(entry.raw());
            if let Some(byte) = entry.as_literal() {
                cursor.push(byte);
                rest = &rest[read..];
                continue;
            }
            if bits.count() % 64 < MAX_DISTANCE_BITS {
                read += bits.refill(next, read);
            }
            rest = &rest[read..];
            let far = self.distances.find(bits.peek());
            let distance = far.value(bits.peek());
            if far.is_special() || !cursor.reaches(distance) {
                break Err(Invalid);
            }
            bits.skip_fast(far.raw());
            cursor.copy(entry.value(found), distance);
        };
        bits.settle();
        let end = cursor.end();
        window.advance_to(end);
        let read = piece.len() - rest.len();
        let given_back = bits.give_back(read);
        *piece = &piece[read - given_back..];
        *from = bits;
        result
    }
}
