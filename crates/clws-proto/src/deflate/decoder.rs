//! Reading DEFLATE data (RFC 1951 §3.2), in pieces of any size.

use super::bits::Bits;
use super::symbols::{Codes, Invalid, MAX_MATCH, TURN};
use super::tables::{self, DISTANCES, LITERALS};
use super::window::Window;

/// The order in which the lengths of the code that codes lengths come (§3.2.7).
const ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];

/// Why the decoder stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pause {
    /// All of the piece was used, and it takes more of them to bring anything out.
    Starved,
    /// As much came out as was asked for.
    Full,
}

/// How far it came in its block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Header,
    StoredLength,
    Stored {
        left: usize,
    },
    Counts,
    /// The lengths of the code that codes lengths.
    CodeLengths {
        have: usize,
    },
    /// The lengths of the codes for literals and for distances.
    Lengths {
        have: usize,
    },
    Symbols,
    /// In the midst of a match that there was no room for.
    Match {
        left: usize,
        distance: usize,
    },
}

/// A stream's state: its history, its codes, and the bits that were read and not used.
#[derive(Debug)]
pub(super) struct Decoder {
    bits: Bits,
    state: State,
    last_block: bool,
    window: Window,
    /// Where the last call of [`Self::read`] began in it.
    begun: usize,
    block: Option<Box<Block>>,
}

/// What is known of a block while it is read: 11 KiB that a decoder needs only meanwhile.
#[derive(Debug, Default)]
pub(super) struct Block {
    header: Header,
    codes: Codes,
}

/// What a block's header says of its codes.
#[derive(Debug)]
struct Header {
    /// How many lengths there are: of literals, of distances and of the code that codes them.
    counts: [usize; 3],
    lengths: [u8; LITERALS + DISTANCES],
    code: [u8; 128],
}

impl Default for Header {
    fn default() -> Self {
        Self { counts: [0; 3], lengths: [0; LITERALS + DISTANCES], code: [0; 128] }
    }
}

impl Decoder {
    pub(super) fn new() -> Self {
        Self {
            bits: Bits::default(),
            state: State::Header,
            last_block: false,
            window: Window::new(),
            begun: 0,
            block: Some(Box::default()),
        }
    }

    /// What it has allocated, in bytes.
    pub(super) fn memory(&self) -> usize {
        Window::memory() + self.block.as_ref().map_or(0, |_| size_of::<Block>())
    }

    /// What it needs for blocks, which holds no history and may be taken between messages.
    pub(super) fn block(&mut self) -> &mut Option<Box<Block>> {
        &mut self.block
    }

    /// Forgets the history and what it was in the midst of.
    pub(super) fn reset(&mut self) {
        (self.bits, self.state) = (Bits::default(), State::Header);
        (self.last_block, self.begun) = (false, 0);
        self.window.forget();
    }

    /// What the next block may refer to.
    pub(super) fn history(&self) -> &[u8] {
        self.window.history()
    }

    /// Forgets what lies further back than so many bytes.
    pub(super) fn shorten_history(&mut self, most: usize) {
        self.window.shorten(most);
    }

    /// Takes such a history, of 32 KiB at most, for its own; it has none yet.
    pub(super) fn remember(&mut self, history: &[u8]) {
        self.window.extend(history);
    }

    /// No bit of a next block has come.
    pub(super) fn is_between_blocks(&self) -> bool {
        self.state == State::Header && self.bits.count() == 0
    }

    /// Whether the block that ended last was a stream's last one.
    pub(super) fn ended(&self) -> bool {
        self.last_block && self.is_between_blocks()
    }

    /// Reads from the front of `piece`, which is left with what was not used, until `enough`
    /// bytes came out, a match more perhaps, but never more than `most`. [`Self::made`] has them,
    /// after an error too; then there is nothing more to be read.
    ///
    /// `enough` is at most 32 KiB less a match.
    pub(super) fn read(
        &mut self,
        piece: &mut &[u8],
        enough: usize,
        most: usize,
    ) -> Result<Pause, Invalid> {
        self.window.make_room(enough + MAX_MATCH);
        self.begun = self.window.end();
        let most = most.min(self.window.room());
        self.blocks(piece, self.begun + enough, self.begun + most)
    }

