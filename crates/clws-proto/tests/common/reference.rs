//! What `tungstenite` makes of a peer's bytes, beside what this crate makes of them.
//!
//! Both must hear the same and fail with the same close code. Where they may differ is said in
//! [`may_differ`], rule by rule; anything else is a fault of one of them.

#![allow(dead_code, unreachable_pub, reason = "tests and fuzz targets use their part")]

use crate::common::{End, Seen};
use clws_proto::connection::Config;
use clws_proto::error::ProtocolError;
use std::io::{self, ErrorKind, Read, Write};
use tungstenite::error::{CapacityError, Error};
use tungstenite::protocol::{CloseFrame, Role, WebSocket, WebSocketConfig};
use tungstenite::{Message, error};

/// What `tungstenite` answers to a close code that it does not allow.
const VIOLATION: (u16, &str) = (1002, "Protocol violation");
/// So many fragments of a message may be empty, whatever its limit, before that is too much.
const FREE_FRAGMENTS: usize = 1024;

/// What was heard up to the end, a failure, or a close.
#[derive(Debug)]
struct Heard<E> {
    events: Vec<Seen>,
    failure: Option<E>,
}

/// Reads the stream with both, the last frame filled up with zeros: `tungstenite` judges only whole
/// frames. `max_frame_size` must be 125 or more, because it counts control frames too there.
///
/// # Panics
///
/// They differ in a way that is not allowed.
pub fn compare(stream: &[u8], client: bool, config: &Config) {
    let (bytes, shape) = complete(stream, config.max_frame_size);
    let ours = ours(&bytes, client, config);
    let theirs = theirs(&bytes, client, config);
    if may_differ(&ours, &theirs, &shape, config) {
        return;
    }
    assert_eq!(ours.events, theirs.events, "{:?} and {:?}", ours.failure, theirs.failure);
    let code = ours.failure.map(|error| error.close_code().get());
    assert_eq!(code, theirs.failure, "after the same events: {:?}", ours.events);
}

/// Whether the two differ on purpose.
fn may_differ(
    ours: &Heard<ProtocolError>,
    theirs: &Heard<u16>,
    shape: &Shape,
    config: &Config,
) -> bool {
    let more = theirs.events.starts_with(&ours.events);
    let same = theirs.events == ours.events;
    match (ours.failure, theirs.failure) {
        // RFC 6455 §5.2 wants the shortest form of a length; they read any.
        (Some(ProtocolError::LengthNotMinimal), _) => more,
        (Some(ProtocolError::LongControl), _) if shape.has_long_form => more,
        // Of a frame that breaks several rules they look at the length first.
        (Some(error), Some(1009)) if error.close_code().get() == 1002 => {
            same && shape.longest > config.max_frame_size
        }
        // Of a close frame that breaks two they look at the reason first.
        (Some(ProtocolError::CloseCode(_)), Some(1007)) => same,
        // They tell of a wrong code as of a close, and answer it as this crate does.
        (Some(ProtocolError::CloseCode(_)), None) => {
            more && theirs.events.get(ours.events.len()..) == Some(&[violation()])
        }
        // Empty fragments are charged for here.
        (Some(ProtocolError::MessageTooBig), _) if shape.frames > FREE_FRAGMENTS => more,
        // 1014, Bad Gateway, is registered with IANA since; they don't know it.
        (None, None) => match (ours.events.split_last(), theirs.events.split_last()) {
            (Some((Seen::Close(Some(1014), _), before)), Some((last, theirs))) => {
                before == theirs && *last == violation()
            }
            _ => false,
        },
        _ => false,
    }
}

fn violation() -> Seen {
    Seen::Close(Some(VIOLATION.0), VIOLATION.1.to_owned())
}

fn ours(bytes: &[u8], client: bool, config: &Config) -> Heard<ProtocolError> {
    let mut end = if client { End::client(config.clone()) } else { End::server(config.clone()) };
    end.receive(bytes);
    let mut events = end.seen;
    let failure = match events.pop_if(|last| matches!(last, Seen::Error(_))) {
        Some(Seen::Error(error)) => Some(error),
        _ => None,
    };
    Heard { events, failure }
}

