//! What one client of the load says, and what it must hear.
//!
//! A client writes a batch (the frames it keeps in flight) in one piece, and the next one when all
//! replies are in. Without compression the bytes of both are known beforehand. Compressed replies
//! are inflated and compared whole, every one: each server may compress in its own way.

use std::io::{Error, ErrorKind, Result};

use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress};

use crate::json;
use crate::scenario::{Layer, Scenario};
use crate::wire;

/// What ends a flush and is left out of a message (RFC 7692, section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xFF, 0xFF];
/// The level that clients compress with: what browsers do.
const LEVEL: u32 = 6;
/// Messages that a client with compression sends in turn, at least in number and in bytes. With
/// takeover a message's bytes depend on the window before it, which these fill.
const CYCLE: usize = 8;
const CYCLE_BYTES: usize = 64 * 1024;

/// One client's part.
#[derive(Debug)]
pub(crate) enum Talk {
    Fixed(Fixed),
    Packed(Box<Packed>),
}

impl Talk {
    /// The part of client `number` in a scenario.
    pub(crate) fn new(
        scenario: &Scenario,
        number: usize,
        payload: &[u8],
        bare: bool,
    ) -> Result<Self> {
        Ok(match scenario.layer {
            Layer::Deflate { takeover } => {
                Self::Packed(Box::new(Packed::new(scenario, number, takeover)?))
            }
            Layer::Plain | Layer::Tls => Self::Fixed(Fixed::new(scenario, payload, bare)?),
        })
    }

    /// The batch to write now.
    pub(crate) fn batch(&self) -> &[u8] {
        match self {
            Self::Fixed(fixed) => &fixed.batch,
            Self::Packed(packed) => packed.batches.get(packed.at).map_or(&[], |batch| batch),
        }
    }

    /// Goes on to the next batch; with `compare` its replies are compared byte for byte, without
    /// it only as far as that costs little.
    pub(crate) fn begin(&mut self, compare: bool) {
        match self {
            Self::Fixed(fixed) => (fixed.received, fixed.compare) = (0, compare),
            Self::Packed(packed) => packed.begin(),
        }
    }

    /// Goes back to the beginning: another client says the same.
    pub(crate) fn restart(&mut self) {
        if let Self::Packed(packed) = self {
            packed.at = usize::MAX;
            packed.inflate.reset(false);
        }
    }

    /// Has the replies that are under way compared byte for byte.
    pub(crate) fn compare(&mut self) {
        if let Self::Fixed(fixed) = self {
            fixed.compare = true;
        }
    }

    /// Counts and checks received bytes; true when they complete the batch.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Result<bool> {
        match self {
            Self::Fixed(fixed) => fixed.take(bytes),
            Self::Packed(packed) => packed.take(bytes),
        }
    }
}

fn wrong(text: String) -> Error {
    Error::new(ErrorKind::InvalidData, text)
}

/// The same batch again and again.
#[derive(Debug)]
pub(crate) struct Fixed {
    batch: Vec<u8>,
    /// The replies; none where the client's own bytes come back.
    replies: Option<Vec<u8>>,
    received: usize,
    /// Compare this batch's replies byte for byte.
    compare: bool,
}

impl Fixed {
    fn new(scenario: &Scenario, payload: &[u8], bare: bool) -> Result<Self> {
        let batch = encode(scenario, payload, Some(wire::random_mask()?));
        let replies = (!bare).then(|| encode(scenario, payload, None));
        Ok(Self { batch, replies, received: 0, compare: true })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<bool> {
        const HEADER: usize = 2;
        let replies = self.replies.as_ref().unwrap_or(&self.batch);
        let end = self.received + bytes.len();
        let Some(expected) = replies.get(self.received..end) else {
            return Err(wrong("more bytes came than were due".to_owned()));
        };
        let checked = match (self.compare, self.received) {
            (true, _) => bytes.len(),
            (false, 0) => bytes.len().min(HEADER),
            (false, _) => 0,
        };
        if bytes[..checked] != expected[..checked] {
            let text = format!("a reply differs from what was sent, at {}..{end}", self.received);
            return Err(wrong(text));
        }
        self.received = end;
        Ok(end == replies.len())
    }
}

fn encode(scenario: &Scenario, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut batch = Vec::with_capacity((payload.len() + 14) * scenario.in_flight);
    for _ in 0..scenario.in_flight {
        wire::push_frame(&mut batch, scenario.kind, payload, mask);
    }
    batch
}

/// Compressed documents in turn.
///
/// With context takeover what a document becomes depends on those before it, so they are
/// compressed twice in the same order: the first turn begins without history, the second has the
/// first as its history and stands for all later ones.
#[derive(Debug)]
pub(crate) struct Packed {
    documents: Vec<Vec<u8>>,
    batches: Vec<Vec<u8>>,
    at: usize,
    takeover: bool,
    inflate: Decompress,
    received: Vec<u8>,
    text: Vec<u8>,
}

impl Packed {
    fn new(scenario: &Scenario, number: usize, takeover: bool) -> Result<Self> {
        let count = CYCLE.max(CYCLE_BYTES / scenario.payload);
        let seed = |place| (number * count + place) as u64;
        let documents: Vec<Vec<u8>> =
            (0..count).map(|place| json::document(seed(place), scenario.payload)).collect();
        let mut compress = Compress::new(Compression::new(LEVEL), false);
        let mut batches = Vec::with_capacity(2 * count);
        for document in documents.iter().chain(&documents) {
            if !takeover {
                compress.reset();
            }
            let mut batch = Vec::new();
            let packed = deflate(&mut compress, document)?;
            wire::push_compressed(&mut batch, &packed, Some(wire::random_mask()?));
            batches.push(batch);
        }
        let inflate = Decompress::new(false);
        let (received, text) = (Vec::new(), Vec::new());
        Ok(Self { documents, batches, at: usize::MAX, takeover, inflate, received, text })
    }