    /// What the last [`Self::read`] brought out.
    pub(super) fn made(&self) -> &[u8] {
        self.window.since(self.begun)
    }

    fn blocks(&mut self, piece: &mut &[u8], enough: usize, most: usize) -> Result<Pause, Invalid> {
        loop {
            let paused = match self.state {
                State::Header => self.header(piece)?,
                State::StoredLength => self.stored_length(piece)?,
                State::Stored { left } => self.stored(piece, left, enough.min(most)),
                State::Counts => self.counts(piece)?,
                State::CodeLengths { have } => self.code_lengths(piece, have)?,
                State::Lengths { have } => self.lengths(piece, have)?,
                State::Symbols => {
                    self.rush(piece, enough, most)?;
                    self.symbol(piece, enough, most)?
                }
                State::Match { left, distance } => self.copy(left, distance, most),
            };
            if let Some(pause) = paused {
                return Ok(pause);
            }
        }
    }

    fn header(&mut self, piece: &mut &[u8]) -> Result<Option<Pause>, Invalid> {
        if !self.bits.need(piece, 3) {
            return Ok(Some(Pause::Starved));
        }
        self.last_block = self.bits.take(1) == 1;
        self.state = match self.bits.take(2) {
            0 => {
                self.bits.skip_to_byte();
                State::StoredLength
            }
            1 => {
                self.block.get_or_insert_default().codes.fix();
                State::Symbols
            }
            2 => State::Counts,
            _ => return Err(Invalid),
        };
        Ok(None)
    }

    fn end_block(&mut self) {
        self.state = State::Header;
        if self.last_block {
            self.bits.skip_to_byte();
            self.window.begin_anew();
        }
    }

    fn stored_length(&mut self, piece: &mut &[u8]) -> Result<Option<Pause>, Invalid> {
        if !self.bits.need(piece, 32) {
            return Ok(Some(Pause::Starved));
        }
        let (left, check) = (self.bits.take(16), self.bits.take(16));
        if left != !check & 0xffff {
            return Err(Invalid);
        }
        self.state = State::Stored { left };
        Ok(None)
    }

    fn stored(&mut self, piece: &mut &[u8], left: usize, most: usize) -> Option<Pause> {
        if left == 0 {
            self.end_block();
            return None;
        }
        let room = most.saturating_sub(self.window.end());
        if room == 0 {
            return Some(Pause::Full);
        }
        let copied = if self.bits.count() > 0 {
            let byte = self.bits.take(8) as u8;
            self.window.extend(&[byte]);
            1
        } else {
            let (bytes, rest) = piece.split_at(left.min(room).min(piece.len()));
            self.window.extend(bytes);
            *piece = rest;
            bytes.len()
        };
        self.state = State::Stored { left: left - copied };
        (copied == 0).then_some(Pause::Starved)
    }

    fn counts(&mut self, piece: &mut &[u8]) -> Result<Option<Pause>, Invalid> {
        if !self.bits.need(piece, 14) {
            return Ok(Some(Pause::Starved));
        }
        let counts = [257 + self.bits.take(5), 1 + self.bits.take(5), 4 + self.bits.take(4)];
        if counts[0] > 286 || counts[1] > 30 {
            return Err(Invalid);
        }
        let header = &mut self.block.get_or_insert_default().header;
        header.counts = counts;
        header.lengths[..ORDER.len()].fill(0);
        self.state = State::CodeLengths { have: 0 };
        Ok(None)
    }

    fn code_lengths(
        &mut self,
        piece: &mut &[u8],
        mut have: usize,
    ) -> Result<Option<Pause>, Invalid> {
        let header = &mut self.block.get_or_insert_default().header;
        while have < header.counts[2] {
            if !self.bits.need(piece, 3) {
                self.state = State::CodeLengths { have };
                return Ok(Some(Pause::Starved));
            }
            header.lengths[usize::from(ORDER[have])] = self.bits.take(3) as u8;
            have += 1;
        }
        if !tables::build_code(&header.lengths[..ORDER.len()], &mut header.code) {
            return Err(Invalid);
        }
        self.state = State::Lengths { have: 0 };
        Ok(None)
    }

