//! Writing blocks with the fixed Huffman codes (RFC 1951 §3.2.6).
//!
//! Nothing here branches on what the data is, except that seven literals at once must be ASCII:
//! a branch the processor guesses wrong costs more than all the arithmetic of a code.

/// The shortest and the longest match that has a code (§3.2.5).
pub(super) const MIN_MATCH: usize = 3;
pub(super) const MAX_MATCH: usize = 258;

/// Literals that are written at once; with the bits left over from before they fill 64.
const RUN: usize = 7;
/// Bytes gathered before they are handed on: a power of two. The buffer is twice as long, so that
/// it need not be asked for room before each code.
const FULL: usize = 512;
const BUFFER: usize = 2 * FULL;

/// A code as it is sent, lowest bit first, with the bits that follow it: the value in the lower
/// half, their number in the upper.
type Code = u32;

const fn code(value: u32, bits: u32) -> Code {
    value | bits << 16
}

/// The Huffman code of a literal or length symbol.
const fn symbol(symbol: u32) -> Code {
    let (value, bits) = match symbol {
        0..=143 => (0x30 + symbol, 8),
        144..=255 => (0x190 + symbol - 144, 9),
        256..=279 => (symbol - 256, 7),
        _ => (0xc0 + symbol - 280, 8),
    };
    code(value.reverse_bits() >> (32 - bits), bits)
}

const LITERALS: [Code; 256] = {
    let mut codes = [0; 256];
    let mut literal = 0;
    while literal < 256 {
        codes[literal] = symbol(literal as u32);
        literal += 1;
    }
    codes
};

/// By length − 3.
const LENGTHS: [Code; 256] = {
    let mut codes = [0; 256];
    let mut index = 0;
    while index < 256 {
        let length = index as u32;
        let extra = if length < 8 || length == 255 { 0 } else { length.ilog2() - 2 };
        let symbol = match length {
            255 => symbol(285),
            _ => symbol(257 + 4 * extra + (length >> extra)),
        };
        let (value, bits) = (symbol & 0xffff, symbol >> 16);
        codes[index] = code(value | (length & ((1 << extra) - 1)) << bits, bits + extra);
        index += 1;
    }
    codes
};

const DISTANCES: [u8; 32] = {
    let mut codes = [0; 32];
    let mut index = 0;
    while index < 32 {
        codes[index] = (index as u8).reverse_bits() >> 3;
        index += 1;
    }
    codes
};

/// The code of a distance of 1 to 32,768.
#[inline(always)]
fn distance(distance: usize) -> (u64, u32) {
    let index = distance as u32 - 1;
    let extra = (index | 2).ilog2() - 1;
    let code = DISTANCES[(2 * extra + (index >> extra)) as usize % 32];
    let value = index & ((1 << extra) - 1);
    (u64::from(code) | u64::from(value) << 5, 5 + extra)
}

/// One block's bits on their way to the message.
#[derive(Debug)]
pub(super) struct Block<'a> {
    bits: u64,
    /// How many of `bits` are waiting, 7 at most between calls.
    count: u32,
    /// The bytes in `buffer`.
    len: usize,
    buffer: &'a mut [u8; BUFFER + 8],
    out: &'a mut Vec<u8>,
}

/// Where a block's bytes are gathered.
type Buffer = [u8; BUFFER + 8];
pub(super) const EMPTY_BUFFER: Buffer = [0; BUFFER + 8];

impl<'a> Block<'a> {
    /// Begins a block that is not the last.
    pub(super) fn new(buffer: &'a mut Buffer, out: &'a mut Vec<u8>) -> Self {
        let mut block = Self { bits: 0, count: 0, len: 0, buffer, out };
        block.put(0b010, 3);
        block
    }

    #[inline(always)]
    fn put(&mut self, value: u64, bits: u32) {
        self.bits |= value << (self.count % 64);
        self.count += bits;
    }

    /// Moves whole bytes to the buffer.
    #[inline(always)]
    fn gather(&mut self) {
        let at = self.len % BUFFER;
        self.buffer[at..at + 8].copy_from_slice(&self.bits.to_le_bytes());
        self.len += (self.count / 8) as usize;
        self.bits >>= self.count / 8 * 8 % 64;
        self.count %= 8;
    }

    #[inline(always)]
    fn hand_on_if_full(&mut self) {
        if self.len >= FULL {
            hand_on(self.buffer, self.len, self.out);
            self.len = 0;
        }
    }

