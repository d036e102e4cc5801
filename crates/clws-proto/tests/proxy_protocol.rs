//! The PROXY protocol, by the examples and the rules of its specification (version 2.2, sections
//! 2.1 and 2.2), and at every cut.

use clws_proto::proxy_protocol::{Error, Header, MAX_LEN, parse};
use proptest::prelude::*;

const START: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn proxied(source: &str, destination: &str) -> Header {
    let (source, destination) = (source.parse().unwrap(), destination.parse().unwrap());
    Header::Proxied { source, destination }
}

/// A header of version 2 with this block.
fn v2(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
    let len = u16::try_from(block.len()).unwrap().to_be_bytes();
    [START, &[command, family], &len, block].concat()
}

/// 192.0.2.1:4660 to 198.51.100.2:80.
const V4: &[u8] = &[192, 0, 2, 1, 198, 51, 100, 2, 0x12, 0x34, 0, 80];

/// `2001:db8::1` to `2001:db8::2`, ports 65535 and 443.
fn v6() -> Vec<u8> {
    let address = |last| [&[0x20, 0x01, 0x0d, 0xb8][..], &[0; 11], &[last]].concat();
    [address(1), address(2), vec![0xff, 0xff, 1, 0xbb]].concat()
}

/// Each of these headers, whatever follows, is read as such, and in none of its beginnings.
#[track_caller]
fn reads(header: &[u8], expected: Header) {
    for rest in [&b""[..], b"G", b"GET / HTTP/1.1\r\n\r\n", b"\r\n\r\n"] {
        let stream = [header, rest].concat();
        assert_eq!(parse(&stream), Ok(Some((expected, header.len()))), "{header:?}");
    }
    for cut in 0..header.len() {
        assert_eq!(parse(&header[..cut]), Ok(None), "{header:?} cut at {cut}");
    }
}

#[test]
fn section_2_1_lines_of_version_1() {
    reads(
        b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n",
        proxied("192.168.0.1:56324", "192.168.0.11:443"),
    );
    reads(
        b"PROXY TCP4 255.255.255.255 255.255.255.255 65535 65535\r\n",
        proxied("255.255.255.255:65535", "255.255.255.255:65535"),
    );
    reads(b"PROXY TCP6 2001:db8::1 ::1 1 0\r\n", proxied("[2001:db8::1]:1", "[::1]:0"));
    reads(b"PROXY UNKNOWN\r\n", Header::Local);
}

/// The longest ones the specification gives.
#[test]
fn section_2_1_the_longest_lines_of_version_1() {
    const ONES: &str = "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff";
    let tcp6 = format!("PROXY TCP6 {ONES} {ONES} 65535 65535\r\n");
    let ones = format!("[{ONES}]:65535");
    assert_eq!(tcp6.len(), 104);
    reads(tcp6.as_bytes(), proxied(&ones, &ones));
    let unknown = format!("PROXY UNKNOWN {ONES} {ONES} 65535 65535\r\n");
    assert_eq!(unknown.len(), 107);
    reads(unknown.as_bytes(), Header::Local);
    let longer = unknown.replace("UNKNOWN", "UNKNOWN ");
    assert_eq!(parse(&longer.as_bytes()[..106]), Ok(None));
    assert_eq!(parse(&longer.as_bytes()[..107]), Err(Error::TooLong));
    assert_eq!(parse(longer.as_bytes()), Err(Error::TooLong));
}

#[test]
fn section_2_1_lines_that_are_none() {
    for line in [
        "PROXY \r\n",
        "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
        "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1\t192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n\r\n",
        "PROXY TCP4 192.0.2.01 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
        "PROXY TCP4 192.0.2.1 192.0.2.2 1 -2\r\n",
        "PROXY TCP4 ::1 ::1 1 2\r\n",
        "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY TCP6 [::1] [::1] 1 2\r\n",
        "PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n",
        "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
        "PROXY UNKNOWNS\r\n",
    ] {
        assert_eq!(parse(line.as_bytes()), Err(Error::Line), "{line:?}");
    }
    assert_eq!(parse(b"PROXY TCP4 \xff 192.0.2.2 1 2\r\n"), Err(Error::Line));
}

#[test]
fn other_protocols_are_told_apart_by_their_first_byte() {
    for stream in
        [&b"GET / HTTP/1.1\r\n"[..], b"PROXX", b"proxy ", b"\x16\x03\x01", b"\r\n\r\n\0\r\nQUIX"]
    {
        assert_eq!(parse(stream), Err(Error::Start), "{stream:?}");
    }
    assert_eq!(parse(b"G"), Err(Error::Start));
    assert_eq!(parse(b""), Ok(None));
}