    fn lengths(&mut self, piece: &mut &[u8], mut have: usize) -> Result<Option<Pause>, Invalid> {
        let Block { header, codes } = &mut **self.block.get_or_insert_default();
        let [literals, distances, _] = header.counts;
        while have < literals + distances {
            // Where the piece ends, fewer bits may do: the code says so itself.
            self.bits.need(piece, 14);
            let entry = header.code[self.bits.peek() as usize % 128];
            let (symbol, bits) = (entry & 0x1f, u32::from(entry >> 5));
            let (base, extra) = match symbol {
                16 => (3, 2),
                17 => (3, 3),
                18 => (11, 7),
                _ => (1, 0),
            };
            if self.bits.count() < bits + extra {
                self.state = State::Lengths { have };
                return Ok(Some(Pause::Starved));
            }
            self.bits.take(bits);
            let times = base + self.bits.take(extra);
            let length = match symbol {
                16 => *header.lengths[..have].last().ok_or(Invalid)?,
                17 | 18 => 0,
                length => length,
            };
            let end = have + times;
            if end > literals + distances {
                return Err(Invalid);
            }
            header.lengths[have..end].fill(length);
            have = end;
        }
        let (literals, rest) = header.lengths.split_at(literals);
        codes.make(literals, &rest[..distances])?;
        self.state = State::Symbols;
        Ok(None)
    }

    /// The rest of a match.
    fn copy(&mut self, left: usize, distance: usize, most: usize) -> Option<Pause> {
        let mut cursor = self.window.cursor();
        let length = left.min(most - cursor.end());
        if length > 0 {
            cursor.copy(length, distance);
        }
        let end = cursor.end();
        self.window.advance_to(end);
        if length < left {
            self.state = State::Match { left: left - length, distance };
            return Some(Pause::Full);
        }
        self.state = State::Symbols;
        None
    }

    /// Symbols as long as there are bytes to read and room for any of them.
    fn rush(&mut self, piece: &mut &[u8], enough: usize, most: usize) -> Result<(), Invalid> {
        let until = enough.min((most + 1).saturating_sub(TURN));
        let mut cursor = self.window.cursor();
        let codes = &self.block.get_or_insert_default().codes;
        let result = codes.rush(piece, &mut self.bits, &mut cursor, until);
        let end = cursor.end();
        self.window.advance_to(end);
        if result? {
            self.end_block();
        }
        Ok(())
    }

    /// A symbol where the piece or the room ends.
    fn symbol(
        &mut self,
        piece: &mut &[u8],
        enough: usize,
        most: usize,
    ) -> Result<Option<Pause>, Invalid> {
        if self.window.end() >= enough.min(most) {
            return Ok(Some(Pause::Full));
        }
        if self.state != State::Symbols {
            return Ok(None);
        }
        // 48 bits are all that a match takes; where the piece ends, fewer may do.
        self.bits.need(piece, 48);
        let bits = self.bits.peek();
        let codes = &self.block.get_or_insert_default().codes;
        let entry = codes.literal(bits);
        let mut taken = entry.taken();
        if taken > self.bits.count() {
            return Ok(Some(Pause::Starved));
        }
        if let Some(byte) = entry.as_literal() {
            self.window.extend(&[byte]);
        } else if entry.is_end() {
            self.bits.skip(taken);
            self.end_block();
            return Ok(None);
        } else if entry.is_special() {
            return Err(Invalid);
        } else {
            let far = codes.distance(bits >> taken);
            let (left, distance) = (entry.value(bits), far.value(bits >> taken));
            taken += far.taken();
            if taken > self.bits.count() {
                return Ok(Some(Pause::Starved));
            }
            if far.is_special() || !self.window.cursor().reaches(distance) {
                return Err(Invalid);
            }
            self.state = State::Match { left, distance };
        }
        self.bits.skip(taken);
        Ok(None)
    }
}
