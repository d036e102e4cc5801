//! RFC 7692 §7.2.1: what is compressed here comes out there, for every window, level and size.

use clws_proto::deflate::{
    Agreed, Codecs, Contexts, DeflateConfig, Deflater, Inflater, Side, accept_response, negotiate,
    offer,
};
use clws_proto::error::ProtocolError::{InvalidDeflate, MessageTooBig};
use proptest::prelude::*;

/// Text of words, with random bytes mixed in by a share of 0 to 100.
fn sample(size: usize, noise: u64, seed: u64) -> Vec<u8> {
    let words = ["{\"id\":", "\"name\":\"", "true},", "anna", "bernd", "1700000000", ",", "[0,1]"];
    let mut state = seed | 1;
    let mut out = Vec::new();
    while out.len() < size {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        if (state >> 40) % 100 < noise {
            out.extend(state.to_le_bytes());
        } else {
            out.extend(words[(state >> 33) as usize % words.len()].bytes());
        }
    }
    out.truncate(size);
    out
}

/// Both ends of a connection.
struct Pair {
    codecs: Codecs,
    server: Contexts,
    client: Contexts,
}

impl Pair {
    fn new(config: &DeflateConfig) -> Self {
        let offered = offer(config).expect("enabled");
        let agreed = negotiate([offered.as_bytes()].into_iter(), config);
        let agreed = agreed.expect("legal").expect("accepted");
        let answer = agreed.to_string();
        let heard = accept_response([answer.as_bytes()].into_iter(), config);
        Self {
            codecs: Codecs::new(config.level, 2 << 20),
            server: Contexts::new(&agreed, Side::Server),
            client: Contexts::new(&heard.expect("legal").expect("accepted"), Side::Client),
        }
    }

    /// Sends a message one way in frames of `frame` bytes; what came out, `None` if uncompressed.
    fn send(&mut self, to_client: bool, message: &[u8], frame: usize) -> Option<Vec<u8>> {
        let Self { codecs, server, client } = self;
        let (from, to) = if to_client { (server, client) } else { (client, server) };
        let mut payload = b"before".to_vec();
        if !from.deflate(message, codecs, &mut payload) {
            assert_eq!(payload, b"before");
            return None;
        }
        let payload = payload.strip_prefix(b"before").expect("appended");
        assert!(payload.len() <= message.len() + message.len() / 8 + 64, "{}", payload.len());
        let mut out = Vec::new();
        let frames = payload.chunks(frame).count();
        for (index, piece) in payload.chunks(frame).enumerate() {
            let fin = index + 1 == frames;
            to.inflate(piece, fin, message.len() as u64, codecs, |part| {
                out.extend_from_slice(part);
                Ok(())
            })
            .expect("what was compressed here");
        }
        Some(out)
    }
}

fn config(level: u8, bits: u8, takeover: bool) -> DeflateConfig {
    DeflateConfig {
        level,
        server_no_context_takeover: !takeover,
        client_no_context_takeover: !takeover,
        server_max_window_bits: bits,
        client_max_window_bits: bits,
        ..DeflateConfig::default()
    }
}

#[test]
fn every_window_level_and_direction() {
    let sizes = [0, 1, 2, 100, 1000, 16_384, 65_536, 200_000, 5];
    for (bits, level, takeover) in (9..=15)
        .flat_map(|bits| (0..=9).map(move |level| (bits, level)))
        .flat_map(|(bits, level)| [(bits, level, false), (bits, level, true)])
    {
        let mut pair = Pair::new(&config(level, bits, takeover));
        for (index, size) in sizes.into_iter().enumerate() {
            let message = sample(size, 5, size as u64);
            let found = pair.send(index % 2 == 0, &message, 3_000);
            let context = format!("window {bits}, level {level}, takeover {takeover}, {size}");
            assert!(found.is_some() || !takeover && (size < 10 || level == 0), "{context}");
            assert!(found.is_none_or(|found| found == message), "{context}");
        }
    }
}

