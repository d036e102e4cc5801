//! A server's answer to an opening handshake, whole and cut in pieces (RFC 6455 §4.1).
//!
//! The client's verdict must be the same however the bytes are cut; what it takes is an answer to
//! its own request, and it takes whatever this crate's server answers.
#![no_main]

use arbitrary::Arbitrary;
use clws_fuzz::{cuts, limits};
use clws_proto::handshake::{
    ClientHandshake, ClientHandshakeError, ExtraHeaders, HandshakeLimits, RequestReader,
    accept_key, check_upgrade,
};
use libfuzzer_sys::fuzz_target;

const LINES: &[&str] = &[
    "HTTP/1.1 101 Switching Protocols",
    "HTTP/1.0 101 Switching Protocols",
    "HTTP/1.1 101",
    "HTTP/1.1 403 Forbidden",
    "HTTP/1.1 200 OK",
    "Upgrade: websocket",
    "Upgrade: WebSocket",
    "Connection: Upgrade",
    "Connection: keep-alive, upgrade",
    "Sec-WebSocket-Protocol: chat",
    "Sec-WebSocket-Protocol: other",
    "Sec-WebSocket-Extensions: permessage-deflate",
    "Content-Length: 0",
    "Transfer-Encoding: chunked",
    "Set-Cookie: a=\u{20ac}",
];

/// The client's offers.
const OFFERS: [&str; 2] = ["chat", "superchat"];

#[derive(Arbitrary, Debug)]
struct Input {
    nonce: [u8; 16],
    parts: Vec<Part>,
    spoil: Option<(u16, u8)>,
    limits: Option<(u16, u8, u8)>,
    pieces: Vec<u8>,
    served: Served,
}

#[derive(Arbitrary, Debug)]
enum Part {
    Line(u8),
    Accept,
    Field(String, String),
    Raw(Vec<u8>),
    End,
}

/// What this crate's server is told to answer.
#[derive(Arbitrary, Debug)]
struct Served {
    chosen: Option<bool>,
    headers: Vec<(String, String)>,
}

impl Input {
    fn client(&self) -> ClientHandshake {
        ClientHandshake::new("h:81", "/p?q", self.nonce, &OFFERS, None, &ExtraHeaders::new())
            .expect("a legal request")
    }

    fn bytes(&self, accept: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for part in &self.parts {
            match part {
                Part::Line(index) => {
                    out.extend_from_slice(LINES[usize::from(*index) % LINES.len()].as_bytes());
                    out.extend_from_slice(b"\r\n");
                }
                Part::Accept => {
                    out.extend_from_slice(b"Sec-WebSocket-Accept: ");
                    out.extend_from_slice(accept);
                    out.extend_from_slice(b"\r\n");
                }
                Part::Field(name, value) => {
                    out.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
                }
                Part::Raw(bytes) => out.extend_from_slice(bytes),
                Part::End => out.extend_from_slice(b"\r\n"),
            }
        }
        cuts::spoil(&mut out, self.spoil);
        out
    }
}

/// What the client answers when it is shown the bytes up to each of these ends.
fn verdict(
    mut client: ClientHandshake,
    bytes: &[u8],
    limits: &HandshakeLimits,
    accept: &[u8],
    ends: impl IntoIterator<Item = usize>,
) -> Result<Option<(String, usize)>, ClientHandshakeError> {
    for end in ends {
        let Some((answer, used)) = client.handle_bytes(&bytes[..end], limits)? else { continue };
        assert!(used <= end.min(limits.max_header_size), "used {used} of {end} bytes");
        assert!(answer.subprotocol().is_none_or(|name| OFFERS.contains(&name)));
        let given = answer.header("Sec-WebSocket-Accept").map(str::as_bytes);
        assert_eq!(given, Some(accept), "an answer to another request");
        assert_eq!(answer.header("sec-websocket-extensions"), None, "none was offered");
        let headers: Vec<_> = answer.headers().collect();
        return Ok(Some((format!("{:?} {headers:?}", answer.subprotocol()), used)));
    }
    Ok(None)
}

fuzz_target!(|input: Input| {
    let (client, limits) = (input.client(), limits(input.limits));
    let mut request = Vec::new();
    client.write_request(&mut request);
    let read = RequestReader::new().handle_bytes(&request, &HandshakeLimits::default());
    let (request, _) = read.expect("legal").expect("whole");
    let key = request.header("sec-websocket-key").expect("a key");
    let accept = accept_key(key.as_bytes());

    let bytes = input.bytes(&accept);
    if !bytes.is_empty() {
        let ask = |ends: &mut dyn Iterator<Item = usize>| {
            verdict(client.clone(), &bytes, &limits, &accept, ends)
        };
        let whole = ask(&mut std::iter::once(bytes.len()));
        assert!(!matches!(whole, Err(ClientHandshakeError::Request(_))), "it was sent");
        assert_eq!(ask(&mut (1..=bytes.len())), whole, "in single bytes");
        assert_eq!(ask(&mut cuts::ends(&bytes, &input.pieces)), whole, "in pieces");
    }

    let mut headers = ExtraHeaders::new();
    for (name, value) in &input.served.headers {
        // What can't be sent is refused here already.
        let _ = headers.push(name, value);
    }
    let chosen = input.served.chosen.map(|first| OFFERS[usize::from(!first)]);
    let mut answer = Vec::new();
    let upgrade = check_upgrade(&request).expect("a legal request");
    upgrade.write_response(chosen, &headers, &mut answer).expect("an offered subprotocol");
    let limits = HandshakeLimits {
        max_header_size: usize::MAX,
        max_headers: usize::MAX,
        ..HandshakeLimits::default()
    };
    let taken = verdict(client, &answer, &limits, &accept, [answer.len()]);
    let (text, used) = taken.expect("a legal answer").expect("a whole answer");
    assert!(used == answer.len() && text.starts_with(&format!("{chosen:?} ")), "{text}");
});
