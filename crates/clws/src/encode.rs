//! A message in the wire form of its client: plain frames, compressed frames, or draft 76.
//!
//! Versions 13, 8 and 7 share one form. Compressing without context takeover needs nothing of the
//! client, so the sending thread does it, with compressors of its own.

use clws_proto::copy;
use clws_proto::deflate::{Agreed, Codecs, Contexts, Side};
use clws_proto::frame::{FrameHeader, OpCode};
use clws_proto::hixie76;
use clws_proto::version::Version;
use std::cell::RefCell;

/// The most memory of spare compressors that a sending thread keeps, in bytes.
const MAX_SPARE: usize = 1024 * 1024;

/// What a client agreed on, as far as senders must know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deflating {
    /// The window every message is compressed with on its own; `None` where the peer keeps the
    /// history of earlier messages.
    pub(crate) window_bits: Option<u8>,
    pub(crate) min_size: usize,
    pub(crate) level: u8,
}

impl Deflating {
    pub(crate) fn new(agreed: Agreed, min_size: usize, level: u8) -> Self {
        let window_bits = Contexts::new(&agreed, Side::Server).shared_window_bits();
        Self { window_bits, min_size, level }
    }
}

/// How a message is encoded; clients of equal form get equal bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Hixie76,
    Deflated {
        window_bits: u8,
        level: u8,
    },
    /// Compressed with the client's own history.
    Takeover,
}

impl Form {
    #[inline]
    pub(crate) fn of(
        version: Version,
        deflate: Option<&Deflating>,
        opcode: OpCode,
        len: usize,
        compress: bool,
    ) -> Self {
        if !version.is_framed() {
            return Self::Hixie76;
        }
        match deflate {
            Some(deflating) if compress && len >= deflating.min_size && !opcode.is_control() => {
                match deflating.window_bits {
                    Some(window_bits) => Self::Deflated { window_bits, level: deflating.level },
                    None => Self::Takeover,
                }
            }
            _ => Self::Plain,
        }
    }

    /// Appends the message's frames; a message that is to be compressed with its client's own
    /// history is written as it is, which that client may read too.
    pub(crate) fn write(
        self,
        opcode: OpCode,
        payload: &[u8],
        frame_size: Option<usize>,
        out: &mut Vec<u8>,
    ) {
        match self {
            Self::Hixie76 => hixie76::write_text(out, &String::from_utf8_lossy(payload)),
            Self::Plain | Self::Takeover => write_frames(opcode, payload, false, frame_size, out),
            Self::Deflated { window_bits, level } => {
                with_compressor(level, |codecs, compressed| {
                    if codecs.deflate(window_bits, payload, compressed) {
                        write_frames(opcode, compressed, true, frame_size, out);
                    } else {
                        write_frames(opcode, payload, false, frame_size, out);
                    }
                });
            }
        }
    }
}

/// What a message is counted as before it is encoded: its length in one plain frame.
pub(crate) fn plain_len(payload: &[u8]) -> usize {
    FrameHeader::new(OpCode::Binary, payload.len()).encoded_len() + payload.len()
}

/// Appends the message's frames, compressed with the client's own history.
pub(crate) fn write_takeover(
    contexts: &mut Contexts,
    level: u8,
    opcode: OpCode,
    payload: &[u8],
    frame_size: Option<usize>,
    out: &mut Vec<u8>,
) {
    with_compressor(level, |codecs, compressed| {
        let shrunk = contexts.deflate(payload, codecs, compressed);
        let payload = if shrunk { &compressed[..] } else { payload };
        write_frames(opcode, payload, shrunk, frame_size, out);
    });
}

/// Appends a message in frames of at most `frame_size` bytes of payload (RFC 6455 §5.4). RSV1
/// stands on the first (RFC 7692 §6.1).
fn write_frames(
    opcode: OpCode,
    payload: &[u8],
    rsv1: bool,
    frame_size: Option<usize>,
    out: &mut Vec<u8>,
) {
    let size = frame_size.unwrap_or(usize::MAX).max(1);
    let mut rest = payload;
    let mut opcode_now = opcode;
    loop {
        let (piece, after) = rest.split_at(rest.len().min(size));
        let header = FrameHeader {
            fin: after.is_empty(),
            rsv1: rsv1 && opcode_now == opcode,
            ..FrameHeader::new(opcode_now, piece.len())
        };
        header.write(out);
        copy::append(out, piece);
        if after.is_empty() {
            return;
        }
        rest = after;
        opcode_now = OpCode::Continuation;
    }
}

/// What a thread compresses with: one for each level it was asked for, nearly always one.
#[derive(Default)]
struct Compressors {
    by_level: Vec<(u8, Codecs)>,
    buffer: Vec<u8>,
}

thread_local! {
    static COMPRESSORS: RefCell<Compressors> = RefCell::default();
}

fn with_compressor(level: u8, work: impl FnOnce(&mut Codecs, &mut Vec<u8>)) {
    COMPRESSORS.with_borrow_mut(|Compressors { by_level, buffer }| {
        let known = by_level.iter().position(|(one, _)| *one == level);
        let index = known.unwrap_or_else(|| {
            by_level.push((level, Codecs::new(level, MAX_SPARE)));
            by_level.len() - 1
        });
        buffer.clear();
        if let Some((_, codecs)) = by_level.get_mut(index) {
            work(codecs, buffer);
        }
        if buffer.capacity() > MAX_SPARE {
            *buffer = Vec::new();
        }
    });
}
