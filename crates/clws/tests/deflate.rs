//! Compressed messages (RFC 7692) over real sockets, with zlib at the other end and with the bytes
//! that stand in the RFC.

mod common;

use clws::{Cause, DeflateConfig, Dropped, Limits, Origin, Outcome, SendOptions, Server};
use common::packed::{ALONE, Packed, RSV1, TAKEOVER};
use common::raw::{BINARY, CONTINUATION, End, FIN, Raw, TEXT};
use common::{Events, Recorder, Running, echo, listen, narrow};
use std::time::Duration;

const KIB: usize = 1024;

/// Keeps both histories where the client agrees.
fn keeping() -> DeflateConfig {
    DeflateConfig {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        ..DeflateConfig::default()
    }
}

fn echoing(limits: Limits, deflate: DeflateConfig) -> (Running, Events) {
    let (recorder, events) = Recorder::new(echo);
    let server = Server::builder().limits(limits).deflate(deflate);
    (Running::start(server.resource("/", Origin::any(), recorder)), events)
}

/// Bytes that compress, the same for the same numbers.
fn pattern(len: usize, seed: usize) -> Vec<u8> {
    (0..len).map(|at| b"compress"[(at / 7 + at * at / (seed + 1)) % 8]).collect()
}

#[test]
fn messages_of_every_size_come_back_under_every_agreement() {
    for deflate in [DeflateConfig::default(), keeping()] {
        let (server, _events) = echoing(Limits::default(), deflate);
        for offer in [
            ALONE,
            TAKEOVER,
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_max_window_bits=9",
            "permessage-deflate; server_no_context_takeover; client_max_window_bits=10",
        ] {
            let mut packed = Packed::open(server.address, "/", offer);
            for (seed, len) in [0, 1, 1023, 1024, 5000, 70_000, 300_000].into_iter().enumerate() {
                let message = pattern(len, seed);
                packed.say(TEXT, &message);
                let said = packed.hears(TEXT, &message);
                assert_eq!(said.compressed, len >= KIB, "{offer}: {len} bytes");
                packed.say_in(3, BINARY, &message);
                packed.hears(BINARY, &message);
                // A message need not be compressed just because it may be.
                packed.raw.send_frame(FIN | BINARY, &message);
                packed.hears(BINARY, &message);
            }
        }
    }
}

