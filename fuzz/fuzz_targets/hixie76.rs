//! draft-hixie-thewebsocketprotocol-76: its opening handshake and its frames, whole and cut.
//!
//! The verdict is the same however the bytes are cut; keys made as the draft says are admitted;
//! what this crate writes it reads; no message is above the limit, and one close frame is the only
//! answer.
#![no_main]

use arbitrary::Arbitrary;
use clws_fuzz::cuts;
use clws_proto::close::CloseCode;
use clws_proto::connection::{Config, Event};
use clws_proto::error::ProtocolError;
use clws_proto::handshake::{ExtraHeaders, HandshakeLimits, RequestReader, check_upgrade};
use clws_proto::hixie76::{Hixie76, write_text};
use clws_proto::message::Message;
use clws_proto::pool::Pool;
use clws_proto::version::{Version, Versions};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;
use std::time::Instant;

#[derive(Arbitrary, Debug)]
struct Input {
    opening: Opening,
    max_message: u16,
    frames: Vec<Frame>,
    spoil: Option<(u16, u8)>,
    close_at: Option<u16>,
    pieces: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
struct Opening {
    keys: [Key; 2],
    challenge: [u8; 8],
    spoil: Option<(u16, u8)>,
}

#[derive(Arbitrary, Debug)]
enum Key {
    /// A number, spaces and chaff, as the draft has them (§4.1).
    Made {
        number: u32,
        spaces: u8,
        chaff: Vec<u8>,
    },
    Any(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
enum Frame {
    Text(String),
    Delimited(u8, Vec<u8>),
    Counted(u8, Vec<u8>, u16),
    Close,
    Raw(Vec<u8>),
}

impl Key {
    fn is_made(&self) -> bool {
        matches!(self, Self::Made { .. })
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Any(bytes) => bytes.clone(),
            Self::Made { number, spaces, chaff } => {
                let spaces = u32::from(*spaces) % 12 + 1;
                // Any number below the quotient is one the client could have drawn.
                let number = number / spaces * spaces;
                let letters = chaff.iter().filter(|byte| byte.is_ascii_alphabetic());
                let mut key: Vec<u8> = letters.copied().take(12).collect();
                key.insert(0, b'x');
                for digit in number.to_string().bytes() {
                    key.push(digit);
                    key.push(b'/');
                }
                let middle = key.len() / 2;
                key.splice(middle..middle, std::iter::repeat_n(b' ', spaces as usize));
                key
            }
        }
    }
}

fn open(opening: &Opening, pieces: &[u8]) {
    let mut bytes = b"GET /demo?q HTTP/1.1\r\nHost: example.com\r\nConnection: Upgrade\r\n\
        Upgrade: WebSocket\r\nOrigin: http://example.com\r\n"
        .to_vec();
    for (index, key) in opening.keys.iter().enumerate() {
        bytes.extend_from_slice(format!("Sec-WebSocket-Key{}: ", index + 1).as_bytes());
        bytes.extend_from_slice(&key.bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(&opening.challenge);
    cuts::spoil(&mut bytes, opening.spoil);
    let whole = verdict(&bytes, [bytes.len()]);
    assert_eq!(verdict(&bytes, 1..=bytes.len()), whole, "in single bytes");
    assert_eq!(verdict(&bytes, cuts::ends(&bytes, pieces)), whole, "in pieces");
    if opening.spoil.is_none() && opening.keys.iter().all(Key::is_made) {
        assert!(whole.starts_with("101 "), "{whole}");
    }
}

fn verdict(bytes: &[u8], ends: impl IntoIterator<Item = usize>) -> String {
    let mut reader = RequestReader::with_versions(Versions { hixie76: true });
    for end in ends {
        let found = match reader.handle_bytes(&bytes[..end], &HandshakeLimits::default()) {
            Ok(None) => continue,
            Ok(Some(found)) => found,
            Err(refusal) => return refusal.to_string(),
        };
        let (request, used) = found;
        let upgrade = match check_upgrade(&request) {
            Ok(upgrade) => upgrade,
            Err(refusal) => return format!("{refusal} after {used} bytes"),
        };
        let mut out = Vec::new();
        upgrade.write_response(None, &ExtraHeaders::new(), &mut out).expect("no subprotocol");
        let blank = out.windows(4).position(|four| four == b"\r\n\r\n").expect("an end");
        let digest = if upgrade.version() == Version::Hixie76 { 16 } else { 0 };
        assert_eq!(out.len(), blank + 4 + digest, "one head and the digest");
        return format!("101 {used} {out:?}");
    }
    "more".to_owned()
}

impl Frame {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Text(text) => write_text(out, text),
            Self::Delimited(kind, bytes) => {
                out.push(kind & 0x7f);
                out.extend_from_slice(bytes);
                out.push(0xff);
            }
            Self::Counted(kind, bytes, len) => {
                out.push(kind | 0x80);
                // Either the true length or any: four bytes of seven bits hold each.
                let len = if *len % 2 == 0 { bytes.len() } else { usize::from(*len) };
                let digits = (0..3).rev().map(|place| (len >> (7 * place)) as u8);
                out.extend(digits.skip_while(|digit| *digit == 0).map(|digit| digit | 0x80));
                if let Some(last) = out.last_mut() {
                    *last &= 0x7f;
                }
                out.extend_from_slice(bytes);
            }
            Self::Close => out.extend_from_slice(b"\xff\x00"),
            Self::Raw(bytes) => out.extend_from_slice(bytes),
        }
    }
}

#[derive(Debug, PartialEq)]
enum Seen {
    Text(String),
    Close,
    Error(ProtocolError),
}

struct End {
    connection: Hixie76,
    now: Instant,
    pool: Pool,
    seen: Vec<Seen>,
    out: Vec<u8>,
}

impl End {
    fn new(config: &Arc<Config>, now: Instant) -> Self {
        let connection = Hixie76::server(Arc::clone(config));
        Self { connection, now, pool: Pool::new(1 << 16), seen: Vec::new(), out: Vec::new() }
    }

