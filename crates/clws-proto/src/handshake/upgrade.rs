//! The server's side of RFC 6455 §4.2: is this request an opening handshake, and the answer.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use sha1::{Digest, Sha1};

use super::headers::{ExtraHeaders, InvalidHeader};
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Upgrade {
    version: Version,
    accept: [u8; 28],
}

/// Checks what RFC 6455 §4.2.1 asks of an opening handshake.
///
/// # Errors
/// - 426 if the request asks for no WebSocket ([`Request::is_upgrade`] tells beforehand), or for
///   a version this crate doesn't speak, or names none or several;
/// - 405 if its method is not GET;
/// - 400 for HTTP/1.0, a `Connection` that doesn't name `upgrade`, a key that is missing,
///   repeated or not 16 bytes in base64, and a subprotocol that is not a token.
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
    let accept = accept_key(check_key(request)?);
    if !request.subprotocol_offers().all(is_token) {
        return Err(Refusal::bad_request("a subprotocol is not a token"));
    }
    Ok(Upgrade { version, accept })
}

fn check_version(request: &Request) -> Result<Version, Refusal> {
    let value = match request.fields().single("sec-websocket-version") {
        Ok(Some(value)) => value,
        Ok(None) => return Err(Refusal::new(426, "the Sec-WebSocket-Version header is missing")),
        Err(_) => return Err(Refusal::new(426, "the Sec-WebSocket-Version header is repeated")),
    };
    Version::from_header(value).ok_or_else(|| {
        Refusal::new(426, "this version of the WebSocket protocol isn't spoken here")
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

    /// The value of `Sec-WebSocket-Accept`.
    pub const fn accept(&self) -> &[u8; 28] {
        &self.accept
    }

    /// Appends the 101 to `out` (RFC 6455 §4.2.2).
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
        push(out, &["HTTP/1.1 101 Switching Protocols\r\n"]);
        push(out, &["Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "]);
        out.extend_from_slice(&self.accept);
        push(out, &["\r\n"]);
        if let Some(name) = subprotocol {
            push(out, &["Sec-WebSocket-Protocol: ", name, "\r\n"]);
        }
        out.extend_from_slice(headers.as_bytes());
        push(out, &["\r\n"]);
        Ok(())
    }
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
