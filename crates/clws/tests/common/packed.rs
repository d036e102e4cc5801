//! A client that compresses (RFC 7692), with a codec that this project did not write.

use super::raw::{CONTINUATION, FIN, Raw};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};
use std::net::SocketAddr;

/// The bit that says "compressed", on a message's first frame.
pub const RSV1: u8 = 0x40;
/// What ends a flush and is left out of a message (RFC 7692 §7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// An offer without context takeover on either side.
pub const ALONE: &str =
    "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
/// An offer with context takeover on both sides.
pub const TAKEOVER: &str = "permessage-deflate";

/// A frame of the server as it is on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Piece {
    pub fin: bool,
    pub rsv1: bool,
    pub opcode: u8,
    pub payload: Vec<u8>,
}

/// A message of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub opcode: u8,
    pub compressed: bool,
    /// The payloads of its frames.
    pub wire: Vec<Vec<u8>>,
    pub content: Vec<u8>,
}

impl Said {
    /// The payloads of its frames, joined.
    pub fn joined(&self) -> Vec<u8> {
        self.wire.concat()
    }
}

pub struct Packed {
    pub raw: Raw,
    /// What the server agreed to.
    pub agreed: String,
    inflate: Decompress,
    deflate: Compress,
}

impl Packed {
    /// Connects with an offer, which the server must accept.
    #[track_caller]
    pub fn open(address: SocketAddr, path: &str, offer: &str) -> Self {
        Self::over(Raw::connect(address), path, offer)
    }

    #[track_caller]
    pub fn over(mut raw: Raw, path: &str, offer: &str) -> Self {
        let answer = raw.upgrade(path, &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
        let agreed = answer.header("Sec-WebSocket-Extensions").expect("an answer to the offer");
        let bits = bits(agreed, "client_max_window_bits").unwrap_or(15);
        Self {
            raw,
            agreed: agreed.to_owned(),
            inflate: Decompress::new(false),
            deflate: Compress::new_with_window_bits(Compression::new(6), false, bits),
        }
    }

    pub fn server_forgets(&self) -> bool {
        self.agreed.contains("server_no_context_takeover")
    }

    pub fn client_forgets(&self) -> bool {
        self.agreed.contains("client_no_context_takeover")
    }

    /// Reads the next frame, strictly but for RSV1.
    #[track_caller]
    pub fn piece(&mut self) -> Piece {
        let head = self.raw.bytes(2);
        let (first, second) = (head[0], head[1]);
        assert_eq!((first & 0x30, second & 0x80), (0, 0), "{head:x?}");
        let len = match second {
            126 => be(&self.raw.bytes(2)),
            127 => be(&self.raw.bytes(8)),
            short => usize::from(short),
        };
        Piece {
            fin: first & FIN != 0,
            rsv1: first & RSV1 != 0,
            opcode: first & 0x0f,
            payload: self.raw.bytes(len),
        }
    }

    /// Reads the next message, or the control frame that comes instead of it.
    #[track_caller]
    pub fn said(&mut self) -> Said {
        let first = self.piece();
        let (opcode, compressed, mut fin) = (first.opcode, first.rsv1, first.fin);
        assert!(opcode < 8 || !compressed, "a control frame is not compressed");
        let mut wire = vec![first.payload];
        while !fin {
            let next = self.piece();
            assert_eq!((next.opcode, next.rsv1), (CONTINUATION, false), "RSV1 only comes first");
            fin = next.fin;
            wire.push(next.payload);
        }
        let content = if compressed { self.inflated(&wire.concat()) } else { wire.concat() };
        Said { opcode, compressed, wire, content }
    }

    /// Reads a message that must be this one.
    #[track_caller]
    pub fn hears(&mut self, opcode: u8, content: &[u8]) -> Said {
        let said = self.said();
        assert_eq!(said.opcode, opcode);
        assert!(said.content == content, "{} bytes, not {}", said.content.len(), content.len());
        said
    }

    #[track_caller]
    fn inflated(&mut self, wire: &[u8]) -> Vec<u8> {
        if self.server_forgets() {
            self.inflate.reset(false);
        }
        let wire = [wire, &TAIL].concat();
        let start = self.inflate.total_in();
        let mut content = Vec::new();
        loop {
            content.reserve(16 * 1024);
            let used = (self.inflate.total_in() - start) as usize;
            let sync = FlushDecompress::Sync;
            self.inflate.decompress_vec(&wire[used..], &mut content, sync).expect("DEFLATE data");
            let all = (self.inflate.total_in() - start) as usize == wire.len();
            if all && content.len() < content.capacity() {
                return content;
            }
        }
    }

    /// Compresses a message as it was agreed.
    pub fn deflated(&mut self, message: &[u8]) -> Vec<u8> {
        if self.client_forgets() {
            self.deflate.reset();
        }
        let start = self.deflate.total_in();
        let mut wire = Vec::new();
        loop {
            wire.reserve(message.len() / 2 + 64);
            let used = (self.deflate.total_in() - start) as usize;
            let sync = FlushCompress::Sync;
            self.deflate.compress_vec(&message[used..], &mut wire, sync).expect("compressible");
            let all = (self.deflate.total_in() - start) as usize == message.len();
            if all && wire.len() < wire.capacity() {
                break;
            }
        }
        if wire.is_empty() {
            // A flush of nothing right after a flush makes nothing; RFC 7692 §7.2.3.6 has this.
            return vec![0];
        }
        assert!(wire.ends_with(&TAIL));
        wire.truncate(wire.len() - TAIL.len());
        wire
    }

    /// Sends a message compressed, in one frame.
    #[track_caller]
    pub fn say(&mut self, opcode: u8, message: &[u8]) {
        let wire = self.deflated(message);
        self.raw.send_frame(FIN | RSV1 | opcode, &wire);
    }

    /// Sends a message compressed, in so many frames.
    #[track_caller]
    pub fn say_in(&mut self, frames: usize, opcode: u8, message: &[u8]) {
        let wire = self.deflated(message);
        let size = wire.len().div_ceil(frames).max(1);
        let last = wire.chunks(size).count() - 1;
        for (index, piece) in wire.chunks(size).enumerate() {
            let fin = if index == last { FIN } else { 0 };
            let first = if index == 0 { RSV1 | opcode } else { CONTINUATION };
            self.raw.send_frame(fin | first, piece);
        }
    }
}

fn be(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |number, byte| number << 8 | usize::from(*byte))
}

/// The value of a parameter of what was agreed.
fn bits(agreed: &str, name: &str) -> Option<u8> {
    let (_, rest) = agreed.split_once(name)?;
    rest.strip_prefix('=')?.split(';').next()?.trim().parse().ok()
}