/// What was agreed follows the offer and this end's settings.
#[test]
fn the_answer_to_an_offer() {
    let answer = |deflate: DeflateConfig, offer: &str| {
        let (server, _events) = echoing(Limits::default(), deflate);
        let mut raw = Raw::connect(server.address);
        let answer = raw.upgrade("/", &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
        answer.header("Sec-WebSocket-Extensions").map(str::to_owned)
    };
    let both = answer(DeflateConfig::default(), TAKEOVER).unwrap();
    assert!(both.contains("server_no_context_takeover"), "{both}");
    assert!(both.contains("client_no_context_takeover"), "{both}");
    assert_eq!(answer(keeping(), TAKEOVER).as_deref(), Some("permessage-deflate"));
    let off = DeflateConfig { enabled: false, ..DeflateConfig::default() };
    assert_eq!(answer(off, ALONE), None);
    assert_eq!(answer(keeping(), "permessage-deflate; unknown=1"), None);
    assert_eq!(answer(keeping(), "x-other, permessage-bzip2"), None);
}

/// RFC 7692 §7.2.3: six ways to say "Hello", with and without the history.
#[test]
fn the_examples_of_the_rfc() {
    let (server, events) = echoing(Limits::default(), keeping());
    let whole: &[&[u8]] = &[
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        // It refers to the one before.
        &[0xf2, 0x00, 0x11, 0x00, 0x00],
        // A block without compression.
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        // A block with BFINAL.
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        // Two blocks.
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
    ];
    let mut packed = Packed::open(server.address, "/", TAKEOVER);
    events.connected();
    for bytes in whole {
        packed.raw.send_frame(FIN | RSV1 | TEXT, bytes);
        assert_eq!(events.text(), "Hello", "{bytes:x?}");
        packed.hears(TEXT, b"Hello");
    }
    packed.raw.send_frame(RSV1 | TEXT, &[0xf2, 0x48, 0xcd]);
    packed.raw.send_frame(FIN | CONTINUATION, &[0xc9, 0xc9, 0x07, 0x00]);
    assert_eq!(events.text(), "Hello");
}

/// B6: exactly the limit, and one byte more, on the four ways a message can come.
#[test]
fn the_message_limit_holds_on_every_path() {
    const MAX: usize = 10_000;
    let mut limits = Limits::default();
    limits.max_message_size = MAX;
    for deflate in [DeflateConfig::default(), keeping()] {
        let (server, events) = echoing(limits.clone(), deflate);
        for path in 0..4 {
            for len in [MAX, MAX + 1] {
                let mut packed = Packed::open(server.address, "/", TAKEOVER);
                let client = events.connected();
                let message = pattern(len, 3);
                match path {
                    0 => packed.raw.send_frame(FIN | BINARY, &message),
                    1 => {
                        packed.raw.send_frame(BINARY, &message[..MAX / 2]);
                        packed.raw.send_frame(FIN | CONTINUATION, &message[MAX / 2..]);
                    }
                    2 => packed.say(BINARY, &message),
                    _ => packed.say_in(4, BINARY, &message),
                }
                if len == MAX {
                    packed.hears(BINARY, &message);
                    events.next();
                    client.close(clws::CloseCode::NORMAL, "");
                }
                let close = packed.raw.frame().close().0;
                assert_eq!(close, if len == MAX { 1000 } else { 1009 }, "path {path}");
                drop(packed);
                let (_, closed) = events.disconnected();
                assert_eq!(matches!(closed.cause, Cause::Protocol(_)), len > MAX);
            }
        }
    }
}

/// C1: few bytes that become many end the client at the limit.
#[test]
fn a_message_that_swells_is_stopped() {
    let (server, events) = echoing(Limits::default(), keeping());
    let mut packed = Packed::open(server.address, "/", TAKEOVER);
    events.connected();
    let wire = packed.deflated(&vec![0; 64 * 1024 * KIB]);
    assert!(wire.len() < 100 * KIB);
    packed.raw.send_frame(FIN | RSV1 | BINARY, &wire);
    assert_eq!(packed.raw.frame().close().0, 1009);
    let (_, closed) = events.disconnected();
    assert!(matches!(closed.cause, Cause::Protocol(_)));
}

/// C3: what is wrong, and the code that says so.
#[test]
fn compressed_frames_that_break_the_rules() {
    type Frames<'a> = Vec<(u8, &'a [u8])>;
    let (server, _events) = echoing(Limits::default(), DeflateConfig::default());
    let good = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
    let cases: [(&str, u16, Frames); 8] = [
        ("a wrong block type", 1007, vec![(FIN | RSV1 | TEXT, &[0x06, 0x00])]),
        ("an end inside a block", 1007, vec![(FIN | RSV1 | TEXT, &good[..4])]),
        // A stored block each: what is wrong is found before the message ends.
        ("no UTF-8 in a fragment", 1007, vec![(RSV1 | TEXT, &[0, 1, 0, 0xfe, 0xff, 0xff])]),
        (
            "no UTF-8 across two blocks",
            1007,
            vec![
                (RSV1 | TEXT, &[0, 2, 0, 0xfd, 0xff, 0xe2, 0x82]),
                (CONTINUATION, &[0, 1, 0, 0xfe, 0xff, b'x']),
            ],
        ),
        ("no UTF-8 inside", 1007, vec![(FIN | RSV1 | TEXT, &[0xfa, 0xff, 0x0f, 0x00])]),
        ("RSV1 on a ping", 1002, vec![(FIN | RSV1 | 9, b"")]),
        (
            "RSV1 on a continuation",
            1002,
            vec![(RSV1 | TEXT, &good[..3]), (FIN | RSV1 | CONTINUATION, &good[3..])],
        ),
        ("RSV2", 1002, vec![(FIN | 0x20 | TEXT, b"x")]),
    ];
    for (what, code, frames) in cases {
        let mut packed = Packed::open(server.address, "/", ALONE);
        for (first, payload) in frames {
            packed.raw.send_frame(first, payload);
        }
        assert_eq!(packed.raw.closed().0, code, "{what}");
    }
    let mut raw = server.raw("/");
    raw.send_frame(FIN | RSV1 | TEXT, &good);
    assert_eq!(raw.closed().0, 1002, "compressed without an agreement");
}

