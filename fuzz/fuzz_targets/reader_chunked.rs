//! A stream of bytes to one end of a connection, whole and cut in pieces (RFC 6455 §5, §7).
//!
//! Events, answers and state must be the same however the stream is cut, and whether whole
//! messages are taken one behind another or not. Half of the streams are any bytes; the others are
//! frames, so that the fuzzer gets past the first header.
#![no_main]

use arbitrary::Arbitrary;
use clws_fuzz::common::{End, Seen};
use clws_fuzz::cuts;
use clws_fuzz::frames::Stream;
use clws_proto::close::CloseCode;
use clws_proto::connection::Config;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    client: bool,
    max_frame: u16,
    max_message: u16,
    stream: Stream,
    spoil: Option<(u16, u8)>,
    /// Where this end begins to close, if it does.
    close_at: Option<u16>,
    pieces: Vec<u8>,
}

impl Input {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = self.stream.bytes(!self.client);
        cuts::spoil(&mut bytes, self.spoil);
        bytes
    }

    fn end(&self) -> End {
        let config = Config {
            max_frame_size: u64::from(self.max_frame) + 1,
            max_message_size: u64::from(self.max_message) + 1,
            ..Config::default()
        };
        if self.client { End::client(config) } else { End::server(config) }
    }

    /// Feeds the stream in one piece or in several.
    fn feed(&self, end: &mut End, bytes: &[u8], cut: bool) {
        let receive = |end: &mut End, part: &[u8]| {
            if cut {
                cuts::pieces(part, &self.pieces).for_each(|piece| end.receive(piece));
            } else {
                end.receive(part);
            }
        };
        let at = self.close_at.map_or(usize::MAX, usize::from);
        let (before, after) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
        receive(end, before);
        if at <= bytes.len() {
            end.connection.close(CloseCode::new(1001), "", end.now);
            end.connection.poll_output(&mut end.out);
            receive(end, after);
        }
    }
}

fuzz_target!(|input: Input| {
    let bytes = input.bytes();
    let (mut whole, mut cut) = (input.end(), input.end());
    cut.now = whole.now;
    whole.wholes = false;
    input.feed(&mut whole, &bytes, false);
    input.feed(&mut cut, &bytes, true);

    assert_eq!(whole.seen, cut.seen, "events");
    assert_eq!(whole.out, cut.out, "answers");
    let state = |end: &End| {
        let connection = &end.connection;
        let flags = [connection.is_open(), connection.is_finished(), connection.close_sent()];
        (flags, connection.is_mid_message())
    };
    assert_eq!(state(&whole), state(&cut), "state");
    if !bytes.is_empty() {
        assert_eq!(whole.connection.poll_timeout(), cut.connection.poll_timeout(), "deadline");
    }
    check_bounds(&input, &bytes, &whole);
});

/// What no stream may bring about: a message above the limit, more answers than questions, a word
/// after the last.
fn check_bounds(input: &Input, bytes: &[u8], end: &End) {
    let limit = usize::from(input.max_message) + 1;
    for seen in &end.seen {
        let len = match seen {
            Seen::Text(text) => text.len(),
            Seen::Binary(bytes) => bytes.len(),
            _ => 0,
        };
        assert!(len <= limit, "a message of {len} bytes, {limit} allowed");
    }
    // A pong is as long as its ping (a client's has a mask more); one close frame comes on top.
    let slack = 4 * end.seen.len() + 131;
    assert!(end.out.len() <= bytes.len() + slack, "answered with {} bytes", end.out.len());
    let last = |seen: &Seen| matches!(seen, Seen::Close(..) | Seen::Error(_));
    let end_at = end.seen.iter().position(last);
    assert!(end_at.is_none_or(|at| at + 1 == end.seen.len()), "an event after the last");
}
