//! RFC 7692 §7.1.1: what a connection with context takeover keeps while it is idle, and that it
//! goes on from there.
//!
//! The peer is zlib-rs with the agreed window, which neither knows nor forgives what lies further
//! back.

use clws_proto::deflate::{Codecs, Contexts, DeflateConfig, Side, negotiate};
use clws_proto::error::ProtocolError;
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use proptest::prelude::*;

const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// What two histories take besides their bytes.
const OWN: usize = 32;
const BITS: std::ops::RangeInclusive<u8> = 9..=15;

/// A server's side of a connection, and a peer with streams of its own.
struct Pair {
    codecs: Codecs,
    server: Contexts,
    packer: Compress,
    unpacker: Decompress,
}

impl Pair {
    fn new(level: u8, bits: u8) -> Self {
        let config = DeflateConfig {
            level,
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            server_max_window_bits: bits,
            client_max_window_bits: bits,
            ..DeflateConfig::default()
        };
        let offered = b"permessage-deflate; client_max_window_bits";
        let agreed = negotiate([&offered[..]].into_iter(), &config);
        let agreed = agreed.expect("legal").expect("accepted");
        Self {
            codecs: Codecs::new(level, 1 << 20),
            server: Contexts::new(&agreed, Side::Server),
            packer: Compress::new_with_window_bits(Compression::new(6), false, bits),
            unpacker: Decompress::new_with_window_bits(false, bits),
        }
    }

    /// Has the server send a message; how long it was when compressed.
    fn send(&mut self, message: &[u8]) -> usize {
        let mut packed = Vec::new();
        assert!(self.server.deflate(message, &mut self.codecs, &mut packed));
        let len = packed.len();
        packed.extend(TAIL);
        let mut heard = Vec::with_capacity(message.len() + 1);
        let before = self.unpacker.total_in();
        let done = self.unpacker.decompress_vec(&packed, &mut heard, FlushDecompress::Sync);
        assert!(done.is_ok(), "{done:?}");
        assert_eq!(self.unpacker.total_in() - before, packed.len() as u64);
        assert!(heard == message, "{} bytes of {}", heard.len(), message.len());
        len
    }

    /// The peer's compressed message.
    fn pack(&mut self, message: &[u8]) -> Vec<u8> {
        let mut packed = Vec::with_capacity(message.len() + message.len() / 8 + 100);
        self.packer.compress_vec(message, &mut packed, FlushCompress::Sync).expect("room");
        assert!(packed.ends_with(&TAIL));
        packed.truncate(packed.len() - TAIL.len());
        packed
    }

    /// Has the server hear a message in two pieces and be idle in between for so many periods; how
    /// long it was when compressed.
    fn hear(&mut self, message: &[u8], idle: u8) -> usize {
        let packed = self.pack(message);
        let (first, second) = packed.split_at(packed.len() / 2);
        let mut heard = Vec::new();
        self.inflate(first, false, &mut heard);
        (0..idle).for_each(|_| self.server.retire());
        self.inflate(second, true, &mut heard);
        assert!(heard == message, "{} bytes of {}", heard.len(), message.len());
        packed.len()
    }

    /// Is idle for so long that nothing but the history is left.
    fn rest(&mut self) {
        self.server.retire();
        self.server.retire();
    }

    fn inflate(&mut self, piece: &[u8], fin: bool, heard: &mut Vec<u8>) {
        let done = self.server.inflate(piece, fin, 1 << 20, &mut self.codecs, |chunk| {
            heard.extend_from_slice(chunk);
            Ok(())
        });
        assert_eq!(done, Ok(()));
    }
}

/// Bytes that nothing compresses.
fn noise(len: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed | 1);
        (state >> 40) as u8
    };
    (0..len).map(|_| next()).collect()
}

#[test]
fn an_idle_connection_keeps_no_more_than_the_agreed_windows() {
    for bits in BITS {
        let window = 1 << bits;
        let mut pair = Pair::new(1, bits);
        assert_eq!(pair.server.memory(), 0);
        let short = noise(100, 1);
        for _ in 0..3 {
            pair.send(&short[..50]);
            pair.hear(&short[..50], 0);
            pair.server.retire();
            assert!(pair.server.has_spares(), "it was in use since the last time");
        }
        pair.server.retire();
        assert!(!pair.server.has_spares());
        assert_eq!(pair.server.memory(), 300 + OWN, "{bits}: as much as was said");
        for seed in 2..5 {
            pair.send(&noise(50_000, seed));
            pair.hear(&noise(50_000, seed), 0);
        }
        pair.rest();
        assert_eq!(pair.server.memory(), 2 * window + OWN, "{bits}");
    }
}

