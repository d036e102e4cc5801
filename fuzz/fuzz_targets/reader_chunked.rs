//! A stream of bytes to one end of a connection, whole and cut in pieces (RFC 6455 §5, §7).
//!
//! Events, answers and state must be the same however the stream is cut. Half of the streams are
//! any bytes; the others are frames, so that the fuzzer gets past the first header.
#![no_main]

#[path = "../../crates/clws-proto/tests/common/mod.rs"]
mod common;

use arbitrary::Arbitrary;
use clws_proto::close::CloseCode;
use clws_proto::connection::Config;
use clws_proto::frame::{FrameHeader, OpCode};
use clws_proto::mask;
use common::{End, Seen};
use libfuzzer_sys::fuzz_target;

/// The longest stream, in bytes: enough for every limit to be passed.
const MAX_STREAM: usize = 24 * 1024;

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

#[derive(Arbitrary, Debug)]
enum Stream {
    Raw(Vec<u8>),
    Frames(Vec<Frame>),
}

#[derive(Arbitrary, Debug)]
struct Frame {
    fin: bool,
    kind: Kind,
    key: [u8; 4],
    payload: Payload,
    /// A frame often stands several times, so that counts and sums grow.
    times: u16,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

#[derive(Arbitrary, Debug)]
enum Payload {
    Bytes(Vec<u8>),
    Text(String),
    Run(u8, u16),
    Close(u16, String),
}

impl From<Kind> for OpCode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Continuation => Self::Continuation,
            Kind::Text => Self::Text,
            Kind::Binary => Self::Binary,
            Kind::Close => Self::Close,
            Kind::Ping => Self::Ping,
            Kind::Pong => Self::Pong,
        }
    }
}

impl Payload {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Text(text) => text.clone().into_bytes(),
            Self::Run(byte, len) => vec![*byte; usize::from(*len) % MAX_STREAM],
            Self::Close(code, reason) => [&code.to_be_bytes(), reason.as_bytes()].concat(),
        }
    }
}

impl Frame {
    fn write(&self, masked: bool, out: &mut Vec<u8>) {
        let mut payload = self.payload.bytes();
        let mut header = FrameHeader::new(self.kind.into(), payload.len());
        header.fin = self.fin;
        if masked {
            header.mask = Some(self.key);
            mask::apply(self.key, &mut payload);
        }
        for _ in 0..self.times % 1200 + 1 {
            if out.len() + payload.len() > MAX_STREAM {
                break;
            }
            header.write(out);
            out.extend_from_slice(&payload);
        }
    }
}

impl Input {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = match &self.stream {
            Stream::Raw(bytes) => bytes.clone(),
            Stream::Frames(frames) => {
                let mut out = Vec::new();
                frames.iter().for_each(|frame| frame.write(!self.client, &mut out));
                out
            }
        };
        if let Some((at, byte)) = self.spoil
            && let Some(place) = bytes.get_mut(usize::from(at))
        {
            *place ^= byte;
        }
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

    /// Feeds the stream, `size` naming the length of each next piece.
    fn feed(&self, end: &mut End, bytes: &[u8], mut size: impl FnMut() -> usize) {
        let at = self.close_at.map_or(usize::MAX, usize::from);
        let (before, after) = bytes.split_at_checked(at).unwrap_or((bytes, &[]));
        let mut cut = |end: &mut End, mut rest: &[u8]| {
            while !rest.is_empty() {
                let (piece, later) = rest.split_at(size().clamp(1, rest.len()));
                end.receive(piece);
                rest = later;
            }
        };
        cut(end, before);
        if at <= bytes.len() {
            end.connection.close(CloseCode::new(1001), "", end.now);
            end.connection.poll_output(&mut end.out);
            cut(end, after);
        }
    }
}

fuzz_target!(|input: Input| {
    let bytes = input.bytes();
    let (mut whole, mut cut) = (input.end(), input.end());
    cut.now = whole.now;
    input.feed(&mut whole, &bytes, || usize::MAX);
    let mut sizes = input.pieces.iter().cycle();
    // Long streams are cut more coarsely, for the sake of the number of runs.
    let unit = 1 + bytes.len() / 1024;
    input.feed(&mut cut, &bytes, || unit * sizes.next().map_or(1, |size| usize::from(*size)));

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
