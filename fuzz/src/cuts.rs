//! A stream in pieces, as reads would bring it.

/// How many pieces a long stream is cut into where the sizes say "small", for the sake of speed.
const MOST_PIECES: usize = 1024;

/// Cuts `bytes` into pieces of these sizes, in turn and over again; without sizes into single
/// bytes.
///
/// A size of 0 counts as 1. Long streams are cut more coarsely.
pub fn pieces<'a>(mut bytes: &'a [u8], sizes: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let unit = 1 + bytes.len() / MOST_PIECES;
    let mut sizes = sizes.iter().cycle();
    std::iter::from_fn(move || {
        let size = unit * sizes.next().map_or(1, |size| usize::from(*size));
        let (piece, rest) = bytes.split_at(size.clamp(1, bytes.len().max(1)).min(bytes.len()));
        bytes = rest;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Where the pieces end, for readers that are shown everything received so far.
pub fn ends<'a>(bytes: &'a [u8], sizes: &'a [u8]) -> impl Iterator<Item = usize> {
    pieces(bytes, sizes).scan(0, |end, piece| {
        *end += piece.len();
        Some(*end)
    })
}

/// One byte changed, where there is one.
pub fn spoil(bytes: &mut [u8], change: Option<(u16, u8)>) {
    if let Some((at, byte)) = change
        && let Some(place) = bytes.get_mut(usize::from(at))
    {
        *place ^= byte;
    }
}
