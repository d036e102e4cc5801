//! Frame headers (RFC 6455 §5.2): reading and writing them, and nothing about what they mean.
//!
//! What can be said of a header by itself is checked here: reserved bits and opcodes, the shortest
//! form of the length, the rules for control frames. What depends on the frames before it is
//! checked by `connection`.

use crate::copy;
use crate::error::ProtocolError;
use crate::mask::{self, MaskKey};
use std::ops::Range;

/// The longest header in bytes: 2, a 64-bit length and a mask.
pub const MAX_HEADER: usize = 14;
/// The longest payload of a control frame in bytes (§5.5).
pub const MAX_CONTROL: usize = 125;

/// The header of a masked frame of at most 125 bytes.
pub(crate) const SHORT_HEADER: usize = 6;
/// That of one of up to 65,535.
const LONG_HEADER: usize = 8;

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;
const RSV2_RSV3: u8 = 0x30;
const MASKED: u8 = 0x80;
/// What stands in the seven bits of the length when it follows in two or eight bytes.
const LEN_16: u8 = 0x7e;
const LEN_64: u8 = 0x7f;

/// What a frame is (§11.8).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum OpCode {
    /// The next fragment of a message.
    Continuation = 0,
    /// A text message, or its first fragment.
    Text = 1,
    /// A binary message, or its first fragment.
    Binary = 2,
    /// A close frame.
    Close = 8,
    /// A ping.
    Ping = 9,
    /// A pong.
    Pong = 10,
}

impl OpCode {
    fn new(number: u8) -> Result<Self, ProtocolError> {
        Ok(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return Err(ProtocolError::ReservedOpcode(number)),
        })
    }

    /// Close, ping or pong (§5.5).
    pub const fn is_control(self) -> bool {
        self as u8 >= 8
    }
}

/// A frame without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameHeader {
    /// The last fragment of its message.
    pub fin: bool,
    /// The first reserved bit, which permessage-deflate uses (RFC 7692 §6).
    pub rsv1: bool,
    /// What it is.
    pub opcode: OpCode,
    /// The key, where the payload is masked.
    pub mask: Option<MaskKey>,
    /// The payload's length in bytes, below 2^63.
    pub len: u64,
}

impl FrameHeader {
    /// A header of an unmasked, unfragmented frame.
    pub const fn new(opcode: OpCode, len: usize) -> Self {
        Self { fin: true, rsv1: false, opcode, mask: None, len: len as u64 }
    }

