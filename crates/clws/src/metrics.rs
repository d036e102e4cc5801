//! Counters of a server, cheap enough to be always on.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: Counter,
    pub(crate) connected: Counter,
    pub(crate) refused: Counter,
    pub(crate) disconnected: Counter,
    pub(crate) dropped: Counter,
    pub(crate) panics: Counter,
    pub(crate) accept_errors: Counter,
    pub(crate) tls_errors: Counter,
    pub(crate) proxy_errors: Counter,
    pub(crate) crowded: Counter,
    pub(crate) memory_refused: Counter,
    pub(crate) memory_shed: Counter,
}

impl Counters {
    /// All that is counted here: not what is held now.
    pub(crate) fn snapshot(&self) -> Metrics {
        Metrics {
            accepted: self.accepted.read(),
            connected: self.connected.read(),
            refused: self.refused.read(),
            disconnected: self.disconnected.read(),
            dropped: self.dropped.read(),
            panics: self.panics.read(),
            accept_errors: self.accept_errors.read(),
            tls_errors: self.tls_errors.read(),
            proxy_errors: self.proxy_errors.read(),
            crowded: self.crowded.read(),
            memory_held: 0,
            memory_refused: self.memory_refused.read(),
            memory_shed: self.memory_shed.read(),
        }
    }
}

/// What a server has counted since it started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// TCP connections accepted.
    pub accepted: u64,
    /// Opening handshakes that ended with a connected client.
    pub connected: u64,
    /// Opening handshakes that were answered with an HTTP error.
    pub refused: u64,
    /// Connected clients that are gone.
    pub disconnected: u64,
    /// Messages that were not sent, or not any more, because a client's send queue was full.
    pub dropped: u64,
    /// Panics in user code, each of which closed one client with 1011.
    pub panics: u64,
    /// Failed accepts, for want of file descriptors for example.
    pub accept_errors: u64,
    /// Connections that broke TLS, nearly all of them in its handshake.
    pub tls_errors: u64,
    /// Connections that had to begin with a header of the PROXY protocol and did not, or were not
    /// from a trusted proxy.
    pub proxy_errors: u64,
    /// Connections turned away because their address had too many
    /// ([`Limits::max_connections_per_address`](crate::Limits::max_connections_per_address)).
    pub crowded: u64,
    /// Bytes held for clients now, by all servers of the process: what
    /// [`Limits::memory_budget`](crate::Limits::memory_budget) bounds.
    pub memory_held: u64,
    /// Opening handshakes among the refused ones that were answered with 503 because memory ran
    /// short.
    pub memory_refused: u64,
    /// Clients that were closed because memory ran short.
    pub memory_shed: u64,
}