#[test]
fn section_2_2_addresses_of_version_2() {
    reads(&v2(0x21, 0x11, V4), proxied("192.0.2.1:4660", "198.51.100.2:80"));
    reads(&v2(0x21, 0x21, &v6()), proxied("[2001:db8::1]:65535", "[2001:db8::2]:443"));
    // Further values follow the addresses; PP2_TYPE_NOOP, 3 bytes of it, is one.
    let more = [V4, &[4, 0, 3, 0, 0, 0]].concat();
    reads(&v2(0x21, 0x11, &more), proxied("192.0.2.1:4660", "198.51.100.2:80"));
}

/// `PP2_TYPE_SSL`, what a proxy tells about the TLS that it ended, is skipped.
#[test]
fn section_2_2_a_header_with_values_about_tls() {
    let tls = b"\x20\x00\x18\x07\x00\x00\x00\x00\x21\x00\x07TLSv1.3\x22\x00\x06client";
    let block = [V4, tls].concat();
    reads(&v2(0x21, 0x11, &block), proxied("192.0.2.1:4660", "198.51.100.2:80"));
}

/// LOCAL, unknown families and those that a TCP connection can't have leave the socket's address.
#[test]
fn section_2_2_the_socket_keeps_its_address() {
    for (command, family, block) in [
        (0x20, 0, &b""[..]),
        (0x20, 0x11, b""),
        (0x20, 0xff, b"anything"),
        (0x21, 0x00, b""),
        (0x21, 0x01, b"xyz"),
        (0x21, 0x12, V4),
        (0x21, 0x22, &[0; 36]),
        (0x21, 0x31, &[0; 216]),
    ] {
        reads(&v2(command, family, block), Header::Local);
    }
}

#[test]
fn section_2_2_headers_that_are_none() {
    for (command, family, len, error) in [
        (0x11, 0x11, 12, Error::Version),
        (0x31, 0x11, 12, Error::Version),
        (0x22, 0x11, 12, Error::Version),
        (0x21, 0x41, 12, Error::Version),
        (0x21, 0x13, 12, Error::Version),
        (0x21, 0x11, 11, Error::TooShort),
        (0x21, 0x21, 35, Error::TooShort),
        (0x21, 0x21, 12, Error::TooShort),
        (0x20, 0x00, 4097, Error::TooLong),
        (0x21, 0x11, 65535, Error::TooLong),
    ] {
        let header = v2(command, family, &vec![0; len]);
        assert_eq!(parse(&header), Err(error), "{command:x} {family:x} {len}");
    }
}

/// A length is judged when it has arrived, before anything is waited for or kept.
#[test]
fn section_2_2_the_longest_header() {
    let longest = v2(0x21, 0x11, &[V4, &[0; 4084]].concat());
    assert_eq!(longest.len(), MAX_LEN);
    reads(&longest, proxied("192.0.2.1:4660", "198.51.100.2:80"));
    assert_eq!(parse(&[START, &[0x21, 0x11, 0x10, 0x01]].concat()), Err(Error::TooLong));
}

/// Streams that are near to a header: something legal, changed in a few places.
fn streams() -> impl Strategy<Value = Vec<u8>> {
    let legal = prop_oneof![
        Just(b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET".to_vec()),
        Just(b"PROXY TCP6 2001:db8::1 ::1 1 0\r\n".to_vec()),
        Just(b"PROXY UNKNOWN xyz\r\n".to_vec()),
        Just(v2(0x21, 0x11, V4)),
        Just(v2(0x21, 0x21, &v6())),
        Just(v2(0x20, 0, b"xyz")),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (legal, changes, prop::collection::vec(any::<u8>(), 0..120)).prop_map(
        |(mut stream, changes, rest)| {
            stream.extend(rest);
            for (place, byte) in changes {
                if !stream.is_empty() {
                    let place = place.index(stream.len());
                    stream[place] = byte;
                }
            }
            stream
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// However much of a stream is there, there is no verdict yet or the one on the whole of it.
    #[test]
    fn no_cut_changes_the_verdict(stream in streams()) {
        let whole = parse(&stream);
        if let Ok(Some((_, used))) = whole {
            prop_assert!(used <= stream.len() && used <= MAX_LEN);
        }
        for cut in 0..stream.len() {
            let verdict = parse(&stream[..cut]);
            prop_assert!(verdict == Ok(None) || verdict == whole, "cut at {cut}: {verdict:?}");
        }
    }
}
