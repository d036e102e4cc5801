//! Compressing whole messages (RFC 7692 §7.2.1).

use super::quick::Quick;
use super::{MAX_WINDOW_BITS, MIN_WINDOW_BITS};
use flate2::{Compress, Compression, FlushCompress};

/// What a flush ends with and the message is sent without (§7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];
/// Room that a flush always fits into, so that none is repeated.
const ROOM: usize = 64;
/// What zlib's stream allocates whatever its window: hash heads, symbols, pending output.
const FIXED_SIZE: usize = 244 * 1024;

/// Compresses the messages of one direction.
#[derive(Debug)]
pub struct Deflater {
    engine: Engine,
    window_bits: u8,
    /// There is history, or a message that was given up.
    used: bool,
}

#[derive(Debug)]
enum Engine {
    /// Level 1.
    Quick(Quick),
    /// The others.
    Zlib(Compress),
}

impl Deflater {
    /// A deflater without history: `level` 0 to 9, a window of 9 to 15 bits; what lies outside is
    /// taken as the nearest. It allocates [`Self::memory`] bytes now and nothing later.
    pub fn new(level: u8, window_bits: u8) -> Self {
        let window_bits = window_bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS);
        let engine = if level == 1 {
            Engine::Quick(Quick::new(window_bits))
        } else {
            let level = Compression::new(level.min(9).into());
            Engine::Zlib(Compress::new_with_window_bits(level, false, window_bits))
        };
        Self { engine, window_bits, used: false }
    }

    /// The window in bits of its size.
    pub fn window_bits(&self) -> u8 {
        self.window_bits
    }

    /// The bytes it occupies, the same at all times, give or take a twentieth: 96 KiB with level 1;
    /// with the others from 246 KiB with a window of 9 bits to 372 KiB with one of 15.
    pub const fn memory(&self) -> usize {
        let allocated = match self.engine {
            Engine::Quick(_) => Quick::memory(),
            Engine::Zlib(_) => FIXED_SIZE + (4 << self.window_bits),
        };
        size_of::<Self>() + allocated
    }

    /// Forgets the history.
    pub fn reset(&mut self) {
        if std::mem::take(&mut self.used) {
            match &mut self.engine {
                Engine::Quick(quick) => quick.forget(),
                Engine::Zlib(stream) => stream.reset(),
            }
        }
    }

    /// The history, no longer than the window; `None` where it can't be had, which is with every
    /// level but 1.
    pub(super) fn history(&self) -> Option<Box<[u8]>> {
        match &self.engine {
            Engine::Quick(quick) => Some(quick.history()),
            Engine::Zlib(_) => None,
        }
    }

    /// Whether [`Self::history`] can be had.
    pub(super) fn has_history(&self) -> bool {
        matches!(self.engine, Engine::Quick(_))
    }

    /// Goes on behind such a history.
    pub(super) fn remember(&mut self, history: &[u8]) {
        if let Engine::Quick(quick) = &mut self.engine {
            quick.remember(history);
            self.used = true;
        }
    }

    /// Appends the compressed message to `out`; `false` when nothing was appended and the message
    /// is to be sent as it is.
    ///
    /// Without `takeover` the history is forgotten first, and a message that does not become
    /// smaller is left alone: work stops when as many bytes came out as went in. With `takeover`
    /// every message is compressed, because the history is worth more than the bytes a short one
    /// grows by; the empty one becomes a single zero (§7.2.3.6). At most an eighth and 64 bytes
    /// are appended beyond the message's length, and `out` reserves no more than twice that.
    pub fn deflate(&mut self, message: &[u8], takeover: bool, out: &mut Vec<u8>) -> bool {
        if !takeover {
            self.reset();
        }
        if message.is_empty() {
            out.extend(takeover.then_some(0));
            return takeover;
        }
        let start = out.len();
        let most = if takeover { usize::MAX } else { message.len() - 1 };
        self.used = true;
        let done = match &mut self.engine {
            Engine::Quick(quick) => quick.deflate(message, takeover, most, out),
            Engine::Zlib(stream) => {
                compress(stream, message, most, out) || {
                    give_up(stream, out);
                    false
                }
            }
        };
        if !done {
            out.truncate(start);
            self.reset();
        }
        done
    }
}

/// Ends the block a message was given up in: zlib-rs 0.6 takes an open block over a reset and then
/// panics in a later message.
fn give_up(stream: &mut Compress, out: &mut Vec<u8>) {
    loop {
        out.reserve(ROOM);
        let failed = stream.compress_vec(&[], out, FlushCompress::Sync).is_err();
        if failed || out.len() < out.capacity() {
            return;
        }
    }
}

/// Compresses and flushes; `false` when it failed or more than `most` bytes came out.
fn compress(stream: &mut Compress, mut message: &[u8], most: usize, out: &mut Vec<u8>) -> bool {
    let start = out.len();
    loop {
        out.reserve(message.len() / 4 + ROOM);
        let read = stream.total_in();
        if stream.compress_vec(message, out, FlushCompress::Sync).is_err() {
            return false;
        }
        let used = (stream.total_in() - read) as usize;
        message = message.get(used..).unwrap_or_default();
        let made = out.len() - start;
        if message.is_empty() && out.len() < out.capacity() {
            let body = made.saturating_sub(TAIL.len());
            let whole = out.ends_with(&TAIL) && body <= most;
            out.truncate(start + body);
            return whole;
        }
        if made.saturating_sub(TAIL.len()) > most {
            return false;
        }
    }
}
