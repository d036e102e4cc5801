//! The opening handshake of RFC 6455 (§1.3 and §4), both roles, and of its drafts, without I/O.
//!
//! A server feeds what it received to a [`RequestReader`], asks [`check_upgrade`] whether the
//! [`Request`] opens a WebSocket, and writes either [`Upgrade::write_response`] or a [`Response`].
//! A client does its half with [`ClientHandshake`]. Input is judged strictly, in time linear in
//! its bytes and within [`HandshakeLimits`]; which resource is served, and to which origin, is
//! for the caller to decide. Extension offers are kept in the request but not negotiated here.
//!
//! ```
//! use clws_proto::handshake::{ExtraHeaders, HandshakeLimits, RequestReader, check_upgrade};
//!
//! let received = b"GET /chat HTTP/1.1\r\nHost: example.com\r\nUpgrade: websocket\r\n\
//!     Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
//!     Sec-WebSocket-Version: 13\r\n\r\n";
//! let limits = HandshakeLimits::default();
//! let Some((request, consumed)) = RequestReader::new().handle_bytes(received, &limits)? else {
//!     panic!("the request is complete");
//! };
//! assert_eq!((request.path(), consumed), ("/chat", received.len()));
//! let mut answer = Vec::new();
//! check_upgrade(&request)?.write_response(None, &ExtraHeaders::new(), &mut answer)?;
//! assert!(answer.starts_with(b"HTTP/1.1 101 Switching Protocols\r\n"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod client;
mod fields;
mod headers;
mod hixie76;
mod refusal;
mod request;
mod response;
mod scan;
mod syntax;
mod upgrade;

pub use client::{ClientHandshake, ClientHandshakeError, ServerAnswer};
pub use fields::Headers;
pub use headers::{ExtraHeaders, InvalidHeader};
pub use refusal::Refusal;
pub use request::{Request, RequestReader};
pub use response::Response;
pub use upgrade::{Upgrade, accept_key, check_upgrade};

/// How large a header block may be, a peer's request or its answer.
///
/// A peer is refused at the byte that exceeds a limit, not when its header block ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeLimits {
    /// Bytes from the first one received to the empty line, both included. More are refused
    /// with 431. Default 16 KiB; above 1 GiB it counts as 1 GiB.
    pub max_header_size: usize,
    /// Header lines. One more is refused with 431. Default 64.
    pub max_headers: usize,
    /// Bytes of the request line without its line end. More are refused with 414.
    /// Default 8 KiB.
    pub max_request_line: usize,
}

impl Default for HandshakeLimits {
    fn default() -> Self {
        Self { max_header_size: 16 * 1024, max_headers: 64, max_request_line: 8 * 1024 }
    }
}
