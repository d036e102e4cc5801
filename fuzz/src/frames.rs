//! Frames that are nearly legal, so that the fuzzer gets past the first header.

use arbitrary::Arbitrary;
use clws_proto::frame::{FrameHeader, OpCode};
use clws_proto::mask;

/// The longest stream, in bytes: enough for every limit to be passed.
pub const MAX_STREAM: usize = 24 * 1024;

/// A peer's bytes, of any kind or made of frames.
#[derive(Arbitrary, Debug)]
pub enum Stream {
    Raw(Vec<u8>),
    Frames(Vec<Frame>),
}

#[derive(Arbitrary, Debug)]
pub struct Frame {
    pub fin: bool,
    pub kind: Kind,
    pub key: [u8; 4],
    pub payload: Payload,
    /// A frame often stands several times, so that counts and sums grow.
    pub times: u16,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
pub enum Kind {
    Continuation,
    Text,
    Binary,
    Close,
    Ping,
    Pong,
}

#[derive(Arbitrary, Debug)]
pub enum Payload {
    Bytes(Vec<u8>),
    Text(String),
    Run(u8, u16),
    Close(u16, String),
}

impl From<Kind> for OpCode {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Continuation => Self::Continuation,
            Kind::Text => Self::Text,
            Kind::Binary => Self::Binary,
            Kind::Close => Self::Close,
            Kind::Ping => Self::Ping,
            Kind::Pong => Self::Pong,
        }
    }
}

impl Payload {
    pub fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.clone(),
            Self::Text(text) => text.clone().into_bytes(),
            Self::Run(byte, len) => vec![*byte; usize::from(*len) % MAX_STREAM],
            Self::Close(code, reason) => [&code.to_be_bytes(), reason.as_bytes()].concat(),
        }
    }
}

impl Frame {
    fn write(&self, masked: bool, out: &mut Vec<u8>) {
        let mut payload = self.payload.bytes();
        let mut header = FrameHeader::new(self.kind.into(), payload.len());
        header.fin = self.fin;
        if masked {
            header.mask = Some(self.key);
            mask::apply(self.key, &mut payload);
        }
        for _ in 0..self.times % 1200 + 1 {
            if out.len() + payload.len() > MAX_STREAM {
                break;
            }
            header.write(out);
            out.extend_from_slice(&payload);
        }
    }
}

impl Stream {
    /// The bytes, masked as a client's where that is wanted.
    pub fn bytes(&self, masked: bool) -> Vec<u8> {
        match self {
            Self::Raw(bytes) => bytes.clone(),
            Self::Frames(frames) => {
                let mut out = Vec::new();
                frames.iter().for_each(|frame| frame.write(masked, &mut out));
                out
            }
        }
    }
}
