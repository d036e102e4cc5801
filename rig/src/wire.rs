//! Bytes of a client: requests, masked frames, and the frames a server answers with.
//!
//! Written out here rather than taken from the library, so that no side is checked against its own
//! code. Nothing stops a caller from sending what is wrong.

use std::net::SocketAddr;

pub(crate) const TEXT: u8 = 0x81;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8A;
/// RSV1 of the first byte: the payload is compressed.
pub(crate) const COMPRESSED: u8 = 0x40;

const MASK: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

/// An opening handshake for `path`, with further header lines that each end in CR LF.
pub(crate) fn request(address: SocketAddr, path: &str, headers: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
    )
    .into_bytes()
}

/// Appends a masked frame: its first byte as it stands, then the shortest length.
pub(crate) fn push(out: &mut Vec<u8>, first: u8, payload: &[u8]) {
    push_header(out, first, payload.len() as u64);
    out.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, key)| byte ^ key));
}

/// Appends the header alone, of a frame that may never come whole.
pub(crate) fn push_header(out: &mut Vec<u8>, first: u8, length: u64) {
    out.push(first);
    match length {
        0..=125 => out.push(0x80 | length as u8),
        126..=0xFFFF => {
            out.push(0xFE);
            out.extend_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            out.push(0xFF);
            out.extend_from_slice(&length.to_be_bytes());
        }
    }
    out.extend_from_slice(&MASK);
}

pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + 14);
    push(&mut out, first, payload);
    out
}

/// A frame from a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) first: u8,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The code of a close frame.
    pub(crate) fn close_code(&self) -> Option<u16> {
        let code = self.payload.get(..2)?;
        (self.first == CLOSE).then(|| u16::from_be_bytes([code[0], code[1]]))
    }
}

/// What came from a server and was not read yet: an answer first, then frames.
#[derive(Debug, Default)]
pub(crate) struct Reader {
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        if self.at == self.bytes.len() {
            self.bytes.clear();
            self.at = 0;
        } else if self.at > 64 * 1024 {
            self.bytes.drain(..self.at);
            self.at = 0;
        }
        self.bytes.extend_from_slice(bytes);
    }

    /// The status of a whole answer, which is taken; a body is left where it is.
    pub(crate) fn status(&mut self) -> Option<u16> {
        let rest = &self.bytes[self.at..];
        let end = rest.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let status = rest.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
        self.at += end;
        Some(status.and_then(|digits| digits.parse().ok()).unwrap_or(0))
    }

    pub(crate) fn frame(&mut self) -> Option<Frame> {
        let rest = &self.bytes[self.at..];
        let (first, short) = (*rest.first()?, *rest.get(1)?);
        let (header, length) = match short {
            126 => (4, u64::from(u16::from_be_bytes(rest.get(2..4)?.try_into().ok()?))),
            127 => (10, u64::from_be_bytes(rest.get(2..10)?.try_into().ok()?)),
            _ => (2, u64::from(short & 0x7F)),
        };
        let payload = rest.get(header..header + length as usize)?.to_vec();
        self.at += header + payload.len();
        if self.at == self.bytes.len() && self.bytes.capacity() > 64 * 1024 {
            *self = Self::default();
        }
        Some(Frame { first, payload })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_however_they_come() {
        let mut reader = Reader::default();
        let bytes =
            [&b"HTTP/1.1 101 x\r\n\r\n"[..], &[0x81, 2], b"hi", &[0x88, 2, 3, 0xE8]].concat();
        let mut seen = Vec::new();
        let mut status = None;
        for byte in bytes {
            reader.feed(&[byte]);
            status = status.or_else(|| reader.status());
            seen.extend(status.and_then(|_| reader.frame()));
        }
        assert_eq!(status, Some(101));
        assert_eq!(seen[0], Frame { first: TEXT, payload: b"hi".to_vec() });
        assert_eq!((seen.len(), seen[1].close_code()), (2, Some(1000)));
    }

    #[test]
    fn a_masked_frame_is_that_of_the_rfc() {
        let hello = [0x81, 0x85, 0x37, 0xFA, 0x21, 0x3D, 0x7F, 0x9F, 0x4D, 0x51, 0x58];
        assert_eq!(frame(TEXT, b"Hello"), hello);
        assert_eq!(frame(BINARY, &[0; 256])[..4], [0x82, 0xFE, 1, 0]);
        assert_eq!(frame(BINARY, &vec![0; 65536])[..10], [0x82, 0xFF, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}
