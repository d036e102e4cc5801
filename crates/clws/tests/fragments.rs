//! Messages sent in fragments (RFC 6455 §5.4): how they are cut, what may stand between the pieces,
//! and what becomes of them when they are compressed.

mod common;

use clws::{Client, DeflateConfig, Limits, Origin, Outcome, SendOptions, Server};
use common::packed::{ALONE, Packed, RSV1, TAKEOVER};
use common::raw::{BINARY, CONTINUATION, FIN, Frame, PING, PONG, Raw, TEXT};
use common::{Event, Heard, Recorder, Running, listen};
use std::thread;
use tokio_tungstenite::tungstenite::Message;

/// Text with characters of every length.
const MIXED: &str = "a¢€😀 – ";

/// Reads frames up to the last of a message.
#[track_caller]
fn frames(raw: &mut Raw) -> Vec<Frame> {
    let mut frames = vec![raw.frame()];
    while !frames[frames.len() - 1].fin {
        frames.push(raw.frame());
    }
    frames
}

/// Checks that a message was cut as it should be, and joins it.
#[track_caller]
fn joined(frames: &[Frame], opcode: u8, frame_size: usize) -> Vec<u8> {
    for (index, frame) in frames.iter().enumerate() {
        let (first, last) = (index == 0, index + 1 == frames.len());
        assert_eq!(frame.opcode, if first { opcode } else { CONTINUATION });
        assert_eq!(frame.fin, last);
        assert!(frame.payload.len() <= frame_size);
        assert!(last || frame.payload.len() == frame_size, "no piece is smaller than it must be");
    }
    frames.iter().flat_map(|frame| frame.payload.clone()).collect()
}

/// Sizes, for a message of so many bytes: tiny ones, and those at which the number of frames or
/// the form of a length changes.
fn sizes(len: usize) -> [usize; 9] {
    [1, 2, 3, 7, 125, 126, len - 1, len, len + 1]
}

#[test]
fn fragments_are_at_most_as_long_as_asked() {
    let (server, events) = common::recording(Limits::default(), listen);
    let mut raw = server.raw("/");
    let client = events.connected();
    let text = MIXED.repeat(30);
    for size in sizes(text.len()) {
        assert_eq!(client.send_text_fragmented(&text, size), Outcome::Sent);
        let cut = frames(&mut raw);
        assert_eq!(cut.len(), text.len().div_ceil(size));
        assert_eq!(joined(&cut, TEXT, size), text.as_bytes());
        assert_eq!(client.send_binary_fragmented(text.as_bytes(), size), Outcome::Sent);
        assert_eq!(joined(&frames(&mut raw), BINARY, size), text.as_bytes());
    }
}

/// A frame size is a number of bytes, so characters are cut; the message is what is UTF-8.
#[test]
fn text_is_cut_inside_characters() {
    let (server, events) = common::recording(Limits::default(), |client, heard| {
        if let Heard::Text(text) = heard {
            client.send_text_fragmented(text, 1);
        }
    });
    let mut raw = server.raw("/");
    raw.text("€😀");
    let cut = frames(&mut raw);
    assert_eq!(cut.len(), 7);
    assert!(cut.iter().all(|frame| str::from_utf8(&frame.payload).is_err()));
    assert_eq!(joined(&cut, TEXT, 1), "€😀".as_bytes());
    events.connected();
    // A client that others wrote puts the pieces together.
    let mut ws = server.ws("/");
    ws.send(Message::text(MIXED)).unwrap();
    assert_eq!(ws.read().unwrap(), Message::text(MIXED));
}

#[test]
fn short_messages_and_no_size_make_one_frame() {
    let (server, events) = common::recording(Limits::default(), listen);
    let mut raw = server.raw("/");
    let client = events.connected();
    client.send_text_fragmented("", 1);
    client.send_text_fragmented("1234", 4);
    client.send_text_with("12345678", SendOptions::new());
    client.send_text_fragmented("123", 0);
    assert_eq!(raw.frame().text(), "");
    assert_eq!(raw.frame().text(), "1234");
    assert_eq!(raw.frame().text(), "12345678");
    assert_eq!(joined(&frames(&mut raw), TEXT, 1), b"123", "at least one byte");
}

/// Sends fragmented messages of one letter each from several threads, pings among them.
fn send_in_pieces(client: &Client, letters: &'static str, count: usize) {
    thread::scope(|scope| {
        for letter in letters.chars() {
            scope.spawn(move || {
                let text = letter.to_string().repeat(1000);
                for _ in 0..count {
                    assert!(client.send_text_fragmented(&text, 300).is_sent());
                    assert!(client.ping(b"between").is_sent());
                    assert!(client.send_text(&text).is_sent());
                }
            });
        }
    });
}

