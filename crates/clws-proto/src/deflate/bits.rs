//! The bits of DEFLATE data, the lowest of each byte first (RFC 1951 §3.1.1).

/// Bytes that [`Bits::refill`] looks at.
pub(super) const AHEAD: usize = 16;

/// Bits that were read and not used, at most 63.
///
/// Above them there are zeros, but within [`super::symbols`], where bytes that follow may have left
/// theirs: read again they are the same.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bits {
    value: u64,
    count: u32,
}

impl Bits {
    /// The bits, the next one lowest.
    #[inline(always)]
    pub(super) fn peek(self) -> u64 {
        self.value
    }

    #[inline(always)]
    pub(super) fn count(self) -> u32 {
        self.count
    }

    #[inline(always)]
    pub(super) fn skip(&mut self, bits: u32) {
        self.value >>= bits % 64;
        self.count -= bits;
    }

    pub(super) fn take(&mut self, bits: u32) -> usize {
        let value = self.value & ((1 << bits) - 1);
        self.skip(bits);
        value as usize
    }

    /// What is left of a byte that was begun.
    pub(super) fn skip_to_byte(&mut self) {
        self.skip(self.count % 8);
    }

    /// Reads bytes until there are so many bits, at most 56; `false` when there are not as many.
    #[inline(always)]
    pub(super) fn need(&mut self, piece: &mut &[u8], bits: u32) -> bool {
        if self.count < bits {
            if let Some(next) = piece.first_chunk::<AHEAD>() {
                let read = self.refill(next, 0);
                self.value &= (1 << self.count) - 1;
                *piece = &piece[read..];
                return true;
            }
            self.read_last(piece, bits);
        }
        self.count >= bits
    }

    #[inline(never)]
    fn read_last(&mut self, piece: &mut &[u8], bits: u32) {
        while self.count < bits {
            let Some((byte, rest)) = piece.split_first() else { break };
            self.value |= u64::from(*byte) << self.count;
            self.count += 8;
            *piece = rest;
        }
    }

    /// [`Self::skip`] of the lowest six bits of `bits`, if [`Self::settle`] is called in the end.
    #[inline(always)]
    pub(super) fn skip_fast(&mut self, bits: u32) {
        self.value >>= bits % 64;
        self.count = self.count.wrapping_sub(bits);
    }

    pub(super) fn settle(&mut self) {
        self.count %= 64;
    }

    /// Reads bytes from `at`, at most 7, until there are 56 bits or more; says how many it read.
    #[inline(always)]
    pub(super) fn refill(&mut self, bytes: &[u8; AHEAD], at: usize) -> usize {
        let at = at % 8;
        let mut word = [0; 8];
        word.copy_from_slice(&bytes[at..at + 8]);
        self.value |= u64::from_le_bytes(word) << (self.count % 64);
        let read = !self.count as usize / 8 % 8;
        self.count |= 0x38;
        read
    }

    /// Gives back whole bytes, of so many that were read of this piece, and says how many.
    pub(super) fn give_back(&mut self, read: usize) -> usize {
        let bytes = (self.count as usize / 8).min(read);
        self.count -= 8 * bytes as u32;
        self.value &= (1 << self.count) - 1;
        bytes
    }
}
