//! permessage-deflate (RFC 7692): compressed messages, without frames and without I/O.
//!
//! [`negotiate`] and [`accept_response`] settle the parameters in the opening handshake;
//! [`Inflater`] and [`Deflater`] do the work on one direction of one connection. Both are large,
//! so a worker's [`Codecs`] lends them for one message at a time, and a connection's [`Contexts`]
//! owns one only where context takeover was agreed (§7.1.1) or a message is unfinished, and of one
//! that it does not need for a while the history alone.
//! Frames, the RSV1 bit and the choice of what to compress belong to the caller.

mod bits;
mod candidates;
mod codecs;
mod decoder;
mod deflater;
mod fixed;
mod inflater;
mod negotiate;
mod params;
mod quick;
mod symbols;
mod tables;
mod window;

pub use codecs::{Codecs, Contexts};
pub use deflater::Deflater;
pub use inflater::{CHUNK, Inflater};
pub use negotiate::{Agreed, ResponseError, accept_response, negotiate, offer};
pub use params::MalformedExtensions;

/// The largest window, in bits of its size: 32 KiB (§7.1.2).
pub const MAX_WINDOW_BITS: u8 = 15;
/// The smallest window that data can be compressed with here, in bits of its size: 512 bytes.
///
/// RFC 7692 knows 8 too, but no zlib can compress with it.
pub const MIN_WINDOW_BITS: u8 = 9;

/// What this end wants of permessage-deflate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeflateConfig {
    /// Whether the extension is offered or accepted at all.
    pub enabled: bool,
    /// How hard to compress, 0 (stored) to 9; larger values mean 9.
    ///
    /// The default is 1, a compressor made for messages: on JSON it saves 40 % of the bytes of
    /// 1 KiB and 65 % of 64 KiB, at 400 MB/s. The others are zlib's: level 2 saves 50–75 % at half
    /// that speed or less, level 6 saves 55–80 % at a quarter.
    pub level: u8,
    /// Messages shorter than this, in bytes, are not worth compressing.
    ///
    /// The default is 1 KiB: a message below fits into one network packet either way.
    pub min_size: usize,
    /// Whether the server's compressor begins every message anew (§7.1.1.1).
    ///
    /// Without it each connection keeps a [`Deflater`], 96 KiB at level 1, about 370 KiB at others.
    /// While it is idle that is no more than the window at level 1.
    pub server_no_context_takeover: bool,
    /// Whether the client's compressor begins every message anew (§7.1.1.2).
    ///
    /// Without it each connection keeps an [`Inflater`], 64 KiB, at the server. While it is idle
    /// that is no more than the window.
    pub client_no_context_takeover: bool,
    /// The server's largest window in bits of its size, 9 to 15 (§7.1.2.1).
    pub server_max_window_bits: u8,
    /// The client's largest window in bits of its size, 9 to 15 (§7.1.2.2).
    ///
    /// It bounds what a client keeps, and what the server keeps of one that is idle.
    pub client_max_window_bits: u8,
}

impl Default for DeflateConfig {
    /// Enabled, level 1 from 1 KiB, no context takeover, the largest windows.
    fn default() -> Self {
        Self {
            enabled: true,
            level: 1,
            min_size: 1024,
            server_no_context_takeover: true,
            client_no_context_takeover: true,
            server_max_window_bits: MAX_WINDOW_BITS,
            client_max_window_bits: MAX_WINDOW_BITS,
        }
    }
}

/// Which end of the connection this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Compresses by the `server_…` parameters, inflates by the `client_…` ones.
    Server,
    /// The other way round.
    Client,
}
