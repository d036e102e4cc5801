//! Messages there and back: every length form, text beyond ASCII, fragments, many at once.

mod common;

use clws::{Limits, Origin, Server};
use common::raw::{BINARY, CONTINUATION, FIN, PING, PONG, Raw, TEXT, frame};
use common::{Event, Events, Heard, Running, echo, ws};
use std::thread;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

const SIZES: [usize; 10] = [0, 1, 125, 126, 127, 65535, 65536, 65537, 200_000, 1024 * 1024];

fn server() -> (Running, Events) {
    common::recording(Limits::default(), echo)
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| (index * 7 + index / 251) as u8).collect()
}

/// Text of exactly `len` bytes, with characters of one to four bytes.
fn words(len: usize) -> String {
    let mut text: String = "a\u{e9}\u{20ac}\u{1f600}".chars().cycle().take(len / 10 * 4).collect();
    text.extend(std::iter::repeat_n('z', len - text.len()));
    text
}

#[test]
fn every_size_of_binary_comes_back() {
    let (server, _events) = server();
    let mut ws = server.ws("/");
    for size in SIZES {
        let message = Message::binary(pattern(size));
        ws.send(message.clone()).unwrap();
        assert!(ws.read().unwrap() == message, "{size} bytes");
    }
}

#[test]
fn every_size_of_text_comes_back() {
    let (server, _events) = server();
    let mut ws = server.ws("/");
    for size in SIZES {
        let message = Message::text(words(size));
        ws.send(message.clone()).unwrap();
        assert!(ws.read().unwrap() == message, "{size} bytes");
    }
}

#[test]
fn the_resource_gets_what_was_sent_as_what_it_was_sent() {
    let (server, events) = common::recording(Limits::default(), common::listen);
    let mut ws = server.ws("/");
    ws.send(Message::text("gr\u{fc}n")).unwrap();
    ws.send(Message::binary(vec![0, 255])).unwrap();
    let client = events.connected();
    assert!(matches!(events.next(), Event::Text(from, text)
        if from == client && text == "gr\u{fc}n"));
    assert!(matches!(events.next(), Event::Binary(from, bytes)
        if from == client && bytes == [0, 255]));
}

/// Characters are cut wherever a fragment ends.
#[test]
fn fragments_are_joined() {
    let (server, _events) = server();
    let mut ws = server.ws("/");
    let whole = words(3000);
    for piece in [1, 7, 125, 126, 2999] {
        let count = whole.len().div_ceil(piece);
        for (index, part) in whole.as_bytes().chunks(piece).enumerate() {
            let kind = if index == 0 { Data::Text } else { Data::Continue };
            let part = Frame::message(part.to_vec(), OpCode::Data(kind), index + 1 == count);
            ws.write(Message::Frame(part)).unwrap();
        }
        ws.flush().unwrap();
        assert_eq!(ws.read().unwrap(), Message::text(whole.clone()), "pieces of {piece}");
    }
}

#[test]
fn empty_fragments_are_nothing() {
    let (server, _events) = server();
    let mut raw = server.raw("/");
    raw.send_frame(TEXT, b"");
    raw.send_frame(CONTINUATION, b"");
    raw.send_frame(CONTINUATION, b"x");
    raw.send_frame(FIN | CONTINUATION, b"");
    assert_eq!(raw.frame().text(), "x");
    raw.send_frame(BINARY, b"");
    raw.send_frame(FIN | CONTINUATION, b"");
    let answer = raw.frame();
    assert_eq!((answer.opcode, &*answer.payload), (BINARY, &b""[..]));
}

/// RFC 6455 §5.5.2: a pong carries what the ping carried.
#[test]
fn pings_are_answered() {
    let (server, _events) = server();
    let mut ws = server.ws("/");
    for len in [0, 1, 125] {
        ws.send(Message::Ping(pattern(len).into())).unwrap();
        assert_eq!(ws.read().unwrap(), Message::Pong(pattern(len).into()));
    }
}

/// RFC 6455 §5.4: control frames may stand between fragments, and are answered there.
#[test]
fn a_ping_between_fragments_is_answered_before_the_message_ends() {
    let (server, _events) = server();
    let mut raw = server.raw("/");
    raw.send_frame(TEXT, b"in ");
    raw.send_frame(FIN | PING, b"now");
    let pong = raw.frame();
    assert_eq!((pong.opcode, &*pong.payload), (PONG, &b"now"[..]));
    raw.send_frame(FIN | CONTINUATION, b"two");
    assert_eq!(raw.frame().text(), "in two");
}

