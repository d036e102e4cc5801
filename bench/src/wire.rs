//! What goes over the wire: the client's opening handshake, masked client frames, unmasked server
//! frames, and the payloads of the scenarios.
//!
//! Everything is encoded once, before a measurement starts. The bytes are written out here rather
//! than taken from a WebSocket library, so that no side is checked against its own code.

use std::io::{Error, ErrorKind, Read, Result, Write};

use rustix::rand::{GetRandomFlags, getrandom};

use crate::scenario::Layer;

/// What a message carries; decides the opcode (RFC 6455, section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Binary,
    Text,
}

impl Kind {
    /// The first byte of an unfragmented frame: FIN and the opcode.
    const fn first_byte(self) -> u8 {
        match self {
            Self::Text => 0x81,
            Self::Binary => 0x82,
        }
    }
}

/// The sample key of RFC 6455, section 1.3; every client uses it, so its answer is a constant.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// The resource that gives messages back.
const ECHO: &str = "/echo";
/// The longest answer to an opening handshake that is read, in bytes.
const MAX_ANSWER: usize = 8 * 1024;

/// An opening handshake with the headers a script's or a browser's client sends.
fn handshake_request(port: u16, path: &str, offer: Option<&str>) -> String {
    let offer = offer.map(|offer| format!("Sec-WebSocket-Extensions: {offer}\r\n"));
    let offer = offer.unwrap_or_default();
    format!(
        "GET {path} HTTP/1.1\r\n\
         Host: 127.0.0.1:{port}\r\n\
         Upgrade: websocket\r\n\
         Connection: Upgrade\r\n\
         Sec-WebSocket-Key: {KEY}\r\n\
         Sec-WebSocket-Version: 13\r\n\
         Origin: http://127.0.0.1:{port}\r\n\
         User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101\r\n\
         {offer}\r\n"
    )
}

/// Opens a WebSocket on a connected, blocking stream, with an offer of extensions; gives the head
/// of the answer.
///
/// # Errors
/// When the answer is not a 101 with the key's digest, or bytes follow it unasked.
pub(crate) fn open<S: Read + Write>(
    stream: &mut S,
    port: u16,
    path: &str,
    offer: Option<&str>,
) -> Result<String> {
    stream.write_all(handshake_request(port, path, offer).as_bytes())?;
    let mut answer = Vec::with_capacity(1024);
    let mut chunk = [0; 1024];
    while !answer.ends_with(b"\r\n\r\n") {
        let count = stream.read(&mut chunk)?;
        answer.extend_from_slice(&chunk[..count]);
        if count == 0 || answer.len() > MAX_ANSWER {
            return Err(refused(&answer));
        }
    }
    let text = String::from_utf8_lossy(&answer);
    if text.starts_with("HTTP/1.1 101 ") && text.contains(ACCEPT) {
        return Ok(text.into_owned());
    }
    Err(refused(&answer))
}

/// The offer of permessage-deflate, with or without context takeover in both directions.
const fn deflate_offer(takeover: bool) -> &'static str {
    if takeover {
        "permessage-deflate"
    } else {
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    }
}

/// Opens a WebSocket with permessage-deflate.
///
/// # Errors
/// Beyond those of [`open`], when the server does not agree to just that.
fn open_deflate<S: Read + Write>(
    stream: &mut S,
    port: u16,
    path: &str,
    takeover: bool,
) -> Result<()> {
    let answer = open(stream, port, path, Some(deflate_offer(takeover)))?.to_ascii_lowercase();
    let agreed = answer.lines().find_map(|line| line.strip_prefix("sec-websocket-extensions:"));
    let agreed = agreed.unwrap_or_default();
    let bare = ["server_no_context_takeover", "client_no_context_takeover"];
    let fits = if takeover {
        !bare.iter().any(|word| agreed.contains(word))
    } else {
        // What the client does is this program's own choice.
        agreed.contains(bare[0])
    };
    if agreed.contains("permessage-deflate") && fits {
        return Ok(());
    }
    let text = format!("permessage-deflate was not agreed as offered: {agreed:?}");
    Err(Error::new(ErrorKind::InvalidData, text))
}

fn refused(answer: &[u8]) -> Error {
    let head = String::from_utf8_lossy(&answer[..answer.len().min(200)]).into_owned();
    Error::new(ErrorKind::InvalidData, format!("opening handshake refused: {head:?}"))
}

