//! Inflating within an allowance: a KiB on the wire that is a MiB of work is done in slices, and
//! nothing else is different.

mod common;

use clws_proto::connection::Config;
use clws_proto::deflate::{CHUNK, DeflateConfig, Inflater};
use clws_proto::error::ProtocolError;
use clws_proto::frame::OpCode;
use common::{End, Seen, contexts, masked};
use proptest::prelude::*;

const MIB: usize = 1 << 20;
/// What an allowance may be exceeded by.
const EXCESS: usize = 2 * CHUNK;

/// As small as it gets.
fn deflated(data: &[u8]) -> Vec<u8> {
    common::deflated(data, 9)
}

fn server(max_message: usize, takeover: bool) -> End {
    let max = max_message as u64;
    let config = Config { max_frame_size: max, max_message_size: max, ..Config::default() };
    let deflate = DeflateConfig { client_no_context_takeover: !takeover, ..Default::default() };
    End::server(config).with_deflate(contexts(&deflate))
}

/// The frames of a compressed message, in fragments of at most `size` bytes, each with a ping
/// behind it that is not the last.
fn frames(opcode: OpCode, payload: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    let pieces = payload.chunks(size.max(1)).count();
    for (at, piece) in payload.chunks(size.max(1)).enumerate() {
        let opcode = if at == 0 { opcode } else { OpCode::Continuation };
        let mut frame = masked(at + 1 == pieces, opcode, piece);
        frame[0] |= if at == 0 { 0x40 } else { 0 };
        bytes.extend(frame);
        if at + 1 < pieces {
            bytes.extend(masked(true, OpCode::Ping, b"?"));
        }
    }
    bytes
}

/// Zeros, and words that stay in the inflater's bits as long as they can.
fn swelling() -> [Vec<u8>; 3] {
    let words = b"a message that repeats itself; ";
    [vec![0; MIB], words.iter().copied().cycle().take(MIB).collect(), vec![0; MIB - 1]]
}

#[test]
fn one_call_inflates_no_more_than_its_allowance() {
    for allowance in [1, 10_000, 64 * 1024, 300_000] {
        for message in swelling() {
            let mut end = server(MIB, false);
            let mut bytes = frames(OpCode::Text, &deflated(&message), usize::MAX);
            let (mut rest, mut calls, mut heard) = (&mut bytes[..], 0, None);
            while !rest.is_empty() {
                end.pool.allow_inflating(allowance as u64);
                let result = end.connection.handle_input(end.now, rest, &mut end.pool);
                let (used, event) = result.expect("a healthy message");
                heard = event.map(Seen::from);
                calls += 1;
                // A buffer that grows by doubling has twice the room at most.
                let most = calls * (allowance + EXCESS);
                assert!(end.connection.buffered() <= 2 * most + 1000, "{calls} calls");
                rest = &mut rest[used..];
            }
            assert!(calls >= message.len() / (allowance + EXCESS), "{calls} calls");
            assert!(calls <= message.len() / allowance.min(CHUNK) + 1, "{calls} calls");
            assert_eq!(heard, Some(Seen::Text(String::from_utf8(message).expect("text"))));
        }
    }
}

/// Nothing may be held back that no further byte would bring out: whoever handed in all bytes has
/// no reason to call again.
#[test]
fn what_is_used_is_inflated() {
    for message in swelling() {
        let payload = deflated(&message);
        for size in [1, 7, 100, payload.len()] {
            let mut inflater = Inflater::new();
            let mut out = Vec::new();
            for mut piece in payload.chunks(size) {
                while !piece.is_empty() {
                    let (before, mut allowance) = (out.len(), 1);
                    let sink = |part: &[u8]| {
                        out.extend_from_slice(part);
                        Ok::<_, ProtocolError>(())
                    };
                    let limit = MIB as u64;
                    let used = inflater.inflate_some(piece, limit, &mut allowance, sink);
                    piece = &piece[used.expect("healthy")..];
                    assert!(out.len() - before <= 1 + EXCESS);
                }
            }
            assert!(out == message, "{} of {} bytes", out.len(), message.len());
        }
    }
}

#[test]
fn without_allowance_nothing_is_inflated_and_all_else_is_heard() {
    let mut end = server(MIB, false);
    let compressed = frames(OpCode::Binary, &deflated(&[7; 1000]), usize::MAX);
    let mut bytes = [masked(true, OpCode::Text, b"plain"), compressed].concat();
    end.pool.allow_inflating(0);
    let (used, event) = end.connection.handle_input(end.now, &mut bytes, &mut end.pool).unwrap();
    assert_eq!(event.map(Seen::from), Some(Seen::Text("plain".into())));
    let mut rest = bytes.split_off(used);
    for _ in 0..3 {
        let (used, event) = end.connection.handle_input(end.now, &mut rest, &mut end.pool).unwrap();
        assert_eq!(event, None);
        rest.drain(..used);
        assert!(!rest.is_empty());
    }
    end.pool.allow_inflating(1);
    let (used, event) = end.connection.handle_input(end.now, &mut rest, &mut end.pool).unwrap();
    assert_eq!(event.map(Seen::from), Some(Seen::Binary(vec![7; 1000])));
    assert_eq!(used, rest.len());
}

/// A message: text or not, its payload and how it is cut into frames. Noise is so short that even
/// fragments of one byte do not pass what may be charged for them.
fn message() -> impl Strategy<Value = (bool, Vec<u8>, usize)> {
    let noise = prop::collection::vec(b'a'..=b'z', 0..1_500);
    let swells = (b'a'..=b'z', 0_usize..120_000).prop_map(|(byte, len)| vec![byte; len]);
    (any::<bool>(), prop_oneof![noise, swells], 1_usize..600)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn events_do_not_depend_on_slices(
        messages in prop::collection::vec(message(), 1..5),
        takeover: bool,
        spoil in prop::option::of((any::<prop::sample::Index>(), 1_u8..)),
        size in 1_usize..5_000,
        slice in 1_u64..40_000,
    ) {
        let mut bytes = Vec::new();
        for (text, payload, fragment) in &messages {
            let opcode = if *text { OpCode::Text } else { OpCode::Binary };
            bytes.extend(frames(opcode, &deflated(payload), *fragment));
        }
        if let Some((at, by)) = spoil {
            let at = at.index(bytes.len());
            bytes[at] ^= by;
        }
        let (mut whole, mut sliced) = (server(100_000, takeover), server(100_000, takeover));
        (sliced.now, sliced.slice) = (whole.now, Some(slice));
        whole.receive(&bytes);
        bytes.chunks(size).for_each(|piece| sliced.receive(piece));
        prop_assert_eq!(&whole.seen, &sliced.seen);
        prop_assert_eq!(whole.out, sliced.out);
        prop_assert_eq!(whole.connection.is_mid_message(), sliced.connection.is_mid_message());
        if spoil.is_none() && messages.iter().all(|(_, payload, _)| payload.len() <= 100_000) {
            let heard = whole.seen.iter().filter(|seen| !matches!(seen, Seen::Ping(_))).count();
            prop_assert_eq!(heard, messages.len());
        }
    }
}