    fn begin(&mut self) {
        let next = self.at.wrapping_add(1);
        self.at = if next == self.batches.len() { self.documents.len() } else { next };
        self.received.clear();
    }

    /// Waits for the whole message, then inflates and compares it.
    fn take(&mut self, bytes: &[u8]) -> Result<bool> {
        self.received.extend_from_slice(bytes);
        let Some((header, end)) = frame(&self.received)? else { return Ok(false) };
        if self.received.len() < end {
            return Ok(false);
        }
        if self.received.len() > end {
            return Err(wrong("more bytes came than were due".to_owned()));
        }
        let document = &self.documents[self.at % self.documents.len()];
        if !self.takeover {
            self.inflate.reset(false);
        }
        self.text.clear();
        self.text.reserve(document.len() + 64);
        for piece in [&self.received[header..], &TAIL] {
            self.inflate
                .decompress_vec(piece, &mut self.text, FlushDecompress::Sync)
                .map_err(Error::other)?;
        }
        if self.text != *document {
            return Err(wrong("a reply differs from what was sent".to_owned()));
        }
        Ok(true)
    }
}

/// Where the payload of a compressed text frame begins and ends; `None` while the header is cut.
fn frame(bytes: &[u8]) -> Result<Option<(usize, usize)>> {
    let [first, len, rest @ ..] = bytes else { return Ok(None) };
    if *first != 0xC1 {
        return Err(wrong(format!("a whole, compressed text was due, not {first:#04x}")));
    }
    let (size, len) = match (len, rest) {
        (126, [high, low, ..]) => (2, usize::from(u16::from_be_bytes([*high, *low]))),
        (127, [0, 0, 0, 0, a, b, c, d, ..]) => (8, u32::from_be_bytes([*a, *b, *c, *d]) as usize),
        (len @ 0..126, _) => (0, usize::from(*len)),
        _ => return Ok(None),
    };
    Ok(Some((2 + size, 2 + size + len)))
}

/// Compresses a message as it goes into a frame.
fn deflate(compress: &mut Compress, message: &[u8]) -> Result<Vec<u8>> {
    let mut packed = Vec::with_capacity(message.len() + 64);
    compress.compress_vec(message, &mut packed, FlushCompress::Sync).map_err(Error::other)?;
    if !packed.ends_with(&TAIL) {
        return Err(Error::other("a message that does not shrink"));
    }
    packed.truncate(packed.len() - TAIL.len());
    Ok(packed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::ScenarioId;
    use crate::wire::Kind;

    const SCENARIO: Scenario = Scenario {
        id: ScenarioId::Json1k,
        title: "",
        clients: 1,
        kind: Kind::Text,
        payload: 1024,
        in_flight: 1,
        layer: Layer::Deflate { takeover: true },
        target: 1.0,
    };

    /// What a server sends back for a client's frame: the same without its mask.
    fn unmask(frame: &[u8]) -> Vec<u8> {
        let header = if frame[1] & 0x7F == 126 { 4 } else { 2 };
        let mut reply = frame[..header].to_vec();
        reply[1] &= 0x7F;
        let (mask, payload) = frame[header..].split_at(4);
        reply.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        reply
    }

    #[test]
    fn compressed_turns_follow_each_other_for_ever() {
        for takeover in [false, true] {
            let layer = Layer::Deflate { takeover };
            let scenario = Scenario { layer, ..SCENARIO };
            let mut talk = Talk::new(&scenario, 3, &[], false).expect("documents");
            for _ in 0..300 {
                talk.begin(false);
                let reply = unmask(talk.batch());
                let (first, last) = reply.split_at(reply.len() / 2);
                assert!(!talk.take(first).expect("a half"));
                assert!(talk.take(last).expect("the other half"));
            }
        }
    }

    #[test]
    fn a_wrong_document_is_found() {
        let mut talk = Talk::new(&SCENARIO, 0, &[], false).expect("documents");
        let mut other = Talk::new(&SCENARIO, 1, &[], false).expect("documents");
        talk.begin(false);
        other.begin(false);
        let error = talk.take(&unmask(other.batch())).expect_err("another client's");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
