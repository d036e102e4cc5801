//! Who owns inflaters and deflaters: the worker, except where a connection must keep its own.

use super::decoder::Block;
use super::{Agreed, Deflater, Inflater, MIN_WINDOW_BITS, Side};
use crate::error::ProtocolError;

/// Spare inflaters and deflaters.
///
/// It belongs to a worker. Where no context takeover was agreed, connections borrow from it for
/// one message; what they give back has forgotten whose data it saw.
#[derive(Debug)]
#[expect(clippy::vec_box, reason = "the boxes move to connections and back as they are")]
pub struct Codecs {
    level: u8,
    inflaters: Vec<Box<Inflater>>,
    /// What inflaters that belong to connections are lent for a message.
    block: Option<Box<Block>>,
    deflaters: Vec<Box<Deflater>>,
    /// How many of each were not lent since [`Self::retire`].
    idle: (usize, usize),
    kept: usize,
    max_kept: usize,
}

impl Codecs {
    /// Compresses at `level`, 0 to 9, and keeps spares of at most `max_kept` bytes, and 11 KiB
    /// besides; 1 MiB serves a worker well.
    pub fn new(level: u8, max_kept: usize) -> Self {
        let (inflaters, deflaters) = (Vec::new(), Vec::new());
        Self { level, inflaters, block: None, deflaters, idle: (0, 0), kept: 0, max_kept }
    }

    /// The bytes of the spares it keeps now.
    pub fn kept(&self) -> usize {
        self.kept
    }

    /// Frees as many as were spare all the time since this was called last.
    pub fn retire(&mut self) {
        let idle = self.idle.0.min(self.inflaters.len());
        self.kept -= self.inflaters.drain(..idle).map(|spare| spare.memory()).sum::<usize>();
        let idle = self.idle.1.min(self.deflaters.len());
        self.kept -= self.deflaters.drain(..idle).map(|spare| spare.memory()).sum::<usize>();
        self.idle = (self.inflaters.len(), self.deflaters.len());
    }

    /// Appends a message compressed on its own, for every connection whose
    /// [`Contexts::shared_window_bits`] are these or more: [`Deflater::deflate`] without takeover.
    pub fn deflate(&mut self, window_bits: u8, message: &[u8], out: &mut Vec<u8>) -> bool {
        if window_bits < MIN_WINDOW_BITS {
            return false;
        }
        let mut deflater = self.take_deflater(window_bits);
        let done = deflater.deflate(message, false, out);
        self.give_deflater(deflater);
        done
    }

    fn take_inflater(&mut self) -> Box<Inflater> {
        let spare = self.inflaters.pop();
        self.idle.0 = self.idle.0.min(self.inflaters.len());
        self.kept -= spare.as_ref().map_or(0, |spare| spare.memory());
        spare.unwrap_or_default()
    }

    fn give_inflater(&mut self, mut inflater: Box<Inflater>) {
        if self.make_room(inflater.memory()) {
            inflater.reset();
            self.kept += inflater.memory();
            self.inflaters.push(inflater);
        }
    }

    fn take_deflater(&mut self, window_bits: u8) -> Box<Deflater> {
        let found = self.deflaters.iter().rposition(|spare| spare.window_bits() == window_bits);
        let Some(index) = found else {
            return Box::new(Deflater::new(self.level, window_bits));
        };
        let spare = self.deflaters.remove(index);
        self.idle.1 = self.idle.1.min(self.deflaters.len());
        self.kept -= spare.memory();
        spare
    }

    fn give_deflater(&mut self, mut deflater: Box<Deflater>) {
        if self.make_room(deflater.memory()) {
            deflater.reset();
            self.kept += deflater.memory();
            self.deflaters.push(deflater);
        }
    }

    /// Frees the deflaters that waited longest until so many bytes may be added; a window that
    /// few clients agree on can't keep the others' out.
    fn make_room(&mut self, bytes: usize) -> bool {
        while self.kept + bytes > self.max_kept && !self.deflaters.is_empty() {
            let oldest = self.deflaters.remove(0);
            self.kept -= oldest.memory();
        }
        self.kept + bytes <= self.max_kept
    }
}

/// What one connection holds of permessage-deflate once it was agreed: a few bytes while idle.
///
/// It owns an inflater between the pieces of a message, and an inflater or a deflater for longer
/// where context takeover was agreed for that direction (§7.1.1), from its first message on. Where
/// [`Self::retire`] is called, all that is left of one that is not in use is its history.
#[derive(Debug)]
pub struct Contexts {
    inflater: Kept<Inflater>,
    deflater: Kept<Deflater>,
    inflate_takeover: bool,
    deflate_takeover: bool,
    inflate_bits: u8,
    deflate_bits: u8,
    /// Nothing was inflated or deflated since the last [`Self::retire`].
    idle: bool,
}

/// What a connection keeps of an inflater or a deflater.
#[derive(Debug, Default)]
enum Kept<T> {
    #[default]
    Nothing,
    Whole(Box<T>),
    History(Box<History>),
}

/// What it takes to go on. In a box, as nearly all connections have none.
#[derive(Debug)]
struct History(Box<[u8]>);

impl<T> Kept<T> {
    /// Takes it whole: a `spare` one, without history, where there is none, and made to `remember`
    /// where only the history is left.
    fn take(&mut self, spare: impl FnOnce() -> Box<T>, remember: fn(&mut T, &[u8])) -> Box<T> {
        match std::mem::take(self) {
            Self::Nothing => spare(),
            Self::Whole(whole) => whole,
            Self::History(history) => {
                let mut whole = spare();
                remember(&mut whole, &history.0);
                whole
            }
        }
    }

