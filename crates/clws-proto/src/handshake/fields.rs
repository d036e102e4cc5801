//! Header fields as one boxed block: texts end to end, then a table of their lengths.
//!
//! A server keeps the request of every client, mostly idle ones, so a map of strings is too dear:
//! this costs one allocation, the bytes themselves and 8 bytes per header. Text of the start line
//! can lead the block. Fields are walked in order; with a few dozen of them nothing is faster.

use core::str;

/// Length of a name or a value in the table.
const LEN: usize = size_of::<u32>();

/// Header fields in order of arrival, with repeats.
#[derive(Clone)]
pub(super) struct Fields {
    block: Box<[u8]>,
    lead: u32,
    count: u32,
}

impl Fields {
    /// The bytes of its block.
    pub(super) fn memory(&self) -> usize {
        self.block.len()
    }

    /// Packs the texts of `lead` and then the headers.
    pub(super) fn pack(lead: &[&[u8]], headers: &[httparse::Header<'_>]) -> Self {
        let lead_size: usize = lead.iter().map(|text| text.len()).sum();
        let size: usize =
            headers.iter().map(|header| header.name.len() + header.value.len() + 2 * LEN).sum();
        let mut block = Vec::with_capacity(lead_size + size);
        for text in lead {
            block.extend_from_slice(text);
        }
        for header in headers {
            block.extend_from_slice(header.name.as_bytes());
            block.extend_from_slice(header.value);
        }
        for header in headers {
            block.extend_from_slice(&(header.name.len() as u32).to_le_bytes());
            block.extend_from_slice(&(header.value.len() as u32).to_le_bytes());
        }
        Self {
            block: block.into_boxed_slice(),
            lead: lead_size as u32,
            count: headers.len() as u32,
        }
    }

    /// Adds bytes behind the texts of the lead, at the price of a new block.
    pub(super) fn push_lead(&mut self, bytes: &[u8]) {
        let mut block = core::mem::take(&mut self.block).into_vec();
        let at = self.lead as usize;
        block.splice(at..at, bytes.iter().copied());
        self.block = block.into_boxed_slice();
        self.lead += bytes.len() as u32;
    }

    /// A text of the lead, by its offset and length.
    pub(super) fn lead_text(&self, offset: u32, len: u32) -> &str {
        let start = offset as usize;
        let text = self.block.get(start..start + len as usize).unwrap_or_default();
        str::from_utf8(text).unwrap_or_default()
    }

    /// The last bytes of the lead.
    pub(super) fn lead_end<const N: usize>(&self) -> Option<&[u8; N]> {
        self.block.get(..self.lead as usize)?.last_chunk()
    }

    pub(super) fn iter(&self) -> Headers<'_> {
        let table = self.block.len() - self.count as usize * 2 * LEN;
        let (texts, table) = self.block.split_at_checked(table).unwrap_or_default();
        Headers { texts: texts.get(self.lead as usize..).unwrap_or_default(), table }
    }

    /// The values of all headers of that name, whatever its case.
    pub(super) fn values<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.iter().filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The value of the only header of that name; `Err` says that there are several.
    pub(super) fn single(&self, name: &str) -> Result<Option<&[u8]>, Repeated> {
        let mut values = self.values(name);
        let first = values.next();
        if values.next().is_some() { Err(Repeated) } else { Ok(first) }
    }

    /// Whether a header of that name, a comma-separated list, has the element (any case).
    pub(super) fn list_has(&self, name: &str, element: &[u8]) -> bool {
        super::syntax::elements(self.values(name)).any(|found| found.eq_ignore_ascii_case(element))
    }

    /// Bytes on the heap.
    #[cfg(test)]
    pub(super) fn heap_size(&self) -> usize {
        self.block.len()
    }
}

/// A header that may come once came again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Repeated;

/// Header names and values in order of arrival, with repeats.
///
/// Values have no spaces around them and no control characters, but may hold any byte from 0x80
/// up (RFC 9110 §5.5).
#[derive(Clone)]
pub struct Headers<'a> {
    texts: &'a [u8],
    table: &'a [u8],
}

impl core::fmt::Debug for Headers<'_> {
    /// Names only: values may be secrets.
    fn fmt(&self, out: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        out.debug_list().entries(self.clone().map(|(name, _)| name)).finish()
    }
}

impl<'a> Iterator for Headers<'a> {
    type Item = (&'a str, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name_len, table) = self.table.split_first_chunk::<LEN>()?;
        let (value_len, table) = table.split_first_chunk::<LEN>()?;
        let (name, texts) = self.texts.split_at_checked(u32::from_le_bytes(*name_len) as usize)?;
        let (value, texts) = texts.split_at_checked(u32::from_le_bytes(*value_len) as usize)?;
        *self = Self { texts, table };
        Some((str::from_utf8(name).ok()?, value))
    }
}
