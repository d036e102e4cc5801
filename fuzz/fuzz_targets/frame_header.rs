//! Any bytes as a frame header (RFC 6455 §5.2).
//!
//! The result is an error, a call for more, or a header that has one wire form; it depends on the
//! first 14 bytes only, and does not change once it is known.
#![no_main]

use clws_proto::frame::{FrameHeader, MAX_HEADER};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let result = FrameHeader::parse(bytes);
    let front = &bytes[..bytes.len().min(MAX_HEADER)];
    assert_eq!(FrameHeader::parse(front), result, "looked beyond the longest header");

    match result {
        Ok(Some((header, used))) => {
            let mut again = Vec::new();
            header.write(&mut again);
            assert_eq!(again, &bytes[..used], "there is a second way to write this header");
            assert_eq!(header.encoded_len(), used);
            assert!(header.len < 1 << 63);
        }
        Ok(None) => assert!(bytes.len() < MAX_HEADER, "asks for more than the longest header"),
        Err(error) => assert_ne!(error.section(), ""),
    }

    let mut known = None;
    for end in 0..=front.len() {
        let found = FrameHeader::parse(&front[..end]);
        match known {
            Some(earlier) => assert_eq!(found, earlier, "{end} bytes changed the verdict"),
            None if found != Ok(None) => known = Some(found),
            None => {}
        }
    }
});
