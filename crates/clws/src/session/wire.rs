//! The two codecs a client may speak, behind one face: frames (versions 13, 8, 7) or draft 76.

use clws_proto::close::CloseCode;
use clws_proto::connection::{Config, Connection, Event, Expired, WholeMessages};
use clws_proto::deflate::Contexts;
use clws_proto::error::ProtocolError;
use clws_proto::hixie76::Hixie76;
use clws_proto::pool::Pool;
use clws_proto::version::Version;
use std::sync::Arc;
use std::time::Instant;

#[derive(Debug)]
pub(super) enum Wire {
    Framed(Connection),
    /// Boxed: rare, and it would make every session larger.
    Hixie76(Box<Hixie76>),
}

/// Calls the same method on whichever codec it is.
macro_rules! either {
    ($wire:expr, $codec:ident => $call:expr) => {
        match $wire {
            Wire::Framed($codec) => $call,
            Wire::Hixie76($codec) => $call,
        }
    };
}

impl Wire {
    pub(super) fn server(
        version: Version,
        config: Arc<Config>,
        contexts: Option<Contexts>,
        reads_text: bool,
        now: Instant,
    ) -> Self {
        if !version.is_framed() {
            return Self::Hixie76(Box::new(Hixie76::server(config)));
        }
        let mut connection = Connection::server(config, now);
        if !reads_text {
            connection = connection.with_unread_text();
        }
        Self::Framed(match contexts {
            Some(contexts) => connection.with_deflate(contexts),
            None => connection,
        })
    }

    #[inline]
    pub(super) fn handle_input<'a>(
        &mut self,
        now: Instant,
        input: &'a mut [u8],
        pool: &mut Pool,
    ) -> Result<(usize, Option<Event<'a>>), ProtocolError> {
        either!(self, codec => codec.handle_input(now, input, pool))
    }

    /// See [`Connection::whole_messages`]; draft 76 has no frames.
    #[inline]
    pub(super) fn whole_messages(&mut self, now: Instant) -> Option<WholeMessages<'_>> {
        match self {
            Self::Framed(connection) => connection.whole_messages(now),
            Self::Hixie76(_) => None,
        }
    }

    /// See [`Connection::lendable`]; draft 76 does not say how long a message is.
    pub(super) fn lendable(&self, input: &[u8]) -> Option<u64> {
        match self {
            Self::Framed(connection) => connection.lendable(input),
            Self::Hixie76(_) => None,
        }
    }

    pub(super) fn close(&mut self, code: Option<CloseCode>, reason: &str, now: Instant) {
        either!(self, codec => codec.close(code, reason, now));
    }

    #[inline]
    pub(super) fn is_open(&self) -> bool {
        either!(self, codec => codec.is_open())
    }

    #[inline]
    pub(super) fn is_finished(&self) -> bool {
        either!(self, codec => codec.is_finished())
    }

    pub(super) fn close_sent(&self) -> bool {
        either!(self, codec => codec.close_sent())
    }

    #[inline]
    pub(super) fn has_output(&self) -> bool {
        either!(self, codec => codec.has_output())
    }

    pub(super) fn poll_output(&mut self, out: &mut Vec<u8>) {
        either!(self, codec => codec.poll_output(out));
    }

    #[inline]
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        either!(self, codec => codec.poll_timeout())
    }

    pub(super) fn handle_timeout(&mut self, now: Instant) -> Option<Expired> {
        either!(self, codec => codec.handle_timeout(now))
    }

    #[inline]
    pub(super) fn remaining(&self) -> u64 {
        match self {
            Self::Framed(connection) => connection.remaining(),
            Self::Hixie76(_) => 0,
        }
    }

    /// See [`Connection::inflating`]; draft 76 knows no compression.
    #[inline]
    pub(super) fn inflating(&self) -> Option<(Instant, u64)> {
        match self {
            Self::Framed(connection) => connection.inflating(),
            Self::Hixie76(_) => None,
        }
    }

    /// See [`Connection::round_trip_micros`]; draft 76 has no pings.
    #[inline]
    pub(super) fn round_trip_micros(&self) -> u32 {
        match self {
            Self::Framed(connection) => connection.round_trip_micros(),
            Self::Hixie76(_) => 0,
        }
    }

    pub(super) fn excuse(&mut self, now: Instant) {
        either!(self, codec => codec.excuse(now));
    }

    pub(super) fn forgive(&mut self, now: Instant) {
        either!(self, codec => codec.forgive(now));
    }

    /// Excuses silence alone; draft 76 knows no pings that could be missed.
    pub(super) fn excuse_silence(&mut self, now: Instant) {
        if let Self::Framed(connection) = self {
            connection.excuse_silence(now);
        }
    }

    #[inline]
    pub(super) fn buffered(&self) -> usize {
        either!(self, codec => codec.buffered())
    }

    #[inline]
    pub(super) fn history(&self) -> usize {
        match self {
            Self::Framed(connection) => connection.history(),
            Self::Hixie76(_) => size_of::<Hixie76>(),
        }
    }

    /// See [`Connection::retire`]; draft 76 knows no compression.
    pub(super) fn retire(&mut self) {
        if let Self::Framed(connection) = self {
            connection.retire();
        }
    }

    #[inline]
    pub(super) fn has_spares(&self) -> bool {
        match self {
            Self::Framed(connection) => connection.has_spares(),
            Self::Hixie76(_) => false,
        }
    }

    /// See [`Connection::is_at_rest`].
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        match self {
            Self::Framed(connection) => connection.is_at_rest(),
            Self::Hixie76(_) => false,
        }
    }

    pub(super) fn discard(&mut self, pool: &mut Pool) {
        either!(self, codec => codec.discard(pool));
    }
}
