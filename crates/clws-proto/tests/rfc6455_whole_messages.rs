//! RFC 6455 §5.2 for whole messages that are taken one behind another: the verdict on them is the
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
    Config { max_frame_size: 300, max_message_size: 500, ..Config::default() }
}

fn server() -> Connection {
    Connection::server(Arc::new(config()), Instant::now())
}

/// What an end sees and answers of a stream in pieces of `size` bytes, and how it is left.
fn heard(stream: &[u8], size: usize, wholes: bool) -> (Vec<Seen>, Vec<u8>, [bool; 3]) {
    let mut end = End { wholes, ..End::server(config()) };
    stream.chunks(size).for_each(|piece| end.receive(piece));
    let state = [end.connection.is_open(), end.connection.is_mid_message(), end.out.is_empty()];
    (end.seen, end.out, state)
}

fn frame() -> impl Strategy<Value = Vec<u8>> {
    let kinds = vec![Text, Text, Text, Binary, Binary, Continuation, Ping, Pong, Close];
    let payload = prop_oneof![
        6 => ".{0,12}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..12),
        1 => prop::sample::select(vec![124_usize, 125, 126, 127, 299, 300, 301, 500])
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
        size in 1..700_usize,
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

/// What [`clws_proto::connection::WholeMessages`] leaves to `handle_input` it leaves as it was.
#[test]
fn only_whole_ones_are_taken() {
    let mut rsv1 = masked(true, Text, b"a");
    rsv1[0] |= 0x40;
    let cut = masked(true, Binary, b"abc");
    let left = [
        masked(true, Binary, &[7; 301]),
        masked(true, Binary, &vec![7; 70_000]),
        masked(false, Text, b"a"),
        masked(false, Binary, &[7; 200]),
        masked(true, Continuation, &[7; 200]),
        masked(true, Binary, &[7; 200])[..207].to_vec(),
        plain(true, Binary, &[7; 200]),
        [&[0x82, 0xfe, 0, 125, 0, 0, 0, 0][..], &[7; 125]].concat(),
        [&[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0][..], &[7; 200]].concat(),
        [&[0xc2, 0xfe, 0, 200, 0, 0, 0, 0][..], &[7; 200]].concat(),
        [&[0x89, 0xfe, 0, 200, 0, 0, 0, 0][..], &[7; 200]].concat(),
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
        let mut messages = connection.whole_messages(Instant::now()).expect("a message may begin");
        assert!(messages.take(&mut input).is_none(), "{frame:02x?}");
        assert_eq!(input, frame);
    }
    let mut input = [masked(true, Binary, &[7; 300]), masked(true, Text, b"ab")].concat();
    let mut connection = server();
    let mut messages = connection.whole_messages(Instant::now()).expect("a message may begin");
    let binary = Message::Binary(Cow::Borrowed(&[7; 300]));
    assert_eq!(messages.take(&mut input), Some(Ok((308, binary))));
    assert_eq!(messages.take(&mut input[308..]), Some(Ok((8, Message::Text("ab".into())))));
}

/// §8.1: it is failed, and what comes behind the fault is nothing any more.
#[test]
fn a_text_that_is_not_utf8_fails_the_connection() {
    for (connection, len) in [(server(), 1), (server(), 200), (server().with_unread_text(), 200)] {
        let broken = masked(true, Text, &vec![0xff; len]);
        let behind = broken.len();
        let mut input =
            [broken, masked(true, Text, b"more"), masked(true, Text, &[b'a'; 200])].concat();
        let mut connection = connection;
        let mut messages = connection.whole_messages(Instant::now()).expect("a message may begin");
        assert_eq!(messages.take(&mut input), Some(Err(ProtocolError::InvalidUtf8)));
        assert_eq!(messages.take(&mut input[behind..]), None);
        assert_eq!(messages.take(&mut input[behind + 10..]), None);
        assert!(!connection.is_open() && connection.whole_messages(Instant::now()).is_none());
        let mut close = Vec::new();
        connection.poll_output(&mut close);
        assert_eq!(close[..4], [0x88, close.len() as u8 - 2, 0x03, 0xef], "1007");
    }
}

/// As `handle_input` gives them to who only passes texts on.
#[test]
fn long_texts_may_stay_unread() {
    let (mut connection, text) = (server().with_unread_text(), "grün ".repeat(40));
    let mut input = masked(true, Text, text.as_bytes());
    let mut messages = connection.whole_messages(Instant::now()).expect("a message may begin");
    match messages.take(&mut input) {
        Some(Ok((248, Message::Unread(unread)))) => assert_eq!(unread.to_str(), text),
        other => panic!("{other:?}"),
    }
}

/// In the middle of a message, when something is to be said, for a client's end: not by this way.
#[test]
fn none_are_taken_where_no_message_may_begin() {
    let after = |opcode: OpCode, fin: bool, used: usize| {
        let mut end = End { wholes: false, ..End::server(config()) };
        let mut frame = masked(fin, opcode, b"abc");
        let done = end.connection.handle_input(end.now, &mut frame[..used], &mut end.pool);
        done.expect("legal");
        end.connection.whole_messages(end.now).is_some()
    };
    assert!(after(Text, true, 9), "behind a message");
    assert!(!after(Text, true, 1), "in a header");
    assert!(!after(Text, true, 7), "in a payload");
    assert!(!after(Text, false, 9), "between fragments");
    assert!(!after(Ping, true, 9), "a pong waits");
    assert!(!after(Close, true, 5), "closing");
    assert!(End::client(config()).connection.whole_messages(Instant::now()).is_none());
}

/// §5.5.2: a peer that sends messages is alive, and needs no ping.
#[test]
fn they_are_signs_of_life() {
    let mut end = End::server(config());
    let interval = Config::default().ping_interval.expect("on by default");
    end.pass(interval / 2);
    end.receive(&masked(true, Text, b"here"));
    assert_eq!(end.connection.poll_timeout(), Some(end.now + interval));
}
