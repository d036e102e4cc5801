//! Inflating a peer's messages, piece by piece and under a limit (RFC 7692 §7.2.2).

use super::decoder::{Block, Decoder, Pause};
use crate::error::ProtocolError;

/// What is inflated at once, in bytes: small enough for the first-level cache.
pub const CHUNK: usize = 16 * 1024;
/// Bytes on the wire that every message may spend beyond its share, whatever its limit.
const LEAST_OVERHEAD: u64 = 64 * 1024;

/// What the sender left out of the message (§7.2.1): the rest of an empty stored block.
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// Inflates the messages of one direction; its window is always 32 KiB.
///
/// Within a message a peer that agreed on a smaller window may refer further back all the same; to
/// earlier messages it may not, where [`Contexts`] call this.
///
/// [`Contexts`]: super::Contexts
#[derive(Debug)]
pub struct Inflater {
    decoder: Decoder,
    consumed: u64,
    produced: u64,
    /// Nothing came since the message began.
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
        Self { decoder: Decoder::new(), consumed: 0, produced: 0, fresh: true }
    }

    /// Forgets the history and an unfinished message.
    pub fn reset(&mut self) {
        self.decoder.reset();
        self.begin();
    }

    /// The bytes it occupies, the same at all times: 75 KiB, or 64 KiB where a [`Codecs`] lends it
    /// the rest for a message.
    ///
    /// [`Codecs`]: super::Codecs
    pub fn memory(&self) -> usize {
        size_of::<Self>() + self.decoder.memory()
    }

    /// What the next message may refer to, which is all there is to know; `None` in the midst of a
    /// message.
    pub(super) fn history(&self) -> Option<Box<[u8]>> {
        self.fresh.then(|| self.decoder.history().into())
    }

    /// Takes such a history for its own; it has none yet.
    pub(super) fn remember(&mut self, history: &[u8]) {
        self.decoder.remember(history);
    }

    /// Takes what it needs for a message, if it has not got it.
    pub(super) fn borrow(&mut self, spare: &mut Option<Box<Block>>) {
        let block = self.decoder.block();
        if block.is_none() {
            *block = spare.take();
        }
    }

    /// Gives it back unless a message is unfinished, and forgets what the sender's next one may not
    /// refer to, with a window of so many bytes.
    pub(super) fn give_back(&mut self, spare: &mut Option<Box<Block>>, window: usize) {
        if self.fresh {
            self.decoder.shorten_history(window);
            if let Some(block) = self.decoder.block().take() {
                spare.get_or_insert(block);
            }
        }
    }

    /// Inflates a piece of a message and hands `sink` what came out, [`CHUNK`] bytes at a time
    /// or up to 260 more; `fin` says that the message ends with this piece.
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
        sink: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        self.inflate_some(piece, limit, &mut { u64::MAX }, sink)?;
        if fin { self.finish() } else { Ok(()) }
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
        mut sink: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<usize, ProtocolError> {
        let most = limit.saturating_add(limit / 8).saturating_add(LEAST_OVERHEAD);
        let room = most.saturating_sub(self.consumed).min(piece.len() as u64) as usize;
        let (piece, excess) = piece.split_at_checked(room).unwrap_or_default();
        // Whatever is wrong with the bytes before those in excess counts first, as it would if they
        // had come by themselves.
        let used = self.feed(piece, limit, allowance, &mut sink)?;
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
        sink: &mut impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<usize, ProtocolError> {
        let total = piece.len();
        self.fresh &= piece.is_empty();
        let mut more = total > 0;
        while more {
            if *allowance == 0 && !piece.is_empty() {
                break;
            }
            let left = usize::try_from(limit.saturating_sub(self.produced)).unwrap_or(usize::MAX);
            let paused = self.decoder.read(&mut piece, CHUNK, left.saturating_add(1));
            let made = self.decoder.made();
            *allowance = allowance.saturating_sub(made.len() as u64);
            // What came out before a fault is judged before it, so that the verdict does not
            // depend on how the piece was cut.
            let kept = made.get(..left).unwrap_or(made);
            sink(kept)?;
            self.produced += kept.len() as u64;
            if kept.len() < made.len() {
                return Err(ProtocolError::MessageTooBig);
            }
            more = paused.map_err(|_| ProtocolError::InvalidDeflate)? == Pause::Full;
        }
        Ok(total - piece.len())
    }

    /// Ends the message where it must end: behind the header of an empty stored block, or, which
    /// is not as it should be but leaves no doubt, before all blocks or behind one with BFINAL.
    fn finish(&mut self) -> Result<(), ProtocolError> {
        if !self.fresh && !self.decoder.ended() {
            let read = self.decoder.read(&mut &TAIL[..], 1, 1);
            if read.is_err() || !self.decoder.made().is_empty() || !self.decoder.is_between_blocks()
            {
                return Err(ProtocolError::InvalidDeflate);
            }
        }
        self.begin();
        Ok(())
    }

    fn begin(&mut self) {
        (self.consumed, self.produced, self.fresh) = (0, 0, true);
    }
}
