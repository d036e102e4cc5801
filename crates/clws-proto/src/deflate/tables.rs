//! Reading Huffman codes: the tables that a block's code lengths make (RFC 1951 §3.2.2).
//!
//! The next bits are an index into a table of all codes of so many bits or fewer; longer codes are
//! found through a second table that the first one points to.

/// Bits that the first tables are indexed by.
pub(super) const LITERAL_BITS: u32 = 10;
pub(super) const DISTANCE_BITS: u32 = 8;
/// The longest code of any kind.
const MAX_BITS: usize = 15;
/// Symbols in a code of literals and lengths, and in one of distances.
pub(super) const LITERALS: usize = 288;
pub(super) const DISTANCES: usize = 32;

/// Where a code's table says what its bits mean.
///
/// The lowest byte is the number of bits that it takes, with those that follow the code; the next
/// four bits are those of the code alone, the four above say what it is. The upper half is what it
/// stands for, or where a number with extra bits begins.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry(u32);

/// A literal byte.
const LITERAL: u32 = 1 << 15;
/// Neither a literal nor a number.
const SPECIAL: u32 = 1 << 14;
/// With [`SPECIAL`]: the block ends, or the code stands for nothing. Without these two, it is the
/// beginning of a longer one.
const END: u32 = 1 << 13;
const INVALID: u32 = 1 << 12;

impl Entry {
    const fn literal(byte: u8) -> Self {
        Self(LITERAL | (byte as u32) << 16)
    }

    const fn number(base: u16, extra: u32) -> Self {
        Self((base as u32) << 16 | extra)
    }

    const fn end() -> Self {
        Self(SPECIAL | END)
    }

    const fn invalid() -> Self {
        Self(SPECIAL | INVALID)
    }

    /// A second table at `index` for `bits` more bits.
    const fn second(index: usize, bits: u32) -> Self {
        Self(SPECIAL | (index as u32) << 16 | bits << 8)
    }

    /// The same for a code of so many bits.
    const fn coded(self, bits: u32) -> Self {
        Self((self.0 + bits) | (bits << 8))
    }

    /// The bits that it takes.
    #[inline(always)]
    pub(super) fn taken(self) -> u32 {
        self.0 & 0x3f
    }

    /// The same with other bits above six.
    #[inline(always)]
    pub(super) fn raw(self) -> u32 {
        self.0
    }

    #[inline(always)]
    pub(super) fn as_literal(self) -> Option<u8> {
        (self.0 & LITERAL != 0).then_some((self.0 >> 16) as u8)
    }

    #[inline(always)]
    pub(super) fn is_special(self) -> bool {
        self.0 & SPECIAL != 0
    }

    pub(super) fn is_end(self) -> bool {
        self.0 & END != 0
    }

    /// The number that `bits` begin with the code of; a number takes fewer than 32.
    #[inline(always)]
    pub(super) fn value(self, bits: u64) -> usize {
        let taken = bits as u32 & !u32::MAX.wrapping_shl(self.0);
        let extra = taken.wrapping_shr(self.0 >> 8);
        ((self.0 >> 16) + extra) as usize
    }
}

/// A table for codes, the first of `2^ROOT` entries and then the second ones, in `SIZE` entries.
///
/// `SIZE` is a power of two and more than any legal code takes, so that an index need not be
/// checked: 1,334 for literals, 402 for distances (by zlib's `enough`).
#[derive(Debug)]
pub(super) struct Table<const ROOT: u32, const SIZE: usize> {
    entries: [Entry; SIZE],
}

pub(super) type Literals = Table<LITERAL_BITS, 2048>;
pub(super) type Distances = Table<DISTANCE_BITS, 512>;

impl<const ROOT: u32, const SIZE: usize> Default for Table<ROOT, SIZE> {
    fn default() -> Self {
        Self { entries: [Entry::invalid(); SIZE] }
    }
}

impl<const ROOT: u32, const SIZE: usize> Table<ROOT, SIZE> {
    /// What the next bits stand for, or that it is in a second table.
    #[inline(always)]
    pub(super) fn first(&self, bits: u64) -> Entry {
        self.entries[bits as usize % (1 << ROOT) % SIZE]
    }

    /// What they stand for, where the first table said `entry`.
    #[inline(always)]
    pub(super) fn resolve(&self, entry: Entry, bits: u64) -> Entry {
        if entry.0 & (SPECIAL | END | INVALID) != SPECIAL {
            return entry;
        }
        let index = (bits >> ROOT) & ((1 << (entry.0 >> 8 & 15)) - 1);
        self.entries[((entry.0 >> 16) as usize + index as usize) % SIZE]
    }

    /// What the next bits stand for.
    #[inline(always)]
    pub(super) fn find(&self, bits: u64) -> Entry {
        let entry = self.first(bits);
        if entry.is_special() { self.resolve(entry, bits) } else { entry }
    }