    /// Reads a header from the front of `bytes`, with how many bytes it took; `None` when more are
    /// needed. At most [`MAX_HEADER`] bytes are looked at, and a mistake in the first two is found
    /// as soon as they are there.
    #[inline]
    pub fn parse(bytes: &[u8]) -> Result<Option<(Self, usize)>, ProtocolError> {
        let [first, second, rest @ ..] = bytes else { return Ok(None) };
        if first & RSV2_RSV3 != 0 {
            return Err(ProtocolError::ReservedBits);
        }
        let opcode = OpCode::new(first & 0x0f)?;
        let (fin, short_len) = (first & FIN != 0, second & LEN_64);
        if opcode.is_control() {
            check_control(fin, short_len)?;
        }
        let Some((len, rest)) = parse_len(short_len, rest)? else { return Ok(None) };
        let (mask, rest) = if second & MASKED == 0 {
            (None, rest)
        } else {
            let Some((key, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
            (Some(*key), rest)
        };
        let header = Self { fin, rsv1: first & RSV1 != 0, opcode, mask, len };
        Ok(Some((header, bytes.len() - rest.len())))
    }

    /// The most frequent frame in one look: a whole message of a client's, uncompressed, of at most
    /// 125 bytes, all of it in `bytes`. Gives its kind, its key and where it ends.
    #[inline]
    pub(crate) fn parse_short(bytes: &[u8]) -> Option<(OpCode, MaskKey, usize)> {
        let ([first, second], rest) = bytes.split_first_chunk::<2>()?;
        let opcode = match first {
            0x81 => OpCode::Text,
            0x82 => OpCode::Binary,
            _ => return None,
        };
        let key = *rest.first_chunk::<4>()?;
        let len = usize::from(second ^ MASKED);
        let end = SHORT_HEADER + len;
        (len <= MAX_CONTROL && end <= bytes.len()).then_some((opcode, key, end))
    }

    /// The same for messages of 126 to 65,535 bytes: gives the kind, the key and where the payload
    /// stands.
    #[inline]
    pub(crate) fn parse_long(bytes: &[u8]) -> Option<(OpCode, MaskKey, Range<usize>)> {
        let ([first, second, high, low, key @ ..], _) = bytes.split_first_chunk::<8>()?;
        let opcode = match (first, second ^ MASKED) {
            (0x81, LEN_16) => OpCode::Text,
            (0x82, LEN_16) => OpCode::Binary,
            _ => return None,
        };
        let len = usize::from(u16::from_be_bytes([*high, *low]));
        let end = LONG_HEADER + len;
        let whole = len > MAX_CONTROL && end <= bytes.len();
        whole.then_some((opcode, *key, LONG_HEADER..end))
    }

    /// Appends the header's bytes, the length in its shortest form.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        let first = self.first();
        if self.len < 126 && self.mask.is_none() {
            out.extend_from_slice(&[first, self.len as u8]);
        } else {
            write_long(first, self.len, self.mask, out);
        }
    }

    /// Writes what [`Self::write`] appends over `out`, if it has as many bytes, and the header no
    /// mask; else leaves `out` as it is and says `false`.
    #[inline]
    pub fn write_over(&self, out: &mut [u8]) -> bool {
        if self.mask.is_some() || out.len() != self.encoded_len() {
            return false;
        }
        match out {
            [first, len] => [*first, *len] = [self.first(), self.len as u8],
            [first, kind, high, low] => {
                [*first, *kind] = [self.first(), LEN_16];
                [*high, *low] = (self.len as u16).to_be_bytes();
            }
            [first, kind, len @ ..] => {
                [*first, *kind] = [self.first(), LEN_64];
                len.copy_from_slice(&self.len.to_be_bytes());
            }
            _ => {}
        }
        true
    }

    #[inline]
    fn first(&self) -> u8 {
        let fin = if self.fin { FIN } else { 0 };
        let rsv1 = if self.rsv1 { RSV1 } else { 0 };
        fin | rsv1 | self.opcode as u8
    }

    /// How many bytes [`Self::write`] appends.
    pub const fn encoded_len(&self) -> usize {
        let len = match self.len {
            0..126 => 2,
            126..=0xffff => 4,
            _ => 10,
        };
        if self.mask.is_some() { len + 4 } else { len }
    }
}

/// A header of more than two bytes.
fn write_long(first: u8, len: u64, mask: Option<MaskKey>, out: &mut Vec<u8>) {
    let masked = if mask.is_some() { MASKED } else { 0 };
    if len < 126 {
        out.extend_from_slice(&[first, masked | len as u8]);
    } else if let Ok(len) = u16::try_from(len) {
        let [high, low] = len.to_be_bytes();
        out.extend_from_slice(&[first, masked | LEN_16, high, low]);
    } else {
        out.extend_from_slice(&[first, masked | LEN_64]);
        out.extend_from_slice(&len.to_be_bytes());
    }
    if let Some(key) = mask {
        out.extend_from_slice(&key);
    }
}

/// Appends one whole frame; `mask` is the client's key, none for a server.
pub fn write(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8], mask: Option<MaskKey>) {
    FrameHeader { mask, ..FrameHeader::new(opcode, payload.len()) }.write(out);
    let start = out.len();
    copy::append(out, payload);
    if let (Some(key), Some(written)) = (mask, out.get_mut(start..)) {
        mask::apply(key, written);
    }
}

fn check_control(fin: bool, short_len: u8) -> Result<(), ProtocolError> {
    match (fin, usize::from(short_len)) {
        (false, _) => Err(ProtocolError::FragmentedControl),
        (true, 0..=MAX_CONTROL) => Ok(()),
        (true, _) => Err(ProtocolError::LongControl),
    }
}