#[test]
fn section_7_2_3_the_compressor_makes_the_examples() {
    let mut deflater = Deflater::new(6, 15);
    let mut out = Vec::new();
    assert!(deflater.deflate(b"Hello", true, &mut out));
    assert_eq!(out, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    out.clear();
    assert!(deflater.deflate(b"", true, &mut out));
    assert_eq!(out, [0x00], "the empty message");
    out.clear();
    assert!(deflater.deflate(b"Hello", true, &mut out));
    assert_eq!(out, [0xf2, 0x00, 0x11, 0x00, 0x00]);
    assert!(!deflater.deflate(b"", false, &mut out), "shorter as it is");
}

#[test]
fn what_does_not_become_smaller_is_left_alone_and_costs_little() {
    let noise = sample(100_000, 100, 7);
    for level in 0..=9 {
        let mut deflater = Deflater::new(level, 15);
        let mut out = vec![1, 2, 3];
        assert!(!deflater.deflate(&noise, false, &mut out));
        assert!(!deflater.deflate(b"abc", false, &mut out));
        assert_eq!(out, [1, 2, 3]);
        assert!(out.capacity() <= 3 * noise.len(), "{}", out.capacity());
    }
}

#[test]
fn a_used_deflater_without_takeover_writes_what_a_new_one_writes() {
    for level in 0..=9 {
        let mut used = Deflater::new(level, 11);
        for (seed, noise) in [(1, 0), (2, 100), (3, 10), (4, 100), (5, 0)] {
            let message = sample(20_000, noise, seed);
            let (mut found, mut expected) = (Vec::new(), Vec::new());
            let done = used.deflate(&message, false, &mut found);
            assert_eq!(done, Deflater::new(level, 11).deflate(&message, false, &mut expected));
            assert_eq!(found, expected, "level {level}, message {seed}");
        }
    }
}

#[test]
fn takeover_is_worth_it_and_history_is_private() {
    let mut pair = Pair::new(&config(1, 15, true));
    let message = sample(3_000, 3, 1);
    let mut sizes = Vec::new();
    for _ in 0..3 {
        let mut payload = Vec::new();
        assert!(pair.server.deflate(&message, &mut pair.codecs, &mut payload));
        sizes.push(payload.len());
    }
    assert!(sizes[1] * 2 < sizes[0] && sizes[2] * 2 < sizes[0], "{sizes:?}");
    let mut payload = Vec::new();
    assert!(pair.server.deflate(&message, &mut pair.codecs, &mut payload));
    pair.server.release(&mut pair.codecs);
    let mut other = Contexts::new(&agreed("permessage-deflate"), Side::Client);
    let result = other.inflate(&payload, true, 10_000, &mut pair.codecs, |_| Ok(()));
    assert_eq!(result, Err(InvalidDeflate), "a client that has not seen the first message");
}

#[test]
fn what_the_pool_lends_has_no_history() {
    let mut pair = Pair::new(&config(1, 15, false));
    let message = sample(3_000, 3, 1);
    assert_eq!(pair.send(true, &message, 500).as_ref(), Some(&message));
    let mut next = Pair::new(&config(1, 15, true));
    next.codecs = pair.codecs;
    assert_eq!(next.send(true, &message, 500).as_ref(), Some(&message));
    next.server.release(&mut next.codecs);
    next.client.release(&mut next.codecs);
    let mut last = Pair { codecs: next.codecs, ..Pair::new(&config(1, 15, true)) };
    assert_eq!(last.send(true, &message, 500).as_ref(), Some(&message));
}

fn agreed(answer: &str) -> Agreed {
    let config = config(1, 15, true);
    accept_response([answer.as_bytes()].into_iter(), &config).expect("legal").expect("accepted")
}

#[test]
fn a_window_of_8_bits_is_never_compressed_with() {
    let mut codecs = Codecs::new(1, 1 << 20);
    let mut client =
        Contexts::new(&agreed("permessage-deflate; client_max_window_bits=8"), Side::Client);
    let mut out = Vec::new();
    assert!(!client.deflate(&[b'x'; 5000], &mut codecs, &mut out));
    assert!(out.is_empty());
}

#[test]
fn scenario_c5_without_takeover_an_idle_connection_owns_nothing() {
    assert!(size_of::<Contexts>() <= 40);
    let mut pair = Pair::new(&config(1, 15, false));
    let message = sample(5_000, 3, 1);
    for to_client in [true, false, true] {
        assert_eq!(pair.send(to_client, &message, 100).as_ref(), Some(&message));
        assert_eq!((pair.server.memory(), pair.client.memory()), (0, 0));
    }
    let kept = pair.codecs.kept();
    assert_eq!(pair.server.inflate(&[0xf2, 0x48], false, 10, &mut pair.codecs, |_| Ok(())), Ok(()));
    assert!(pair.server.memory() > 32 * 1024, "a message is unfinished");
    assert_eq!(pair.codecs.kept() + pair.server.memory(), kept);
    pair.server.release(&mut pair.codecs);
    assert_eq!((pair.server.memory(), pair.codecs.kept()), (0, kept));
}

#[test]
fn a_failed_connection_owns_nothing() {
    for takeover in [false, true] {
        let mut pair = Pair::new(&config(1, 15, takeover));
        let bad = pair.server.inflate(&[0x06], true, 10, &mut pair.codecs, |_| Ok(()));
        assert_eq!((bad, pair.server.memory()), (Err(InvalidDeflate), 0));
        let big = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        let big = pair.client.inflate(&big, true, 4, &mut pair.codecs, |_| Ok(()));
        assert_eq!((big, pair.client.memory()), (Err(MessageTooBig), 0));
    }
}

#[test]
fn connections_without_takeover_and_with_one_window_share_what_was_compressed() {
    let shared = |bits, takeover| Pair::new(&config(1, bits, takeover)).server.shared_window_bits();
    assert_eq!([shared(15, false), shared(10, false)], [Some(15), Some(10)]);
    assert_eq!(shared(15, true), None);
    let (message, mut payload) = (sample(5_000, 3, 1), Vec::new());
    let mut codecs = Codecs::new(1, 1 << 20);
    assert!(codecs.deflate(10, &message, &mut payload));
    for bits in [10, 15] {
        let (mut pair, mut out) = (Pair::new(&config(1, bits, false)), Vec::new());
        let result = pair.client.inflate(&payload, true, 5_000, &mut codecs, |part| {
            out.extend_from_slice(part);
            Ok(())
        });
        assert_eq!((result, &out), (Ok(()), &message));
    }
    assert!(!codecs.deflate(8, &message, &mut payload));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn conversations_come_through(
        level in 0_u8..=9,
        bits in 9_u8..=15,
        takeover in any::<bool>(),
        messages in prop::collection::vec(
            (any::<bool>(), 0_usize..20_000, 0_u64..=100, any::<u64>(), 1_usize..5_000), 1..12),
    ) {
        let mut pair = Pair::new(&config(level, bits, takeover));
        for (to_client, size, noise, seed, frame) in messages {
            let message = sample(size, noise, seed);
            let found = pair.send(to_client, &message, frame);
            prop_assert!(found.is_some() || !takeover);
            prop_assert!(found.is_none_or(|found| found == message));
        }
    }
}

/// Messages that do not shrink are given up half-way; zlib-rs once took their open block over into
/// the next message and panicked there.
#[test]
fn a_deflater_serves_on_after_messages_it_gave_up() {
    for level in 1..=9 {
        let mut deflater = Deflater::new(level, 15);
        for round in 0..60 {
            let size = 1000 + (round * 7919) % 150_000;
            let message = sample(size, [100, 0, 60][round % 3], round as u64);
            let mut out = Vec::new();
            let shrunk = deflater.deflate(&message, false, &mut out);
            assert_eq!(shrunk, !out.is_empty(), "level {level}, round {round}");
            assert!(shrunk || round % 3 != 1, "level {level}, round {round}");
        }
    }
}

/// A message that stands alone clears as much of the table of hashes as it uses; what one with
/// takeover then finds in the rest must not be taken for history.
#[test]
fn takeover_may_come_and_go_between_messages() {
    for level in [1, 6] {
        let (mut deflater, mut inflater) = (Deflater::new(level, 15), Inflater::new());
        for round in 0..200 {
            let takeover = round % 3 != 1;
            // Short enough alone for a small table, and long enough with others to wrap around.
            let size = if takeover { 10_000 + (round * 7919) % 50_000 } else { 1_200 };
            let message = sample(size, 10, (round % 5) as u64);
            let mut payload = Vec::new();
            if !deflater.deflate(&message, takeover, &mut payload) {
                continue;
            }
            let mut out = Vec::new();
            let result = inflater.inflate(&payload, true, 100_000, |part| {
                out.extend_from_slice(part);
                Ok(())
            });
            assert_eq!(result, Ok(()), "level {level}, round {round}");
            assert!(out == message, "level {level}, round {round}");
        }
    }
}