    fn receive(&mut self, piece: &[u8]) {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        while !rest.is_empty() {
            let (used, seen) = match self.connection.handle_input(self.now, rest, &mut self.pool) {
                Ok((used, event)) => (used, event.map(seen)),
                Err(error) => (rest.len(), Some(Seen::Error(error))),
            };
            assert!(used > 0);
            self.seen.extend(seen);
            rest = &mut rest[used..];
        }
        self.connection.poll_output(&mut self.out);
    }

    fn feed<'a>(&mut self, [before, after]: [impl Iterator<Item = &'a [u8]>; 2], close: bool) {
        before.for_each(|piece| self.receive(piece));
        if close {
            self.connection.close(CloseCode::new(1001), "", self.now);
            self.connection.poll_output(&mut self.out);
        }
        after.for_each(|piece| self.receive(piece));
    }
}

fn seen(event: Event<'_>) -> Seen {
    match event {
        Event::Message(Message::Text(text)) => Seen::Text(text.into_owned()),
        Event::Close(None, reason) if reason.is_empty() => Seen::Close,
        other => panic!("{other:?} doesn't exist in this draft"),
    }
}

fn talk(input: &Input) {
    let mut bytes = Vec::new();
    input.frames.iter().for_each(|frame| frame.write(&mut bytes));
    cuts::spoil(&mut bytes, input.spoil);
    let limit = u64::from(input.max_message) + 1;
    let config = Arc::new(Config { max_message_size: limit, ..Config::default() });
    let close_at = input.close_at.map(usize::from).filter(|at| *at <= bytes.len());
    let (before, after) = bytes.split_at(close_at.unwrap_or(bytes.len()));

    let now = Instant::now();
    let (mut whole, mut cut) = (End::new(&config, now), End::new(&config, now));
    whole.feed([[before].into_iter(), [after].into_iter()], close_at.is_some());
    let parts = [before, after].map(|part| cuts::pieces(part, &input.pieces));
    cut.feed(parts, close_at.is_some());
    assert_eq!(whole.seen, cut.seen, "events");
    assert_eq!(whole.out, cut.out, "answers");
    let state = |end: &End| {
        let one = &end.connection;
        ([one.is_open(), one.is_finished(), one.is_mid_message()], one.poll_timeout())
    };
    assert_eq!(state(&whole), state(&cut), "state");

    assert!(matches!(&whole.out[..], [] | [0xff, 0]), "{:?}", whole.out);
    let texts = whole.seen.iter().filter_map(|one| match one {
        Seen::Text(text) => Some(text),
        _ => None,
    });
    assert!(texts.clone().all(|text| text.len() as u64 <= limit));
    let legal = input.frames.iter().all(|one| match one {
        Frame::Text(text) => text.len() as u64 <= limit,
        _ => false,
    });
    if legal && input.spoil.is_none() && close_at.is_none() {
        let sent = input.frames.iter().filter_map(|one| match one {
            Frame::Text(text) => Some(text),
            _ => None,
        });
        assert!(texts.eq(sent), "{:?}", whole.seen);
    }
}

fuzz_target!(|input: Input| {
    open(&input.opening, &input.pieces);
    talk(&input);
});
