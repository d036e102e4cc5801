//! RFC 6455 §5.2 for short messages that are taken one behind another: the verdict on them is the
//! one on any frame.

mod common;

use clws_proto::connection::{Config, Connection};
use clws_proto::error::ProtocolError;
use clws_proto::frame::OpCode::{self, Binary, Close, Continuation, Ping, Pong, Text};
use clws_proto::message::Message;
use common::{End, Seen, masked, plain};
use proptest::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

/// Small, so that both sides of them are met.
fn config() -> Config {
    Config { max_frame_size: 60, max_message_size: 100, ..Config::default() }
}

fn server() -> Connection {
    Connection::server(Arc::new(config()), Instant::now())
}

/// What an end sees and answers of a stream in pieces of `size` bytes, and how it is left.
fn heard(stream: &[u8], size: usize, shorts: bool) -> (Vec<Seen>, Vec<u8>, [bool; 3]) {
    let mut end = End { shorts, ..End::server(config()) };
    stream.chunks(size).for_each(|piece| end.receive(piece));
    let state = [end.connection.is_open(), end.connection.is_mid_message(), end.out.is_empty()];
    (end.seen, end.out, state)
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let kinds = vec![Text, Text, Text, Binary, Binary, Continuation, Ping, Pong, Close];
    let payload = prop_oneof![
        6 => ".{0,12}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..12),
        1 => prop::sample::select(vec![59_usize, 60, 61, 99, 101, 125, 126])
            .prop_map(|len| vec![b'x'; len]),
    ];
    (prop::bool::weighted(0.9), prop::sample::select(kinds), payload)
        .prop_map(|(fin, opcode, payload)| masked(fin || opcode.is_control(), opcode, &payload))
}

proptest! {
    #[test]
    fn they_are_the_same_messages(
        frames in prop::collection::vec(frame(), 1..12),
        spoilt in prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>())),
        size in 1..200_usize,
    ) {
        let mut stream = frames.concat();
        if let Some((at, byte)) = spoilt {
            let at = at.index(stream.len());
            stream[at] = byte;
        }
        let one_by_one = heard(&stream, size, false);
        prop_assert_eq!(&heard(&stream, size, true), &one_by_one);
        prop_assert_eq!(&heard(&stream, usize::MAX, true), &one_by_one);
    }
}

/// What [`clws_proto::connection::Shorts`] leaves to `handle_input` it leaves as it was.
#[test]
fn only_short_ones_are_taken() {
    let mut rsv1 = masked(true, Text, b"a");
    rsv1[0] |= 0x40;
    let cut = masked(true, Binary, b"abc");
    let left = [
        masked(true, Binary, &[7; 61]),
        masked(true, Binary, &[7; 200]),
        masked(false, Text, b"a"),
        masked(true, Continuation, b"a"),
        masked(true, Ping, b"a"),
        masked(true, Close, b""),
        plain(true, Text, b"unmasked"),
        cut[..cut.len() - 1].to_vec(),
        cut[..1].to_vec(),
        rsv1,
        Vec::new(),
    ];
    for frame in left {
        let mut input = frame.clone();
        let mut connection = server();
        let mut shorts = connection.shorts(Instant::now()).expect("a message may begin");
        assert!(shorts.take(&mut input).is_none(), "{frame:02x?}");
        assert_eq!(input, frame);
    }
    let mut input = [masked(true, Binary, &[7; 60]), masked(true, Text, b"ab")].concat();
    let mut connection = server();
    let mut shorts = connection.shorts(Instant::now()).expect("a message may begin");
    let binary = Message::Binary(Cow::Borrowed(&[7; 60]));
    assert_eq!(shorts.take(&mut input), Some(Ok((66, binary))));
    assert_eq!(shorts.take(&mut input[66..]), Some(Ok((8, Message::Text("ab".into())))));
}

/// §8.1: it is failed, and what comes behind the fault is nothing any more.
#[test]
fn a_text_that_is_not_utf8_fails_the_connection() {
    let mut input = [masked(true, Text, b"\xff"), masked(true, Text, b"more")].concat();
    let mut connection = server();
    let mut shorts = connection.shorts(Instant::now()).expect("a message may begin");
    assert_eq!(shorts.take(&mut input), Some(Err(ProtocolError::InvalidUtf8)));
    assert_eq!(shorts.take(&mut input[7..]), None);
    assert!(!connection.is_open() && connection.shorts(Instant::now()).is_none());
    let mut close = Vec::new();
    connection.poll_output(&mut close);
    assert_eq!(close[..4], [0x88, close.len() as u8 - 2, 0x03, 0xef], "1007");
}

/// In the middle of a message, when something is to be said, for a client's end: not by this way.
#[test]
fn none_are_taken_where_no_message_may_begin() {
    let after = |opcode: OpCode, fin: bool, used: usize| {
        let mut end = End { shorts: false, ..End::server(config()) };
        let mut frame = masked(fin, opcode, b"abc");
        let done = end.connection.handle_input(end.now, &mut frame[..used], &mut end.pool);
        done.expect("legal");
        end.connection.shorts(end.now).is_some()
    };
    assert!(after(Text, true, 9), "behind a message");
    assert!(!after(Text, true, 1), "in a header");
    assert!(!after(Text, true, 7), "in a payload");
    assert!(!after(Text, false, 9), "between fragments");
    assert!(!after(Ping, true, 9), "a pong waits");
    assert!(!after(Close, true, 5), "closing");
    assert!(End::client(config()).connection.shorts(Instant::now()).is_none());
}

/// §5.5.2: a peer that sends short messages is alive, and needs no ping.
#[test]
fn they_are_signs_of_life() {
    let mut end = End::server(config());
    let interval = Config::default().ping_interval.expect("on by default");
    end.pass(interval / 2);
    end.receive(&masked(true, Text, b"here"));
    assert_eq!(end.connection.poll_timeout(), Some(end.now + interval));
}
