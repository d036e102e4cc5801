//! Resources that pass texts on without reading them.

mod common;

use clws::{Client, DeflateConfig, Listener, Origin, Reject, Resource, Server, Text};
use common::raw::{CLOSE, FIN, TEXT, frame};
use common::{Recorder, Running, listen};
use std::sync::Mutex;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};

/// What comes from one goes to all, the sender too, and to the sender alone once more.
#[derive(Default)]
struct Room(Mutex<Vec<Client>>);

impl Resource for Room {
    fn connected(&self, client: &Client) -> Result<(), Reject> {
        self.0.lock().unwrap().push(client.clone());
        Ok(())
    }

    fn reads_text(&self) -> bool {
        false
    }

    fn text(&self, _: &Client, message: &str) {
        panic!("somebody read {message:.20}");
    }

    fn unread_text(&self, client: &Client, message: Text<'_>) {
        clws::send_unread_to(&*self.0.lock().unwrap(), message);
        client.send_unread(message);
    }
}

/// Says that it does not read, and has nothing else for texts than `text`.
struct Forgetful(Recorder);

impl Resource for Forgetful {
    fn reads_text(&self) -> bool {
        false
    }

    fn text(&self, client: &Client, message: &str) {
        self.0.text(client, message);
    }
}

fn texts() -> [String; 5] {
    let long = |times| "grün 緑 🟢 ".repeat(times);
    [String::new(), "短い".to_owned(), long(200), long(5000), "plain ".repeat(50_000)]
}

fn room() -> Server {
    Server::builder().resource("/", Origin::any(), Room::default())
}

#[test]
fn texts_of_every_length_are_passed_on() {
    let server = Running::start(room());
    let mut ws = server.ws("/");
    for text in texts() {
        ws.send(Message::text(text.clone())).unwrap();
        for _ in 0..2 {
            assert!(ws.read().unwrap() == Message::text(text.clone()), "{} bytes", text.len());
        }
    }
}

#[test]
fn fragments_and_compressed_texts_are_passed_on() {
    let server = Running::start(room().deflate(DeflateConfig::default()));
    let mut ws = server.ws("/");
    let mut packed = common::packed::Packed::open(server.address, "/", "permessage-deflate");
    for text in texts() {
        let (first, rest) = text.as_bytes().split_at(text.len() / 2);
        for (part, kind, last) in [(first, Data::Text, false), (rest, Data::Continue, true)] {
            let part = Frame::message(part.to_vec(), OpCode::Data(kind), last);
            ws.write(Message::Frame(part)).unwrap();
        }
        ws.flush().unwrap();
        for _ in 0..2 {
            assert!(ws.read().unwrap() == Message::text(text.clone()), "{} bytes", text.len());
        }
        packed.hears(TEXT, text.as_bytes());
        packed.say(TEXT, text.as_bytes());
        for _ in 0..2 {
            packed.hears(TEXT, text.as_bytes());
        }
        assert!(ws.read().unwrap() == Message::text(text.clone()));
    }
}

#[test]
fn what_is_not_utf8_is_not_passed_on() {
    let server = Running::start(room());
    let mut other = server.ws("/");
    for len in [1, 100, 3000, 100_000] {
        let mut text = "é".repeat(len).into_bytes();
        text[len] = b'x';
        let mut raw = server.raw("/");
        raw.send(&frame(FIN | TEXT, &text));
        let last = raw.frame();
        assert_eq!((last.opcode, last.close().0), (CLOSE, 1007), "{len} characters");
    }
    other.send(Message::text("only this")).unwrap();
    assert_eq!(other.read().unwrap(), Message::text("only this"));
}

#[test]
fn a_resource_that_reads_after_all_hears_everything() {
    let (recorder, events) = Recorder::new(listen);
    let (queued, later) = Recorder::new(listen);
    let server = Server::builder().resource("/", Origin::any(), Forgetful(recorder)).resource(
        "/queued",
        Origin::any(),
        Listener::new(Forgetful(queued)),
    );
    let server = Running::start(server);
    for (path, events) in [("/", events), ("/queued", later)] {
        let mut ws = server.ws(path);
        for text in texts() {
            ws.send(Message::text(text.clone())).unwrap();
            assert!(events.text() == text, "{path}, {} bytes", text.len());
        }
    }
}
