//! The server's side of RFC 6455 §4.2: is this request an opening handshake, and the answer.
//!
//! Versions 7 and 8 shake hands as 13 does. Draft 76 shares the checks that are not about keys;
//! the rest of it is in `hixie76`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};

use super::headers::{ExtraHeaders, InvalidHeader};
use super::hixie76;
use super::refusal::Refusal;
use super::request::Request;
use super::response::push;
use super::syntax::is_token;
use crate::version::Version;

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Base64 as RFC 4648 §4 has it. Some clients fill the key with random letters, so the bits past
/// the sixteenth byte may be anything (§3.5 leaves that to the decoder).
pub(super) const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (RFC 6455 §4.2.2, step 5.4).
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let digest = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; 28];
    let written = BASE64.encode_slice(digest, &mut accept);
    debug_assert_eq!(written, Ok(accept.len()), "20 bytes are 28 characters");
    accept
}

/// A request that may become a WebSocket: what its 101 needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Upgrade {
    version: Version,
    tls: bool,
    answer: Answer,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Accept([u8; 28]),
    Hixie76(Box<hixie76::Answer>),
}

/// Checks what RFC 6455 §4.2.1 asks of an opening handshake.
///
/// # Errors
/// - 426 if the request asks for no WebSocket ([`Request::is_upgrade`] tells beforehand), or for
///   a version this crate doesn't speak, or names none or several;
/// - 405 if its method is not GET;
/// - 400 for HTTP/1.0, a `Connection` that doesn't name `upgrade`, a key that is missing,
///   repeated or not 16 bytes in base64, and a subprotocol that is not a token;
/// - 400 with the versions spoken here for a request of draft 76 whose keys break its §5.2, or
///   any such request where the reader was made without it
///   ([`RequestReader::with_versions`](super::RequestReader::with_versions)).
pub fn check_upgrade(request: &Request) -> Result<Upgrade, Refusal> {
    if !request.is_upgrade() {
        return Err(Refusal::upgrade_required());
    }
    if request.method() != "GET" {
        return Err(Refusal::new(405, "a WebSocket is opened with GET"));
    }
    if !request.is_http_1_1() {
        return Err(Refusal::bad_request("a WebSocket is opened with HTTP/1.1"));
    }
    if !request.fields().list_has("connection", b"upgrade") {
        return Err(Refusal::bad_request("the Connection header doesn't name upgrade"));
    }
    let version = check_version(request)?;
    let answer = if version.is_framed() {
        Answer::Accept(accept_key(check_key(request)?))
    } else {
        Answer::Hixie76(Box::new(hixie76::Answer::to(request)?))
    };
    if !request.subprotocol_offers().all(is_token) {
        return Err(Refusal::bad_request("a subprotocol is not a token"));
    }
    Ok(Upgrade { version, tls: false, answer })
}

fn check_version(request: &Request) -> Result<Version, Refusal> {
    request.version().ok_or_else(|| {
        let reason = match request.fields().single("sec-websocket-version") {
            Ok(Some(_)) => "this version of the WebSocket protocol isn't spoken here",
            Ok(None) => "the Sec-WebSocket-Version header is missing",
            Err(_) => "the Sec-WebSocket-Version header is repeated",
        };
        Refusal::new(426, reason)
    })
}

/// RFC 6455 §4.2.1, item 5: a base64 value that is 16 bytes when decoded.
fn check_key(request: &Request) -> Result<&[u8], Refusal> {
    let key = match request.fields().single("sec-websocket-key") {
        Ok(Some(key)) => key,
        Ok(None) => return Err(Refusal::bad_request("the Sec-WebSocket-Key header is missing")),
        Err(_) => return Err(Refusal::bad_request("the Sec-WebSocket-Key header is repeated")),
    };
    let mut decoded = [0; 18];
    if BASE64.decode_slice(key, &mut decoded) == Ok(16) {
        Ok(key)
    } else {
        Err(Refusal::bad_request("the Sec-WebSocket-Key is not 16 bytes in base64"))
    }
}

impl Upgrade {
    /// The version the connection will speak.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The value of `Sec-WebSocket-Accept`, which draft 76 doesn't have.
    pub fn accept(&self) -> Option<&[u8; 28]> {
        match &self.answer {
            Answer::Accept(accept) => Some(accept),
            Answer::Hixie76(_) => None,
        }
    }

    /// Says whether the connection is encrypted, by default not: draft 76 repeats its URL to the
    /// client, as `wss` then.
    pub fn with_tls(mut self, tls: bool) -> Self {
        self.tls = tls;
        self
    }

    /// Appends the 101 to `out` (RFC 6455 §4.2.2; draft 76 §5.2, with the 16 bytes behind it).
    ///
    /// The subprotocol must be one of [`Request::subprotocols`], or the client will fail the
    /// connection.
    ///
    /// # Errors
    /// The subprotocol is not a token; nothing was written then.
    pub fn write_response(
        &self,
        subprotocol: Option<&str>,
        headers: &ExtraHeaders,
        out: &mut Vec<u8>,
    ) -> Result<(), InvalidHeader> {
        if subprotocol.is_some_and(|name| !is_token(name.as_bytes())) {
            return Err(InvalidHeader::Value);
        }
        match &self.answer {
            Answer::Accept(accept) => write_accept(accept, out),
            Answer::Hixie76(answer) => answer.write_headers(self.tls, out),
        }
        if let Some(name) = subprotocol {
            push(out, &["Sec-WebSocket-Protocol: ", name, "\r\n"]);
        }
        out.extend_from_slice(headers.as_bytes());
        push(out, &["\r\n"]);
        if let Answer::Hixie76(answer) = &self.answer {
            out.extend_from_slice(answer.digest());
        }
        Ok(())
    }
}

fn write_accept(accept: &[u8; 28], out: &mut Vec<u8>) {
    push(out, &["HTTP/1.1 101 Switching Protocols\r\n"]);
    push(out, &["Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "]);
    out.extend_from_slice(accept);
    push(out, &["\r\n"]);
}

#[cfg(test)]
mod tests {
    use super::accept_key;

    /// RFC 6455 §1.3.
    #[test]
    fn the_sample_key_gives_the_sample_accept() {
        assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }
}
