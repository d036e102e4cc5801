//! The WebSocket protocol (RFC 6455) without I/O: no socket, no clock, no thread.
//!
//! Bytes and the time go in, events and bytes come out, so every rule can be tested at every cut
//! of the stream and under virtual time. [`connection::Connection`] is the whole of it after the
//! opening handshake; [`handshake`] is the opening handshake; [`proxy_protocol`] is what a proxy
//! may send before it; the other modules are their parts. The crate `clws` puts sockets,
//! threads and user code around it.

pub mod close;
mod closing;
pub mod connection;
pub mod copy;
pub mod deflate;
pub mod error;
pub mod frame;
pub mod handshake;
pub mod hixie76;
pub mod mask;
pub mod message;
pub mod pool;
pub mod proxy_protocol;
pub mod text;
pub mod utf8;
pub mod version;
