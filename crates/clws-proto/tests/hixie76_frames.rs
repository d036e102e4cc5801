//! Frames of draft-hixie-thewebsocketprotocol-76 §5.3, at every cut, at and over the limits.

use Seen::{Close, Error};
use clws_proto::close::CloseCode;
use clws_proto::connection::{Config, Event, Expired};
use clws_proto::error::ProtocolError::{self, InvalidUtf8, LengthNotMinimal, MessageTooBig};
use clws_proto::hixie76::{Hixie76, write_text};
use clws_proto::message::Message;
use clws_proto::pool::Pool;
use proptest::prelude::*;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

const LIMIT: u64 = 8;
const CLOSE: &[u8] = b"\xff\x00";

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Text(String),
    Close,
    Error(ProtocolError),
}

fn text(text: &str) -> Seen {
    Seen::Text(text.to_owned())
}

struct End {
    connection: Hixie76,
    now: Instant,
    pool: Pool,
    seen: Vec<Seen>,
    out: Vec<u8>,
}

impl End {
    fn new() -> Self {
        Self::with_limit(LIMIT)
    }

    fn with_limit(max_message_size: u64) -> Self {
        let config = Config { max_message_size, ..Config::default() };
        Self {
            connection: Hixie76::server(Arc::new(config)),
            now: Instant::now(),
            pool: Pool::new(1 << 20),
            seen: Vec::new(),
            out: Vec::new(),
        }
    }

    fn receive(&mut self, piece: &[u8]) {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        while !rest.is_empty() {
            let len = rest.len();
            match self.connection.handle_input(self.now, rest, &mut self.pool) {
                Ok((used, event)) => {
                    assert!(used > 0 && (event.is_some() || used == len));
                    self.seen.extend(event.map(seen));
                    rest = &mut rest[used..];
                }
                Err(error) => {
                    self.seen.push(Error(error));
                    rest = &mut [];
                }
            }
            assert!(!self.connection.has_output() || !self.connection.is_open());
            self.connection.poll_output(&mut self.out);
        }
    }

    fn receive_all<'a>(mut self, pieces: impl IntoIterator<Item = &'a [u8]>) -> Self {
        for piece in pieces {
            self.receive(piece);
        }
        self
    }

    fn pass(&mut self, time: Duration) -> Option<Expired> {
        self.now += time;
        let expired = self.connection.handle_timeout(self.now);
        self.connection.poll_output(&mut self.out);
        expired
    }
}

fn seen(event: Event<'_>) -> Seen {
    match event {
        Event::Message(Message::Text(text)) => Seen::Text(text.into_owned()),
        Event::Close(None, reason) if reason.is_empty() => Close,
        other => panic!("{other:?} doesn't exist in this draft"),
    }
}

/// What the stream says when it comes at once and in every two or all pieces, always the same.
fn read(bytes: &[u8]) -> Vec<Seen> {
    let whole = End::new().receive_all([bytes]).seen;
    assert_eq!(End::new().receive_all(bytes.chunks(1)).seen, whole, "single bytes");
    for cut in 0..=bytes.len() {
        let (one, other) = bytes.split_at(cut);
        assert_eq!(End::new().receive_all([one, other]).seen, whole, "cut at {cut}");
    }
    whole
}

#[test]
fn text_messages_and_a_close() {
    assert_eq!(read(b"\x00hello\xff"), [text("hello")]);
    assert_eq!(read(b"\x00\xff\x00\xff\x00a\xff"), [text(""), text(""), text("a")]);
    assert_eq!(read("\0\u{e9}\u{20ac}\u{0}\u{7f}".as_bytes()), []);
    let mut bytes = Vec::new();
    write_text(&mut bytes, "\u{20ac}\u{0}\u{1f600}");
    write_text(&mut bytes, "");
    assert_eq!(bytes, b"\x00\xe2\x82\xac\x00\xf0\x9f\x98\x80\xff\x00\xff");
    bytes.extend_from_slice(CLOSE);
    assert_eq!(read(&bytes), [text("\u{20ac}\u{0}\u{1f600}"), text(""), Close]);
}

