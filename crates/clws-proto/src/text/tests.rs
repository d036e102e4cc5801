use super::*;
use proptest::prelude::*;

/// What the standard library says of the text, and the bytes a naive loop masks.
fn masked(key: MaskKey, text: &[u8]) -> (Vec<u8>, bool) {
    let bytes = text.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
    (bytes, str::from_utf8(text).is_ok())
}

/// Every way to unmask and check that this processor has must agree with the naive one.
fn assert_like_naive(key: MaskKey, text: &[u8]) {
    let (mut unmasked, valid) = masked(key, text);
    assert_eq!(Text::unmask(key, &mut unmasked).is_ok(), valid);
    assert!(unmasked == text, "{} bytes", text.len());
    #[cfg(target_arch = "x86_64")]
    {
        let level = fearless_simd::Level::new();
        level.as_avx512().inspect(|simd| assert_wide(*simd, key, text));
        level.as_avx2().inspect(|simd| assert_wide(*simd, key, text));
    }
}

#[cfg(target_arch = "x86_64")]
fn assert_wide<S: fearless_simd::Simd>(simd: S, key: MaskKey, text: &[u8]) {
    let (mut bytes, valid) = masked(key, text);
    assert_eq!(wide::unmask_with(simd, key, &mut bytes), valid, "{simd:?}");
    assert!(bytes == text, "{} bytes with {simd:?}", text.len());
}

/// All sequences of up to four bytes that matter, at the end of a block, across it, and at the end
/// of the text.
#[test]
fn every_kind_of_character_and_mistake_at_every_edge() {
    const KINDS: [u8; 22] = [
        0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1,
        0xed, 0xef, 0xf0, 0xf1, 0xf4, 0xf5, 0xff,
    ];
    let mut text = vec![b'.'; 192];
    let four = KINDS.len().pow(4);
    for number in 0..four {
        let place = 58 + number % 7;
        let mut rest = number;
        for slot in &mut text[place..place + 4] {
            *slot = KINDS[rest % KINDS.len()];
            rest /= KINDS.len();
        }
        assert_like_naive([0; 4], &text);
        assert_like_naive([0; 4], &text[..place + 4]);
        text[place..place + 4].fill(b'.');
    }
}

fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
    let spoilt = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    ("(.|[a-z]{70}|[à-üÀ-Ü]{20}|[一-龥]{9}|[😀-🙏]{5}){0,150}", spoilt, 0..2_usize).prop_map(
        |(text, spoilt, times)| {
            let mut bytes = text.repeat(1 + 3 * times).into_bytes();
            for (index, byte) in spoilt {
                if !bytes.is_empty() {
                    let at = index.index(bytes.len());
                    bytes[at] = byte;
                }
            }
            bytes
        },
    )
}

proptest! {
    #[test]
    fn agrees_with_the_standard_library(key: MaskKey, text in nearly_text()) {
        assert_like_naive(key, &text);
        assert_like_naive(key, &text[..text.len() / 2]);
    }
}

#[test]
fn reads_what_it_carries() {
    let text = Text::from("grün");
    assert_eq!((text.to_str(), text.as_bytes(), text.len()), ("grün", "grün".as_bytes(), 5));
    assert!(!text.is_empty() && Text::from("").is_empty());
    assert_eq!(format!("{text:?}"), "\"grün\"");
}
