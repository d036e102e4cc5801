//! One connection of draft-hixie-thewebsocketprotocol-76 (hybi-00) after its opening handshake,
//! a server's end, without its socket.
//!
//! It is used as [`Connection`](crate::connection::Connection) is, with the same events, limits
//! and errors. The draft knows text messages and a close, and nothing else: no fragments, no
//! binary messages, no masks, no pings, so an idle peer can only be left alone, and no code or
//! reason in a close. Sections named here are the draft's, where they don't say otherwise.

use crate::close::CloseCode;
use crate::closing::Phase;
use crate::connection::{Config, Event, Expired};
use crate::error::ProtocolError;
use crate::message::{Message, Partial};
use crate::pool::Pool;
use crate::utf8;
use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// What a text frame begins with.
const TEXT: u8 = 0x00;
/// What a text frame ends with, a byte that UTF-8 never holds; a close frame begins with it.
const END: u8 = 0xFF;
/// The close frame: a frame that says its length, and says none (§5.3).
const CLOSE: [u8; 2] = [END, 0x00];

/// Where in a frame the stream stands.
enum Reading {
    Between,
    Text(Box<Partial>),
    /// A frame that ends with [`END`] and carries no text, with the bytes it may still bring.
    Unknown {
        started: Instant,
        allowed: u64,
    },
    /// The length of a frame that says it; `None` before the first byte.
    Length {
        started: Instant,
        close: bool,
        length: Option<u64>,
    },
    /// The payload of such a frame.
    Skip {
        started: Instant,
        remaining: u64,
    },
}

impl Reading {
    fn started(&self) -> Option<Instant> {
        match self {
            Self::Between => None,
            Self::Text(partial) => Some(partial.started()),
            Self::Unknown { started, .. }
            | Self::Length { started, .. }
            | Self::Skip { started, .. } => Some(*started),
        }
    }
}

/// One connection of draft 76 after the opening handshake, the server's end.
///
/// Of its [`Config`] it heeds `max_message_size`, `message_timeout` and `close_timeout`: a frame
/// is a message here, and a ping doesn't exist.
pub struct Hixie76 {
    config: Arc<Config>,
    phase: Phase,
    reading: Reading,
    close_due: bool,
    close_sent: bool,
}

impl Hixie76 {
    /// The server's end.
    pub fn server(config: Arc<Config>) -> Self {
        Self {
            config,
            phase: Phase::Open,
            reading: Reading::Between,
            close_due: false,
            close_sent: false,
        }
    }