#[test]
fn the_history_outlives_idleness() {
    for bits in BITS {
        let mut pair = Pair::new(1, bits);
        pair.send(&noise(60_000, 1));
        pair.hear(&noise(60_000, 1), 0);
        // Most of what the window holds, so that the history is needed from its beginning on; zlib
        // leaves 262 bytes of it unused.
        let len = (1 << bits) - 100;
        let (said, heard) = (noise(len, 2), noise(len - 200, 3));
        assert!(pair.send(&said) > len);
        pair.hear(&heard, 0);
        for _ in 0..3 {
            pair.rest();
            let (sent, got) = (pair.send(&said), pair.hear(&heard, 0));
            assert!(sent < len / 2, "{bits}: {sent} bytes for {len} known ones");
            assert!(got < len / 2, "{bits}: {got} bytes for {len} known ones");
        }
    }
}

/// What a compressor was used for before must not be taken for this connection's history.
#[test]
fn nothing_of_a_stranger_is_referred_to() {
    let strange = noise(64_000, 9);
    for known in [10, 300, 3_000] {
        let (mut pair, mut stranger) = (Pair::new(1, 15), Pair::new(1, 15));
        pair.send(&noise(known, 1));
        pair.rest();
        std::mem::swap(&mut pair.codecs, &mut stranger.codecs);
        stranger.send(&strange);
        stranger.server.release(&mut stranger.codecs);
        std::mem::swap(&mut pair.codecs, &mut stranger.codecs);
        for part in strange.chunks(8_000).rev() {
            assert!(pair.send(part) >= part.len());
        }
    }
}

/// Whether the peer may refer so far back must not depend on how long it was silent.
#[test]
fn no_message_reaches_beyond_the_agreed_window() {
    let packed = |parts: &[&[u8]]| {
        let mut sender = Pair::new(1, 15);
        parts.iter().map(|part| sender.pack(part)).collect::<Vec<_>>()
    };
    let far = noise(1_000, 1);
    for idle in 0..3 {
        let mut pair = Pair::new(1, 9);
        let [first, second] = &packed(&[&far, &far[..200]])[..] else { unreachable!("two") };
        assert!(second.len() < 50, "it refers to what lies 1,000 bytes back");
        pair.inflate(first, true, &mut Vec::new());
        (0..idle).for_each(|_| pair.server.retire());
        let result = pair.server.inflate(second, true, 1 << 20, &mut pair.codecs, |_| Ok(()));
        assert_eq!(result, Err(ProtocolError::InvalidDeflate), "idle for {idle} periods");
    }
    let mut pair = Pair::new(1, 9);
    let [whole] = &packed(&[&[&far[..], &far[..200]].concat()])[..] else { unreachable!("one") };
    pair.inflate(whole, true, &mut Vec::new());
}

#[test]
fn an_unfinished_message_is_no_idleness() {
    let mut pair = Pair::new(1, 15);
    pair.hear(&noise(5_000, 1), 5);
    pair.hear(&noise(5_000, 1), 5);
}

#[test]
fn other_levels_keep_their_compressor_and_are_left_in_peace() {
    let mut pair = Pair::new(6, 12);
    let message = noise(3_000, 1);
    pair.send(&message);
    pair.rest();
    assert!(!pair.server.has_spares(), "or it would be called for nothing, forever");
    assert!(pair.send(&message) < 200);
}

proptest! {
    #[test]
    fn idleness_changes_nothing_that_peers_see(
        bits in BITS,
        turns in prop::collection::vec(
            (0..4_u8, 0..4_u8, 1..40_000_usize, 0..3_u64, any::<bool>()),
            1..20,
        ),
    ) {
        let mut pair = Pair::new(1, bits);
        for (idle, idle_within, len, seed, to_client) in turns {
            (0..idle).for_each(|_| pair.server.retire());
            let mut message = noise(len, seed);
            if len % 3 == 0 {
                message.fill(b'x');
            }
            if to_client {
                pair.send(&message);
            } else {
                pair.hear(&message, idle_within);
            }
        }
    }
}