#[test]
fn a_whole_message_is_lent_and_a_cut_one_is_put_together() {
    let mut end = End::new();
    let mut input = *b"\x00hello\xff\x00rest";
    let taken = end.connection.handle_input(end.now, &mut input, &mut end.pool);
    let lent = Event::Message(Message::Text(Cow::Borrowed("hello")));
    assert_eq!(taken, Ok((7, Some(lent))));
    let mut input = *b"\x00hello";
    assert_eq!(end.connection.handle_input(end.now, &mut input, &mut end.pool), Ok((6, None)));
    assert!(end.connection.is_mid_message());
    let mut input = *b"\xff";
    let taken = end.connection.handle_input(end.now, &mut input, &mut end.pool);
    let Ok((1, Some(Event::Message(Message::Text(Cow::Owned(owned)))))) = taken else {
        panic!("{taken:?}");
    };
    assert_eq!(owned, "hello");
    assert!(!end.connection.is_mid_message());
}

#[test]
fn a_close_is_answered_once_and_nothing_is_heard_after_it() {
    assert_eq!(read(b"\xff\x00\x00no\xff\xff\x00\x80\x80"), [Close]);
    let mut end = End::new().receive_all([&b"\x00a\xff\xff\x00\x00b\xff"[..], b"\x00c\xff\x80"]);
    assert_eq!(end.seen, [text("a"), Close]);
    assert_eq!(end.out, CLOSE);
    assert!(end.connection.is_finished() && end.connection.close_sent());
    end.connection.close(CloseCode::new(1000), "again", end.now);
    assert!(!end.connection.has_output());
    assert_eq!(end.connection.poll_timeout(), None);
    assert_eq!(end.pass(Duration::from_hours(1)), None);
}

#[test]
fn a_close_of_this_end_waits_for_the_other() {
    let mut end = End::new().receive_all([&b"\x00half"[..]]);
    end.connection.close(CloseCode::new(1001), "going away", end.now);
    assert!(!end.connection.is_open() && !end.connection.close_sent());
    assert!(end.connection.has_output());
    end.connection.poll_output(&mut end.out);
    assert_eq!(end.out, CLOSE);
    assert!(end.connection.close_sent() && !end.connection.is_finished());
    assert!(!end.connection.send_text("late", &mut end.out));
    end.receive(b"end\xff\x00unheard\xff\x05\xff\xff\x00");
    assert_eq!(end.seen, [Close]);
    assert_eq!(end.out, CLOSE);
    assert!(end.connection.is_finished());
}

#[test]
fn a_peer_that_does_not_answer_a_close_expires() {
    let mut end = End::new();
    end.connection.close(None, "", end.now);
    end.connection.poll_output(&mut end.out);
    assert_eq!(end.pass(Duration::from_secs(4)), None);
    assert_eq!(end.connection.poll_timeout(), Some(end.now + Duration::from_secs(1)));
    assert_eq!(end.pass(Duration::from_secs(1)), Some(Expired::Close));
}

#[test]
fn an_idle_peer_is_left_alone() {
    let mut end = End::new().receive_all([&b"\x00a\xff\x01b\xff\x80\x01c"[..]]);
    assert_eq!(end.connection.poll_timeout(), None);
    assert_eq!(end.pass(Duration::from_secs(1_000_000)), None);
    assert!(end.connection.is_open() && end.out.is_empty());
}

#[test]
fn every_unfinished_frame_has_its_time() {
    for begun in [&b"\x00"[..], b"\x00a", b"\x01", b"\x7fa", b"\x80", b"\x80\x81", b"\x80\x02c"] {
        let mut end = End::new();
        end.receive(begun);
        assert!(end.connection.is_mid_message(), "{begun:02x?}");
        assert_eq!(end.pass(Duration::from_secs(29)), None, "{begun:02x?}");
        assert_eq!(end.connection.poll_timeout(), Some(end.now + Duration::from_secs(1)));
        assert_eq!(end.pass(Duration::from_secs(1)), Some(Expired::Message), "{begun:02x?}");
        assert_eq!(end.out, CLOSE);
        assert!(end.connection.is_finished());
        end.receive(b"\x00heard?\xff");
        assert_eq!(end.seen, []);
    }
}

#[test]
fn the_time_of_a_frame_runs_from_its_first_byte() {
    let mut end = End::new();
    end.receive(b"\x00a");
    for _ in 0..5 {
        assert_eq!(end.pass(Duration::from_secs(5)), None);
        end.receive(b"a");
    }
    assert_eq!(end.pass(Duration::from_secs(5)), Some(Expired::Message));
}