#[inline]
fn parse_len(short: u8, rest: &[u8]) -> Result<Option<(u64, &[u8])>, ProtocolError> {
    let (len, rest, least) = match short {
        LEN_16 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<2>() else { return Ok(None) };
            (u64::from(u16::from_be_bytes(*bytes)), rest, 126)
        }
        LEN_64 => {
            let Some((bytes, rest)) = rest.split_first_chunk::<8>() else { return Ok(None) };
            (u64::from_be_bytes(*bytes), rest, 0x1_0000)
        }
        _ => return Ok(Some((u64::from(short), rest))),
    };
    if len >> 63 != 0 {
        return Err(ProtocolError::LengthTopBit);
    }
    if len < least { Err(ProtocolError::LengthNotMinimal) } else { Ok(Some((len, rest))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(bytes: &[u8]) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        FrameHeader::parse(bytes)
    }

    #[test]
    fn rfc6455_section_5_7_examples() {
        let hello = FrameHeader::new(OpCode::Text, 5);
        assert_eq!(parse(b"\x81\x05Hello"), Ok(Some((hello, 2))));
        let masked = FrameHeader { mask: Some([0x37, 0xfa, 0x21, 0x3d]), ..hello };
        assert_eq!(parse(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), Ok(Some((masked, 6))));
        let first = FrameHeader { fin: false, ..FrameHeader::new(OpCode::Text, 3) };
        assert_eq!(parse(b"\x01\x03Hel"), Ok(Some((first, 2))));
        let binary = FrameHeader::new(OpCode::Binary, 256);
        assert_eq!(parse(b"\x82\x7e\x01\x00"), Ok(Some((binary, 4))));
        let binary = FrameHeader::new(OpCode::Binary, 65536);
        assert_eq!(parse(b"\x82\x7f\0\0\0\0\0\x01\0\0"), Ok(Some((binary, 10))));
    }

    #[test]
    fn rfc6455_section_5_2_refusals() {
        use ProtocolError::*;
        for (bytes, error) in [
            (&b"\xa1\x00"[..], ReservedBits),
            (b"\x91\x00", ReservedBits),
            (b"\x83\x00", ReservedOpcode(3)),
            (b"\x8f\x00", ReservedOpcode(15)),
            (b"\x81\x7e\x00\x7d", LengthNotMinimal),
            (b"\x81\x7f\0\0\0\0\0\0\xff\xff", LengthNotMinimal),
            (b"\x81\x7f\x80\0\0\0\0\0\0\0", LengthTopBit),
            (b"\x09\x00", FragmentedControl),
            (b"\x88\x7e", LongControl),
            (b"\x8a\x7f", LongControl),
        ] {
            assert_eq!(parse(bytes), Err(error), "{bytes:02x?}");
        }
    }

    prop_compose! {
        fn headers()(
            fin: bool, rsv1: bool, mask: Option<MaskKey>,
            opcode in prop::sample::select(&[OpCode::Continuation, OpCode::Text, OpCode::Binary]),
            len in prop_oneof![0_u64..300, 65_000_u64..66_000, 0..(1_u64 << 63)],
        ) -> FrameHeader {
            FrameHeader { fin, rsv1, opcode, mask, len }
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(header in headers()) {
            let mut bytes = Vec::new();
            header.write(&mut bytes);
            prop_assert_eq!(bytes.len(), header.encoded_len());
            prop_assert!(bytes.len() <= MAX_HEADER);
            for cut in 0..bytes.len() {
                prop_assert_eq!(parse(&bytes[..cut]), Ok(None));
            }
            bytes.push(0xff);
            prop_assert_eq!(parse(&bytes), Ok(Some((header, bytes.len() - 1))));
        }

        #[test]
        fn what_is_written_over_is_what_is_appended(header in headers(), more in -1_isize..2) {
            let mut appended = Vec::new();
            header.write(&mut appended);
            let mut over = vec![0xff; appended.len().saturating_add_signed(more)];
            let fits = header.mask.is_none() && more == 0;
            prop_assert_eq!(header.write_over(&mut over), fits);
            let expected = if fits { appended } else { vec![0xff; over.len()] };
            prop_assert_eq!(over, expected);
        }

        #[test]
        fn any_header_read_is_the_one_way_to_write_it(bytes: [u8; MAX_HEADER]) {
            if let Ok(Some((header, len))) = parse(&bytes) {
                let mut again = Vec::new();
                header.write(&mut again);
                prop_assert_eq!(&again[..], &bytes[..len]);
            }
        }
    }
}
