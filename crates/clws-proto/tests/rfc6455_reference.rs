//! RFC 6455 beside another implementation: the same verdicts as `tungstenite`, however a stream is
//! cut. Streams are frames, mostly legal ones, with a byte spoilt here and there.

mod common;
#[path = "common/reference.rs"]
mod reference;

use clws_proto::connection::Config;
use clws_proto::frame::{FrameHeader, OpCode};
use clws_proto::mask;
use common::End;
use proptest::prelude::*;

/// Small, so that both sides of them are met.
fn config() -> Config {
    Config { max_frame_size: 300, max_message_size: 500, ..Config::default() }
}

/// Characters cut in two, as fragments may have them, and a byte that begins none.
const CUT_CHARACTERS: [&[u8]; 5] = [b"\xe2\x82", b"\xac", b"\xf0\x9f", b"\x98\x80", b"\xc0"];

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => ".{0,8}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..8),
        1 => prop::sample::select(&CUT_CHARACTERS[..]).prop_map(<[u8]>::to_vec),
        1 => prop::sample::select(vec![124_usize, 125, 126, 299, 300, 301, 500])
            .prop_map(|len| vec![b'x'; len]),
        1 => (close_code(), ".{0,5}").prop_map(|(code, reason)| {
            [&code.to_be_bytes(), reason.as_bytes()].concat()
        }),
    ]
}

fn close_code() -> impl Strategy<Value = u16> {
    prop_oneof![999_u16..1020, 2998_u16..3002, 4998_u16..5002, any::<u16>()]
}

/// One frame as it goes over the wire, with its mask.
fn frame() -> impl Strategy<Value = Vec<u8>> {
    use OpCode::{Binary, Close, Continuation, Ping, Pong, Text};
    let kinds = [Text, Text, Text, Binary, Continuation, Continuation, Continuation];
    let kind = prop_oneof![9 => prop::sample::select(kinds.to_vec()),
        2 => prop::sample::select(vec![Ping, Pong]), 1 => Just(Close)];
    (prop::bool::weighted(0.7), kind, payload(), any::<[u8; 4]>()).prop_map(
        |(fin, opcode, mut payload, key)| {
            let fin = fin || opcode.is_control();
            let header = FrameHeader { fin, ..FrameHeader::new(opcode, payload.len()) };
            let mut bytes = Vec::new();
            FrameHeader { mask: Some(key), ..header }.write(&mut bytes);
            mask::apply(key, &mut payload);
            bytes.extend(payload);
            bytes
        },
    )
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    let spoilt = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (prop::collection::vec(frame(), 1..10), spoilt).prop_map(|(frames, spoilt)| {
        let mut bytes = frames.concat();
        if let Some((at, byte)) = spoilt {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

fn heard(bytes: &[u8], sizes: &[usize]) -> (Vec<common::Seen>, Vec<u8>) {
    let mut server = End::server(config());
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        let (piece, later) = rest.split_at((*size).min(rest.len()));
        server.receive(piece);
        rest = later;
        if rest.is_empty() {
            break;
        }
    }
    (server.seen, server.out)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn scenario_b10_the_same_verdict_as_tungstenite_however_cut(
        bytes in stream(),
        sizes in prop::collection::vec(1_usize..40, 1..6),
    ) {
        reference::compare(&bytes, false, &config());
        let whole = heard(&bytes, &[bytes.len()]);
        prop_assert_eq!(heard(&bytes, &[1]), whole.clone(), "in single bytes");
        prop_assert_eq!(heard(&bytes, &sizes), whole, "in pieces of {:?}", sizes);
    }
}

/// The deliberate differences, one by one: without the rule that allows each, these would fail.
#[test]
fn tungstenite_is_more_lenient_in_these_cases_only() {
    let cases: [&[u8]; 6] = [
        b"\x82\xfe\x00\x01\0\0\0\0x",    // a length not in its shortest form
        b"\x89\xfe\x00\x01\0\0\0\0x",    // the same in a ping
        b"\xa2\xfe\x7f\xff\0\0\0\0",     // a reserved bit, and too long
        b"\x88\x83\0\0\0\0\x03\xed\xff", // a code that is not allowed, and no UTF-8
        b"\x88\x82\0\0\0\0\x03\xed",     // a code that is not allowed
        b"\x88\x82\0\0\0\0\x03\xf6",     // 1014
    ];
    for bytes in cases {
        reference::compare(bytes, false, &config());
    }
    let empty = b"\x00\x80\0\0\0\0".repeat(1100);
    reference::compare(&[&b"\x02\x80\0\0\0\0"[..], &empty].concat(), false, &config());
}
