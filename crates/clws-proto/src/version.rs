//! The versions of the WebSocket protocol, as `Sec-WebSocket-Version` numbers them.
//!
//! A version is agreed once, in the opening handshake, and decides the wire form of everything
//! that follows. This module names them and says what each can do; it neither reads nor writes
//! headers.

use core::fmt;

/// A version of the protocol this crate speaks.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    /// RFC 6455, the standard: version 13.
    Rfc6455,
    /// draft-ietf-hybi-thewebsocketprotocol-08 to -12: version 8.
    Hybi08,
    /// draft-ietf-hybi-thewebsocketprotocol-07: version 7.
    Hybi07,
    /// draft-hixie-thewebsocketprotocol-76, also known as hybi-00: version 0, a number that never
    /// stands on the wire.
    Hixie76,
}

impl Version {
    /// The value of `Sec-WebSocket-Version` in an answer that names what the server speaks
    /// (RFC 6455 §4.4).
    pub const SUPPORTED: &'static str = "13, 8, 7";

    /// The number of the version.
    pub const fn number(self) -> u8 {
        match self {
            Self::Rfc6455 => 13,
            Self::Hybi08 => 8,
            Self::Hybi07 => 7,
            Self::Hixie76 => 0,
        }
    }

    /// The version a `Sec-WebSocket-Version` value names, if this crate speaks it.
    ///
    /// The value is compared as text: `013` and `13, 13` name nothing (RFC 6455 §4.3), and so
    /// does `0`, since draft 76 has no such header.
    pub fn from_header(value: &[u8]) -> Option<Self> {
        match value {
            b"13" => Some(Self::Rfc6455),
            b"8" => Some(Self::Hybi08),
            b"7" => Some(Self::Hybi07),
            _ => None,
        }
    }

    /// The header a client's origin stands in, in lower case.
    pub const fn origin_header(self) -> &'static str {
        match self {
            Self::Rfc6455 | Self::Hixie76 => "origin",
            Self::Hybi08 | Self::Hybi07 => "sec-websocket-origin",
        }
    }

    /// Whether data goes in the frames of RFC 6455 §5 ([`crate::connection`]); otherwise in those
    /// of [`crate::hixie76`].
    pub const fn is_framed(self) -> bool {
        !matches!(self, Self::Hixie76)
    }

    /// Whether there are binary messages.
    pub const fn has_binary(self) -> bool {
        self.is_framed()
    }

    /// Whether there are pings and pongs.
    pub const fn has_ping(self) -> bool {
        self.is_framed()
    }

    /// Whether a close says why: a code and a reason.
    pub const fn has_close_code(self) -> bool {
        self.is_framed()
    }

    /// Whether a message may go out in several frames.
    pub const fn has_fragments(self) -> bool {
        self.is_framed()
    }
}

impl fmt::Display for Version {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::Rfc6455 => "RFC 6455 (version 13)",
            Self::Hybi08 => "hybi draft 08 (version 8)",
            Self::Hybi07 => "hybi draft 07 (version 7)",
            Self::Hixie76 => "hixie draft 76 (version 0)",
        })
    }
}

/// Which versions a server speaks beyond 13, 8 and 7, which are always on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// [`Version::Hixie76`]. Default `false`: its clients can't be pinged nor told why they are
    /// closed, and its handshake is what later drafts were made to harden.
    pub hixie76: bool,
}

#[cfg(test)]
mod tests {
    use super::Version;

    const ALL: [Version; 4] =
        [Version::Rfc6455, Version::Hybi08, Version::Hybi07, Version::Hixie76];

    #[test]
    fn the_supported_list_names_what_is_spoken() {
        for item in Version::SUPPORTED.split(", ") {
            let version = Version::from_header(item.as_bytes()).expect("a listed version");
            assert_eq!(version.number().to_string(), item);
        }
        let listed = Version::SUPPORTED.split(", ").count();
        assert_eq!(listed, ALL.iter().filter(|version| version.is_framed()).count());
    }

    #[test]
    fn each_version_tells_its_number() {
        assert_eq!(ALL.map(Version::number), [13, 8, 7, 0]);
        for version in ALL {
            let number = format!("(version {})", version.number());
            assert!(version.to_string().ends_with(&number), "{version}");
        }
    }

    #[test]
    fn only_the_exact_number_counts() {
        for value in ["", "0", "6", "9", "12", "14", "013", "08", "+13", "13, 13", "13 ", "256"] {
            assert_eq!(Version::from_header(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn draft_76_can_do_text_alone() {
        for version in ALL {
            let framed = version != Version::Hixie76;
            assert_eq!(version.has_binary(), framed);
            assert_eq!(version.has_ping(), framed);
            assert_eq!(version.has_close_code(), framed);
            assert_eq!(version.has_fragments(), framed);
        }
    }
}
