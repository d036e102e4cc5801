use super::*;
use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;

fn levels() -> Vec<Level> {
    let level = Level::new();
    let mut levels = vec![level];
    #[cfg(target_arch = "x86_64")]
    {
        levels.extend(level.as_sse2().map(Level::Sse2));
        levels.extend(level.as_sse4_2().map(Level::Sse4_2));
        levels.extend(level.as_avx2().map(Level::Avx2));
    }
    levels
}

/// Text that repeats itself from near and far, and now and then does not.
fn messages() -> impl Strategy<Value = Vec<Vec<u8>>> {
    let word = prop_oneof![
        "[a-f]{1,9}".prop_map(String::into_bytes),
        "[a-c]{1,3}".prop_map(|some| some.repeat(30).into_bytes()),
        prop::collection::vec(any::<u8>(), 1..200),
    ];
    let message = (prop::collection::vec(word, 1..60), 1..8_usize)
        .prop_map(|(words, times)| words.concat().repeat(times));
    prop::collection::vec(message, 1..12)
}

proptest! {
    /// zlib reads what it read before, whichever registers it was written with.
    #[test]
    fn every_level_of_simd_gives_the_same(
        messages in messages(), takeover: bool, window_bits in 9..16_u8, again: bool,
    ) {
        let mut ends: Vec<_> =
            levels().into_iter().map(|level| (level, Quick::new(window_bits))).collect();
        let mut zlib = Decompress::new_with_window_bits(false, window_bits);
        for message in &messages {
            let mut written = Vec::new();
            for (level, quick) in &mut ends {
                let mut out = Vec::new();
                prop_assert!(quick.deflate_with(*level, message, takeover, usize::MAX, &mut out));
                if again && takeover {
                    let history = quick.history();
                    *quick = Quick::new(window_bits);
                    quick.remember(&history);
                }
                written.push(out);
            }
            for other in &written {
                prop_assert!(*other == written[0]);
            }
            written[0].extend([0, 0, 0xff, 0xff]);
            let mut found = Vec::with_capacity(message.len() + 1);
            if !takeover {
                zlib.reset(false);
            }
            zlib.decompress_vec(&written[0], &mut found, FlushDecompress::Sync).unwrap();
            prop_assert!(found == *message);
        }
    }
}
