//! Close codes and the payload of close frames (RFC 6455 §5.5.1, §7.4).
//!
//! Knows which codes may stand on the wire and how a reason is cut to fit; when to send a close
//! frame is the business of `connection`.

use crate::error::ProtocolError;
use crate::utf8;
use std::fmt;

/// The longest reason in bytes: a control frame's 125 less the code.
pub const MAX_REASON: usize = 123;

/// A close code that may be sent and received (RFC 6455 §7.4 and its IANA registry).
///
/// The reserved codes 1004, 1005, 1006 and 1015, undefined ones and those outside 1000–4999 can't
/// be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: the server is going down, or the browser leaves the page.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the peer broke the protocol.
    pub const PROTOCOL: Self = Self(1002);
    /// 1003: a type of data that can't be accepted.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1007: text that is not UTF-8, or data that does not inflate.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// 1008: a policy of this end was broken.
    pub const POLICY: Self = Self(1008);
    /// 1009: a message too big to process.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: something unexpected failed in this end.
    pub const INTERNAL: Self = Self(1011);
    /// 1012: the service restarts.
    pub const RESTART: Self = Self(1012);
    /// 1013: try again later.
    pub const TRY_AGAIN: Self = Self(1013);

    /// The code, if it is one that may stand in a close frame: 1000–1003, 1007–1014, 3000–4999.
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for CloseCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a close frame says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CloseFrame<'a> {
    /// The code; `None` where the payload was empty (1005 in other APIs).
    pub code: Option<CloseCode>,
    /// The reason, at most 123 bytes.
    pub reason: &'a str,
}

impl<'a> CloseFrame<'a> {
    /// Reads the payload of a close frame.
    pub fn parse(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        match payload {
            [] => Ok(Self { code: None, reason: "" }),
            [_] => Err(ProtocolError::CloseLength),
            [high, low, reason @ ..] => {
                let number = u16::from_be_bytes([*high, *low]);
                let code = CloseCode::new(number).ok_or(ProtocolError::CloseCode(number))?;
                let reason = utf8::check(reason).map_err(|_| ProtocolError::InvalidUtf8)?;
                Ok(Self { code: Some(code), reason })
            }
        }
    }

    /// The payload that says this; the reason is cut to 123 bytes on a character boundary.
    pub fn to_payload(self) -> Vec<u8> {
        let Some(code) = self.code else { return Vec::new() };
        let end = self.reason.floor_char_boundary(MAX_REASON);
        let mut payload = code.get().to_be_bytes().to_vec();
        payload.extend_from_slice(self.reason.get(..end).unwrap_or_default().as_bytes());
        payload
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc6455_section_7_4_which_codes_exist() {
        for number in 0..=u16::MAX {
            let allowed = matches!(number, 1000..=1003 | 1007..=1014 | 3000..=4999);
            assert_eq!(CloseCode::new(number).is_some(), allowed, "{number}");
        }
    }

    #[test]
    fn rfc6455_section_5_5_1_payloads() {
        assert_eq!(CloseFrame::parse(b""), Ok(CloseFrame { code: None, reason: "" }));
        assert_eq!(CloseFrame::parse(b"\x03"), Err(ProtocolError::CloseLength));
        let normal = CloseFrame { code: Some(CloseCode::NORMAL), reason: "bye" };
        assert_eq!(CloseFrame::parse(b"\x03\xe8bye"), Ok(normal));
        assert_eq!(normal.to_payload(), b"\x03\xe8bye");
        assert_eq!(CloseFrame::parse(b"\x03\xed"), Err(ProtocolError::CloseCode(1005)));
        assert_eq!(CloseFrame::parse(b"\x03\xe8\xff"), Err(ProtocolError::InvalidUtf8));
    }

    #[test]
    fn a_long_reason_is_cut_on_a_character_boundary() {
        let reason = "\u{20ac}".repeat(50);
        let payload = CloseFrame { code: Some(CloseCode::NORMAL), reason: &reason }.to_payload();
        assert_eq!(payload.len(), 2 + MAX_REASON);
        let reason = format!("a{reason}");
        let payload = CloseFrame { code: Some(CloseCode::NORMAL), reason: &reason }.to_payload();
        assert_eq!(payload.len(), 2 + 121);
        assert!(CloseFrame::parse(&payload).is_ok());
    }
}
