//! How far a connection's closing handshake is (RFC 6455 §7.1), the same in all versions.
//!
//! Codecs keep a [`Phase`] and ask it what may still be sent and heard. What a close frame looks
//! like, and whether one is due, is their own business.

use std::time::{Duration, Instant};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// This end's close frame is out, or waits to go; the peer's has not come.
    Closing(Instant),
    /// The peer's close frame came, or the peer broke the protocol: what it sends is not read.
    Deaf,
}

impl Phase {
    /// Starts the closing handshake; `false` when it has begun already.
    pub(crate) fn close(&mut self, now: Instant) -> bool {
        let open = self.is_open();
        if open {
            *self = Self::Closing(now);
        }
        open
    }

    /// Waits anew for the answer to the close frame.
    pub(crate) fn restart(&mut self, now: Instant) {
        if let Self::Closing(since) = self {
            *since = now;
        }
    }

    #[inline]
    pub(crate) fn is_open(self) -> bool {
        matches!(self, Self::Open)
    }

    #[inline]
    pub(crate) fn is_deaf(self) -> bool {
        matches!(self, Self::Deaf)
    }

    /// When a peer that does not answer the close frame is given up.
    pub(crate) fn deadline(self, timeout: Duration) -> Option<Instant> {
        match self {
            Self::Closing(since) => Some(since + timeout),
            Self::Open | Self::Deaf => None,
        }
    }
}
