//! Copies of what may be long.
//!
//! From about two KiB on many a C library leaves a copy to one instruction, `rep movsb`. On AMD's
//! Zen 3, and not on it alone, that takes thirty times as long where the copy begins up to 32 bytes
//! further into its page of 4 KiB than the original into its own, as two buffers of 16 KiB do that
//! were allocated one after the other. Copied in shorter pieces, bytes move as fast wherever they
//! lie.

use std::ops::{Deref, DerefMut};

/// The longest piece, in bytes, that every C library copies by way of registers.
const PIECE: usize = 2048;
/// The bytes of a page.
const PAGE: usize = 4096;

/// A buffer whose bytes begin in the middle of a page, as few others do: for what a library will
/// copy in one piece, to where it likes.
#[derive(Debug, Default)]
pub struct MidPage {
    bytes: Vec<u8>,
    begin: usize,
}

impl MidPage {
    /// Empties it, and makes room for so many bytes. With more it may move, and not begin in the
    /// middle until it is emptied again.
    pub fn clear(&mut self, room: usize) {
        self.bytes.reserve((PAGE + room).saturating_sub(self.bytes.len()));
        self.begin = (PAGE / 2).wrapping_sub(self.bytes.as_ptr().addr()) % PAGE;
        self.bytes.resize(self.begin, 0);
    }

    /// Appends `bytes`.
    #[inline]
    pub fn append(&mut self, bytes: &[u8]) {
        append(&mut self.bytes, bytes);
    }
}

impl Deref for MidPage {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        self.bytes.get(self.begin..).unwrap_or_default()
    }
}

impl DerefMut for MidPage {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.begin..).unwrap_or_default()
    }
}

/// Copies `from` to `to`, which is as long.
#[inline]
pub fn fill(to: &mut [u8], from: &[u8]) {
    for (to, from) in to.chunks_mut(PIECE).zip(from.chunks(PIECE)) {
        to.copy_from_slice(from);
    }
}

/// Appends `bytes` to `out`.
#[inline]
pub fn append(out: &mut Vec<u8>, bytes: &[u8]) {
    if bytes.len() <= PIECE {
        out.extend_from_slice(bytes);
    } else {
        append_long(out, bytes);
    }
}

#[inline(never)]
fn append_long(out: &mut Vec<u8>, bytes: &[u8]) {
    out.reserve(bytes.len());
    for piece in bytes.chunks(PIECE) {
        out.extend_from_slice(piece);
    }
}

/// Appends `text` to `out`.
pub fn append_text(out: &mut String, mut text: &str) {
    out.reserve(text.len());
    while text.len() > PIECE {
        let (piece, rest) = text.split_at(text.floor_char_boundary(PIECE));
        out.push_str(piece);
        text = rest;
    }
    out.push_str(text);
}

#[cfg(test)]
mod tests {
    use super::{MidPage, PAGE, PIECE, append, append_text, fill};

    #[test]
    fn all_bytes_are_copied_however_many() {
        let bytes: Vec<u8> = (0..3 * PIECE + 5).map(|at| (at % 251) as u8).collect();
        for len in [0, 1, PIECE - 1, PIECE, PIECE + 1, 2 * PIECE, bytes.len()] {
            let bytes = &bytes[..len];
            let (mut longer, mut filled) = (b"before".to_vec(), vec![0; len]);
            append(&mut longer, bytes);
            fill(&mut filled, bytes);
            assert_eq!(longer, [b"before", bytes].concat(), "{len} bytes");
            assert_eq!(filled, bytes, "{len} bytes");
        }
    }

    #[test]
    fn a_buffer_begins_in_the_middle_of_a_page_whatever_was_in_it_before() {
        let mut buffer = MidPage::default();
        for len in [0, 1, PAGE, 40_000, 3, 200_000, 0, 5] {
            let bytes = vec![len as u8; len];
            buffer.clear(len);
            assert!(buffer.is_empty());
            buffer.append(&bytes);
            assert_eq!(*buffer, bytes);
            assert_eq!(buffer.as_ptr().addr() % PAGE, PAGE / 2);
            buffer.append(&[7; 3 * PAGE]);
            assert_eq!(buffer.len(), len + 3 * PAGE);
        }
    }

    #[test]
    fn all_of_a_text_is_copied_wherever_its_characters_end() {
        let text = "a\u{1f600}\u{e9}".repeat(PIECE);
        for begin in 0..7 {
            let (begin, mut longer) = (text.ceil_char_boundary(begin), "before".to_owned());
            append_text(&mut longer, &text[begin..]);
            assert_eq!(longer, ["before", &text[begin..]].concat(), "from {begin}");
        }
    }
}
