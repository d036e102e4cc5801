//! The PROXY protocol, versions 1 and 2: a header by which a proxy that passes a connection on
//! says whose it is.
//!
//! [`parse`] looks at the first bytes of a connection and takes no state along: whoever calls it
//! keeps what came until there is a verdict, at most [`MAX_LEN`] bytes and one read. Whose word
//! counts, and what an address is good for, is the caller's business.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::fmt;

/// The longest header that is taken, in bytes. Version 1 ends at 107 by itself; version 2 may
/// bring more than addresses (of the TLS that the proxy ended, for example), which is skipped.
pub const MAX_LEN: usize = V2_FIXED + 4096;

/// The longest line of version 1, its CRLF included.
const V1_MAX: usize = 107;
const V1_START: &[u8] = b"PROXY ";
const V2_START: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Start, version and command, family and transport, length.
const V2_FIXED: usize = 16;

/// What a proxy says about a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The connection is the proxy's own, or it can't say whose it is: the socket's addresses are
    /// the best there are.
    Local,
    /// The connection is somebody else's.
    Proxied {
        /// Where it comes from: the client.
        source: SocketAddr,
        /// Where the client connected to.
        destination: SocketAddr,
    },
}

/// The bytes are no header of the PROXY protocol and can't become one, whatever follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// They begin as neither version does.
    Start,
    /// A line of version 1 that says something else, or in other words.
    Line,
    /// Version, command, family or transport of version 2 are not ones there are.
    Version,
    /// The block of version 2 is shorter than the addresses it has to hold.
    TooShort,
    /// It is longer than [`MAX_LEN`], or a line of version 1 than its 107 bytes.
    TooLong,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "no PROXY header",
            Self::Line => "a malformed PROXY line",
            Self::Version => "an unknown version, command or family in a PROXY header",
            Self::TooShort => "a PROXY header without room for its addresses",
            Self::TooLong => "a PROXY header that is too long",
        })
    }
}

impl std::error::Error for Error {}

/// Reads the header that `input`, a connection's first bytes, begins with, and says how many bytes
/// it has; `None` while more of them are needed.
///
/// The verdict on a stream is the same however much of it is shown at once.
pub fn parse(input: &[u8]) -> Result<Option<(Header, usize)>, Error> {
    if input.first() == V2_START.first() { parse_v2(input) } else { parse_v1(input) }
}

/// Whether `input` begins with `start`; `None` while it is too short to tell.
fn starts_with(input: &[u8], start: &[u8]) -> Result<Option<()>, Error> {
    if input.iter().zip(start).any(|(byte, expected)| byte != expected) {
        return Err(Error::Start);
    }
    Ok((input.len() >= start.len()).then_some(()))
}

fn parse_v1(input: &[u8]) -> Result<Option<(Header, usize)>, Error> {
    if starts_with(input, V1_START)?.is_none() {
        return Ok(None);
    }
    let seen = input.get(..V1_MAX).unwrap_or(input);
    let Some(end) = seen.windows(2).position(|two| two == b"\r\n") else {
        return if seen.len() < V1_MAX { Ok(None) } else { Err(Error::TooLong) };
    };
    let words = seen.get(V1_START.len()..end).ok_or(Error::Line)?;
    let header = parse_line(words).ok_or(Error::Line)?;
    Ok(Some((header, end + 2)))
}

/// What stands between `PROXY ` and the line's end.
fn parse_line(words: &[u8]) -> Option<Header> {
    // What follows UNKNOWN is to be ignored, whatever it is.
    if words == b"UNKNOWN" || words.starts_with(b"UNKNOWN ") {
        return Some(Header::Local);
    }
    let mut words = str::from_utf8(words).ok()?.split(' ');
    let address: fn(&str) -> Option<IpAddr> = match words.next()? {
        "TCP4" => |word| word.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        "TCP6" => |word| word.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        _ => return None,
    };
    let (from, to) = (address(words.next()?)?, address(words.next()?)?);
    let (from_port, to_port) = (port(words.next()?)?, port(words.next()?)?);
    let source = SocketAddr::new(from, from_port);
    let destination = SocketAddr::new(to, to_port);
    words.next().is_none().then_some(Header::Proxied { source, destination })
}

/// A number without signs and leading zeros, which `parse` would let pass.
fn port(word: &str) -> Option<u16> {
    let plain = word == "0" || !word.starts_with(['0', '+']);
    word.parse().ok().filter(|_| plain)
}

fn parse_v2(input: &[u8]) -> Result<Option<(Header, usize)>, Error> {
    if starts_with(input, V2_START)?.is_none() {
        return Ok(None);
    }
    let fixed = input.get(V2_START.len()..).and_then(<[u8]>::first_chunk);
    let Some(&[command, family, high, low]) = fixed else { return Ok(None) };
    let is_local = match command {
        0x20 => true,
        0x21 => false,
        _ => return Err(Error::Version),
    };
    let len = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if len > MAX_LEN {
        return Err(Error::TooLong);
    }
    // The family of a connection of the proxy's own is to be ignored.
    if !is_local && (family >> 4 > 3 || family & 0xf > 2) {
        return Err(Error::Version);
    }
    let Some(block) = input.get(V2_FIXED..len) else { return Ok(None) };
    let header = match family {
        _ if is_local => Header::Local,
        0x11 => addresses_v4(block).ok_or(Error::TooShort)?,
        0x21 => addresses_v6(block).ok_or(Error::TooShort)?,
        // Unknown, datagrams, a socket in a file: nothing that a peer of ours has.
        _ => Header::Local,
    };
    Ok(Some((header, len)))
}

fn addresses_v4(block: &[u8]) -> Option<Header> {
    let (from, rest) = block.split_first_chunk::<4>()?;
    let (to, rest) = rest.split_first_chunk::<4>()?;
    ports(Ipv4Addr::from(*from).into(), Ipv4Addr::from(*to).into(), rest)
}

fn addresses_v6(block: &[u8]) -> Option<Header> {
    let (from, rest) = block.split_first_chunk::<16>()?;
    let (to, rest) = rest.split_first_chunk::<16>()?;
    ports(Ipv6Addr::from(*from).into(), Ipv6Addr::from(*to).into(), rest)
}

fn ports(from: IpAddr, to: IpAddr, rest: &[u8]) -> Option<Header> {
    let (from_port, rest) = rest.split_first_chunk()?;
    let (to_port, _) = rest.split_first_chunk()?;
    Some(Header::Proxied {
        source: SocketAddr::new(from, u16::from_be_bytes(*from_port)),
        destination: SocketAddr::new(to, u16::from_be_bytes(*to_port)),
    })
}
