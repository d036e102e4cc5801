//! A second, simple reader of RFC 1951, bit by bit: it measures how far back the compressor
//! refers, which no decompressor with a larger window tells, and judges what the inflater reads.

use clws_proto::deflate::{Deflater, Inflater};
use clws_proto::error::ProtocolError;
use proptest::prelude::*;

const LENGTHS: [(usize, u32); 29] = [
    (3, 0),
    (4, 0),
    (5, 0),
    (6, 0),
    (7, 0),
    (8, 0),
    (9, 0),
    (10, 0),
    (11, 1),
    (13, 1),
    (15, 1),
    (17, 1),
    (19, 2),
    (23, 2),
    (27, 2),
    (31, 2),
    (35, 3),
    (43, 3),
    (51, 3),
    (59, 3),
    (67, 4),
    (83, 4),
    (99, 4),
    (115, 4),
    (131, 5),
    (163, 5),
    (195, 5),
    (227, 5),
    (258, 0),
];
const ORDER: [usize; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// A prefix code: how many codes have each length, and the symbols in the order of their codes.
struct Code {
    counts: [usize; 16],
    symbols: Vec<usize>,
}

impl Code {
    /// `None` for more codes than there is room for, or fewer, except a single code of one bit.
    fn new(lengths: &[usize]) -> Option<Self> {
        let mut counts = [0; 16];
        for &length in lengths.iter().filter(|length| **length > 0) {
            counts[length] += 1;
        }
        let mut symbols: Vec<_> = (0..lengths.len()).filter(|&s| lengths[s] > 0).collect();
        symbols.sort_by_key(|&symbol| lengths[symbol]);
        let left =
            counts[1..].iter().try_fold(1_usize, |left, count| (left * 2).checked_sub(*count))?;
        let lone = symbols.is_empty() || counts[1] == 1 && symbols.len() == 1;
        (left == 0 || lone).then_some(Self { counts, symbols })
    }
}

/// Reads blocks and keeps all that came out, and the largest distance.
struct Oracle<'a> {
    data: &'a [u8],
    bit: usize,
    out: Vec<u8>,
    farthest: usize,
}

impl Oracle<'_> {
    fn bits(&mut self, count: u32) -> Option<usize> {
        let mut value = 0;
        for index in 0..count {
            let byte = self.data.get(self.bit / 8)?;
            value |= usize::from(byte >> (self.bit % 8) & 1) << index;
            self.bit += 1;
        }
        Some(value)
    }

    fn symbol(&mut self, code: &Code) -> Option<usize> {
        let (mut value, mut first, mut index) = (0, 0, 0);
        for &count in &code.counts[1..] {
            value |= self.bits(1)?;
            if value < first + count {
                return Some(code.symbols[index + value - first]);
            }
            index += count;
            first = (first + count) * 2;
            value *= 2;
        }
        None
    }

    fn stored(&mut self) -> Option<()> {
        self.bit = self.bit.next_multiple_of(8);
        let (len, check) = (self.bits(16)?, self.bits(16)?);
        for _ in 0..(len == !check & 0xffff).then_some(len)? {
            let byte = self.bits(8)? as u8;
            self.out.push(byte);
        }
        Some(())
    }

    fn codes(&mut self) -> Option<(Code, Code)> {
        let (literals, distances) = (self.bits(5)? + 257, self.bits(5)? + 1);
        let count = self.bits(4)? + 4;
        let mut lengths = [0; 19];
        for &place in &ORDER[..count] {
            lengths[place] = self.bits(3)?;
        }
        let code = Code::new(&lengths)?;
        let mut lengths = Vec::new();
        while lengths.len() < literals + distances {
            let (length, times) = match self.symbol(&code)? {
                16 => (*lengths.last()?, 3 + self.bits(2)?),
                17 => (0, 3 + self.bits(3)?),
                18 => (0, 11 + self.bits(7)?),
                length => (length, 1),
            };
            lengths.extend(std::iter::repeat_n(length, times));
        }
        let fits = literals <= 286 && distances <= 30 && lengths.len() == literals + distances;
        let (literals, distances) = fits.then(|| lengths.split_at(literals))?;
        (literals[256] > 0).then_some((Code::new(literals)?, Code::new(distances)?))
    }

    fn compressed(&mut self, literals: &Code, distances: &Code) -> Option<()> {
        loop {
            let symbol = self.symbol(literals)?;
            if symbol < 256 {
                self.out.push(symbol as u8);
                continue;
            }
            if symbol == 256 {
                return Some(());
            }
            let (length, extra) = *LENGTHS.get(symbol - 257)?;
            let length = length + self.bits(extra)?;
            let distance = match self.symbol(distances)? {
                near @ 0..4 => near + 1,
                far @ 4..30 => {
                    let extra = far as u32 / 2 - 1;
                    ((2 + far % 2) << extra) + 1 + self.bits(extra)?
                }
                _ => return None,
            };
            let start = self.out.len().checked_sub(distance)?;
            self.farthest = self.farthest.max(distance);
            for index in start..start + length {
                self.out.push(self.out[index]);
            }
        }
    }

    /// One block; whether it was the last.
    fn block(&mut self) -> Option<bool> {
        let last = self.bits(1)? == 1;
        match self.bits(2)? {
            0 => self.stored()?,
            1 => {
                let counts = [(8, 144), (9, 112), (7, 24), (8, 8)];
                let lengths = counts.map(|(length, count)| vec![length; count]).concat();
                self.compressed(&Code::new(&lengths)?, &Code::new(&[5; 32])?)?;
            }
            2 => {
                let (literals, distances) = self.codes()?;
                self.compressed(&literals, &distances)?;
            }
            _ => return None,
        }
        Some(last)
    }
}

