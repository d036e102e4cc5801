//! Unmasking and checking in one go, in the wide registers of AVX2 and AVX-512.
//!
//! The algorithm is that of "Validating UTF-8 In Less Than One Instruction Per Byte" (Keiser and
//! Lemire, 2021): what may be wrong with two bytes in a row is looked up by the two halves of the
//! first and by the upper half of the second, and a mistake is what all three tables agree on.

use crate::mask::{self, MaskKey};
use fearless_simd::{Level, Simd, prelude::*, u8x64};

const BLOCK: usize = 64;

/// A lead byte without a continuation, or too few of them.
const TOO_SHORT: u8 = 1;
/// ASCII with a continuation behind it.
const TOO_LONG: u8 = 1 << 1;
const OVERLONG_3: u8 = 1 << 2;
const SURROGATE: u8 = 1 << 3;
const OVERLONG_2: u8 = 1 << 4;
/// Above U+10FFFF, by a second byte of 0x90 and more.
const TOO_LARGE: u8 = 1 << 5;
/// The same by a first byte above 0xf4; where that is not so, too long a form.
const TOO_LARGE_1000: u8 = 1 << 6;
const OVERLONG_4: u8 = 1 << 6;
/// Two continuations; right exactly where a longer character asks for the second of them.
const TWO_CONTS: u8 = 1 << 7;
const CARRY: u8 = TOO_SHORT | TOO_LONG | TWO_CONTS;

/// By the upper half of the first byte.
const FIRST_HIGH: [u8; BLOCK] = {
    let mut table = [TOO_LONG; 16];
    table[0x8] = TWO_CONTS;
    table[0x9] = TWO_CONTS;
    table[0xa] = TWO_CONTS;
    table[0xb] = TWO_CONTS;
    table[0xc] = TOO_SHORT | OVERLONG_2;
    table[0xd] = TOO_SHORT;
    table[0xe] = TOO_SHORT | OVERLONG_3 | SURROGATE;
    table[0xf] = TOO_SHORT | TOO_LARGE | TOO_LARGE_1000 | OVERLONG_4;
    spread(table)
};

/// By the lower half of the first byte.
const FIRST_LOW: [u8; BLOCK] = {
    let mut table = [CARRY | TOO_LARGE | TOO_LARGE_1000; 16];
    table[0x0] = CARRY | OVERLONG_2 | OVERLONG_3 | OVERLONG_4;
    table[0x1] = CARRY | OVERLONG_2;
    table[0x2] = CARRY;
    table[0x3] = CARRY;
    table[0x4] = CARRY | TOO_LARGE;
    table[0xd] |= SURROGATE;
    spread(table)
};

/// By the upper half of the second byte.
const SECOND_HIGH: [u8; BLOCK] = {
    let conts = TOO_LONG | OVERLONG_2 | TWO_CONTS;
    let mut table = [TOO_SHORT; 16];
    table[0x8] = conts | OVERLONG_3 | TOO_LARGE_1000 | OVERLONG_4;
    table[0x9] = conts | OVERLONG_3 | TOO_LARGE;
    table[0xa] = conts | SURROGATE | TOO_LARGE;
    table[0xb] = conts | SURROGATE | TOO_LARGE;
    spread(table)
};

/// One copy for each 16 bytes of a block, which is as far as a lookup reaches.
const fn spread<const N: usize>(table: [u8; N]) -> [u8; BLOCK] {
    let mut all = [0; BLOCK];
    let mut at = 0;
    while at < BLOCK {
        all[at] = table[at % N];
        at += 1;
    }
    all
}

/// The largest bytes that may stand at the end of a block without asking for more.
const COMPLETE: [u8; BLOCK] = {
    let mut most = [0xff; BLOCK];
    most[BLOCK - 3] = 0xef;
    most[BLOCK - 2] = 0xdf;
    most[BLOCK - 1] = 0xbf;
    most
};

/// Whether the text is valid; `None` where the processor has no wide registers.
pub(super) fn unmask(key: MaskKey, text: &mut [u8]) -> Option<bool> {
    let level = Level::new();
    if let Some(simd) = level.as_avx512() {
        return Some(unmask_with(simd, key, text));
    }
    level.as_avx2().map(|simd| unmask_with(simd, key, text))
}

#[inline(always)]
pub(super) fn unmask_with<S: Simd>(simd: S, key: MaskKey, text: &mut [u8]) -> bool {
    simd.vectorize(
        #[inline(always)]
        || Checker::new(simd).unmask(key, text),
    )
}

struct Checker<S: Simd> {
    simd: S,
    tables: [u8x64<S>; 3],
    complete: u8x64<S>,
    /// The block before.
    before: u8x64<S>,
    /// Not zero anywhere once there was a mistake.
    wrong: u8x64<S>,
}

impl<S: Simd> Checker<S> {
    #[inline(always)]
    fn new(simd: S) -> Self {
        Self {
            simd,
            tables: [FIRST_HIGH, FIRST_LOW, SECOND_HIGH]
                .map(|table| u8x64::from_slice(simd, &table)),
            complete: u8x64::from_slice(simd, &COMPLETE),
            before: u8x64::splat(simd, 0),
            wrong: u8x64::splat(simd, 0),
        }
    }

    #[inline(always)]
    fn unmask(mut self, key: MaskKey, text: &mut [u8]) -> bool {
        let word = u8x64::from_slice(self.simd, &spread(key));
        let (blocks, rest) = text.as_chunks_mut::<BLOCK>();
        for bytes in blocks {
            let block = u8x64::from_slice(self.simd, bytes) ^ word;
            block.store_slice(bytes);
            self.push(block);
        }
        mask::apply_whole(key, rest);
        let mut last = [0; BLOCK];
        for (slot, byte) in last.iter_mut().zip(rest) {
            *slot = *byte;
        }
        // With what asks for more at the end of `before`: a zero is no continuation.
        self.push(u8x64::from_slice(self.simd, &last));
        self.end_character();
        !self.wrong.simd_ne(0).any_true()
    }

    #[inline(always)]
    fn push(&mut self, block: u8x64<S>) {
        if block.simd_ge(0x80).any_true() {
            self.check(block);
        } else {
            self.end_character();
        }
        self.before = block;
    }

    /// No character of `before` may go on behind it.
    #[inline(always)]
    fn end_character(&mut self) {
        self.wrong |= self.before.saturating_sub(self.complete);
    }

    #[inline(always)]
    fn check(&mut self, block: u8x64<S>) {
        let first = self.before.slide::<{ BLOCK - 1 }>(block);
        let pairs = self.tables[0].swizzle_dyn_within_blocks(first >> 4)
            & self.tables[1].swizzle_dyn_within_blocks(first & 0x0f)
            & self.tables[2].swizzle_dyn_within_blocks(block >> 4);
        let third = self.before.slide::<{ BLOCK - 2 }>(block).saturating_sub(0xe0 - 0x80);
        let fourth = self.before.slide::<{ BLOCK - 3 }>(block).saturating_sub(0xf0 - 0x80);
        self.wrong |= ((third | fourth) & TWO_CONTS) ^ pairs;
    }
}
