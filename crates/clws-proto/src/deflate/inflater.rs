//! Inflating a peer's messages, piece by piece and under a limit (RFC 7692 §7.2.2).

use crate::error::ProtocolError;
use flate2::{Decompress, FlushDecompress, Status};

/// What is inflated at once, in bytes: small enough for the first-level cache.
pub const CHUNK: usize = 16 * 1024;
/// What an inflater's stream allocates: a 32 KiB window and the code tables.
const STREAM_SIZE: usize = 46 * 1024;
/// Bytes on the wire that every message may spend beyond its share, whatever its limit.
const LEAST_OVERHEAD: u64 = 64 * 1024;

/// What the sender left out of the message (§7.2.1), then two empty blocks.
///
/// The blocks change nothing where a message ended as it should. Where it was cut inside a block
/// they come out as data or as an error, which is how the cut is noticed.
const TAIL: [u8; 14] = [0, 0, 0xff, 0xff, 0, 0, 0, 0xff, 0xff, 0, 0, 0, 0xff, 0xff];

/// Inflates the messages of one direction; its window is always 32 KiB.
///
/// A peer that agreed on a smaller window is inflated all the same.
#[derive(Debug)]
pub struct Inflater {
    stream: Decompress,
    consumed: u64,
    produced: u64,
    /// Nothing came since the message began, or since a block with BFINAL ended.
    fresh: bool,
}

impl Default for Inflater {
    fn default() -> Self {
        Self::new()
    }
}

impl Inflater {
    /// An inflater without history. It allocates [`Self::memory`] bytes now and nothing later.
    pub fn new() -> Self {
        let stream = Decompress::new_with_window_bits(false, super::MAX_WINDOW_BITS);
        Self { stream, consumed: 0, produced: 0, fresh: true }
    }

    /// Forgets the history and an unfinished message.
    pub fn reset(&mut self) {
        // Only with the largest window does this reuse the memory.
        self.stream.reset(false);
        self.begin();
    }

    /// The bytes it occupies, the same at all times, give or take a twentieth.
    pub const fn memory(&self) -> usize {
        size_of::<Self>() + STREAM_SIZE
    }

    /// Inflates a piece of a message into `chunk` and hands `sink` what came out, at most
    /// [`CHUNK`] bytes at a time; `fin` says that the message ends with this piece.
    ///
    /// `limit` bounds the whole message in bytes; at most one byte more is inflated, and none of
    /// the excess reaches the sink. Afterwards the history is kept for the next message: call
    /// [`Self::reset`] in between where no context takeover was agreed, and after every error.
    ///
    /// # Errors
    ///
    /// `InvalidDeflate` for what is not DEFLATE data or ends inside a block, `MessageTooBig` above
    /// the limit or when the piece's own bytes exceed it by far, and whatever the sink returns.
    pub fn inflate(
        &mut self,
        piece: &[u8],
        fin: bool,
        limit: u64,
        chunk: &mut [u8; CHUNK],
        sink: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        self.inflate_some(piece, limit, &mut { u64::MAX }, chunk, sink)?;
        if fin { self.finish(chunk) } else { Ok(()) }
    }

    /// As [`Self::inflate`], but stops where `allowance` bytes came out, and says how many bytes
    /// of the piece were used; what is left belongs to the next call.
    ///
    /// What came out is taken off the allowance. The last chunk may exceed it, and when all of the
    /// piece is used so may what that leaves in the inflater, a few KiB: nothing is held back that
    /// no further byte would bring out.
    ///
    /// # Errors
    ///
    /// As [`Self::inflate`].
    pub fn inflate_some(
        &mut self,
        piece: &[u8],
        limit: u64,
        allowance: &mut u64,
        chunk: &mut [u8; CHUNK],
        mut sink: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<usize, ProtocolError> {
        let most = limit.saturating_add(limit / 8).saturating_add(LEAST_OVERHEAD);
        let room = most.saturating_sub(self.consumed).min(piece.len() as u64) as usize;
        let (piece, excess) = piece.split_at_checked(room).unwrap_or_default();
        // Whatever is wrong with the bytes before those in excess counts first, as it would if they
        // had come by themselves.
        let used = self.feed(piece, limit, allowance, chunk, &mut sink)?;
        self.consumed += used as u64;
        if used == piece.len() && !excess.is_empty() {
            return Err(ProtocolError::MessageTooBig);
        }
        Ok(used)
    }

    fn feed(
        &mut self,
        mut piece: &[u8],
        limit: u64,
        allowance: &mut u64,
        chunk: &mut [u8; CHUNK],
        sink: &mut impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<usize, ProtocolError> {
        let total = piece.len();
        let mut more = total > 0;
        while more {
            if *allowance == 0 && !piece.is_empty() {
                return Ok(total - piece.len());
            }
            let left = limit.saturating_sub(self.produced);
            let room = left.saturating_add(1).min(CHUNK as u64) as usize;
            let out = chunk.get_mut(..room).unwrap_or_default();
            self.fresh = false;
            let (used, made, status) = self.step(piece, out);
            piece = piece.get(used..).unwrap_or_default();
            *allowance = allowance.saturating_sub(made as u64);
            // What came out before a fault is judged before it, so that the verdict does not
            // depend on how the piece was cut.
            let kept = (made as u64).min(left);
            sink(out.get(..kept as usize).unwrap_or_default())?;
            self.produced += kept;
            if made as u64 > left {
                return Err(ProtocolError::MessageTooBig);
            }
            more = if status? == Status::StreamEnd {
                // BFINAL ends a DEFLATE stream, not the message (§7.2.3.4).
                self.stream.reset(false);
                self.fresh = true;
                !piece.is_empty()
            } else {
                made == room
            };
        }
        if piece.is_empty() { Ok(total) } else { Err(ProtocolError::InvalidDeflate) }
    }

    fn finish(&mut self, chunk: &mut [u8; CHUNK]) -> Result<(), ProtocolError> {
        // A message that is empty on the wire, or ends with BFINAL and without the octet after it,
        // is not as it should be but leaves no doubt.
        if !self.fresh {
            let (_, made, status) = self.step(&TAIL, chunk);
            if made > 0 || status? == Status::StreamEnd {
                return Err(ProtocolError::InvalidDeflate);
            }
        }
        self.begin();
        Ok(())
    }

    fn begin(&mut self) {
        (self.consumed, self.produced, self.fresh) = (0, 0, true);
    }

    /// One call of the stream: the bytes used, the bytes made, and what it says after those.
    fn step(
        &mut self,
        piece: &[u8],
        out: &mut [u8],
    ) -> (usize, usize, Result<Status, ProtocolError>) {
        let (read, written) = (self.stream.total_in(), self.stream.total_out());
        let status = self.stream.decompress(piece, out, FlushDecompress::Sync);
        let used = self.stream.total_in() - read;
        let made = self.stream.total_out() - written;
        (used as usize, made as usize, status.map_err(|_| ProtocolError::InvalidDeflate))
    }
}
