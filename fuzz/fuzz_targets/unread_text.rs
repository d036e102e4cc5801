//! A long text to a connection that passes texts on unread (RFC 6455 §8.1).
//!
//! It must be unmasked as a naive loop does it and be valid where the standard library says so. What
//! the fuzzer thinks of stands behind as many characters as it likes, and the whole is repeated
//! until it is long enough to be checked in wide registers.
#![no_main]

use arbitrary::Arbitrary;
use clws_proto::connection::{Config, Connection, Event};
use clws_proto::error::ProtocolError;
use clws_proto::frame::{self, OpCode};
use clws_proto::message::Message;
use clws_proto::pool::Pool;
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use std::time::Instant;

/// From this length on, in bytes, texts are certainly checked so.
const LONG: usize = 4096;

#[derive(Arbitrary, Debug)]
struct Input {
    key: [u8; 4],
    before: u8,
    filler: char,
    content: Vec<u8>,
    behind: u8,
}

impl Input {
    fn text(&self) -> Vec<u8> {
        let filler = |times: u8| String::from(self.filler).repeat(usize::from(times)).into_bytes();
        let part = [filler(self.before), self.content.clone(), filler(self.behind)].concat();
        let times = LONG.div_ceil(part.len().max(1));
        [part.repeat(times.min(LONG)), filler(u8::MAX).repeat(17)].concat()
    }
}

fuzz_target!(|input: Input| {
    let text = input.text();
    let mut stream = Vec::new();
    frame::write(&mut stream, OpCode::Text, &text, Some(input.key));
    let config = Config { max_frame_size: 1 << 30, max_message_size: 1 << 30, ..Config::default() };
    let now = Instant::now();
    let mut connection = Connection::server(Arc::new(config), now).with_unread_text();
    let len = stream.len();
    match connection.handle_input(now, &mut stream, &mut Pool::new(0)) {
        Ok((used, Some(Event::Message(Message::Unread(unread))))) => {
            assert_eq!(used, len);
            assert!(unread.as_bytes() == text, "unmasked to something else");
            assert!(std::str::from_utf8(&text).is_ok(), "invalid, and passed on");
        }
        Err(ProtocolError::InvalidUtf8) => {
            assert!(std::str::from_utf8(&text).is_err(), "valid, and refused");
        }
        other => panic!("{other:?}"),
    }
});