/// RFC 6455 §5.5.3: only the latest of several pings needs an answer.
#[test]
fn the_latest_ping_of_a_batch_is_answered() {
    let (server, _events) = server();
    let mut raw = server.raw("/");
    let batch: Vec<u8> = (0..=200_u8).flat_map(|n| frame(FIN | PING, &[n])).collect();
    raw.send(&batch);
    let mut last = None;
    while last != Some(200) {
        let pong = raw.frame();
        assert_eq!((pong.opcode, pong.payload.len()), (PONG, 1));
        assert!(last < Some(pong.payload[0]), "in order");
        last = Some(pong.payload[0]);
    }
}

#[test]
fn a_frame_in_one_byte_writes_is_a_frame() {
    let (server, _events) = server();
    let mut raw = server.raw("/");
    for byte in frame(FIN | TEXT, words(300).as_bytes()) {
        raw.send(&[byte]);
    }
    assert_eq!(raw.frame().text(), words(300));
}

/// A limit must not fire on a client for being healthy for long.
#[test]
fn many_messages_at_once_come_back_in_order() {
    const COUNT: u32 = 20_000;
    let (server, _events) = server();
    let mut raw = server.raw("/");
    let mut sender = Raw::over(raw.stream.try_clone().unwrap());
    let sending = thread::spawn(move || {
        for first in (0..COUNT).step_by(100) {
            let batch: Vec<u8> = (first..first + 100).flat_map(numbered).collect();
            sender.send(&batch);
        }
    });
    for number in 0..COUNT {
        assert_eq!(raw.frame().text(), format!("number {number}"));
    }
    sending.join().unwrap();
}

/// Every third message in three fragments.
fn numbered(number: u32) -> Vec<u8> {
    let text = format!("number {number}");
    if !number.is_multiple_of(3) {
        return frame(FIN | TEXT, text.as_bytes());
    }
    let (begin, end) = text.as_bytes().split_at(4);
    [frame(TEXT, begin), frame(CONTINUATION, b""), frame(FIN | CONTINUATION, end)].concat()
}

/// Large answers are written from the receive buffer; the next message must not change them.
#[test]
fn large_and_small_messages_mixed_come_back_whole() {
    let (server, _events) = server();
    let mut raw = server.raw("/");
    let mut sender = Raw::over(raw.stream.try_clone().unwrap());
    let sizes: Vec<usize> = (0..400).map(|n| [3, 2048, 70_000, 0, 5000, 16_384][n % 6]).collect();
    let sent = sizes.clone();
    let sending = thread::spawn(move || {
        for (number, size) in sent.into_iter().enumerate() {
            sender.send_frame(FIN | BINARY, &vec![number as u8; size]);
        }
    });
    for (number, size) in sizes.into_iter().enumerate() {
        let answer = raw.frame().payload;
        assert!(answer == vec![number as u8; size], "message {number} of {size} bytes");
    }
    sending.join().unwrap();
}

/// A callback may send the same large message twice, and more behind it.
#[test]
fn one_message_answered_several_times() {
    let (server, _events) = common::recording(Limits::default(), |client, heard| {
        if let Heard::Binary(_) = heard {
            client.send_text("head");
            echo(client, heard);
            echo(client, heard);
            client.send_text("tail");
        }
    });
    let mut raw = server.raw("/");
    for size in [10, 3000, 200_000] {
        raw.send_frame(FIN | BINARY, &pattern(size));
        assert_eq!(raw.frame().text(), "head");
        assert!(raw.frame().payload == pattern(size));
        assert!(raw.frame().payload == pattern(size));
        assert_eq!(raw.frame().text(), "tail");
    }
}

#[test]
fn clients_of_all_workers_are_served_at_the_same_time() {
    let (recorder, _events) = common::Recorder::new(echo);
    let server = Server::builder().workers(4).resource("/", Origin::any(), recorder);
    let server = Running::start(server);
    let clients: Vec<_> = (0..16_u32)
        .map(|number| {
            let address = server.address;
            thread::spawn(move || {
                let mut ws = ws::open(address, "/");
                for round in 0..200 {
                    let message = Message::text(format!("{number} {round}"));
                    ws.send(message.clone()).unwrap();
                    assert_eq!(ws.read().unwrap(), message);
                }
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
}
