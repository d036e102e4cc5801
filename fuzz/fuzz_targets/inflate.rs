//! DEFLATE data (RFC 1951) in pieces, beside zlib-rs, which reads it whole: the same bytes must come
//! out and the same faults be found. What this crate's compressor makes of the same bytes, with
//! history and without, must come back.
#![no_main]

use arbitrary::Arbitrary;
use clws_fuzz::cuts;
use clws_proto::deflate::{Deflater, Inflater};
use flate2::{Decompress, FlushDecompress, Status};
use libfuzzer_sys::fuzz_target;

/// The longest output that is looked at, in bytes.
const LIMIT: usize = 1 << 20;

#[derive(Arbitrary, Debug)]
struct Input<'a> {
    pieces: Vec<u8>,
    window_bits: u8,
    data: &'a [u8],
}

/// What zlib-rs reads and whether it found no fault; `None` for too much of it.
fn by_zlib(mut data: &[u8]) -> Option<(Vec<u8>, bool)> {
    let mut stream = Decompress::new(false);
    let (mut out, mut chunk) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let (read, written) = (stream.total_in(), stream.total_out());
        let status = stream.decompress(data, &mut chunk, FlushDecompress::Sync);
        data = &data[(stream.total_in() - read) as usize..];
        let made = (stream.total_out() - written) as usize;
        out.extend_from_slice(&chunk[..made]);
        if out.len() > LIMIT {
            return None;
        }
        match status {
            Err(_) => return Some((out, false)),
            Ok(Status::StreamEnd) => stream.reset(false),
            Ok(_) if made == chunk.len() || !data.is_empty() => continue,
            Ok(_) => return Some((out, true)),
        }
        if data.is_empty() {
            return Some((out, true));
        }
    }
}

fn by_inflater(data: &[u8], pieces: &[u8]) -> (Vec<u8>, bool) {
    let (mut inflater, mut out) = (Inflater::new(), Vec::new());
    let result = cuts::pieces(data, pieces).try_for_each(|piece| {
        inflater.inflate(piece, false, 2 * LIMIT as u64, |part| {
            out.extend_from_slice(part);
            Ok(())
        })
    });
    (out, result.is_ok())
}

fn compare(input: &Input<'_>) {
    let Some((mut expected, mut sound)) = by_zlib(input.data) else { return };
    let (found, accepted) = by_inflater(input.data, &input.pieces);
    if sound && !accepted {
        // A code for lengths without codes: zlib finds that out when it has read all lengths.
        let Some(later) = by_zlib(&[input.data, &[0; 1024]].concat()) else { return };
        (expected, sound) = later;
    }
    assert_eq!((found.len(), accepted), (expected.len(), sound));
    assert!(found == expected, "other bytes");
}

fn there_and_back(input: &Input<'_>) {
    let mut deflater = Deflater::new(1, input.window_bits);
    let (mut inflater, mut packed) = (Inflater::new(), Vec::new());
    for takeover in [true, true, false] {
        packed.clear();
        if !takeover {
            inflater.reset();
        }
        if deflater.deflate(input.data, takeover, &mut packed) {
            let mut out = Vec::new();
            let result = inflater.inflate(&packed, true, input.data.len() as u64, |part| {
                out.extend_from_slice(part);
                Ok(())
            });
            assert_eq!(result, Ok(()));
            assert!(out == input.data, "other bytes");
        }
    }
}

fuzz_target!(|input: Input<'_>| {
    compare(&input);
    there_and_back(&input);
});
