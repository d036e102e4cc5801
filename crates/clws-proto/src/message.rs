//! Messages that do not arrive whole in one piece (RFC 6455 §5.4): assembly under limits.
//!
//! Text is checked piece by piece and only whole characters are kept, so that the finished message
//! is a `String` which nobody has to check again. The buffer grows with the bytes that came, never
//! with the length a peer declared.

use crate::copy;
use crate::error::ProtocolError;
use crate::pool::Pool;
use crate::text::Text;
use crate::utf8::Tail;
use std::borrow::Cow;
use std::time::Instant;

/// What each fragment is charged at least, in bytes, so that empty ones do not come for nothing.
pub const FRAGMENT_CHARGE: u64 = 64;
/// The charge beyond the payload that every message may run up, in bytes.
const LEAST_OVERHEAD: u64 = 64 * 1024;

/// A message lent from the receive buffer, or owned where it had to be put together.
///
/// An owned message's buffer belongs back in the [`Pool`] it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Valid UTF-8.
    Text(Cow<'a, str>),
    /// Valid UTF-8 that nobody reads: some of the texts of a connection that was told so by
    /// [`Connection::with_unread_text`](crate::connection::Connection::with_unread_text).
    Unread(Text<'a>),
    /// Any bytes.
    Binary(Cow<'a, [u8]>),
}

impl Message<'_> {
    /// The payload's length in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Unread(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether the payload is empty.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A message that is not finished.
#[derive(Debug)]
pub(crate) struct Partial {
    content: Content,
    overhead: u64,
    started: Instant,
    /// Its payload is to be inflated (RFC 7692 §6.2).
    compressed: bool,
}

#[derive(Debug)]
enum Content {
    Text(String, Tail),
    Binary(Vec<u8>),
}

impl Partial {
    pub(crate) fn new(text: bool, compressed: bool, now: Instant, pool: &mut Pool) -> Self {
        let buffer = pool.take();
        let content = if text {
            Content::Text(empty_text(buffer), Tail::default())
        } else {
            Content::Binary(buffer)
        };
        Self { content, overhead: 0, started: now, compressed }
    }

    pub(crate) fn is_compressed(&self) -> bool {
        self.compressed
    }

    /// Begins the message's time anew.
    pub(crate) fn restart(&mut self, now: Instant) {
        self.started = now;
    }

    pub(crate) fn started(&self) -> Instant {
        self.started
    }

    /// The bytes received so far.
    pub(crate) fn len(&self) -> u64 {
        match &self.content {
            Content::Text(text, tail) => (text.len() + tail.len()) as u64,
            Content::Binary(bytes) => bytes.len() as u64,
        }
    }

    /// The bytes of memory it takes up.
    pub(crate) fn memory(&self) -> usize {
        let buffer = match &self.content {
            Content::Text(text, _) => text.capacity(),
            Content::Binary(bytes) => bytes.capacity(),
        };
        size_of::<Self>() + buffer
    }

    /// Charges a fragment of `len` bytes; an error when the fragments' overhead passes the limit.
    pub(crate) fn charge(&mut self, len: u64, max_message: u64) -> Result<(), ProtocolError> {
        self.overhead += FRAGMENT_CHARGE.saturating_sub(len);
        if self.overhead > max_message.max(LEAST_OVERHEAD) {
            return Err(ProtocolError::MessageTooBig);
        }
        Ok(())
    }

    /// Moves to a larger buffer where one is spare and `bytes` more may make it a long message.
    pub(crate) fn make_room(&mut self, bytes: usize, pool: &mut Pool) {
        match &mut self.content {
            Content::Text(text, _) => {
                if let Some(larger) = pool.take_larger(text.capacity(), text.len() + bytes) {
                    let mut larger = empty_text(larger);
                    copy::append_text(&mut larger, text);
                    pool.give(std::mem::replace(text, larger).into_bytes());
                }
            }
            Content::Binary(content) => {
                if let Some(mut larger) =
                    pool.take_larger(content.capacity(), content.len() + bytes)
                {
                    copy::append(&mut larger, content);
                    pool.give(std::mem::replace(content, larger));
                }
            }
        }
    }

    pub(crate) fn push(&mut self, piece: &[u8]) -> Result<(), ProtocolError> {
        match &mut self.content {
            Content::Text(text, tail) => {
                tail.push(piece, text).map_err(|_| ProtocolError::InvalidUtf8)
            }
            Content::Binary(bytes) => {
                copy::append(bytes, piece);
                Ok(())
            }
        }
    }

    pub(crate) fn finish(self) -> Result<Message<'static>, ProtocolError> {
        match self.content {
            Content::Text(text, tail) if tail.is_empty() => Ok(Message::Text(Cow::Owned(text))),
            Content::Text(..) => Err(ProtocolError::InvalidUtf8),
            Content::Binary(bytes) => Ok(Message::Binary(Cow::Owned(bytes))),
        }
    }

    /// Gives the buffer of a message nobody will see back.
    pub(crate) fn discard(self, pool: &mut Pool) {
        pool.give(match self.content {
            Content::Text(text, _) => text.into_bytes(),
            Content::Binary(bytes) => bytes,
        });
    }
}

/// A buffer of the pool for text. It is empty, so the conversion neither checks nor fails.
fn empty_text(buffer: Vec<u8>) -> String {
    String::from_utf8(buffer).unwrap_or_default()
}
