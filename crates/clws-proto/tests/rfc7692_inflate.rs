//! RFC 7692 §7.2.2 and §8: inflating, its limits, and what is not DEFLATE data.

mod common;

use clws_proto::deflate::{CHUNK, Inflater};
use clws_proto::error::ProtocolError::{self, InvalidDeflate, InvalidUtf8, MessageTooBig};
use common::deflated;
use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

const NO_LIMIT: u64 = u64::MAX;
/// §7.2.3.1, a block with fixed codes.
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
/// §7.2.3.2, the same with the first message's history.
const HELLO_AGAIN: [u8; 5] = [0xf2, 0x00, 0x11, 0x00, 0x00];
/// §7.2.3.3, a block without compression.
const HELLO_STORED: [u8; 11] = [0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00];
/// §7.2.3.4, a block with BFINAL.
const HELLO_FINAL: [u8; 8] = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
/// §7.2.3.5, two blocks.
const HELLO_TWO_BLOCKS: [u8; 13] =
    [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];

struct Peer {
    inflater: Inflater,
}

impl Peer {
    fn new() -> Self {
        Self { inflater: Inflater::new() }
    }

    /// Inflates one message that comes in these pieces; with an error, what came before it.
    fn message<'a>(
        &mut self,
        pieces: impl IntoIterator<Item = &'a [u8]>,
        limit: u64,
    ) -> (Vec<u8>, Result<(), ProtocolError>) {
        let mut out = Vec::new();
        let mut pieces = pieces.into_iter().peekable();
        while let Some(piece) = pieces.next() {
            let fin = pieces.peek().is_none();
            let result = self.inflater.inflate(piece, fin, limit, |part| {
                assert!(part.len() < CHUNK + 260);
                out.extend_from_slice(part);
                Ok(())
            });
            if result.is_err() {
                return (out, result);
            }
        }
        (out, Ok(()))
    }

    fn whole(&mut self, payload: &[u8]) -> Result<Vec<u8>, ProtocolError> {
        let (out, result) = self.message([payload], NO_LIMIT);
        result.map(|()| out)
    }
}

fn inflate(payload: &[u8]) -> Result<Vec<u8>, ProtocolError> {
    Peer::new().whole(payload)
}

#[test]
fn the_examples_of_section_7_2_3_at_every_cut() {
    for payload in [&HELLO[..], &HELLO_STORED, &HELLO_FINAL, &HELLO_TWO_BLOCKS] {
        assert_eq!(inflate(payload).as_deref(), Ok(&b"Hello"[..]), "{payload:x?}");
        for cut in 0..=payload.len() {
            let (head, tail) = payload.split_at(cut);
            let (out, result) = Peer::new().message([head, tail, &[]], NO_LIMIT);
            assert_eq!((&out[..], result), (&b"Hello"[..], Ok(())), "{payload:x?} at {cut}");
        }
        let (out, result) = Peer::new().message(payload.chunks(1), NO_LIMIT);
        assert_eq!((&out[..], result), (&b"Hello"[..], Ok(())), "{payload:x?} byte by byte");
    }
}

#[test]
fn history_is_kept_between_messages_and_forgotten_by_a_reset() {
    let mut peer = Peer::new();
    assert_eq!(peer.whole(&HELLO).as_deref(), Ok(&b"Hello"[..]));
    assert_eq!(peer.whole(&HELLO_AGAIN).as_deref(), Ok(&b"Hello"[..]));
    peer.inflater.reset();
    assert_eq!(peer.whole(&HELLO_AGAIN), Err(InvalidDeflate), "another client's bytes");
}

#[test]
fn an_empty_message_in_both_forms() {
    let mut peer = Peer::new();
    assert_eq!(peer.whole(&HELLO).as_deref(), Ok(&b"Hello"[..]));
    for payload in [&[0x00][..], &[], &[0x02, 0x00]] {
        assert_eq!(peer.whole(payload).as_deref(), Ok(&b""[..]), "{payload:x?}");
    }
    assert_eq!(peer.whole(&HELLO_AGAIN).as_deref(), Ok(&b"Hello"[..]));
}