    /// Makes the table of a code whose symbols have these lengths, 0 for none. `false` for more
    /// codes than there is room for, or fewer but for a single code of one bit, or none.
    pub(super) fn build(&mut self, lengths: &[u8], meaning: impl Fn(usize) -> Entry) -> bool {
        let mut sorted = [0; LITERALS];
        let Some(mut counts) = sort(lengths, &mut sorted) else {
            return false;
        };
        let used: usize = counts.iter().map(|count| usize::from(*count)).sum();
        if !is_complete(&counts) {
            if used > 1 || used != usize::from(counts[1]) {
                return false;
            }
            self.fill_lone(sorted[..used].first().map(|symbol| meaning(usize::from(*symbol))));
            return true;
        }
        let (mut code, mut width, mut room) = (0, 0, 1 << ROOT);
        for symbol in &sorted[..used] {
            let symbol = usize::from(*symbol);
            let bits = u32::from(lengths[symbol]);
            while width < bits.min(ROOT) {
                self.double(&mut width);
            }
            let entry = meaning(symbol).coded(bits);
            if bits <= ROOT {
                self.entries[code % SIZE] = entry;
            } else {
                self.place(code, bits, &counts, &mut room, entry);
            }
            counts[bits as usize % counts.len()] -= 1;
            code = following(code, bits);
        }
        while width < ROOT {
            self.double(&mut width);
        }
        true
    }

    /// A code of one bit at most: the other bit stands for nothing.
    fn fill_lone(&mut self, entry: Option<Entry>) {
        let invalid = Entry::invalid().coded(1);
        let entry = entry.map_or(invalid, |entry| entry.coded(1));
        for (index, place) in self.entries[..1 << ROOT].iter_mut().enumerate() {
            *place = if index % 2 == 0 { entry } else { invalid };
        }
    }

    /// The first table for one bit more, which makes no difference yet.
    fn double(&mut self, width: &mut u32) {
        self.entries.copy_within(..1 << *width, 1 << *width);
        *width += 1;
    }

    /// Puts the entry of a code that is longer than the first table's into a second one, which is
    /// made for the first code that begins so.
    fn place(
        &mut self,
        code: usize,
        bits: u32,
        counts: &[u16; MAX_BITS + 1],
        room: &mut usize,
        entry: Entry,
    ) {
        let first = &mut self.entries[code % (1 << ROOT) % SIZE];
        if code >> ROOT == 0 {
            // As wide as the longest code that begins so.
            let mut width = bits - ROOT;
            let mut filled = usize::from(counts[bits as usize]);
            while filled < 1 << width && ((ROOT + width) as usize) < MAX_BITS {
                width += 1;
                filled = 2 * filled + usize::from(counts[(ROOT + width) as usize]);
            }
            *first = Entry::second(*room, width);
            *room += 1 << width;
        }
        let (start, width) = ((first.0 >> 16) as usize, first.0 >> 8 & 15);
        for index in (code >> ROOT..1 << width).step_by(1 << (bits - ROOT)) {
            self.entries[(start + index) % SIZE] = entry;
        }
    }
}

/// The code that follows one of so many bits, both as they are read, the first bit lowest.
fn following(code: usize, bits: u32) -> usize {
    let zeros = code ^ ((1 << bits) - 1);
    // The last zero becomes a one, and the ones behind it become zeros.
    zeros.checked_ilog2().map_or(0, |bit| (code & ((1 << bit) - 1)) | 1 << bit)
}

/// The symbols that have a code in the order of their codes, and how many codes there are of each
/// length, with none of length 0; `None` for more codes than there is room for.
fn sort(lengths: &[u8], sorted: &mut [u16; LITERALS]) -> Option<[u16; MAX_BITS + 1]> {
    let mut counts = [0_u16; MAX_BITS + 1];
    for length in lengths {
        counts[usize::from(*length) % (MAX_BITS + 1)] += 1;
    }
    counts[0] = 0;
    let mut left = 1_i32;
    let mut places = [0_u16; MAX_BITS + 1];
    let mut place = 0;
    for bits in 1..=MAX_BITS {
        left = 2 * left - i32::from(counts[bits]);
        if left < 0 {
            return None;
        }
        places[bits] = place;
        place += counts[bits];
    }
    for (symbol, length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
        let place = &mut places[usize::from(*length) % (MAX_BITS + 1)];
        sorted[usize::from(*place) % LITERALS] = symbol as u16;
        *place += 1;
    }
    Some(counts)
}

fn is_complete(counts: &[u16; MAX_BITS + 1]) -> bool {
    let used = |(bits, count): (usize, &u16)| usize::from(*count) << (MAX_BITS - bits);
    counts.iter().enumerate().skip(1).map(used).sum::<usize>() == 1 << MAX_BITS
}

