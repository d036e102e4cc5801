//! A stream of bytes beside another implementation: `tungstenite` hears the same and fails with
//! the same close code, but for the differences that `reference.rs` names.
#![no_main]

use arbitrary::Arbitrary;
use clws_fuzz::frames::Stream;
use clws_fuzz::{cuts, reference};
use clws_proto::connection::Config;
use libfuzzer_sys::fuzz_target;

/// There a frame's limit holds for control frames too.
const LEAST_FRAME: u64 = 125;

#[derive(Arbitrary, Debug)]
struct Input {
    client: bool,
    max_frame: u16,
    max_message: u16,
    stream: Stream,
    spoil: Option<(u16, u8)>,
    /// Where the stream ends.
    cut: Option<u16>,
}

fuzz_target!(|input: Input| {
    let mut bytes = input.stream.bytes(!input.client);
    cuts::spoil(&mut bytes, input.spoil);
    bytes.truncate(input.cut.map_or(usize::MAX, usize::from));
    let config = Config {
        max_frame_size: u64::from(input.max_frame) + LEAST_FRAME,
        max_message_size: u64::from(input.max_message) + 1,
        ..Config::default()
    };
    reference::compare(&bytes, input.client, &config);
});
