//! The first bytes of a connection as a header of the PROXY protocol, versions 1 and 2.
//!
//! The verdict does not change when more bytes come, and comes within the longest header; what a
//! proxy writes is read as it was meant.
#![no_main]

use arbitrary::Arbitrary;
use clws_fuzz::cuts;
use clws_proto::proxy_protocol::{Header, MAX_LEN, parse};
use libfuzzer_sys::fuzz_target;
use std::net::{IpAddr, SocketAddr};

const WORDS: [&str; 16] = [
    "PROXY ",
    "TCP4 ",
    "TCP6 ",
    "UNKNOWN",
    " ",
    "127.0.0.1 ",
    "::1 ",
    "255.255.255.255 ",
    "0 ",
    "65535",
    "65536",
    "+80",
    "080",
    "\r\n",
    "\r",
    "\n",
];

#[derive(Arbitrary, Debug)]
enum Input {
    Raw(Vec<u8>),
    Line(Vec<Word>),
    /// Version 2: command, family, a length that may be wrong, and what follows.
    Binary {
        command: u8,
        family: u8,
        len: Option<u16>,
        block: Vec<u8>,
        rest: Vec<u8>,
    },
    /// What a proxy writes.
    Written {
        version_1: bool,
        source: Address,
        destination: Address,
        extra: Vec<u8>,
        rest: Vec<u8>,
    },
}

#[derive(Arbitrary, Debug)]
enum Word {
    Known(u8),
    Any(Vec<u8>),
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Address {
    V4([u8; 4], u16),
    V6([u16; 8], u16),
}

impl Address {
    fn socket(self) -> SocketAddr {
        match self {
            Self::V4(ip, port) => SocketAddr::new(IpAddr::from(ip), port),
            Self::V6(ip, port) => SocketAddr::new(IpAddr::from(ip), port),
        }
    }
}

const START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn binary(command: u8, family: u8, len: u16, block: &[u8]) -> Vec<u8> {
    [START, &[command, family], &len.to_be_bytes(), block].concat()
}

/// The header as the specification has it; none where the addresses are of two families.
fn written(
    source: SocketAddr,
    destination: SocketAddr,
    version_1: bool,
    extra: &[u8],
) -> Option<Vec<u8>> {
    let (name, family, block) = match (source.ip(), destination.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => ("TCP4", 0x11, [from.octets(), to.octets()].concat()),
        (IpAddr::V6(from), IpAddr::V6(to)) => ("TCP6", 0x21, [from.octets(), to.octets()].concat()),
        _ => return None,
    };
    let (from, to) = (source.port(), destination.port());
    if version_1 {
        let (source, destination) = (source.ip(), destination.ip());
        return Some(format!("PROXY {name} {source} {destination} {from} {to}\r\n").into_bytes());
    }
    let ports = [from.to_be_bytes(), to.to_be_bytes()].concat();
    let block = [&block[..], &ports, extra].concat();
    Some(binary(0x21, family, block.len() as u16, &block))
}

fuzz_target!(|input: Input| {
    let bytes = match input {
        Input::Raw(bytes) => bytes,
        Input::Line(words) => words.iter().fold(Vec::new(), |mut line, word| {
            line.extend_from_slice(match word {
                Word::Known(index) => WORDS[usize::from(*index) % WORDS.len()].as_bytes(),
                Word::Any(bytes) => bytes,
            });
            line
        }),
        Input::Binary { command, family, len, block, rest } => {
            let len = len.unwrap_or(block.len() as u16);
            [&binary(command, family, len, &block)[..], &rest].concat()
        }
        Input::Written { version_1, source, destination, extra, rest } => {
            let (source, destination) = (source.socket(), destination.socket());
            let extra = &extra[..extra.len().min(2048)];
            let Some(header) = written(source, destination, version_1, extra) else { return };
            let bytes = [&header[..], &rest].concat();
            let meant = Header::Proxied { source, destination };
            assert_eq!(parse(&bytes), Ok(Some((meant, header.len()))));
            bytes
        }
    };
    let whole = parse(&bytes);
    assert!(bytes.len() < MAX_LEN || whole != Ok(None), "asks for more than the longest header");
    if let Ok(Some((_, used))) = whole {
        assert!(used <= bytes.len().min(MAX_LEN), "used {used} of {} bytes", bytes.len());
        assert_eq!(parse(&bytes[..used]), whole, "looked beyond the header");
    }
    // Each byte more, up to the longest header and a little.
    let mut known = None;
    for end in cuts::ends(&bytes, &[1]) {
        let found = parse(&bytes[..end]);
        match known {
            Some(earlier) => assert_eq!(found, earlier, "{end} bytes changed the verdict"),
            None if found != Ok(None) => known = Some(found),
            None => {}
        }
    }
    assert_eq!(known.unwrap_or(Ok(None)), if bytes.is_empty() { Ok(None) } else { whole });
});