/// C6: what is refused was not compressed, so the history that the peer keeps has no hole.
#[test]
fn refused_messages_leave_no_hole_in_the_history() {
    let (server, events) = echoing(Limits::default(), keeping());
    let mut packed = Packed::open(server.address, "/", TAKEOVER);
    let client = events.connected();
    let text = String::from_utf8(pattern(5000, 1)).unwrap();
    for round in 0..5 {
        let line = format!("{round} {text}");
        assert_eq!(client.send_text(&line), Outcome::Sent);
        let broken = [line.as_bytes(), &[0xff]].concat();
        assert_eq!(client.send_text_bytes(&broken), Outcome::Dropped(Dropped::InvalidUtf8));
        assert_eq!(client.ping(&[0; 126]), Outcome::Dropped(Dropped::TooLong));
        client.send_text_with(&line, SendOptions::new().uncompressed());
        client.send_text("short");
        assert!(packed.hears(TEXT, line.as_bytes()).compressed);
        assert!(!packed.hears(TEXT, line.as_bytes()).compressed);
        packed.hears(TEXT, b"short");
        // From the client's own callback the same history goes on.
        packed.say(TEXT, line.as_bytes());
        assert!(packed.hears(TEXT, line.as_bytes()).compressed);
    }
}

/// C6: a client whose queue is overrun reads and understands everything that was accepted, by mail
/// and from its own callback, and then why it is closed.
#[test]
fn an_overrun_client_understands_what_was_accepted() {
    let mut limits = Limits::default();
    limits.send_timeout = Duration::from_mins(10);
    limits.abort_timeout = Duration::from_mins(10);
    limits.send_queue_high = 256 * KIB;
    let (recorder, events) = Recorder::new(listen);
    let server = Server::builder().limits(limits).deflate(keeping());
    let server = Running::start(server.resource("/", Origin::any(), recorder));
    let mut packed = Packed::over(narrow(server.address), "/", TAKEOVER);
    let client = events.connected();
    let mut accepted = Vec::new();
    for seed in 0.. {
        // Half of it is chance, so that it stays large.
        let chance = (0..20_000_u32).map(|at| (at ^ seed).wrapping_mul(0x9e37_79b9) >> 13);
        let message: Vec<u8> =
            chance.map(|word| word as u8).chain(pattern(20_000, seed as usize)).collect();
        match client.send_binary(&message) {
            Outcome::Dropped(why) => {
                assert_eq!(why, Dropped::Overrun);
                break;
            }
            Outcome::Sent | Outcome::Backpressure => accepted.push(message),
        }
    }
    assert!(accepted.len() > 5);
    for message in &accepted {
        assert!(packed.hears(BINARY, message).compressed);
    }
    assert_eq!(packed.raw.frame().close().0, 1008);
    drop(packed);
    assert_eq!(events.skip_to_disconnected().1.cause, Cause::Overrun);
}

/// A compressing client that leaves within a message costs the others nothing.
#[test]
fn a_connection_that_ends_within_a_compressed_message() {
    for deflate in [DeflateConfig::default(), keeping()] {
        let (server, events) = echoing(Limits::default(), deflate);
        let mut stays = Packed::open(server.address, "/", TAKEOVER);
        events.connected();
        for _ in 0..20 {
            let mut leaves = Packed::open(server.address, "/", TAKEOVER);
            events.connected();
            let wire = leaves.deflated(&pattern(50_000, 2));
            leaves.raw.send_frame(RSV1 | TEXT, &wire[..wire.len() / 2]);
            leaves.raw.finish();
            assert_eq!(leaves.raw.end(), End::Fin);
            events.disconnected();
            stays.say(TEXT, &pattern(2000, 1));
            stays.hears(TEXT, &pattern(2000, 1));
            events.text();
        }
    }
}
