//! The versions of the WebSocket protocol, as `Sec-WebSocket-Version` numbers them.
//!
//! A version is agreed once, in the opening handshake, and decides the wire form of everything
//! that follows. This module only names them; it neither reads nor writes headers.

use core::fmt;

/// A version of the protocol this crate speaks.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// RFC 6455, the standard: version 13.
    Rfc6455,
}

impl Version {
    /// The value of `Sec-WebSocket-Version` in an answer that names what the server speaks
    /// (RFC 6455 §4.4).
    pub const SUPPORTED: &'static str = "13";

    /// The number the version has in `Sec-WebSocket-Version`.
    pub const fn number(self) -> u8 {
        match self {
            Self::Rfc6455 => 13,
        }
    }

    /// The version a `Sec-WebSocket-Version` value names, if this crate speaks it.
    ///
    /// The value is compared as text: `013` and `13, 13` name nothing (RFC 6455 §4.3).
    pub fn from_header(value: &[u8]) -> Option<Self> {
        (value == b"13").then_some(Self::Rfc6455)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rfc6455 => out.write_str("RFC 6455 (version 13)"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn the_supported_list_names_what_is_spoken() {
        for item in Version::SUPPORTED.split(", ") {
            let version = Version::from_header(item.as_bytes()).expect("a listed version");
            assert_eq!(version.number().to_string(), item);
        }
    }

    #[test]
    fn only_the_exact_number_counts() {
        for value in ["", "0", "7", "8", "12", "14", "013", "+13", "13, 13", "13 ", "255", "256"] {
            assert_eq!(Version::from_header(value.as_bytes()), None, "{value:?}");
        }
    }
}
