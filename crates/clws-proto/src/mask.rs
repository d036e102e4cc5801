//! Masking of frame payloads (RFC 6455 §5.3).
//!
//! Each payload byte `i` is combined with key byte `i mod 4` by exclusive or. The work is done in
//! blocks the compiler turns into vector instructions, for long payloads into those of the
//! processor at hand; a naive byte loop in the tests is the oracle.

#[cfg(target_arch = "x86_64")]
use fearless_simd::{Level, kernel};

/// A masking key as it stands on the wire.
pub type MaskKey = [u8; 4];

/// One block is four vector registers wide on the smallest x86-64.
const BLOCK: usize = 64;
/// The same on one that has AVX2.
#[cfg(target_arch = "x86_64")]
const WIDE_BLOCK: usize = 128;
/// Payloads from this length on, in bytes, are worth a look at the processor.
const LONG: usize = 512;
/// A register that crosses a cache line costs two accesses.
#[cfg(target_arch = "x86_64")]
const ALIGN: usize = 32;

/// Masks or unmasks `data` in place, where `data` starts at payload offset 0 for `key`.
///
/// Returns the key turned so that it fits the bytes that follow `data`: a payload that arrives in
/// pieces is unmasked by handing each call's result to the next.
pub fn apply(key: MaskKey, data: &mut [u8]) -> MaskKey {
    apply_whole(key, data);
    turned(key, data.len())
}

/// [`apply`] for a payload behind which nothing follows.
#[inline]
pub(crate) fn apply_whole(key: MaskKey, data: &mut [u8]) {
    if key == [0; 4] {
        return;
    }
    if data.len() < LONG {
        apply_blocks::<BLOCK>(key, data);
    } else {
        apply_long(key, data);
    }
}

#[cfg(target_arch = "x86_64")]
fn apply_long(key: MaskKey, data: &mut [u8]) {
    let Some(avx2) = Level::new().as_avx2() else {
        return apply_blocks::<BLOCK>(key, data);
    };
    let unaligned = data.as_ptr().align_offset(ALIGN).min(data.len());
    let (head, rest) = data.split_at_mut(unaligned);
    apply_blocks::<BLOCK>(key, head);
    apply_wide(avx2, turned(key, unaligned), rest);
}

#[cfg(not(target_arch = "x86_64"))]
fn apply_long(key: MaskKey, data: &mut [u8]) {
    apply_blocks::<BLOCK>(key, data);
}

#[cfg(target_arch = "x86_64")]
kernel!(
    fn apply_wide(_avx2: Avx2, key: MaskKey, data: &mut [u8]) {
        apply_blocks::<WIDE_BLOCK>(key, data);
    }
);

/// Inlined, so that it becomes the instructions of whoever calls it.
#[inline(always)]
fn apply_blocks<const SIZE: usize>(key: MaskKey, data: &mut [u8]) {
    let word = u32::from_ne_bytes(key);
    let (blocks, rest) = data.as_chunks_mut::<SIZE>();
    for block in blocks {
        apply_words(word, block.as_chunks_mut().0);
    }
    let (words, tail) = rest.as_chunks_mut();
    apply_words(word, words);
    for (byte, key) in tail.iter_mut().zip(key) {
        *byte ^= key;
    }
}

#[inline(always)]
fn apply_words(word: u32, words: &mut [[u8; 4]]) {
    for bytes in words {
        *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
    }
}

/// The key for what follows `bytes` of a payload, where `key` fits their first.
#[inline]
pub(crate) fn turned(mut key: MaskKey, bytes: usize) -> MaskKey {
    key.rotate_left(bytes % 4);
    key
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn naive(key: MaskKey, data: &[u8]) -> Vec<u8> {
        data.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect()
    }

    #[test]
    fn rfc6455_section_5_7_masked_hello() {
        let mut data = [0x7f, 0x9f, 0x4d, 0x51, 0x58];
        apply([0x37, 0xfa, 0x21, 0x3d], &mut data);
        assert_eq!(&data, b"Hello");
    }

    proptest! {
        #[test]
        fn equals_the_naive_loop(
            key: MaskKey,
            data in prop::collection::vec(any::<u8>(), 0..3 * LONG),
            skip in 0_usize..70,
        ) {
            let skip = skip.min(data.len());
            let mut masked = data.clone();
            apply(key, &mut masked[skip..]);
            prop_assert_eq!(&masked[skip..], &naive(key, &data[skip..])[..]);
            prop_assert_eq!(&masked[..skip], &data[..skip]);
        }

        #[test]
        fn the_turned_key_continues(
            key: MaskKey,
            data in prop::collection::vec(any::<u8>(), 0..3 * LONG),
            cut in 0..3 * LONG,
        ) {
            let cut = cut.min(data.len());
            let mut pieces = data.clone();
            let turned = apply(key, &mut pieces[..cut]);
            apply(turned, &mut pieces[cut..]);
            prop_assert_eq!(pieces, naive(key, &data));
        }
    }
}
