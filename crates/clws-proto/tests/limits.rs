//! The bounds of RFC 6455 §10.4: each fires on the attack and not on healthy traffic.

mod common;

use clws_proto::connection::Config;
use clws_proto::error::ProtocolError;
use clws_proto::frame::OpCode::{Binary, Continuation, Text};
use common::{End, Seen, masked};

fn server(max_message_size: u64) -> End {
    End::server(Config { max_message_size, ..Config::default() })
}

#[test]
fn a_message_of_exactly_the_limit_passes_and_one_more_byte_does_not() {
    for limit in [1_usize, 100, 126, 70_000] {
        for pieces in [1, 2, 3] {
            for extra in [0, 1] {
                let payload = vec![b'x'; limit + extra];
                let size = payload.len().div_ceil(pieces);
                let count = payload.chunks(size).count();
                let mut server = server(limit as u64);
                for (index, piece) in payload.chunks(size).enumerate() {
                    let opcode = if index == 0 { Text } else { Continuation };
                    server.receive(&masked(index + 1 == count, opcode, piece));
                }
                let expected = if extra == 0 {
                    Seen::Text("x".repeat(limit))
                } else {
                    Seen::Error(ProtocolError::MessageTooBig)
                };
                assert_eq!(server.seen, [expected], "limit {limit}, {pieces} pieces, +{extra}");
            }
        }
    }
}

#[test]
fn bytes_of_a_cut_character_count_towards_the_limit() {
    let mut server = server(5);
    server.receive(&masked(false, Text, b"ab\xf0\x9f\x98"));
    server.receive(&masked(true, Continuation, b"\x80"));
    assert_eq!(server.seen, [Seen::Error(ProtocolError::MessageTooBig)]);
}

#[test]
fn a_frame_over_the_frame_limit_is_refused_by_its_header_alone() {
    let mut server = End::server(Config { max_frame_size: 10, ..Config::default() });
    server.receive(&masked(true, Binary, &[0; 10]));
    server.receive(&masked(true, Binary, &[0; 11])[..6]);
    let expected = [Seen::Binary(vec![0; 10]), Seen::Error(ProtocolError::FrameTooBig)];
    assert_eq!(server.seen, expected);
}

#[test]
fn tiny_fragments_without_end_are_refused() {
    for payload in [&b""[..], b"x"] {
        let mut server = End::server(Config::default());
        server.receive(&masked(false, Binary, b"start"));
        let fragment = masked(false, Continuation, payload);
        let sent = (0..2_000_000).take_while(|_| {
            server.receive(&fragment);
            server.seen.is_empty()
        });
        let sent = sent.count();
        assert_eq!(server.seen, [Seen::Error(ProtocolError::MessageTooBig)]);
        assert!((16_000..17_000).contains(&sent), "{sent} fragments of {} bytes", payload.len());
    }
}

#[test]
fn healthy_messages_are_never_refused_however_many() {
    let mut server = End::server(Config { max_message_size: 100, ..Config::default() });
    let message = [
        masked(true, Text, b"whole"),
        masked(false, Text, b"in"),
        masked(false, Continuation, b" three "),
        masked(true, Continuation, b"parts"),
    ]
    .concat();
    for round in 0..100_000 {
        server.receive(&message);
        assert_eq!(server.seen.len(), 2, "round {round}: {:?}", server.seen.last());
        server.seen.clear();
    }
}

#[test]
fn a_declared_length_allocates_nothing_before_the_bytes_come() {
    let mut server = End::server(Config::default());
    server.receive(&masked(true, Binary, &vec![0; 1_000_000])[..20]);
    server.connection.discard(&mut server.pool);
    assert!(server.pool.kept() < 1000, "{} bytes for six received", server.pool.kept());
}

#[test]
fn what_is_buffered_is_what_came() {
    let mut server = End::server(Config::default());
    assert_eq!(server.connection.buffered(), 0);
    let message = masked(true, Binary, &[7; 10_000]);
    server.receive(&message[..5000]);
    let buffered = server.connection.buffered();
    assert!((4900..11_000).contains(&buffered), "{buffered}: not what was declared only");
    server.receive(&message[5000..]);
    assert_eq!((server.connection.buffered(), server.connection.history()), (0, 0));
}
