//! What draft-hixie-thewebsocketprotocol-76 (hybi-00) asks and answers in its own way (§5.2).
//!
//! The client hides two numbers in two headers and sends 8 bytes behind its header block; the
//! server answers with the MD5 of all three, and repeats the origin and the URL it was asked for.
//! Sections named here are the draft's.

use core::fmt;

use md5::{Digest, Md5};

use super::refusal::Refusal;
use super::request::Request;
use super::response::push;

/// The two headers that hide a number.
pub(super) const KEYS: [&str; 2] = ["sec-websocket-key1", "sec-websocket-key2"];

/// What the 101 to a request of draft 76 says.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Answer {
    origin: Vec<u8>,
    /// The URL without its scheme.
    location: String,
    digest: [u8; 16],
}

impl Answer {
    /// Checks the keys (§5.2, steps 4 to 9) and prepares the answer.
    pub(super) fn to(request: &Request) -> Result<Self, Refusal> {
        let Some(challenge) = request.challenge() else {
            return Err(Refusal::bad_draft(
                "draft 76 isn't spoken here, only versions 13, 8 and 7",
            ));
        };
        let mut md5 = Md5::new();
        for name in KEYS {
            let part = read_key(request, name).map_err(Refusal::bad_draft)?;
            md5.update(part.to_be_bytes());
        }
        md5.update(challenge);
        // A client fails the connection unless there is exactly one origin in the answer, so
        // one that sent none is given the origin that is none.
        let origin = request.origin().unwrap_or(b"null").to_vec();
        // Only HTTP/1.0, refused before, comes without a host.
        let host = request.host().unwrap_or_default();
        let mut location = [host, request.path()].concat();
        if let Some(query) = request.query() {
            location.push('?');
            location.push_str(query);
        }
        Ok(Self { origin, location, digest: md5.finalize().into() })
    }

    /// Appends the status line and the headers that are always there (§5.2, step 10).
    ///
    /// Host, target and origin were checked when the request was read: none holds a line end.
    pub(super) fn write_headers(&self, tls: bool, out: &mut Vec<u8>) {
        push(out, &["HTTP/1.1 101 WebSocket Protocol Handshake\r\n"]);
        push(out, &["Upgrade: WebSocket\r\nConnection: Upgrade\r\nSec-WebSocket-Origin: "]);
        out.extend_from_slice(&self.origin);
        let scheme = if tls { "wss" } else { "ws" };
        push(out, &["\r\nSec-WebSocket-Location: ", scheme, "://", &self.location, "\r\n"]);
    }

    /// What follows the header block.
    pub(super) const fn digest(&self) -> &[u8; 16] {
        &self.digest
    }
}

impl fmt::Debug for Answer {
    /// The URL's query may hold tokens, so it is left out.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Answer").finish_non_exhaustive()
    }
}

fn read_key(request: &Request, name: &str) -> Result<u32, &'static str> {
    match request.fields().single(name) {
        Ok(Some(key)) => key_part(key),
        Ok(None) => Err("a key of the draft is missing"),
        Err(_) => Err("a key of the draft is repeated"),
    }
}

/// The number a key hides: its digits as one number, divided by its spaces (§5.2, steps 4 to 7).
/// Every other character is chaff.
fn key_part(key: &[u8]) -> Result<u32, &'static str> {
    const NO_NUMBER: &str = "a key of the draft holds no 32-bit number";
    let mut number = None;
    let mut spaces = 0_u32;
    for &byte in key {
        match byte {
            b'0'..=b'9' => {
                let shifted = number.unwrap_or(0_u32).checked_mul(10);
                let longer = shifted.and_then(|n| n.checked_add(u32::from(byte - b'0')));
                number = Some(longer.ok_or(NO_NUMBER)?);
            }
            b' ' => spaces += 1,
            _ => {}
        }
    }
    let number = number.ok_or(NO_NUMBER)?;
    match number.checked_rem(spaces) {
        // §5.2, step 5: a sign of an attack with another protocol's request.
        None => Err("a key of the draft holds no space"),
        Some(0) => Ok(number / spaces),
        Some(_) => Err("a key of the draft is no multiple of its spaces"),
    }
}

#[cfg(test)]
mod tests {
    use super::key_part;

    /// §5.2.
    #[test]
    fn the_sample_keys_hide_the_sample_numbers() {
        assert_eq!(key_part(b"3e6b263  4 17 80"), Ok(906_585_445));
        assert_eq!(key_part(b"17  9 G`ZD9   2 2b 7X 3 /r90"), Ok(179_922_739));
        assert_eq!(key_part(b"4 @1  46546xW%0l 1 5"), Ok(829_309_203));
        assert_eq!(key_part(b"12998 5 Y3 1  .P00"), Ok(259_970_620));
    }

    #[test]
    fn numbers_reach_to_32_bits_and_no_further() {
        assert_eq!(key_part(b"4294967295 x"), Ok(u32::MAX));
        assert_eq!(key_part(b"0 x"), Ok(0));
        for key in [&b"4294967296 x"[..], b"99999999999999999999999 x", b"x y", b"", b" "] {
            assert!(key_part(key).is_err_and(|reason| reason.contains("number")), "{key:?}");
        }
    }

    #[test]
    fn a_key_needs_spaces_that_divide_its_number() {
        assert!(key_part(b"123").is_err_and(|reason| reason.contains("no space")));
        assert!(key_part(b"1 2 3").is_err_and(|reason| reason.contains("multiple")));
        assert_eq!(key_part(b"1 2 4"), Ok(62));
    }
}