fn theirs(bytes: &[u8], client: bool, config: &Config) -> Heard<u16> {
    let settings = WebSocketConfig::default()
        .read_buffer_size(4096)
        .max_frame_size(Some(config.max_frame_size as usize))
        .max_message_size(Some(config.max_message_size as usize));
    let role = if client { Role::Client } else { Role::Server };
    let mut socket = WebSocket::from_raw_socket(Wire(bytes), role, Some(settings));
    let mut events = Vec::new();
    let failure = loop {
        let event = match socket.read() {
            Ok(Message::Text(text)) => Seen::Text(text.to_string()),
            Ok(Message::Binary(bytes)) => Seen::Binary(bytes.to_vec()),
            Ok(Message::Ping(payload)) => Seen::Ping(payload.to_vec()),
            Ok(Message::Pong(payload)) => Seen::Pong(payload.to_vec()),
            Ok(Message::Close(frame)) => {
                events.push(closed(frame));
                break None;
            }
            Ok(other) => panic!("{other:?} is no message"),
            Err(error) => break failure(&error),
        };
        events.extend((!answers_keepalive(&event)).then_some(event));
    };
    Heard { events, failure }
}

/// Answers to this library's own pings are no events here.
fn answers_keepalive(event: &Seen) -> bool {
    matches!(event, Seen::Pong(payload) if payload.len() == 8 && payload.starts_with(b"clws"))
}

fn closed(frame: Option<CloseFrame>) -> Seen {
    match frame {
        Some(frame) => Seen::Close(Some(frame.code.into()), frame.reason.to_string()),
        None => Seen::Close(None, String::new()),
    }
}

/// The close code of a failure; none where there was only nothing more to read.
fn failure(error: &Error) -> Option<u16> {
    match error {
        Error::Io(error) if error.kind() == ErrorKind::WouldBlock => None,
        Error::Protocol(error::ProtocolError::ResetWithoutClosingHandshake) => None,
        Error::Protocol(_) => Some(1002),
        Error::Utf8(_) => Some(1007),
        Error::Capacity(CapacityError::MessageTooLong { .. }) => Some(1009),
        other => panic!("{other} is no verdict on a stream"),
    }
}

/// What a walk over the frames found, whatever is wrong with them.
#[derive(Debug, Default)]
struct Shape {
    frames: usize,
    longest: u64,
    has_long_form: bool,
}

/// Fills the last frame up, unless it is longer than allowed: then its header says enough.
fn complete(stream: &[u8], max_frame: u64) -> (Vec<u8>, Shape) {
    let (mut bytes, mut shape, mut at) = (stream.to_vec(), Shape::default(), 0);
    while at < bytes.len() {
        fill(&mut bytes, at + 2);
        let (short, masked) = (bytes[at + 1] & 0x7f, bytes[at + 1] & 0x80 != 0);
        let extended = at + 2..at + 2 + [0, 2, 8][usize::from(short.saturating_sub(125))];
        let header = extended.end + if masked { 4 } else { 0 };
        fill(&mut bytes, header);
        let long = bytes[extended].iter().fold(0, |len, byte| len << 8 | u64::from(*byte));
        let len = if short < 126 { u64::from(short) } else { long };
        shape.frames += 1;
        shape.longest = shape.longest.max(len);
        shape.has_long_form |= short == 126 && len < 126 || short == 127 && len < 1 << 16;
        if len > max_frame {
            break;
        }
        at = header + len as usize;
        fill(&mut bytes, at);
    }
    (bytes, shape)
}

fn fill(bytes: &mut Vec<u8>, len: usize) {
    bytes.resize(bytes.len().max(len), 0);
}

/// Gives the bytes at once and then nothing for ever; takes whatever is written.
struct Wire<'a>(&'a [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