/// The table of the code that codes lengths, by the next seven bits: the symbol, and its bits in
/// the upper three. `false` unless the code is complete.
pub(super) fn build_code(lengths: &[u8], table: &mut [u8; 128]) -> bool {
    let mut sorted = [0; LITERALS];
    let Some(counts) = sort(lengths, &mut sorted) else {
        return false;
    };
    let used: usize = counts.iter().map(|count| usize::from(*count)).sum();
    let mut code = 0;
    for symbol in &sorted[..used] {
        let bits = lengths[usize::from(*symbol)];
        for index in (code..128).step_by(1 << bits) {
            table[index] = *symbol as u8 | bits << 5;
        }
        code = following(code, u32::from(bits));
    }
    is_complete(&counts)
}

/// What a symbol of literals and lengths stands for (§3.2.5).
pub(super) fn literal(symbol: usize) -> Entry {
    MEANINGS[symbol % LITERALS]
}

const MEANINGS: [Entry; LITERALS] = {
    let mut meanings = [Entry::invalid(); LITERALS];
    let mut symbol = 0;
    while symbol < 256 {
        meanings[symbol] = Entry::literal(symbol as u8);
        symbol += 1;
    }
    meanings[256] = Entry::end();
    let mut index = 0;
    while index < 28 {
        let extra = if index < 8 { 0 } else { index / 4 - 1 };
        let base = if index < 8 { 3 + index } else { 3 + ((4 + index % 4) << extra) };
        meanings[257 + index] = Entry::number(base as u16, extra as u32);
        index += 1;
    }
    meanings[285] = Entry::number(258, 0);
    meanings
};

/// What a symbol of distances stands for.
pub(super) fn distance(symbol: usize) -> Entry {
    match symbol as u32 {
        near @ 0..4 => Entry::number(near as u16 + 1, 0),
        far @ 4..30 => {
            let extra = far / 2 - 1;
            Entry::number((((2 + far % 2) << extra) + 1) as u16, extra)
        }
        _ => Entry::invalid(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The lengths of a complete code: leaves of a tree that grows where `picks` say, deep ones
    /// more often, each given to a symbol.
    fn lengths(symbols: usize, picks: &[u16]) -> Vec<u8> {
        let mut leaves = vec![1_u8, 1];
        for pick in picks {
            let pick = usize::from(*pick);
            let deep = leaves.iter().rposition(|bits| usize::from(*bits) < MAX_BITS);
            let leaf = if pick.is_multiple_of(3) { deep.unwrap_or(0) } else { pick % leaves.len() };
            if leaves.len() < symbols && usize::from(leaves[leaf]) < MAX_BITS {
                leaves[leaf] += 1;
                leaves.push(leaves[leaf]);
            }
        }
        let (mut lengths, step) = (vec![0; symbols], picks.len() | 1);
        let mut symbol = 0;
        for leaf in leaves {
            while lengths[symbol] > 0 {
                symbol = (symbol + 1) % symbols;
            }
            lengths[symbol] = leaf;
            symbol = (symbol + step) % symbols;
        }
        lengths
    }

    /// The codes by the rule of RFC 1951 §3.2.2, the first bit lowest.
    fn codes(lengths: &[u8]) -> Vec<(usize, u32, u64)> {
        let mut code = 0_u64;
        let mut codes = Vec::new();
        for bits in 1..=MAX_BITS as u32 {
            code <<= 1;
            for (symbol, _) in lengths.iter().enumerate().filter(|(_, at)| u32::from(**at) == bits)
            {
                codes.push((symbol, bits, code.reverse_bits() >> (64 - bits)));
                code += 1;
            }
        }
        codes
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None,
            ..ProptestConfig::default() })]

        #[test]
        fn every_code_is_found_whatever_follows(
            picks in prop::collection::vec(any::<u16>(), 0..600),
            symbols in 2_usize..=286,
            behind in any::<u64>(),
        ) {
            let lengths = lengths(symbols, &picks);
            let mut table = Literals::default();
            prop_assert!(table.build(&lengths, literal));
            for (symbol, bits, code) in codes(&lengths) {
                let found = table.find(behind << bits | code);
                prop_assert_eq!(found.0, literal(symbol).coded(bits).0);
            }
            let lengths = &lengths[..symbols.min(DISTANCES)];
            let mut table = Distances::default();
            if table.build(lengths, distance) && codes(lengths).len() > 1 {
                for (symbol, bits, code) in codes(lengths) {
                    let found = table.find(behind << bits | code);
                    prop_assert_eq!(found.0, distance(symbol).coded(bits).0);
                }
            }
        }
    }

    #[test]
    fn too_many_codes_and_too_few_are_refused() {
        let mut table = Literals::default();
        for (lengths, legal) in [
            (&[1, 1][..], true),
            (&[1], true),
            (&[], true),
            (&[2], false),
            (&[1, 2], false),
            (&[1, 1, 15], false),
            (&[1, 2, 3, 3, 15], false),
            (&[2, 2, 2, 2], true),
        ] {
            assert_eq!(table.build(lengths, literal), legal, "{lengths:?}");
        }
        assert!(table.build(&[1], literal));
        assert_eq!(table.find(0).as_literal(), Some(0));
        assert!(table.find(1).is_special() && !table.find(1).is_end(), "the code not given");
    }
}