#[test]
fn scenario_c3_blocks_with_bfinal_end_a_stream_and_not_the_message() {
    let mut peer = Peer::new();
    let twice = [&HELLO_FINAL[..7], &HELLO_FINAL[..7], &HELLO].concat();
    assert_eq!(peer.whole(&twice).as_deref(), Ok(&b"HelloHelloHello"[..]));
    let bare = &HELLO_FINAL[..7];
    assert_eq!(peer.whole(bare).as_deref(), Ok(&b"Hello"[..]), "without the octet after it");
    assert_eq!(peer.whole(&HELLO).as_deref(), Ok(&b"Hello"[..]));
    let backwards = [&HELLO_FINAL[..7], &HELLO_AGAIN].concat();
    assert_eq!(peer.whole(&backwards), Err(InvalidDeflate), "history before BFINAL");
}

#[test]
fn scenario_c3_bad_data_is_refused() {
    let rows: [(&str, &[u8]); 9] = [
        ("block type 3", &[0x06]),
        ("block type 3 after a block", &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x06]),
        ("lengths of a stored block that differ", &[0x00, 0x05, 0x00, 0xfa, 0xfe, b'a']),
        ("too many codes", &[0xfc, 0xff, 0xff]),
        ("an incomplete code", &[0x04, 0x00, 0xfe, 0xff, 0xff, 0xff]),
        ("a distance before the beginning", &[0xf2, 0x00, 0x11, 0x00, 0x00]),
        ("a stored block that is cut", &HELLO_STORED[..7]),
        ("a stored block without an end", &HELLO_STORED[..10]),
        ("a tail that was not removed", &[0, 0, 0, 0xff, 0xff]),
    ];
    for (name, payload) in rows {
        assert_eq!(inflate(payload), Err(InvalidDeflate), "{name}");
    }
    assert_eq!(InvalidDeflate.close_code().get(), 1007);
    assert!(InvalidDeflate.to_string().contains("RFC 7692 section 7.2.2"));
}

#[test]
fn scenario_c3_a_message_cut_inside_a_block_is_noticed() {
    let text = "It was the best of times, it was the worst of times, it was 0123456789. ".repeat(9);
    for level in [0, 1, 6] {
        let payload = deflated(text.as_bytes(), level);
        // The first byte of a stored block is an empty message's whole payload.
        for cut in 1 + usize::from(level == 0)..payload.len() {
            assert_eq!(inflate(&payload[..cut]), Err(InvalidDeflate), "level {level}, {cut}");
        }
    }
}

#[test]
fn scenario_b6_exactly_the_limit_passes_and_one_more_byte_does_not() {
    for size in [1, 100, CHUNK - 1, CHUNK, CHUNK + 1, 100_000] {
        let data: Vec<u8> = (0..size).map(|index| (index * index / 32) as u8).collect();
        let payload = deflated(&data, 1);
        for step in [1, 1000, payload.len()] {
            let exact = Peer::new().message(payload.chunks(step), size as u64);
            assert_eq!(exact, (data.clone(), Ok(())), "{size} by {step}");
            let (out, result) = Peer::new().message(payload.chunks(step), size as u64 - 1);
            assert_eq!(result, Err(MessageTooBig), "{size} by {step}");
            assert!(out.len() < size);
        }
    }
    assert_eq!(MessageTooBig.close_code().get(), 1009);
}

#[test]
fn the_limit_is_that_of_one_message() {
    let mut peer = Peer::new();
    for _ in 0..1000 {
        let (out, result) = peer.message([&HELLO[..]], 5);
        assert_eq!((out.len(), result), (5, Ok(())));
    }
}

#[test]
fn scenario_c1_a_gibibyte_of_zeros_stops_at_the_limit() {
    const MIB: usize = 1 << 20;
    let mut stream = Compress::new(Compression::best(), false);
    let mut bomb = Vec::with_capacity(2 * MIB);
    let zeros = vec![0; MIB];
    for _ in 0..1024 {
        stream.compress_vec(&zeros, &mut bomb, FlushCompress::None).expect("room");
    }
    assert_eq!(stream.total_in(), 1 << 30);
    for pieces in [1, 100] {
        let mut handed = 0;
        let mut inflater = Inflater::new();
        let result = bomb.chunks(bomb.len().div_ceil(pieces)).try_for_each(|piece| {
            inflater.inflate(piece, false, MIB as u64, |part| {
                handed += part.len();
                Ok(())
            })
        });
        assert_eq!(result, Err(MessageTooBig));
        // Bytes are inflated into the chunk alone, and handed out before it is used again.
        assert!(handed + CHUNK <= MIB + 16 * 1024, "{handed}");
    }
}