/// Between the fragments of one message control frames may stand, but no other message, however
/// many threads send and whatever the client's own callbacks send meanwhile.
#[test]
fn no_message_stands_inside_another() {
    const COUNT: usize = 50;
    const LETTERS: &str = "abcd";
    let mut limits = Limits::default();
    limits.send_queue_high = 64 * 1024 * 1024;
    let (server, events) = common::recording(limits, |client, heard| {
        if let Heard::Text(text) = heard {
            client.send_text_fragmented(text, 100);
        }
    });
    let mut raw = server.raw("/");
    let client = events.connected();
    let mut speaker = Raw::over(raw.stream.try_clone().unwrap());
    let speaking = thread::spawn(move || {
        for _ in 0..COUNT {
            speaker.text(&"e".repeat(1000));
            speaker.send_frame(FIN | PING, b"?");
        }
    });
    let sending = thread::spawn(move || send_in_pieces(&client, LETTERS, COUNT));
    let mut messages = 0;
    let mut current = Vec::new();
    while messages < COUNT * (2 * LETTERS.len() + 1) {
        let frame = raw.frame();
        if matches!(frame.opcode, PING | PONG) {
            continue;
        }
        assert_eq!(frame.opcode == CONTINUATION, !current.is_empty(), "a message inside another");
        current.extend_from_slice(&frame.payload);
        assert!(current.iter().all(|byte| *byte == current[0]), "pieces of two messages");
        if frame.fin {
            assert_eq!(current.len(), 1000);
            current.clear();
            messages += 1;
        }
    }
    speaking.join().unwrap();
    sending.join().unwrap();
}

/// Pings that came before a fragmented message and after it are answered around it, and the pong
/// that a peer sends within its own fragmented message is told before that message.
#[test]
fn control_frames_pass_between_a_peers_fragments() {
    let (server, events) = common::recording(Limits::default(), listen);
    let mut raw = server.raw("/");
    let client = events.connected();
    raw.send_frame(TEXT, b"one ");
    raw.send_frame(FIN | PONG, b"unasked");
    raw.send_frame(FIN | PING, b"?");
    assert_eq!(raw.frame().payload, b"?");
    client.send_text("this end speaks meanwhile");
    assert_eq!(raw.frame().text(), "this end speaks meanwhile");
    raw.send_frame(FIN | CONTINUATION, b"message");
    assert!(matches!(events.next(), Event::Pong(_, payload) if payload == b"unasked"));
    assert_eq!(events.text(), "one message");
}

/// Compressed first, cut afterwards; only the first piece says that it is compressed (RFC 7692
/// §6.1), with context takeover and without.
#[test]
fn fragments_of_a_compressed_message() {
    let (recorder, events) = Recorder::new(|client, heard| {
        if let Heard::Text(text) = heard {
            client.send_text_fragmented(text, 50);
        }
    });
    let keeping = DeflateConfig {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        ..DeflateConfig::default()
    };
    let server = Server::builder().deflate(keeping).resource("/", Origin::any(), recorder);
    let server = Running::start(server);
    let text = (0..600).map(|number| format!("{number} {MIXED}")).collect::<Vec<_>>().concat();
    for offer in [ALONE, TAKEOVER] {
        let mut packed = Packed::open(server.address, "/", offer);
        assert_eq!(packed.server_forgets(), offer == ALONE);
        let client = events.skip_to_connected();
        for round in 0..3 {
            // From elsewhere, then from the client's own callback.
            client.send_text_fragmented(&text, 100);
            let said = packed.hears(TEXT, text.as_bytes());
            assert!(said.compressed && said.joined().len() < text.len());
            check_pieces(&said.wire, 100);
            packed.say_in(1 + round, TEXT, text.as_bytes());
            assert_eq!(events.text(), text);
            let said = packed.hears(TEXT, text.as_bytes());
            assert!(said.compressed);
            check_pieces(&said.wire, 50);
        }
        let plain = SendOptions::new().frame_size(1000).uncompressed();
        client.send_text_with(&text, plain);
        let said = packed.hears(TEXT, text.as_bytes());
        assert!(!said.compressed);
        check_pieces(&said.wire, 1000);
        drop(packed);
        events.skip_to_disconnected();
    }
}

/// RFC 7692 §6.2: between compressed fragments control frames pass too, in either direction.
#[test]
fn control_frames_pass_between_compressed_fragments() {
    let keeping = DeflateConfig { client_no_context_takeover: false, ..DeflateConfig::default() };
    let (recorder, events) = Recorder::new(listen);
    let server = Server::builder().deflate(keeping).resource("/", Origin::any(), recorder);
    let server = Running::start(server);
    for offer in [ALONE, TAKEOVER] {
        let mut packed = Packed::open(server.address, "/", offer);
        let client = events.skip_to_connected();
        for text in [MIXED.repeat(100), "again ".to_owned() + &MIXED.repeat(100)] {
            let wire = packed.deflated(text.as_bytes());
            let pieces: Vec<&[u8]> = wire.chunks(wire.len().div_ceil(4)).collect();
            for (at, piece) in pieces.iter().enumerate() {
                let first = if at == 0 { RSV1 | TEXT } else { CONTINUATION };
                let fin = if at + 1 == pieces.len() { FIN } else { 0 };
                packed.raw.send_frame(fin | first, piece);
                if fin == 0 {
                    packed.raw.send_frame(FIN | PING, &[at as u8]);
                    assert_eq!(packed.raw.frame().payload, [at as u8], "before the message ends");
                    assert!(client.ping(b"between").is_sent());
                    assert_eq!(packed.raw.frame().opcode, PING);
                    packed.raw.send_frame(FIN | PONG, b"between");
                    assert!(matches!(events.next(), Event::Pong(..)), "before the message");
                }
            }
            assert_eq!(events.text(), text);
        }
        drop(packed);
        events.skip_to_disconnected();
    }
}

#[track_caller]
fn check_pieces(pieces: &[Vec<u8>], size: usize) {
    let (last, full) = pieces.split_last().expect("a frame");
    assert!(full.iter().all(|piece| piece.len() == size));
    assert!((1..=size).contains(&last.len()) && (full.len() > 1 || size > 50));
}