/// Reads a payload with the four bytes it is sent without; what it held, all history included, and
/// the largest distance. `None` when it is no DEFLATE data, or has BFINAL in it.
fn read(payload: &[u8], history: Vec<u8>) -> Option<(Vec<u8>, usize)> {
    let data = [payload, &[0, 0, 0xff, 0xff]].concat();
    let mut oracle = Oracle { data: &data, bit: 0, out: history, farthest: 0 };
    while oracle.bit < data.len() * 8 {
        if oracle.block()? {
            return None;
        }
    }
    Some((oracle.out, oracle.farthest))
}

/// Text that repeats itself at all distances.
fn sample(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut out = Vec::new();
    while out.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let pick = (state >> 33) as usize;
        if out.len() > 300 && !pick.is_multiple_of(4) {
            let start = pick / 7 % (out.len() - 200);
            out.extend_from_within(start..start + 3 + pick % 190);
        } else {
            out.extend((pick as u32).to_le_bytes());
        }
    }
    out.truncate(size);
    out
}

#[test]
fn no_window_refers_further_back_than_it_is_wide() {
    for bits in 9..=15 {
        for level in 0..=9 {
            let mut deflater = Deflater::new(level, bits);
            let (mut history, mut farthest) = (Vec::new(), 0);
            for size in [1, 200, 5_000, 90_000, 3, 700] {
                let message = sample(size, u64::from(level) * 100 + size as u64);
                let mut payload = Vec::new();
                assert!(deflater.deflate(&message, true, &mut payload));
                let before = history.len();
                let (out, distance) = read(&payload, history).expect("DEFLATE data");
                assert_eq!(out[before..], message, "window {bits}, level {level}, {size}");
                farthest = farthest.max(distance);
                history = out;
            }
            assert!(farthest <= 1 << bits, "window {bits}, level {level}: {farthest}");
            assert!(level == 0 || farthest > 1 << (bits - 2), "window {bits}: {farthest}");
        }
    }
}

fn inflate(payload: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    let mut out = Vec::new();
    let result = Inflater::new().inflate(payload, true, 1 << 20, |part| {
        out.extend_from_slice(part);
        Ok(())
    });
    result.map(|()| out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn damaged_data_is_read_alike_by_both(
        size in 1_usize..400,
        level in 1_u8..=9,
        seed in any::<u64>(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
    ) {
        let mut payload = Vec::new();
        Deflater::new(level, 15).deflate(&sample(size, seed), true, &mut payload);
        for (at, byte) in damage {
            let at = at.index(payload.len());
            payload[at] = byte;
        }
        if let Some((expected, _)) = read(&payload, Vec::new()) {
            prop_assert_eq!(inflate(&payload), Ok(expected));
        }
    }
}
