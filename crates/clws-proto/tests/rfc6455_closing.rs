//! RFC 6455 §5.5 and §7: control frames, the closing handshake and what happens in time.

mod common;

use clws_proto::connection::{Config, Expired};
use clws_proto::frame::OpCode::{Close, Continuation, Ping, Text};
use common::{End, Seen, masked, plain, settle};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn pair() -> (End, End) {
    (End::client(Config::default()), End::server(Config::default()))
}

#[test]
fn section_7_1_either_end_closes_and_both_see_code_and_reason() {
    for size in [1, 2, 3, 1000] {
        let (mut client, mut server) = pair();
        client.connection.send_text("last words", &mut client.out);
        client.close(3000, "done");
        settle(&mut client, &mut server, size);
        let said = Seen::Close(Some(3000), "done".into());
        assert_eq!(server.seen, [Seen::Text("last words".into()), said]);
        assert_eq!(client.seen, [Seen::Close(Some(3000), String::new())]);
        assert!(client.connection.is_finished() && server.connection.is_finished());

        let (mut client, mut server) = pair();
        server.close(1001, "restart");
        settle(&mut client, &mut server, size);
        assert_eq!(client.seen, [Seen::Close(Some(1001), "restart".into())]);
        assert_eq!(server.seen, [Seen::Close(Some(1001), String::new())]);
    }
}

#[test]
fn section_7_1_both_close_at_once_with_one_frame_each() {
    let (mut client, mut server) = pair();
    client.close(1000, "c");
    server.close(1001, "s");
    assert_eq!(server.out, plain(true, Close, b"\x03\xe9s"));
    settle(&mut client, &mut server, 1);
    assert_eq!(client.seen, [Seen::Close(Some(1001), "s".into())]);
    assert_eq!(server.seen, [Seen::Close(Some(1000), "c".into())]);
    assert!(client.connection.is_finished() && server.connection.is_finished());
}

#[test]
fn section_5_5_1_an_empty_close_is_answered_with_an_empty_one() {
    let (_, mut server) = pair();
    server.receive(&masked(true, Close, b""));
    assert_eq!(server.seen, [Seen::Close(None, String::new())]);
    assert_eq!(server.out, plain(true, Close, b""));
}

#[test]
fn section_5_5_1_no_data_goes_out_after_a_close() {
    let (_, mut server) = pair();
    server.close(1000, "");
    let close = server.take_out();
    assert!(!server.connection.send_text("late", &mut server.out));
    assert!(!server.connection.send_ping(b"late", &mut server.out));
    server.close(1001, "again");
    server.receive(&masked(true, Ping, b"no pong any more"));
    assert_eq!((close.len(), server.out.len()), (4, 0));
}

#[test]
fn section_5_5_1_data_after_a_close_is_not_read() {
    let (_, mut server) = pair();
    server.receive(&[masked(true, Close, b"\x03\xe8"), masked(true, Text, b"late")].concat());
    server.receive(b"\xff\xff garbage");
    assert_eq!(server.seen, [Seen::Close(Some(1000), String::new())]);
}

#[test]
fn messages_that_cross_our_close_are_not_delivered_and_hold_no_memory() {
    let (_, mut server) = pair();
    server.close(1000, "");
    server.receive(&masked(true, Text, b"crossing"));
    server.receive(&[masked(false, Text, b"a"), masked(true, Continuation, b"b")].concat());
    server.receive(&masked(true, Text, &[b'x'; 10_000])[..5000]);
    assert_eq!(server.seen, []);
    server.connection.discard(&mut server.pool);
    assert_eq!(server.pool.kept(), 0);
}

/// Text that ends inside a character, after this end's close frame: once the verdict depended on
/// whether it came in one piece.
#[test]
fn text_after_our_close_has_one_verdict_however_it_is_cut() {
    for size in [1, 2, 1000] {
        let (_, mut server) = pair();
        server.close(1000, "");
        for piece in masked(true, Text, b"cut \xe2\x82").chunks(size) {
            server.receive(piece);
        }
        assert_eq!((server.seen.len(), server.connection.is_finished()), (0, false), "by {size}");
        server.receive(&masked(true, Close, b"\x03\xe8"));
        assert!(server.connection.is_finished());
    }
}

#[test]
fn section_5_5_3_only_the_latest_ping_is_answered_when_output_waits() {
    let (_, mut server) = pair();
    let mut pool = clws_proto::pool::Pool::new(0);
    for payload in [b"one", b"two"] {
        let mut ping = masked(true, Ping, payload);
        server.connection.handle_input(server.now, &mut ping, &mut pool).unwrap();
    }
    server.connection.poll_output(&mut server.out);
    assert_eq!(server.out, plain(true, clws_proto::frame::OpCode::Pong, b"two"));
}

#[test]
fn a_close_that_is_not_answered_expires() {
    let (_, mut server) = pair();
    server.close(1000, "");
    assert_eq!(server.connection.poll_timeout(), Some(server.now + 5 * SECOND));
    assert_eq!(server.pass(4 * SECOND), None);
    assert_eq!(server.pass(SECOND), Some(Expired::Close));
}

#[test]
fn an_unfinished_message_expires_with_1008_whatever_trickles_in() {
    let (_, mut server) = pair();
    let frame = masked(true, Text, &[b'x'; 1000]);
    server.receive(&frame[..10]);
    for byte in frame[10..].chunks(1).take(29) {
        assert_eq!(server.pass(SECOND), None);
        server.receive(byte);
    }
    assert_eq!(server.pass(SECOND), Some(Expired::Message));
    assert_eq!(server.out[..4], *b"\x88\x17\x03\xf0");
    assert!(server.connection.is_finished());
}

#[test]
fn a_silent_peer_is_pinged_and_a_dead_one_expires() {
    let (mut client, mut server) = pair();
    assert_eq!(server.pass(24 * SECOND), None);
    assert!(server.out.is_empty());
    assert_eq!(server.pass(SECOND), None);
    assert_eq!(server.out[0], 0x89);
    settle(&mut client, &mut server, 1);
    assert_eq!(server.seen, [], "the answer to our own ping is no event");
    assert_eq!(server.connection.poll_timeout(), Some(server.now + 25 * SECOND));

    assert_eq!(server.pass(25 * SECOND), None);
    assert!(!server.take_out().is_empty(), "this ping gets lost");
    assert_eq!(server.pass(19 * SECOND), None);
    assert_eq!(server.pass(SECOND), Some(Expired::Pong));
}

#[test]
fn any_sign_of_life_after_a_ping_is_enough() {
    let (_, mut server) = pair();
    server.pass(25 * SECOND);
    server.pass(19 * SECOND);
    server.receive(&masked(true, Text, b"busy")[..3]);
    assert_eq!(server.pass(20 * SECOND), None);
}
