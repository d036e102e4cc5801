//! A client of draft-hixie-thewebsocketprotocol-76, made of the bytes that stand in the draft: no
//! library of today speaks it.

use super::raw::Raw;
use std::net::SocketAddr;

/// The handshake of the draft's §1.2, for a host and a path, with more header lines.
pub fn request(host: &str, path: &str, extra: &str) -> Vec<u8> {
    let head = format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n{extra}Upgrade: WebSocket\r\n\
         Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: http://example.com\r\n\r\n"
    );
    [head.as_bytes(), CHALLENGE].concat()
}

const CHALLENGE: &[u8] = b"^n:ds[4U";
/// What answers these keys and this challenge.
pub const DIGEST: &[u8] = b"8jKS'y:G*Co,Wxa-";

/// A frame of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    Text(String),
    Close,
}

pub struct Hixie {
    pub raw: Raw,
    /// The head of the 101.
    pub head: String,
}

impl Hixie {
    #[track_caller]
    pub fn open(address: SocketAddr, path: &str) -> Self {
        Self::over(Raw::connect(address), &request("localhost", path, ""))
    }

    #[track_caller]
    pub fn over(mut raw: Raw, request: &[u8]) -> Self {
        raw.send(request);
        let head = raw.head();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert_eq!(raw.bytes(DIGEST.len()), DIGEST);
        Self { raw, head }
    }

    #[track_caller]
    pub fn text(&mut self, text: &str) {
        self.raw.send(&[&[0], text.as_bytes(), &[0xff]].concat());
    }

    #[track_caller]
    pub fn close(&mut self) {
        self.raw.send(&[0xff, 0]);
    }

    #[track_caller]
    pub fn frame(&mut self) -> Frame {
        match self.raw.bytes(1)[0] {
            0xff => {
                assert_eq!(self.raw.bytes(1), [0]);
                Frame::Close
            }
            0 => {
                let mut text = Vec::new();
                loop {
                    match self.raw.bytes(1)[0] {
                        0xff => break Frame::Text(String::from_utf8(text).expect("UTF-8")),
                        byte => text.push(byte),
                    }
                }
            }
            other => panic!("no frame of draft 76 begins with {other:#04x}"),
        }
    }

    /// Reads a frame that must be a text.
    #[track_caller]
    pub fn heard(&mut self) -> String {
        match self.frame() {
            Frame::Text(text) => text,
            Frame::Close => panic!("expected a text, got a close"),
        }
    }
}
