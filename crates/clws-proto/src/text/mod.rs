//! Text that is checked without being read (RFC 6455 §8.1).
//!
//! A `&str` can be made of bytes by a function that looks at all of them and by nothing else, as
//! long as `unsafe` is not allowed. Who passes text on needs no `&str`, so a long payload is
//! checked here while it is unmasked, in the same registers: its bytes are fetched once, not twice.

#[cfg(target_arch = "x86_64")]
mod wide;

use crate::mask::{self, MaskKey};
use crate::utf8::{InvalidUtf8, check};
use std::fmt;

/// Texts from this length on, in bytes, are worth the tables that [`wide`] loads.
const LONG: usize = 2048;

/// Text that was checked to be UTF-8, as bytes: made to be sent on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Text<'a>(&'a [u8]);

impl<'a> Text<'a> {
    /// The bytes; they are UTF-8.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The text to be read. All bytes are looked at once more for it.
    pub fn to_str(self) -> &'a str {
        // There is no other way to make one than by a check.
        check(self.0).unwrap_or_default()
    }

    /// Its length in bytes.
    pub fn len(self) -> usize {
        self.0.len()
    }

    /// Whether it has no character.
    pub fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// Unmasks a whole payload in place and checks it.
    pub(crate) fn unmask(key: MaskKey, payload: &'a mut [u8]) -> Result<Self, InvalidUtf8> {
        if payload.len() >= LONG
            && let Some(valid) = wide::unmask(key, payload)
        {
            return if valid { Ok(Self(payload)) } else { Err(InvalidUtf8) };
        }
        mask::apply_whole(key, payload);
        check(payload).map(Self::from)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(text.as_bytes())
    }
}

impl fmt::Debug for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.to_str().fmt(f)
    }
}

/// No registers that are wide enough are known here.
#[cfg(not(target_arch = "x86_64"))]
mod wide {
    pub(super) fn unmask(_: crate::mask::MaskKey, _: &mut [u8]) -> Option<bool> {
        None
    }
}

#[cfg(test)]
mod tests;