#[test]
fn a_message_of_the_limit_passes_and_one_byte_more_does_not() {
    assert_eq!(read(b"\x0012345678\xff"), [text("12345678")]);
    assert_eq!(read(b"\x00123456789\xff"), [Error(MessageTooBig)]);
    assert_eq!(read(b"\x00123456789"), [Error(MessageTooBig)]);
    assert_eq!(read(b"\x00a\xff\x00123456789\xff\x00b\xff"), [text("a"), Error(MessageTooBig)]);
    assert_eq!(read(b"\x7f12345678\xff\x00a\xff"), [text("a")]);
    assert_eq!(read(b"\x7f123456789\xff"), [Error(MessageTooBig)]);
    assert_eq!(read(b"\x80\x0812345678\x00a\xff"), [text("a")]);
    assert_eq!(read(b"\x80\x09"), [Error(MessageTooBig)]);
}

#[test]
fn frames_of_other_types_are_read_and_dropped() {
    for kind in 0x01..=0x7F {
        assert_eq!(read(&[kind, 0, 0x80, kind, 0xFF, 0, b'a', 0xFF]), [text("a")], "{kind:02x}");
    }
    for kind in 0x80..=0xFF {
        assert_eq!(read(&[kind, 3, 0, 0xFF, kind, 0, b'a', 0xFF]), [text("a")], "{kind:02x}");
        if kind != 0xFF {
            assert_eq!(read(&[kind, 0, 0, b'a', 0xFF]), [text("a")], "{kind:02x}");
        }
    }
    let mut end = End::with_limit(300).receive_all([&b"\x80\x82\x2c"[..], &[0xFF; 299]]);
    assert!(end.connection.is_mid_message());
    end.receive(b"\0\0a\xff");
    assert_eq!(end.seen, [text("a")]);
}

#[test]
fn a_length_is_bounded_and_in_its_shortest_form() {
    assert_eq!(read(b"\x80\x80\x01"), [Error(LengthNotMinimal)]);
    assert_eq!(read(b"\xff\x80\x00"), [Error(LengthNotMinimal)]);
    assert_eq!(read(b"\x80\x81\x00"), [Error(MessageTooBig)]);
    assert_eq!(read(&[0xFF; 40]), [Error(MessageTooBig)]);
    let mut end = End::with_limit(u64::MAX);
    end.receive(&[0xFF; 40]);
    assert_eq!(end.seen, [Error(MessageTooBig)]);
    let end = End::with_limit(u64::MAX).receive_all([&b"\x80\x81"[..], &[0xFF; 8], b"\x7f\x00"]);
    assert_eq!((end.seen, end.connection.is_open()), (vec![], true));
}

#[test]
fn text_that_is_not_utf_8_fails_the_connection_with_a_close_frame() {
    for bad in [&b"\xc0\xaf"[..], b"a\x80", b"\xed\xa0\x80", b"\xe2\x82", b"\xf4\x90\x80\x80"] {
        let bytes = [b"\x00ok\xff\x00", bad, b"\xff\x00no\xff"].concat();
        assert_eq!(read(&bytes), [text("ok"), Error(InvalidUtf8)], "{bad:02x?}");
        let end = End::new().receive_all([&bytes[..]]);
        assert_eq!(end.out, CLOSE);
        assert!(end.connection.is_finished());
    }
    assert_eq!(read(b"\x00\xc0"), [Error(InvalidUtf8)]);
    assert_eq!(read(b"\x001234567\xc0\xff"), [Error(InvalidUtf8)]);
    assert_eq!(read(b"\x0012345678\xc0\xff"), [Error(MessageTooBig)]);
    assert_eq!(read(b"\x001234567\xe2\x82\xac\xff"), [Error(MessageTooBig)]);
}

#[test]
fn an_unfinished_message_gives_its_buffer_back() {
    for rest in [&b""[..], b"\xc0", &[b'a'; 500]] {
        let mut end = End::with_limit(200).receive_all([&[0][..], &[b'a'; 100]]);
        assert_eq!(end.pool.kept(), 0);
        end.receive(rest);
        end.connection.discard(&mut end.pool);
        assert!(end.pool.kept() >= 100, "{rest:02x?}");
        assert!(!end.connection.is_mid_message());
    }
}

