//! RFC 6455 §8.1 where texts are passed on unread: the verdict is that of a reader, at every cut.

mod common;

use clws_proto::connection::{Config, Connection, Event};
use clws_proto::deflate::DeflateConfig;
use clws_proto::error::ProtocolError;
use clws_proto::frame::OpCode::{Continuation, Text};
use clws_proto::message::Message;
use clws_proto::pool::Pool;
use common::{End, Seen, contexts, deflated, masked};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Instant;

/// What a reader and a relay see of a stream that comes in pieces of `size` bytes.
fn seen_by_both(stream: &[u8], size: usize) -> [Vec<Seen>; 2] {
    let reader = End::server(Config::default());
    let relay = End::server(Config::default());
    let relay = End { connection: relay.connection.with_unread_text(), ..relay };
    [reader, relay].map(|end| {
        let mut end = end.with_deflate(contexts(&DeflateConfig::default()));
        stream.chunks(size).for_each(|piece| end.receive(piece));
        end.seen
    })
}

fn texts() -> impl Strategy<Value = Vec<u8>> {
    let spoilt = prop::option::of((any::<prop::sample::Index>(), any::<u8>()));
    (".{0,40}|[ä-ü]{0,40}|[一-龥]{1,40}|[😀-🙏]{1,40}", 1..200_usize, spoilt).prop_map(
        |(text, times, spoilt)| {
            let mut bytes = text.repeat(times).into_bytes();
            if let (Some((index, byte)), false) = (spoilt, bytes.is_empty()) {
                let at = index.index(bytes.len());
                bytes[at] = byte;
            }
            bytes
        },
    )
}

proptest! {
    #[test]
    fn a_relay_sees_what_a_reader_sees(
        text in texts(), cut: prop::sample::Index, size in 1..9000_usize,
    ) {
        let cut = cut.index(text.len() + 1);
        let mut packed = masked(true, Text, &deflated(&text, 1));
        packed[0] |= 0x40;
        let (first, rest) = text.split_at(cut);
        let cut = [masked(false, Text, first), masked(true, Continuation, rest)].concat();
        for stream in [masked(true, Text, &text), packed, cut] {
            let [reader, relay] = seen_by_both(&stream, usize::MAX);
            prop_assert_eq!(&reader, &relay);
            prop_assert_eq!(seen_by_both(&stream, size), [reader, relay]);
        }
    }
}

/// A long text that is whole is not made a `&str`; what is wrong with it is found all the same.
#[test]
fn a_long_text_stays_unread() {
    let text = "grün 緑 🟢 ".repeat(1000);
    let mut broken = text.clone().into_bytes();
    broken[text.len() / 2 / 16 * 16] = 0xff;
    for (payload, valid) in [(text.as_bytes(), true), (&broken, false)] {
        let config = Arc::new(Config::default());
        let mut relay = Connection::server(config, Instant::now()).with_unread_text();
        let (mut frame, mut pool) = (masked(true, Text, payload), Pool::new(0));
        let len = frame.len();
        match relay.handle_input(Instant::now(), &mut frame, &mut pool) {
            Ok((used, Some(Event::Message(Message::Unread(unread))))) => {
                assert!(valid && used == len && unread.as_bytes() == text.as_bytes());
                assert_eq!(unread.to_str(), text);
            }
            other => assert_eq!((other, valid), (Err(ProtocolError::InvalidUtf8), false)),
        }
    }
}
