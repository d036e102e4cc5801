//! An opening handshake's request, whole and cut in pieces (RFC 6455 §4.2, RFC 9112).
//!
//! The verdict must be the same however the bytes are cut, every request that is read must bear
//! being asked everything, and every answer must be one well-formed response.
#![no_main]

use arbitrary::Arbitrary;
use clws_fuzz::{cuts, limits};
use clws_proto::handshake::{
    ExtraHeaders, HandshakeLimits, Refusal, Request, RequestReader, Response, check_upgrade,
};
use libfuzzer_sys::fuzz_target;

const LINES: &[&str] = &[
    "GET / HTTP/1.1",
    "GET /chat?room=1 HTTP/1.1",
    "GET http://example.com:81/x HTTP/1.1",
    "GET / HTTP/1.0",
    "HEAD / HTTP/1.1",
    "POST /%00/../x HTTP/1.1",
    "Host: example.com",
    "Host: [::1]:12345",
    "Upgrade: websocket",
    "Upgrade: h2c, WebSocket",
    "Connection: Upgrade",
    "Connection: keep-alive, upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Version: 8",
    "Sec-WebSocket-Protocol: chat, superchat",
    "Sec-WebSocket-Extensions: permessage-deflate",
    "Origin: https://example.com",
    "Content-Length: 0",
    "Transfer-Encoding: chunked",
    "Cookie: a=\u{20ac}",
];

#[derive(Arbitrary, Debug)]
struct Input {
    limits: Option<(u16, u8, u8)>,
    parts: Vec<Part>,
    spoil: Option<(u16, u8)>,
    pieces: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Part {
    /// A legal request up to its last header, which the next parts spoil or end.
    Legal,
    /// A line that is known to mean something.
    Line(u8),
    Field(String, String),
    Raw(Vec<u8>),
    End,
}

impl Part {
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Legal => {
                for index in [0, 6, 8, 10, 12, 13] {
                    Self::Line(index).write(out);
                }
            }
            Self::Line(index) => {
                out.extend_from_slice(LINES[usize::from(*index) % LINES.len()].as_bytes());
                out.extend_from_slice(b"\r\n");
            }
            Self::Field(name, value) => {
                out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
            }
            Self::Raw(bytes) => out.extend_from_slice(bytes),
            Self::End => out.extend_from_slice(b"\r\n"),
        }
    }
}

impl Input {
    fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.parts.iter().for_each(|part| part.write(&mut bytes));
        cuts::spoil(&mut bytes, self.spoil);
        bytes
    }
}

fuzz_target!(|input: Input| {
    let (bytes, limits) = (input.bytes(), limits(input.limits));
    if bytes.is_empty() {
        return;
    }
    let whole = verdict(&bytes, &limits, [bytes.len()]);
    assert_eq!(whole, verdict(&bytes, &limits, 1..=bytes.len()), "in single bytes");
    let ends = cuts::ends(&bytes, &input.pieces);
    assert_eq!(whole, verdict(&bytes, &limits, ends), "in pieces");
});

#[derive(Debug, PartialEq)]
enum Verdict {
    More,
    Request { answers: String, used: usize },
    Refused(Refusal),
}

fn verdict(
    bytes: &[u8],
    limits: &HandshakeLimits,
    ends: impl IntoIterator<Item = usize>,
) -> Verdict {
    let mut reader = RequestReader::new();
    for end in ends {
        let received = &bytes[..end];
        match reader.handle_bytes(received, limits) {
            Ok(None) => {}
            Ok(Some((request, used))) => {
                assert!(used <= end.min(limits.max_header_size), "used {used} of {end} bytes");
                assert_eq!(reader.handle_bytes(bytes, limits).ok().flatten().map(|_| ()), None);
                return Verdict::Request { answers: ask_everything(&request), used };
            }
            Err(refusal) => {
                assert!(!matches!(reader.handle_bytes(bytes, limits), Ok(Some(_))));
                check_refusal(&refusal);
                return Verdict::Refused(refusal);
            }
        }
    }
    Verdict::More
}

/// Calls every accessor and both ways to answer; what they say, as text.
fn ask_everything(request: &Request) -> String {
    let parts = (request.method(), request.path(), request.query(), request.host());
    assert!(request.path().starts_with('/'), "{:?}", request.path());
    let headers: Vec<_> = request.headers().collect();
    for (name, _) in &headers {
        assert!(request.header_values(name).next().is_some());
        let _ = request.header(name);
    }
    let offers: Vec<_> = request.subprotocols().collect();
    let upgrade = check_upgrade(request);
    match &upgrade {
        Ok(upgrade) => {
            assert!(request.is_upgrade() && request.is_http_1_1());
            let mut out = Vec::new();
            let written =
                upgrade.write_response(offers.first().copied(), &ExtraHeaders::new(), &mut out);
            written.expect("an offered subprotocol may be chosen");
            assert!(out.starts_with(b"HTTP/1.1 101 "));
            assert_eq!(head_len(&out), out.len(), "more than one blank line");
        }
        Err(refusal) => check_refusal(refusal),
    }
    let rest = (request.origin(), request.is_upgrade(), request.is_http_1_1());
    format!("{parts:?} {headers:?} {offers:?} {rest:?} {upgrade:?}")
}

/// A refusal's response is one head, one blank line, and a body of the length it names.
fn check_refusal(refusal: &Refusal) {
    assert!(matches!(refusal.status(), 400..=599));
    let response = Response::from(refusal);
    let (mut full, mut head) = (Vec::new(), Vec::new());
    response.write_to(false, &mut full);
    response.write_to(true, &mut head);
    assert_eq!(head_len(&head), head.len(), "more than one blank line");
    assert_eq!(full.strip_prefix(&head[..]), Some(response.body()));
    let text = String::from_utf8(head).expect("text");
    assert!(text.contains(&format!("\r\nContent-Length: {}\r\n", response.body().len())));
}

/// The length up to the first blank line, that line included.
fn head_len(bytes: &[u8]) -> usize {
    let blank = bytes.windows(4).position(|window| window == b"\r\n\r\n");
    blank.expect("a blank line") + 4
}
