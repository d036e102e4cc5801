//! RFC 6455 §5 and §8: frames, fragments, masks and text, as a server reads them.

mod common;

use clws_proto::connection::Config;
use clws_proto::error::ProtocolError;
use clws_proto::frame::OpCode::{self, Binary, Close, Continuation, Ping, Pong, Text};
use common::{End, Seen, masked, plain};
use proptest::prelude::*;

fn seen(stream: &[u8], sizes: impl IntoIterator<Item = usize>) -> (Vec<Seen>, Vec<u8>) {
    let mut server = End::server(Config::default());
    let mut rest = stream;
    for size in sizes {
        let (piece, after) = rest.split_at(size.min(rest.len()));
        server.receive(piece);
        rest = after;
    }
    server.receive(rest);
    (server.seen, server.out)
}

fn all_kinds() -> (Vec<u8>, Vec<Seen>) {
    let text = "h\u{e9}\u{20ac}\u{1f600}";
    let stream = [
        masked(true, Text, text.as_bytes()),
        masked(true, Binary, &[7; 130]),
        masked(false, Text, &text.as_bytes()[..2]),
        masked(true, Ping, b"between"),
        masked(false, Continuation, b""),
        masked(true, Continuation, &text.as_bytes()[2..]),
        masked(true, Binary, b""),
        masked(true, Pong, b"unasked"),
        masked(true, Close, b"\x03\xe8bye"),
    ]
    .concat();
    let events = vec![
        Seen::Text(text.into()),
        Seen::Binary(vec![7; 130]),
        Seen::Ping(b"between".to_vec()),
        Seen::Text(text.into()),
        Seen::Binary(Vec::new()),
        Seen::Pong(b"unasked".to_vec()),
        Seen::Close(Some(1000), "bye".into()),
    ];
    (stream, events)
}

#[test]
fn the_same_events_at_every_two_cuts() {
    let (stream, events) = all_kinds();
    let answer = [plain(true, Pong, b"between"), plain(true, Close, b"\x03\xe8")].concat();
    for first in 0..stream.len() {
        for second in 0..stream.len() - first {
            let got = seen(&stream, [first, second]);
            assert_eq!(got, (events.clone(), answer.clone()), "cut after {first}, then {second}");
        }
    }
}

#[test]
fn the_same_events_byte_by_byte() {
    let (stream, events) = all_kinds();
    assert_eq!(seen(&stream, std::iter::repeat_n(1, stream.len())).0, events);
}

/// The close frame a failed server sends.
fn failure(stream: &[u8]) -> (ProtocolError, u16) {
    let (events, out) = seen(stream, []);
    let by_byte = seen(stream, std::iter::repeat_n(1, stream.len()));
    assert_eq!(by_byte, (events.clone(), out.clone()), "cuts change the verdict");
    let Some(Seen::Error(error)) = events.last() else { panic!("no error in {events:?}") };
    assert_eq!(out[0], 0x88, "the last frame is a close");
    (*error, u16::from_be_bytes([out[2], out[3]]))
}