/// Opens what a scenario's clients speak; with `bare` there is no protocol.
pub(crate) fn open_for<S: Read + Write>(
    stream: &mut S,
    port: u16,
    layer: Layer,
    bare: bool,
) -> Result<()> {
    match layer {
        _ if bare => open_bare(stream, port, ECHO),
        Layer::Deflate { takeover } => open_deflate(stream, port, ECHO, takeover),
        Layer::Plain | Layer::Tls => open(stream, port, ECHO, None).map(drop),
    }
}

/// What a socket without a protocol does instead of a handshake: the request comes back.
fn open_bare<S: Read + Write>(stream: &mut S, port: u16, path: &str) -> Result<()> {
    let request = handshake_request(port, path, None);
    stream.write_all(request.as_bytes())?;
    let mut answer = vec![0; request.len()];
    stream.read_exact(&mut answer)?;
    if answer == request.as_bytes() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::InvalidData, "the bytes came back changed"))
}

/// Appends one whole frame to `out`; with a mask it is a client's (RFC 6455, section 5.3).
pub(crate) fn push_frame(out: &mut Vec<u8>, kind: Kind, payload: &[u8], mask: Option<[u8; 4]>) {
    push(out, kind.first_byte(), payload, mask);
}

/// Appends one whole frame with a compressed payload (RFC 7692, section 6).
pub(crate) fn push_compressed(out: &mut Vec<u8>, payload: &[u8], mask: Option<[u8; 4]>) {
    const RSV1: u8 = 0x40;
    push(out, Kind::Text.first_byte() | RSV1, payload, mask);
}

fn push(out: &mut Vec<u8>, first_byte: u8, payload: &[u8], mask: Option<[u8; 4]>) {
    let mask_bit = if mask.is_some() { 0x80 } else { 0 };
    out.push(first_byte);
    match payload.len() {
        len @ 0..=125 => out.push(mask_bit | len as u8),
        len @ 126..=0xFFFF => {
            out.push(mask_bit | 0x7E);
            out.extend_from_slice(&(len as u16).to_be_bytes());
        }
        len => {
            out.push(mask_bit | 0x7F);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
    match mask {
        None => out.extend_from_slice(payload),
        Some(mask) => {
            out.extend_from_slice(&mask);
            out.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        }
    }
}

/// A mask as a client must choose it: unpredictable (RFC 6455, section 10.3).
pub(crate) fn random_mask() -> Result<[u8; 4]> {
    let mut mask = [0; 4];
    fill_random(&mut mask)?;
    Ok(mask)
}

/// A payload of exactly `len` bytes: random ones, or valid UTF-8 of two-, three- and four-byte
/// characters.
pub(crate) fn payload(kind: Kind, len: usize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    fill_random(&mut bytes)?;
    Ok(match kind {
        Kind::Binary => bytes,
        Kind::Text => multi_byte_text(&bytes),
    })
}

/// As many bytes of text as there are random ones, word by word in random order; ASCII only where
/// no other character fits.
fn multi_byte_text(random: &[u8]) -> Vec<u8> {
    const WORDS: [&str; 5] = ["жизнь", "ελληνικά", "日本語", "한국어문자", "🦀🚀🎉"];
    let mut text = String::with_capacity(random.len());
    let mut picks = random.iter().map(|byte| WORDS[usize::from(*byte) % WORDS.len()]);
    while text.len() < random.len() {
        let room = random.len() - text.len();
        let word = picks.next().filter(|word| word.len() <= room);
        text.push_str(word.unwrap_or(if room > 1 { "ü" } else { "." }));
    }
    text.into_bytes()
}

fn fill_random(mut bytes: &mut [u8]) -> Result<()> {
    while !bytes.is_empty() {
        let count = getrandom(&mut *bytes, GetRandomFlags::empty())?;
        bytes = &mut bytes[count..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_match_the_examples_of_the_rfc() {
        let mut out = Vec::new();
        push_frame(&mut out, Kind::Text, b"Hello", None);
        assert_eq!(out, [0x81, 0x05, 0x48, 0x65, 0x6c, 0x6c, 0x6f]);
        out.clear();
        push_frame(&mut out, Kind::Text, b"Hello", Some([0x37, 0xfa, 0x21, 0x3d]));
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(out, masked);
        out.clear();
        push_frame(&mut out, Kind::Binary, &[0; 256], None);
        assert_eq!(out[..4], [0x82, 0x7E, 0x01, 0x00]);
        out.clear();
        push_frame(&mut out, Kind::Binary, &vec![0; 65536], None);
        assert_eq!(out[..10], [0x82, 0x7F, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn text_is_valid_at_every_length() {
        for len in 0..200 {
            let text = payload(Kind::Text, len).expect("random bytes");
            assert_eq!(text.len(), len);
            assert!(std::str::from_utf8(&text).is_ok());
        }
    }
}