    fn memory(&self, of: impl Fn(&T) -> usize) -> usize {
        match self {
            Self::Nothing => 0,
            Self::Whole(whole) => of(whole),
            Self::History(history) => size_of::<History>() + history.0.len(),
        }
    }

    /// Frees all but the history, where there is one to be had.
    fn pack(&mut self, history: impl Fn(&T) -> Option<Box<[u8]>>) {
        if let Self::Whole(whole) = self
            && let Some(history) = history(whole)
        {
            *self = Self::History(Box::new(History(history)));
        }
    }
}

impl Contexts {
    /// The contexts of this side of a connection that agreed so.
    pub fn new(agreed: &Agreed, side: Side) -> Self {
        let server = (!agreed.server_no_context_takeover(), agreed.server_max_window_bits());
        let client = (!agreed.client_no_context_takeover(), agreed.client_max_window_bits());
        let ((deflate_takeover, deflate_bits), (inflate_takeover, inflate_bits)) = match side {
            Side::Server => (server, client),
            Side::Client => (client, server),
        };
        Self {
            inflater: Kept::Nothing,
            deflater: Kept::Nothing,
            inflate_takeover,
            deflate_takeover,
            inflate_bits,
            deflate_bits,
            idle: false,
        }
    }

    /// The window to compress with when every message is compressed on its own, in bits of its
    /// size; `None` with context takeover. A message to many such connections is compressed once,
    /// by [`Codecs::deflate`].
    pub fn shared_window_bits(&self) -> Option<u8> {
        (!self.deflate_takeover).then_some(self.deflate_bits)
    }

    /// The bytes of the inflater and the deflater it owns now, or of their histories.
    pub fn memory(&self) -> usize {
        self.inflater.memory(Inflater::memory) + self.deflater.memory(Deflater::memory)
    }

    /// Whether that is none: no history, and no message unfinished.
    #[inline]
    pub fn is_empty(&self) -> bool {
        matches!((&self.inflater, &self.deflater), (Kept::Nothing, Kept::Nothing))
    }

    /// Frees all but the histories if nothing was inflated or deflated since this was called last.
    /// To be called every few seconds: to go on from a history takes up to 50 µs.
    ///
    /// A history has as many bytes as came or went, but no more than the agreed window; of a peer
    /// that agreed to 256 bytes it is 512, as there are some that can't do with less. An inflater
    /// in the midst of a message stays whole, and so does a deflater of another level than 1.
    pub fn retire(&mut self) {
        if std::mem::replace(&mut self.idle, true) {
            self.inflater.pack(Inflater::history);
            self.deflater.pack(Deflater::history);
        }
    }

    /// Whether [`Self::retire`] may have something to free, now or when it is called again.
    #[inline]
    pub fn has_spares(&self) -> bool {
        matches!(self.inflater, Kept::Whole(_))
            || matches!(&self.deflater, Kept::Whole(deflater) if deflater.has_history())
    }

    /// Inflates a piece of a message: [`Inflater::inflate`]. After an error the connection has
    /// failed and nothing more may be inflated.
    pub fn inflate(
        &mut self,
        piece: &[u8],
        fin: bool,
        limit: u64,
        codecs: &mut Codecs,
        sink: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<(), ProtocolError> {
        let done = fin && !self.inflate_takeover;
        self.lend(codecs, done, |inflater| inflater.inflate(piece, fin, limit, sink))
    }

    /// Inflates as much of a piece as is allowed: [`Inflater::inflate_some`]. After an error
    /// as after one of [`Self::inflate`].
    pub fn inflate_some(
        &mut self,
        piece: &[u8],
        limit: u64,
        allowance: &mut u64,
        codecs: &mut Codecs,
        sink: impl FnMut(&[u8]) -> Result<(), ProtocolError>,
    ) -> Result<usize, ProtocolError> {
        self.lend(codecs, false, |inflater| inflater.inflate_some(piece, limit, allowance, sink))
    }

    /// Lends `work` an inflater, which goes back when it is `done` or has failed.
    fn lend<T>(
        &mut self,
        codecs: &mut Codecs,
        done: bool,
        work: impl FnOnce(&mut Inflater) -> Result<T, ProtocolError>,
    ) -> Result<T, ProtocolError> {
        self.idle = false;
        let mut inflater = self.inflater.take(|| codecs.take_inflater(), Inflater::remember);
        inflater.borrow(&mut codecs.block);
        let result = work(&mut inflater);
        if done || result.is_err() {
            codecs.give_inflater(inflater);
        } else {
            inflater.give_back(&mut codecs.block, 1 << self.inflate_bits.max(MIN_WINDOW_BITS));
            self.inflater = Kept::Whole(inflater);
        }
        result
    }

    /// Appends the compressed message to `out`: [`Deflater::deflate`]; `false` when the message is
    /// to be sent as it is.
    ///
    /// What was compressed must be sent, in this order, or the peer loses its history.
    pub fn deflate(&mut self, message: &[u8], codecs: &mut Codecs, out: &mut Vec<u8>) -> bool {
        if !self.deflate_takeover {
            return codecs.deflate(self.deflate_bits, message, out);
        }
        if self.deflate_bits < MIN_WINDOW_BITS {
            return false;
        }
        self.idle = false;
        let spare = || codecs.take_deflater(self.deflate_bits);
        let mut deflater = self.deflater.take(spare, Deflater::remember);
        let done = deflater.deflate(message, true, out);
        self.deflater = Kept::Whole(deflater);
        done
    }

    /// Gives back what it owns; for a connection that ends.
    pub fn release(&mut self, codecs: &mut Codecs) {
        if let Kept::Whole(inflater) = std::mem::take(&mut self.inflater) {
            codecs.give_inflater(inflater);
        }
        if let Kept::Whole(deflater) = std::mem::take(&mut self.deflater) {
            codecs.give_deflater(deflater);
        }
    }
}
