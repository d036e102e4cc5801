//! RFC 1951: what the inflater makes of sound, damaged and made-up data, beside zlib-rs, which
//! reads the same stream in one piece.

use clws_proto::deflate::Inflater;
use clws_proto::error::ProtocolError::InvalidDeflate;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
use proptest::prelude::*;

/// Above what any of the data here inflates to.
const LIMIT: usize = 16 << 20;

/// What zlib-rs reads, and whether it found no fault; after BFINAL it begins anew.
fn by_zlib(mut data: &[u8]) -> (Vec<u8>, bool) {
    let mut stream = Decompress::new(false);
    let (mut out, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let (read, written) = (stream.total_in(), stream.total_out());
        let status = stream.decompress(data, &mut chunk, FlushDecompress::Sync);
        data = &data[(stream.total_in() - read) as usize..];
        let made = (stream.total_out() - written) as usize;
        out.extend_from_slice(&chunk[..made]);
        assert!(out.len() < LIMIT);
        match status {
            Err(_) => return (out, false),
            Ok(Status::StreamEnd) => stream.reset(false),
            Ok(_) if made < chunk.len() && data.is_empty() => return (out, true),
            Ok(_) => {}
        }
        if data.is_empty() && made == 0 {
            return (out, true);
        }
    }
}

/// What the inflater reads of pieces of these sizes, in turn, and whether it found no fault.
fn by_inflater(mut data: &[u8], sizes: &[usize]) -> (Vec<u8>, bool) {
    let (mut inflater, mut out) = (Inflater::new(), Vec::new());
    for size in sizes.iter().cycle() {
        let (piece, rest) = data.split_at(data.len().min(*size));
        let result = inflater.inflate(piece, false, LIMIT as u64, |part| {
            out.extend_from_slice(part);
            Ok(())
        });
        match result {
            Err(error) => {
                assert_eq!(error, InvalidDeflate);
                return (out, false);
            }
            Ok(()) if rest.is_empty() => return (out, true),
            Ok(()) => data = rest,
        }
    }
    unreachable!("there is at least one size")
}

/// Both must say the same, in the end. A code for lengths that has no codes at all is refused at
/// once here and by zlib when all lengths were read, so what follows is made up for it.
fn compare(data: &[u8], sizes: &[usize]) {
    let (mut expected, mut sound) = by_zlib(data);
    let (found, accepted) = by_inflater(data, sizes);
    if sound && !accepted {
        (expected, sound) = by_zlib(&[data, &[0; 1024]].concat());
    }
    assert_eq!((found.len(), accepted), (expected.len(), sound), "{data:02x?}");
    assert!(found == expected, "other bytes: {data:02x?}");
}

/// A repetitive text with noise in it.
fn sample(size: usize, noise: u64, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut out: Vec<u8> = Vec::with_capacity(size + 300);
    while out.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
        let pick = (state >> 33) as usize;
        if out.len() > 40 && (state >> 40) % 101 >= noise {
            let start = pick / 7 % (out.len() - 3);
            let length = (3 + pick % 300).min(out.len() - start);
            out.extend_from_within(start..start + length);
        } else {
            out.extend((pick as u32).to_le_bytes());
        }
    }
    out.truncate(size);
    out
}

fn deflated(data: &[u8], level: u32, bits: u8, flushes: usize) -> Vec<u8> {
    let mut stream = Compress::new_with_window_bits(Compression::new(level), false, bits);
    let mut out = Vec::with_capacity(2 * data.len() + 1000);
    for part in data.chunks((data.len() / (flushes + 1)).max(1)) {
        stream.compress_vec(part, &mut out, FlushCompress::Sync).expect("room");
    }
    out
}

fn sizes() -> impl Strategy<Value = Vec<usize>> {
    prop_oneof![
        Just(vec![usize::MAX]),
        Just(vec![1]),
        prop::collection::vec(1_usize..40, 1..6),
        prop::collection::vec(1_usize..20_000, 1..6),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3_000, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn sound_and_damaged_data(
        size in prop_oneof![1_usize..300, 1_usize..200_000],
        (noise, seed) in (0_u64..=100, any::<u64>()),
        (level, bits, flushes) in (0_u32..=9, 9_u8..=15, 0_usize..5),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
        sizes in sizes(),
    ) {
        let mut data = deflated(&sample(size, noise, seed), level, bits, flushes);
        for (at, byte) in damage {
            let at = at.index(data.len());
            data[at] = byte;
        }
        compare(&data, &sizes);
    }

    #[test]
    fn damaged_headers(
        seed in any::<u64>(),
        damage in prop::collection::vec((0_usize..90, 0_u32..8), 1..4),
        sizes in sizes(),
    ) {
        let mut data = deflated(&sample(4_000, 60, seed), 6, 15, 0);
        for (at, bit) in damage {
            data[at] ^= 1 << bit;
        }
        compare(&data, &sizes);
    }

    #[test]
    fn made_up_data(
        block in 0_u8..8,
        garbage in prop::collection::vec(any::<u8>(), 0..400),
        sizes in sizes(),
    ) {
        let mut data = garbage;
        if let Some(first) = data.first_mut() {
            *first = *first & 0xf8 | block;
        }
        compare(&data, &sizes);
    }
}

/// A match of any length at any distance, where steps overlap and where the window slides.
#[test]
fn matches_of_all_lengths_at_short_distances() {
    for distance in 1..=70 {
        let unit: Vec<u8> = (0..distance).map(|byte| byte as u8).collect();
        let mut data = unit.clone();
        for length in 3..=300 {
            data.extend(
                data[data.len() - distance..]
                    .iter()
                    .cycle()
                    .take(length)
                    .copied()
                    .collect::<Vec<_>>(),
            );
            data.push(200);
            data.extend_from_slice(&unit);
        }
        compare(&deflated(&data, 9, 15, 0), &[usize::MAX]);
        compare(&deflated(&data, 9, 15, 0), &[100, 7]);
    }
}