    /// The first literals of a run: `run`, at most [`RUN`], of the bytes of `literals`.
    #[inline(always)]
    pub(super) fn literals(&mut self, literals: u64, run: usize) {
        const ASCII: u64 = u64::from_ne_bytes([0x80; 8]);
        const FIRST: u64 = u64::from_ne_bytes([0x30; 8]);
        let bits = 8 * run as u32;
        let mask = (1_u64 << (bits % 64)) - 1;
        let literals = literals & mask;
        if literals & ASCII == 0 {
            // All literals below 144 have eight bits, 0x30 and on, the highest bit first.
            let codes = (literals + (FIRST & mask)).swap_bytes().reverse_bits();
            self.put(codes, bits);
            self.gather();
        } else {
            for literal in literals.to_le_bytes().into_iter().take(run) {
                let code = LITERALS[usize::from(literal)];
                self.put(u64::from(code & 0xffff), code >> 16);
                self.gather();
            }
        }
    }

    /// A run of any length, of bytes that `load` gives from an offset on.
    #[inline(always)]
    pub(super) fn run(&mut self, mut from: usize, to: usize, load: impl Fn(usize) -> u64) {
        loop {
            let run = (to - from).min(RUN);
            self.literals(load(from), run);
            from += run;
            if from == to {
                return;
            }
            self.hand_on_if_full();
        }
    }

    /// A match: its length, [`MIN_MATCH`] to [`MAX_MATCH`], and its distance, 1 to 32,768.
    #[inline(always)]
    pub(super) fn copy(&mut self, length: usize, from: usize) {
        let code = LENGTHS[(length - MIN_MATCH) % LENGTHS.len()];
        self.put(u64::from(code & 0xffff), code >> 16);
        let (value, bits) = distance(from);
        self.put(value, bits);
        self.gather();
        self.hand_on_if_full();
    }

    /// What was handed on and is still here, in bytes, without the bits of an unfinished one.
    pub(super) fn bytes(&self) -> usize {
        self.out.len() + self.len
    }

    /// Ends the block and begins an empty stored one, so that the bits end with a byte; what
    /// would follow, its length, is what RFC 7692 §7.2.1 takes off.
    pub(super) fn end(mut self) {
        self.put(0, 7);
        self.put(0, 3);
        self.count = self.count.next_multiple_of(8);
        self.gather();
        hand_on(self.buffer, self.len, self.out);
    }
}

/// Not a method, so that a block's fields can stay in registers.
#[cold]
#[inline(never)]
fn hand_on(buffer: &Buffer, len: usize, out: &mut Vec<u8>) {
    out.extend_from_slice(&buffer[..len.min(BUFFER)]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Decompress, FlushDecompress};

    const WINDOW: usize = 1 << 15;

    /// A block of all literals, then matches of every length and of distances at every step, as
    /// zlib and a naive copy read them.
    #[test]
    fn rfc1951_section_3_2_5_every_length_and_distance_has_its_code() {
        let mut expected: Vec<u8> = (0..WINDOW).map(|index| ((index * index) >> 7) as u8).collect();
        let (mut buffer, mut out) = (EMPTY_BUFFER, Vec::new());
        let mut block = Block::new(&mut buffer, &mut out);
        block.run(0, WINDOW, |from| {
            let mut bytes = [0; 8];
            for (byte, literal) in bytes.iter_mut().zip(&expected[from..]) {
                *byte = *literal;
            }
            u64::from_le_bytes(bytes)
        });
        let steps = (0..15).flat_map(|bits| [1 << bits, (1 << bits) + 1, 3 << bits, 2 << bits]);
        let steps: Vec<usize> = steps.filter(|distance| *distance <= WINDOW).collect();
        for index in 0..2 * steps.len().max(MAX_MATCH) {
            let length = MIN_MATCH + index % (MAX_MATCH - MIN_MATCH + 1);
            let distance = steps[index % steps.len()];
            block.copy(length, distance);
            for _ in 0..length {
                expected.push(expected[expected.len() - distance]);
            }
        }
        assert!(block.bytes() > WINDOW, "literals alone have eight bits");
        block.end();
        out.extend([0, 0, 0xff, 0xff]);
        let mut found = Vec::with_capacity(expected.len() + 1);
        let mut stream = Decompress::new(false);
        let status = stream.decompress_vec(&out, &mut found, FlushDecompress::Sync);
        assert!(status.is_ok() && stream.total_in() == out.len() as u64, "{status:?}");
        assert!(found == expected, "{} bytes", found.len());
    }
}
