//! Headers this side adds to a handshake, checked when they are added.
//!
//! User code hands in names and values that may come from anywhere. What could end a line or
//! contradict the handshake never gets in, so writing can't fail and nothing illegal reaches the
//! wire (response splitting).

use crate::deflate::Agreed;
use core::fmt;

use super::syntax::{is_field_byte, is_token};

/// Why a header can't be sent.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum InvalidHeader {
    /// The name is not an RFC 9110 §5.6.2 token.
    Name,
    /// The value holds CR, LF, NUL or another control character (RFC 9110 §5.5), or, for a
    /// subprotocol, is not a token.
    Value,
    /// The handshake or the connection writes this header itself.
    Reserved,
}

impl fmt::Display for InvalidHeader {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Name => "the header name is not a token",
            Self::Value => "the header value holds a character that is not allowed there",
            Self::Reserved => "the header is one the handshake writes itself",
        })
    }
}

impl std::error::Error for InvalidHeader {}

/// Names that decide where a message ends or what the connection becomes.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "origin",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Every header of RFC 6455 and its extensions begins so.
const RESERVED_PREFIX: &str = "sec-websocket-";

/// Headers to add to a request or a response, in order, repeats allowed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct ExtraHeaders {
    /// As on the wire: each line ends with CRLF.
    lines: String,
}

impl ExtraHeaders {
    /// No headers.
    pub const fn new() -> Self {
        Self { lines: String::new() }
    }

    /// Adds a header.
    ///
    /// # Errors
    /// The name is no token, the value holds a control character other than a tab, or the header
    /// is reserved: `Connection`, `Upgrade`, `Host`, `Origin`, `Content-Length`,
    /// `Transfer-Encoding`, `TE`, `Trailer`, `Keep-Alive`, `Proxy-Connection` and everything
    /// that begins with `Sec-WebSocket-`, in any case. Nothing is added then.
    pub fn push(&mut self, name: &str, value: &str) -> Result<(), InvalidHeader> {
        if !is_token(name.as_bytes()) {
            return Err(InvalidHeader::Name);
        }
        if is_reserved(name) {
            return Err(InvalidHeader::Reserved);
        }
        if !value.bytes().all(is_field_byte) {
            return Err(InvalidHeader::Value);
        }
        self.push_line(name, value);
        Ok(())
    }

    /// Adds a header of the handshake itself.
    pub(super) fn push_own(&mut self, name: &'static str, value: &'static str) {
        self.push_line(name, value);
    }

    /// Adds the answer to the peer's offers of permessage-deflate (RFC 7692 §5).
    pub fn push_extensions(&mut self, agreed: &Agreed) {
        let mut value = Vec::new();
        agreed.write_response_value(&mut value);
        self.push_line("Sec-WebSocket-Extensions", &String::from_utf8_lossy(&value));
    }

    fn push_line(&mut self, name: &str, value: &str) {
        for part in [name, ": ", value, "\r\n"] {
            self.lines.push_str(part);
        }
    }

    /// Whether there is a header of that name, whatever its case.
    pub fn contains(&self, name: &str) -> bool {
        self.iter().any(|(found, _)| found.eq_ignore_ascii_case(name))
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.split_terminator("\r\n").filter_map(|line| line.split_once(": "))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        self.lines.as_bytes()
    }
}

impl fmt::Debug for ExtraHeaders {
    /// Names only: values may be secrets.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.iter().map(|(name, _)| name)).finish()
    }
}

fn is_reserved(name: &str) -> bool {
    let prefix = name.as_bytes().get(..RESERVED_PREFIX.len());
    prefix.is_some_and(|prefix| prefix.eq_ignore_ascii_case(RESERVED_PREFIX.as_bytes()))
        || RESERVED.iter().any(|reserved| reserved.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::{ExtraHeaders, InvalidHeader};

    #[test]
    fn what_could_split_a_response_is_an_error_and_adds_nothing() {
        let mut headers = ExtraHeaders::new();
        for value in ["a\r\nSet-Cookie: b", "a\nb", "a\rb", "a\0b", "a\x7fb", "a\x1bb"] {
            assert_eq!(headers.push("X-A", value), Err(InvalidHeader::Value), "{value:?}");
        }
        for name in ["", "X A", "X:A", "X\r\nA", "X\0", "X-\u{e9}"] {
            assert_eq!(headers.push(name, "v"), Err(InvalidHeader::Name), "{name:?}");
        }
        assert_eq!(headers, ExtraHeaders::new());
    }

    #[test]
    fn headers_of_the_handshake_are_reserved_in_every_case() {
        let mut headers = ExtraHeaders::new();
        for name in [
            "Connection",
            "UPGRADE",
            "content-length",
            "Sec-WebSocket-Accept",
            "TE",
            "sec-websocket-anything",
            "Transfer-Encoding",
            "Host",
            "Origin",
        ] {
            assert_eq!(headers.push(name, "v"), Err(InvalidHeader::Reserved), "{name}");
        }
        assert_eq!(headers.push("Sec-Web", "v"), Ok(()));
    }

    #[test]
    fn headers_keep_their_order_and_repeats_and_hide_values_from_debug() {
        let mut headers = ExtraHeaders::new();
        headers.push("Set-Cookie", "a=secret: x").expect("legal");
        headers.push("set-cookie", "").expect("legal");
        let found: Vec<_> = headers.iter().collect();
        assert_eq!(found, [("Set-Cookie", "a=secret: x"), ("set-cookie", "")]);
        assert!(headers.contains("SET-COOKIE"));
        assert!(!format!("{headers:?}").contains("secret"));
    }
}
