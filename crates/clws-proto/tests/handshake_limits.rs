//! The limits of a header block: each fires at its byte, and none on healthy traffic.

use clws_proto::handshake::{HandshakeLimits, RequestReader};

/// Feeds one byte more each time; gives the status and how many bytes it took to refuse.
fn feed(bytes: &[u8], limits: &HandshakeLimits) -> Option<(u16, usize)> {
    let mut reader = RequestReader::new();
    for end in 1..=bytes.len() {
        match reader.handle_bytes(&bytes[..end], limits) {
            Ok(None) => {}
            Ok(Some(_)) => return None,
            Err(refusal) => return Some((refusal.status(), end)),
        }
    }
    panic!("no verdict after {} bytes", bytes.len());
}

fn request(line: &str, headers: &str) -> Vec<u8> {
    format!("{line}\r\nHost: a\r\n{headers}\r\n").into_bytes()
}

#[test]
fn scenario_a4_a_header_without_end_is_431_at_the_limit() {
    let limits = HandshakeLimits::default();
    let bytes = request("GET / HTTP/1.1", &format!("X: {}", "x".repeat(64 * 1024)));
    assert_eq!(feed(&bytes, &limits), Some((431, limits.max_header_size)));
    let whole = RequestReader::new().handle_bytes(&bytes, &limits);
    assert_eq!(whole.expect_err("too large").status(), 431);
}

#[test]
fn scenario_a6_too_many_headers_are_431_at_the_first_byte_too_many() {
    let limits = HandshakeLimits::default();
    let line = "GET / HTTP/1.1";
    let healthy = request(line, &"X: y\r\n".repeat(limits.max_headers - 1));
    assert_eq!(feed(&healthy, &limits), None);
    let hostile = request(line, &"X: y\r\n".repeat(2_000));
    let at = healthy.len() - 2 + 1;
    assert_eq!(feed(&hostile, &limits), Some((431, at)));
}

#[test]
fn scenario_a13_a_request_line_is_414_at_the_first_byte_too_many() {
    let limits = HandshakeLimits::default();
    let room = limits.max_request_line - "GET / HTTP/1.1".len();
    let line = |len: usize| format!("GET /{} HTTP/1.1", "x".repeat(len));
    assert_eq!(feed(&request(&line(room), ""), &limits), None);
    let refused = feed(&request(&line(room + 1), ""), &limits);
    assert_eq!(refused, Some((414, limits.max_request_line + 1)));
}

#[test]
fn a_block_of_exactly_the_limit_passes() {
    let empty = request("GET / HTTP/1.1", "X: \r\n").len();
    let limits = HandshakeLimits::default();
    let padded = |more: usize| {
        let room = limits.max_header_size - empty + more;
        request("GET / HTTP/1.1", &format!("X: {}\r\n", "x".repeat(room)))
    };
    assert_eq!(feed(&padded(0), &limits), None);
    assert_eq!(feed(&padded(1), &limits), Some((431, limits.max_header_size)));
}

#[test]
fn limits_of_any_size_are_honoured_without_panic() {
    let bytes = request("GET / HTTP/1.1", "");
    let none = HandshakeLimits { max_header_size: 0, max_headers: 0, max_request_line: 0 };
    assert!(feed(&bytes, &none).is_some());
    let all = HandshakeLimits {
        max_header_size: usize::MAX,
        max_headers: usize::MAX,
        max_request_line: usize::MAX,
    };
    assert_eq!(feed(&bytes, &all), None);
}

#[test]
fn scenario_a17_what_is_not_http_is_refused_at_its_first_byte() {
    for bytes in [&b"\x16\x03\x01\x02\x00\x01"[..], &[0; 64]] {
        assert_eq!(feed(bytes, &HandshakeLimits::default()), Some((400, 1)));
    }
}
