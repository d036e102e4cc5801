//! The WebSocket protocol without I/O.

pub mod handshake;
pub mod version;