#[test]
fn bytes_that_inflate_to_nothing_are_bounded_too() {
    for block in [&[0x00, 0x00, 0x00, 0xff, 0xff][..], &[0x03, 0x00], &[0x02, 0x08, 0x20, 0x80, 0]]
    {
        let blocks = block.repeat(10_000);
        let mut inflater = Inflater::new();
        let mut fed = 0;
        let result = loop {
            fed += blocks.len();
            let result = inflater.inflate(&blocks, false, 1000, |_| Ok(()));
            if result.is_err() || fed > 1_000_000 {
                break result;
            }
        };
        assert_eq!(result, Err(MessageTooBig), "{block:x?} after {fed}");
    }
}

#[test]
fn an_error_of_the_sink_ends_the_message() {
    let payload = deflated(&b"x".repeat(100_000), 1);
    let mut inflater = Inflater::new();
    let mut calls = 0;
    let result = inflater.inflate(&payload, true, NO_LIMIT, |_| {
        calls += 1;
        if calls == 2 { Err(InvalidUtf8) } else { Ok(()) }
    });
    assert_eq!((calls, result), (2, Err(InvalidUtf8)));
}

/// The verdict on a message in pieces whose sink takes text: it refuses the byte FF.
fn verdict_on_text<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    limit: u64,
) -> Result<(), ProtocolError> {
    let mut inflater = Inflater::new();
    pieces.into_iter().try_for_each(|piece| {
        inflater.inflate(piece, false, limit, |part| {
            if part.contains(&0xff) { Err(InvalidUtf8) } else { Ok(()) }
        })
    })
}

/// Of several faults in one message the first one counts, also when all came in one piece.
#[test]
fn the_first_fault_is_the_verdict_however_cut() {
    const RESERVED_BLOCK: u8 = 0x07;
    let text = [&b"text"[..], b"\xff", &[b'x'; 100]].concat();
    let flushed = [&deflated(&text, 1)[..], &[0, 0, 0xff, 0xff]].concat();
    let not_deflate = [&flushed[..], &[RESERVED_BLOCK, 0]].concat();
    let nothing = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(13_000);
    let and_more = [&nothing[..], &[RESERVED_BLOCK], &nothing].concat();
    for (payload, limit, expected) in [
        (&flushed, 20, InvalidUtf8),
        (&flushed, 4, MessageTooBig),
        (&not_deflate, NO_LIMIT, InvalidUtf8),
        (&and_more, 20, InvalidDeflate),
        (&[&nothing[..], &nothing].concat(), 20, MessageTooBig),
    ] {
        assert_eq!(verdict_on_text(payload.chunks(1), limit), Err(expected), "single bytes");
        assert_eq!(verdict_on_text([&payload[..]], limit), Err(expected), "one piece");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn garbage_gets_one_verdict_however_cut(
        garbage in prop::collection::vec(any::<u8>(), 0..600),
        begun in any::<bool>(),
        size in 1_usize..50,
    ) {
        let payload = if begun { [&HELLO[..6], &garbage].concat() } else { garbage };
        let (whole, verdict) = Peer::new().message([&payload[..]], 50_000);
        prop_assert!(matches!(verdict, Ok(()) | Err(InvalidDeflate | MessageTooBig)));
        if !payload.is_empty() {
            let (parts, again) = Peer::new().message(payload.chunks(size), 50_000);
            prop_assert_eq!(again, verdict);
            prop_assert!(verdict.is_err() || parts == whole);
        }
    }

    #[test]
    fn after_garbage_and_a_reset_an_inflater_is_as_new(
        garbage in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let mut peer = Peer::new();
        let _ = peer.message([&garbage[..]], 10_000);
        peer.inflater.reset();
        prop_assert_eq!(peer.whole(&HELLO_AGAIN), Err(InvalidDeflate));
        peer.inflater.reset();
        prop_assert_eq!(peer.whole(&HELLO), Ok(b"Hello".to_vec()));
    }
}
