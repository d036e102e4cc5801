//! Masking of frame payloads (RFC 6455 §5.3).
//!
//! Each payload byte `i` is combined with key byte `i mod 4` by exclusive or. The work is done in
//! blocks the compiler turns into vector instructions; a naive byte loop in the tests is the
//! oracle.

/// A masking key as it stands on the wire.
pub type MaskKey = [u8; 4];

/// One block is four vector registers wide on the smallest x86-64.
const BLOCK: usize = 64;

/// Masks or unmasks `data` in place, where `data` starts at payload offset 0 for `key`.
///
/// Returns the key turned so that it fits the bytes that follow `data`: a payload that arrives in
/// pieces is unmasked by handing each call's result to the next.
pub fn apply(key: MaskKey, data: &mut [u8]) -> MaskKey {
    if key != [0; 4] {
        let word = u32::from_ne_bytes(key);
        let (blocks, rest) = data.as_chunks_mut::<BLOCK>();
        for block in blocks {
            let (words, _) = block.as_chunks_mut::<4>();
            for bytes in words {
                *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
            }
        }
        let (words, tail) = rest.as_chunks_mut::<4>();
        for bytes in words {
            *bytes = (u32::from_ne_bytes(*bytes) ^ word).to_ne_bytes();
        }
        for (byte, key) in tail.iter_mut().zip(key) {
            *byte ^= key;
        }
    }
    turned(key, data.len())
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
            data in prop::collection::vec(any::<u8>(), 0..400),
            skip in 0_usize..9,
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
            data in prop::collection::vec(any::<u8>(), 0..200),
            cut in 0_usize..200,
        ) {
            let cut = cut.min(data.len());
            let mut pieces = data.clone();
            let turned = apply(key, &mut pieces[..cut]);
            apply(turned, &mut pieces[cut..]);
            prop_assert_eq!(pieces, naive(key, &data));
        }
    }
}
