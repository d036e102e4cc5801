//! UTF-8 that is checked while it arrives (RFC 6455 §8.1).
//!
//! A text message may be cut anywhere, inside a character too. [`Tail`] keeps the at most three
//! bytes of a character that is not whole yet, so that every byte is checked once, an invalid one
//! is found with the piece it came in, and what was checked is never checked again.

use crate::copy;
use simdutf8::basic::from_utf8;

/// The text is not valid UTF-8 and can't become it, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidUtf8;

/// The beginning of a character whose end has not arrived.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tail {
    bytes: [u8; 4],
    len: usize,
}

impl Tail {
    /// Whether the text so far ends on a character boundary.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// How many bytes of a cut character it keeps.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Checks `piece` as the continuation of what came before and appends all whole characters to
    /// `text`. On an error `text` holds an unspecified valid prefix.
    pub fn push(&mut self, mut piece: &[u8], text: &mut String) -> Result<(), InvalidUtf8> {
        while self.len > 0 {
            let Some((first, rest)) = piece.split_first() else { return Ok(()) };
            piece = rest;
            self.push_byte(*first, text)?;
        }
        let (whole, begun) = piece.split_at(piece.len() - begun_len(piece));
        copy::append_text(text, from_utf8(whole).map_err(|_| InvalidUtf8)?);
        for byte in begun {
            self.push_byte(*byte, text)?;
        }
        Ok(())
    }

    fn push_byte(&mut self, byte: u8, text: &mut String) -> Result<(), InvalidUtf8> {
        let slot = self.bytes.get_mut(self.len).ok_or(InvalidUtf8)?;
        *slot = byte;
        self.len += 1;
        match str::from_utf8(self.bytes.get(..self.len).unwrap_or_default()) {
            Ok(character) => {
                text.push_str(character);
                self.len = 0;
                Ok(())
            }
            Err(error) if error.error_len().is_none() => Ok(()),
            Err(_) => Err(InvalidUtf8),
        }
    }
}

/// How many bytes at the end of `piece` begin a character that does not end in it.
fn begun_len(piece: &[u8]) -> usize {
    for (index, byte) in piece.iter().rev().take(3).enumerate() {
        let needed = match byte {
            0x80..=0xBF => continue,
            0xC0..=0xDF => 2,
            0xE0..=0xEF => 3,
            0xF0..=0xFF => 4,
            _ => return 0,
        };
        return if needed > index + 1 { index + 1 } else { 0 };
    }
    0
}

/// Checks a text that is whole.
pub fn check(text: &[u8]) -> Result<&str, InvalidUtf8> {
    from_utf8(text).map_err(|_| InvalidUtf8)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Feeds the pieces; `Ok(text)`, or how many bytes had been fed when it failed.
    fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<String, usize> {
        let (mut tail, mut text, mut fed) = (Tail::default(), String::new(), 0);
        for piece in pieces {
            fed += piece.len();
            tail.push(piece, &mut text).map_err(|_| fed)?;
        }
        if tail.is_empty() { Ok(text) } else { Err(fed) }
    }

    /// The index of the byte at which the text stopped being a prefix of valid UTF-8.
    fn first_bad(bytes: &[u8]) -> Option<usize> {
        (1..=bytes.len())
            .find(|end| str::from_utf8(&bytes[..*end]).is_err_and(|e| e.error_len().is_some()))
    }

    #[test]
    fn every_cut_of_every_length_of_character() {
        let text = "a\u{e9}\u{20ac}\u{1f600}z\u{10ffff}\u{800}";
        let bytes = text.as_bytes();
        for first in 0..=bytes.len() {
            for second in first..=bytes.len() {
                let pieces = [&bytes[..first], &bytes[first..second], &bytes[second..]];
                assert_eq!(feed(pieces).as_deref(), Ok(text), "cut at {first} and {second}");
            }
        }
    }

    #[test]
    fn fails_with_the_byte_that_made_it_invalid() {
        for bad in [
            &b"\xf4\x90\x80\x80"[..], // above U+10FFFF
            b"\xed\xa0\x80",          // a surrogate
            b"\xc0\xaf",              // overlong
            b"\xe0\x80\x80",
            b"ab\x80",
            b"ok\xff",
        ] {
            let expected = first_bad(bad).unwrap();
            assert_eq!(feed(bad.chunks(1)), Err(expected), "{bad:02x?}");
            assert_eq!(feed([bad]), Err(bad.len()), "{bad:02x?}");
        }
    }

    #[test]
    fn a_character_cut_at_the_end_is_not_whole() {
        assert_eq!(feed([&b"a\xe2\x82"[..]]), Err(3));
    }

    fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
        (".{0,60}", prop::option::of((any::<prop::sample::Index>(), any::<u8>()))).prop_map(
            |(text, spoil)| {
                let mut bytes = text.into_bytes();
                if let (Some((index, byte)), false) = (spoil, bytes.is_empty()) {
                    let at = index.index(bytes.len());
                    bytes[at] = byte;
                }
                bytes
            },
        )
    }

    proptest! {
        #[test]
        fn agrees_with_the_standard_library_at_every_cut(
            bytes in nearly_text(),
            size in 1_usize..9,
        ) {
            let fed = feed(bytes.chunks(size));
            if let Ok(text) = str::from_utf8(&bytes) {
                prop_assert_eq!(fed.as_deref(), Ok(text));
            } else {
                let at = first_bad(&bytes).unwrap_or(bytes.len());
                let piece_end = at.div_ceil(size) * size;
                prop_assert_eq!(fed, Err(piece_end.min(bytes.len())));
            }
        }
    }
}