#[test]
fn section_5_and_8_violations_have_their_codes() {
    use ProtocolError::*;
    let rsv1 = [&[0xc1][..], &masked(true, Text, b"x")[1..]].concat();
    let cases: Vec<(Vec<u8>, ProtocolError, u16)> = vec![
        (plain(true, Text, b"hello"), Unmasked, 1002),
        (plain(true, Ping, b""), Unmasked, 1002),
        (rsv1, ReservedBits, 1002),
        (b"\x83\x80abcd".to_vec(), ReservedOpcode(3), 1002),
        (b"\x8b\x80abcd".to_vec(), ReservedOpcode(11), 1002),
        (masked(false, Ping, b""), FragmentedControl, 1002),
        (masked(true, Ping, &[0; 126]), LongControl, 1002),
        (masked(true, Continuation, b"x"), UnexpectedContinuation, 1002),
        (masked(false, Continuation, b"x"), UnexpectedContinuation, 1002),
        (
            [masked(false, Text, b"a"), masked(true, Text, b"b")].concat(),
            ExpectedContinuation,
            1002,
        ),
        (
            [masked(false, Text, b"a"), masked(false, Binary, b"b")].concat(),
            ExpectedContinuation,
            1002,
        ),
        (b"\x82\xff\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(), LengthTopBit, 1002),
        (b"\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xffabcd".to_vec(), FrameTooBig, 1009),
        (b"\x82\xff\0\0\0\x01\0\0\0\0abcd".to_vec(), FrameTooBig, 1009),
        (b"\x82\xfe\0\x05abcd".to_vec(), LengthNotMinimal, 1002),
        (masked(true, Text, b"\xff"), InvalidUtf8, 1007),
        (masked(true, Text, b"cut \xe2\x82"), InvalidUtf8, 1007),
        (
            [masked(false, Text, b"\xf4"), masked(false, Continuation, b"\x90")].concat(),
            InvalidUtf8,
            1007,
        ),
        (masked(true, Close, b"\x03"), CloseLength, 1002),
        (masked(true, Close, b"\x03\xe8\xff"), InvalidUtf8, 1007),
    ];
    for (stream, error, code) in cases {
        assert_eq!(failure(&stream), (error, code), "{stream:02x?}");
        assert!(!error.section().is_empty());
    }
    for number in [0_u16, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535] {
        let stream = masked(true, Close, &number.to_be_bytes());
        assert_eq!(failure(&stream), (CloseCode(number), 1002), "{number}");
    }
}

#[test]
fn section_5_3_a_mask_of_zeros_is_accepted() {
    let frame = b"\x81\x85\0\0\0\0hello";
    assert_eq!(seen(frame, []).0, [Seen::Text("hello".into())]);
}

#[test]
fn section_5_1_a_client_refuses_masked_frames() {
    let mut client = End::client(Config::default());
    client.receive(&masked(true, Text, b"hello"));
    assert_eq!(client.seen, [Seen::Error(ProtocolError::Masked)]);
    assert_eq!(client.out[1] & 0x80, 0x80, "and masks the close frame that says so");
}

#[test]
fn section_7_1_7_nothing_is_read_after_a_failure() {
    let mut server = End::server(Config::default());
    server.receive(&plain(true, Text, b"unmasked"));
    let out = server.take_out();
    server.receive(&masked(true, Text, b"later"));
    server.receive(&masked(true, Ping, b"later"));
    assert_eq!(server.seen, [Seen::Error(ProtocolError::Unmasked)]);
    assert_eq!((out[0], server.out.len()), (0x88, 0));
    assert!(server.connection.is_finished());
}

/// Reads a whole client stream at once, one frame after the other, in the plainest way.
fn naive(frames: &[(bool, OpCode, Vec<u8>)]) -> Vec<Seen> {
    let mut events = Vec::new();
    let mut open: Option<(OpCode, Vec<u8>)> = None;
    for (fin, opcode, payload) in frames {
        match (opcode, open.take()) {
            (Ping, before) => {
                events.push(Seen::Ping(payload.clone()));
                open = before;
            }
            (Continuation, Some((kind, mut message))) => {
                message.extend(payload);
                open = Some((kind, message));
            }
            (Continuation, None) => {
                events.push(Seen::Error(ProtocolError::UnexpectedContinuation));
                return events;
            }
            (_, Some(_)) => {
                events.push(Seen::Error(ProtocolError::ExpectedContinuation));
                return events;
            }
            (kind, None) => open = Some((*kind, payload.clone())),
        }
        if let Some((kind, message)) = open.take_if(|_| *fin && *opcode != Ping) {
            events.push(match kind {
                Text => Seen::Text(String::from_utf8(message).unwrap()),
                _ => Seen::Binary(message),
            });
        }
    }
    events
}

fn frames() -> impl Strategy<Value = Vec<(bool, OpCode, Vec<u8>)>> {
    let opcode = prop::sample::select(&[Text, Binary, Ping, Continuation, Continuation]);
    let payload = prop_oneof![
        prop::collection::vec(0x20_u8..0x7f, 0..20),
        prop::collection::vec(0x20_u8..0x7f, 120..130),
        (0_usize..70_000).prop_map(|len| vec![b'x'; len]),
    ];
    let frame = (any::<bool>(), opcode, payload).prop_map(|(fin, opcode, mut payload)| {
        if opcode == Ping {
            payload.truncate(125);
        }
        (fin || opcode == Ping, opcode, payload)
    });
    prop::collection::vec(frame, 0..12)
}

proptest! {
    #[test]
    fn any_frames_in_any_pieces_give_what_the_naive_reader_gives(
        frames in frames(),
        sizes in prop::collection::vec(prop_oneof![1_usize..10, 1_usize..70_000], 0..40),
    ) {
        let bytes = frames.iter().flat_map(|(fin, opcode, payload)| masked(*fin, *opcode, payload));
        let stream: Vec<u8> = bytes.collect();
        prop_assert_eq!(seen(&stream, sizes).0, naive(&frames));
    }

    #[test]
    fn any_bytes_in_any_pieces_give_the_same_events(
        stream in prop::collection::vec(any::<u8>(), 0..400),
        size in 1_usize..50,
    ) {
        let whole = seen(&stream, []);
        let pieces = seen(&stream, std::iter::repeat_n(size, stream.len().div_ceil(size)));
        prop_assert_eq!(whole, pieces);
    }
}