    /// Takes bytes from the peer up to the next event (§5.3).
    ///
    /// Returns how many bytes were used and the event they completed; without an event all of
    /// `input` was used. A message that is whole in `input` is lent from there. After an error
    /// the connection has failed: its close frame waits in [`Self::poll_output`], and further
    /// input is ignored.
    pub fn handle_input<'a>(
        &mut self,
        now: Instant,
        input: &'a mut [u8],
        pool: &mut Pool,
    ) -> Result<(usize, Option<Event<'a>>), ProtocolError> {
        let total = input.len();
        let mut rest: &'a [u8] = input;
        while !rest.is_empty() && !self.phase.is_deaf() {
            match self.read(now, &mut rest, pool) {
                Ok(None) => {}
                Ok(Some(event)) => return Ok((total - rest.len(), Some(event))),
                Err(error) => {
                    self.fail(now);
                    self.discard(pool);
                    return Err(error);
                }
            }
        }
        Ok((total, None))
    }

    /// Takes one step, by at least a byte.
    fn read<'a>(
        &mut self,
        now: Instant,
        rest: &mut &'a [u8],
        pool: &mut Pool,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        match self.reading {
            Reading::Between => self.begin(now, rest, pool),
            Reading::Text(_) => self.read_text(rest, pool),
            Reading::Unknown { started, allowed } => self.read_unknown(started, allowed, rest),
            Reading::Length { started, close, length } => {
                self.read_length(started, close, length, now, rest)
            }
            Reading::Skip { started, remaining } => {
                self.skip(started, remaining, rest);
                Ok(None)
            }
        }
    }

    fn begin<'a>(
        &mut self,
        now: Instant,
        rest: &mut &'a [u8],
        pool: &mut Pool,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        let Some(kind) = rest.split_off_first() else { return Ok(None) };
        match *kind {
            TEXT => {
                if let Some(end) = find_end(rest)
                    && end as u64 <= self.config.max_message_size
                {
                    return self.read_whole(take(rest, end));
                }
                self.reading = Reading::Text(Box::new(Partial::new(true, false, now, pool)));
            }
            0x01..=0x7F => {
                let allowed = self.config.max_message_size;
                self.reading = Reading::Unknown { started: now, allowed };
            }
            _ => {
                let close = *kind == END;
                self.reading = Reading::Length { started: now, close, length: None };
            }
        }
        Ok(None)
    }

    /// A message that stands whole in the input: lent, not copied.
    ///
    /// The draft replaces what is not UTF-8 (§5.4); here it fails the connection, as in every
    /// later version, so that what user code is given is what was sent.
    fn read_whole<'a>(&self, text: &'a [u8]) -> Result<Option<Event<'a>>, ProtocolError> {
        let text = utf8::check(text).map_err(|_| ProtocolError::InvalidUtf8)?;
        let message = Message::Text(Cow::Borrowed(text));
        Ok(self.phase.is_open().then_some(Event::Message(message)))
    }

    fn read_text<'a>(
        &mut self,
        rest: &mut &'a [u8],
        pool: &mut Pool,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        let Reading::Text(partial) = &mut self.reading else { return Ok(None) };
        let end = find_end(rest);
        let len = end.unwrap_or(rest.len());
        let room = self.config.max_message_size.saturating_sub(partial.len());
        let piece = rest.get(..len.min(as_len(room))).unwrap_or_default();
        partial.push(piece)?;
        if piece.len() < len {
            return Err(ProtocolError::MessageTooBig);
        }
        let Some(end) = end else {
            *rest = &[];
            return Ok(None);
        };
        take(rest, end);
        let Reading::Text(partial) = std::mem::replace(&mut self.reading, Reading::Between) else {
            return Ok(None);
        };
        let message = partial.finish()?;
        if self.phase.is_open() {
            return Ok(Some(Event::Message(message)));
        }
        if let Message::Text(Cow::Owned(unheard)) = message {
            pool.give(unheard.into_bytes());
        }
        Ok(None)
    }

    /// The draft has a frame of a type it doesn't define read to its end and dropped (§5.3). Its
    /// bytes are not kept, but they are counted: no frame is longer than a message may be.
    fn read_unknown<'a>(
        &mut self,
        started: Instant,
        allowed: u64,
        rest: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        let end = find_end(rest);
        let len = end.unwrap_or(rest.len()) as u64;
        let allowed = allowed.checked_sub(len).ok_or(ProtocolError::MessageTooBig)?;
        self.reading = if let Some(end) = end {
            take(rest, end);
            Reading::Between
        } else {
            *rest = &[];
            Reading::Unknown { started, allowed }
        };
        Ok(None)
    }

    /// Reads one byte of a length: seven bits, and whether another byte follows (§5.3).
    ///
    /// The draft doesn't forbid zeros in front, which would let a length go on for ever; as in
    /// RFC 6455 §5.2, a length must be in its shortest form, so it grows with each byte and soon
    /// passes the limit.
    fn read_length<'a>(
        &mut self,
        started: Instant,
        close: bool,
        length: Option<u64>,
        now: Instant,
        rest: &mut &'a [u8],
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        let Some(&byte) = rest.split_off_first() else { return Ok(None) };
        if length.is_none() && byte == 0x80 {
            return Err(ProtocolError::LengthNotMinimal);
        }
        let longer = length.unwrap_or(0).checked_mul(128);
        let length = longer.map(|length| length | u64::from(byte & 0x7F));
        let length = length
            .filter(|length| *length <= self.config.max_message_size)
            .ok_or(ProtocolError::MessageTooBig)?;
        if byte & 0x80 != 0 {
            self.reading = Reading::Length { started, close, length: Some(length) };
            return Ok(None);
        }
        self.reading = match length {
            0 => Reading::Between,
            remaining => Reading::Skip { started, remaining },
        };
        Ok((close && length == 0).then(|| self.closed_by_peer(now)))
    }

    /// Drops the payload of a frame that says its length, as the draft wants it (§5.3). No client
    /// had a use for such frames, but one that sends them keeps the draft, so it is not failed;
    /// that costs no memory, and a length above a message's is refused before this.
    fn skip(&mut self, started: Instant, remaining: u64, rest: &mut &[u8]) {
        let len = as_len(remaining).min(rest.len());
        *rest = rest.get(len..).unwrap_or_default();
        self.reading = match remaining - len as u64 {
            0 => Reading::Between,
            remaining => Reading::Skip { started, remaining },
        };
    }

    fn closed_by_peer(&mut self, now: Instant) -> Event<'static> {
        self.fail(now);
        Event::Close(None, String::new())
    }

    /// Sends a close frame unless one was sent, and hears no more.
    fn fail(&mut self, now: Instant) {
        self.close(None, "", now);
        self.phase = Phase::Deaf;
    }

    /// Starts the closing handshake (§1.4); does nothing when it has begun already.
    ///
    /// Code and reason have no place in this draft and are not sent.
    pub fn close(&mut self, _code: Option<CloseCode>, _reason: &str, now: Instant) {
        self.close_due |= self.phase.close(now);
    }

    /// Whether messages may still be sent: no close frame is out or waiting.
    pub fn is_open(&self) -> bool {
        self.phase.is_open()
    }

    /// Whether nothing more will come of this connection: the peer's close frame came, or the peer
    /// broke the protocol, and the answer was handed to [`Self::poll_output`]'s caller.
    pub fn is_finished(&self) -> bool {
        self.phase.is_deaf() && !self.close_due
    }

    /// Whether a close frame of this end has been handed out.
    pub fn close_sent(&self) -> bool {
        self.close_sent
    }

    /// Whether a frame is unfinished.
    pub fn is_mid_message(&self) -> bool {
        self.reading.started().is_some()
    }

    /// Whether [`Self::poll_output`] has something to hand out.
    pub fn has_output(&self) -> bool {
        self.close_due
    }

    /// Appends the close frame to `out` if it is due.
    pub fn poll_output(&mut self, out: &mut Vec<u8>) {
        if std::mem::take(&mut self.close_due) {
            self.close_sent = true;
            out.extend_from_slice(&CLOSE);
        }
    }

    /// Appends a text message; `false` when the connection is closing.
    pub fn send_text(&mut self, text: &str, out: &mut Vec<u8>) -> bool {
        if self.is_open() {
            write_text(out, text);
        }
        self.is_open()
    }

    /// When [`Self::handle_timeout`] wants to be called; it changes with input, output and closes.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.phase.is_open() {
            return self.phase.deadline(self.config.close_timeout);
        }
        self.reading.started().map(|started| started + self.config.message_timeout)
    }

    /// Does what is due at `now`; a peer that let a deadline pass is named in the result, which
    /// is never [`Expired::Pong`].
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Expired> {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return None;
        }
        if !self.phase.is_open() {
            return Some(Expired::Close);
        }
        self.fail(now);
        Some(Expired::Message)
    }

    /// Excuses the peer's silence up to `now`: this end did not listen, to keep its queues short.
    pub fn excuse(&mut self, now: Instant) {
        match &mut self.reading {
            Reading::Between => {}
            Reading::Text(partial) => partial.restart(now),
            Reading::Unknown { started, .. }
            | Reading::Length { started, .. }
            | Reading::Skip { started, .. } => *started = now,
        }
    }

    /// Begins every wait for the peer anew at `now`: this end was away and could not hear it.
    pub fn forgive(&mut self, now: Instant) {
        self.excuse(now);
        self.phase.restart(now);
    }

    /// The bytes of memory it holds of a message that has not come whole.
    pub fn buffered(&self) -> usize {
        match &self.reading {
            Reading::Text(partial) => partial.memory(),
            _ => 0,
        }
    }

    /// Gives what an unfinished message holds back to the pool; for a connection that ends.
    pub fn discard(&mut self, pool: &mut Pool) {
        if let Reading::Text(partial) = std::mem::replace(&mut self.reading, Reading::Between) {
            partial.discard(pool);
        }
    }
}

impl fmt::Debug for Hixie76 {
    /// Without what the peer sent.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hixie76")
            .field("phase", &self.phase)
            .field("close_sent", &self.close_sent)
            .finish_non_exhaustive()
    }
}

/// Appends a text message in its one wire form (§5.3): `00`, the text, `FF`.
pub fn write_text(out: &mut Vec<u8>, text: &str) {
    out.reserve(text.len() + 2);
    out.push(TEXT);
    out.extend_from_slice(text.as_bytes());
    out.push(END);
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|&byte| byte == END)
}

/// Takes the bytes before `end` and the byte there off the front.
fn take<'a>(rest: &mut &'a [u8], end: usize) -> &'a [u8] {
    let (before, after) = rest.split_at_checked(end).unwrap_or_default();
    *rest = after.get(1..).unwrap_or_default();
    before
}

/// A length within a slice's; more than memory holds is as good as the largest.
fn as_len(length: u64) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