#[test]
fn a_million_messages_and_a_large_one_do_not_close_a_healthy_peer() {
    let mut end = End::with_limit(1 << 20);
    let many = b"\x00a\xff".repeat(1000);
    for _ in 0..1000 {
        end.receive(&many);
        assert_eq!(end.seen.len(), 1000);
        end.seen.clear();
    }
    let large = "\u{20ac}".repeat((1 << 20) / 3);
    let mut bytes = Vec::new();
    assert!(end.connection.send_text(&large, &mut bytes));
    let end = end.receive_all(bytes.chunks(1000));
    assert_eq!(end.seen, [text(&large)]);
}

/// The draft's §5.3, byte by byte on a stream that is all there.
fn reference(bytes: &[u8]) -> Vec<Seen> {
    let (mut seen, mut at) = (Vec::new(), 0);
    while let Some(&kind) = bytes.get(at) {
        at += 1;
        let rest = &bytes[at..];
        let step = if kind < 0x80 { delimited(kind, rest) } else { counted(kind, rest) };
        match step {
            None => return seen,
            Some((used, None)) => at += used,
            Some((used, Some(Seen::Text(text)))) => {
                at += used;
                seen.push(Seen::Text(text));
            }
            Some((_, Some(last))) => {
                seen.push(last);
                return seen;
            }
        }
    }
    seen
}

fn delimited(kind: u8, rest: &[u8]) -> Option<(usize, Option<Seen>)> {
    let mut raw = Vec::new();
    for (index, &byte) in rest.iter().enumerate() {
        if byte == 0xFF {
            let text = (kind == 0).then(|| match String::from_utf8(raw) {
                Ok(text) => Seen::Text(text),
                Err(_) => Error(InvalidUtf8),
            });
            return Some((index + 1, text));
        }
        if raw.len() as u64 == LIMIT {
            return Some((0, Some(Error(MessageTooBig))));
        }
        raw.push(byte);
        let broken = |error: std::str::Utf8Error| error.error_len().is_some();
        if kind == 0 && std::str::from_utf8(&raw).is_err_and(broken) {
            return Some((0, Some(Error(InvalidUtf8))));
        }
    }
    None
}

fn counted(kind: u8, rest: &[u8]) -> Option<(usize, Option<Seen>)> {
    let mut length = 0;
    for (index, &byte) in rest.iter().enumerate() {
        if index == 0 && byte == 0x80 {
            return Some((0, Some(Error(LengthNotMinimal))));
        }
        length = length * 128 + u64::from(byte & 0x7F);
        if length > LIMIT {
            return Some((0, Some(Error(MessageTooBig))));
        }
        if byte < 0x80 {
            let used = index + 1 + length as usize;
            return match (kind, length) {
                (0xFF, 0) => Some((used, Some(Close))),
                _ if used > rest.len() => None,
                _ => Some((used, None)),
            };
        }
    }
    None
}

/// Bytes that are often frames.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => "\\PC{0,4}".prop_map(|text| {
            let mut bytes = Vec::new();
            write_text(&mut bytes, &text);
            bytes
        }),
        1 => prop::collection::vec(any::<u8>(), 0..6),
        1 => (0x01_u8..0x80, "[a-z]{0,9}").prop_map(|(kind, text)| {
            [&[kind], text.as_bytes(), &[0xFF]].concat()
        }),
        1 => (0x80_u8.., prop::collection::vec(any::<u8>(), 1..10)).prop_map(|(kind, payload)| {
            [&[kind, payload.len() as u8], &payload[..]].concat()
        }),
        1 => Just(CLOSE.to_vec()),
    ];
    prop::collection::vec(piece, 0..10).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 5_000, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_say_what_the_draft_says_however_cut(
        bytes in prop_oneof![stream(), prop::collection::vec(any::<u8>(), 0..100)],
        size in 1_usize..9,
        closing in any::<bool>(),
    ) {
        let mut expected = reference(&bytes);
        expected.retain(|seen| !closing || !matches!(seen, Seen::Text(_)));
        let ended = matches!(expected.last(), Some(Close | Error(_)));
        for size in [size, 100] {
            let mut end = End::new();
            if closing {
                end.connection.close(None, "", end.now);
                end.connection.poll_output(&mut end.out);
            }
            let end = end.receive_all(bytes.chunks(size));
            prop_assert_eq!(&end.seen, &expected);
            prop_assert_eq!(&end.out[..], if ended || closing { CLOSE } else { &[] });
            prop_assert_eq!(end.connection.is_finished(), ended);
            prop_assert_eq!(end.connection.is_open(), !ended && !closing);
        }
    }
}
