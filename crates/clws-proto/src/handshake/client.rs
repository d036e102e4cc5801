//! The client's side of RFC 6455 §4.1: the request it sends and what it accepts in answer.
//!
//! Whoever connects brings 16 random bytes per handshake; this crate has no source of them.

use core::fmt;
use core::str;

use base64::Engine as _;

use super::HandshakeLimits;
use super::fields::{Fields, Headers};
use super::headers::ExtraHeaders;
use super::response::push;
use super::scan::{HeadError, HeadScanner, StartLine};
use super::syntax::{Target, is_field_byte, is_host, is_token};
use super::upgrade::{BASE64, accept_key};
use crate::version::Version;

/// Why a client's handshake came to nothing.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientHandshakeError {
    /// What was asked for can't be sent.
    Request(&'static str),
    /// The answer is not HTTP/1.1.
    Malformed(&'static str),
    /// The answer's header exceeds a limit.
    TooLarge,
    /// The server answered with this HTTP status, not with 101.
    Refused(u16),
    /// The answer is a 101 that RFC 6455 §4.1 makes the client fail.
    Answer(&'static str),
}

impl fmt::Display for ClientHandshakeError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(reason) => write!(out, "the handshake can't be sent: {reason}"),
            Self::Malformed(reason) => write!(out, "the answer is not HTTP/1.1: {reason}"),
            Self::TooLarge => out.write_str("the header of the answer exceeds a limit"),
            Self::Refused(status) => write!(out, "the server refused with status {status}"),
            Self::Answer(reason) => write!(out, "the answer breaks RFC 6455 §4.1: {reason}"),
        }
    }
}

impl std::error::Error for ClientHandshakeError {}

impl From<HeadError> for ClientHandshakeError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Malformed(reason) => Self::Malformed(reason),
            HeadError::StartLineTooLong | HeadError::TooLarge | HeadError::TooManyHeaders => {
                Self::TooLarge
            }
        }
    }
}

/// An opening handshake in the client's role.
#[derive(Clone)]
pub struct ClientHandshake {
    request: Vec<u8>,
    accept: [u8; 28],
    subprotocols: Vec<String>,
    scanner: HeadScanner,
}

impl ClientHandshake {
    /// Prepares a handshake. `host` is the host with a port unless it is the default one,
    /// `path_and_query` begins with `/`, `nonce` is 16 random bytes never used before, and
    /// `subprotocols` are in order of preference.
    ///
    /// # Errors
    /// [`ClientHandshakeError::Request`] if a part is not what HTTP or RFC 6455 §4.1 allows there.
    pub fn new(
        host: &str,
        path_and_query: &str,
        nonce: [u8; 16],
        subprotocols: &[&str],
        origin: Option<&str>,
        headers: &ExtraHeaders,
    ) -> Result<Self, ClientHandshakeError> {
        check_parts(host, path_and_query, subprotocols, origin)
            .map_err(ClientHandshakeError::Request)?;
        let key = BASE64.encode(nonce);
        let version = Version::Rfc6455.number().to_string();
        let mut request = Vec::with_capacity(256);
        push(&mut request, &["GET ", path_and_query, " HTTP/1.1\r\nHost: ", host, "\r\n"]);
        push(&mut request, &["Upgrade: websocket\r\nConnection: Upgrade\r\n"]);
        push(&mut request, &["Sec-WebSocket-Key: ", &key, "\r\n"]);
        push(&mut request, &["Sec-WebSocket-Version: ", &version, "\r\n"]);
        if !subprotocols.is_empty() {
            let offers = subprotocols.join(", ");
            push(&mut request, &["Sec-WebSocket-Protocol: ", &offers, "\r\n"]);
        }
        if let Some(origin) = origin {
            push(&mut request, &["Origin: ", origin, "\r\n"]);
        }
        request.extend_from_slice(headers.as_bytes());
        push(&mut request, &["\r\n"]);
        Ok(Self {
            request,
            accept: accept_key(key.as_bytes()),
            subprotocols: subprotocols.iter().map(|&name| name.to_owned()).collect(),
            scanner: HeadScanner::new(StartLine::Status),
        })
    }

    /// Appends the request to `out`.
    pub fn write_request(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.request);
    }

    /// Looks for the server's answer; `received` is everything that came so far.
    ///
    /// `None` asks for more bytes. Otherwise the number is how many bytes the answer took; the
    /// rest are frames. `limits.max_request_line` bounds the status line here.
    ///
    /// # Errors
    /// The answer is malformed, too large, a refusal, or a 101 that doesn't fit the request.
    pub fn handle_bytes(
        &mut self,
        received: &[u8],
        limits: &HandshakeLimits,
    ) -> Result<Option<(ServerAnswer, usize)>, ClientHandshakeError> {
        let Some(head) = self.scanner.scan(received, limits)? else { return Ok(None) };
        let block = received.get(head.start..head.end).unwrap_or_default();
        let mut headers = vec![httparse::EMPTY_HEADER; head.headers];
        let mut parsed = httparse::Response::new(&mut headers);
        match parsed.parse(block) {
            Ok(httparse::Status::Complete(size)) if size == block.len() => {}
            _ => return Err(ClientHandshakeError::Malformed("the status line is malformed")),
        }
        let status = parsed.code.unwrap_or_default();
        if status != 101 {
            return Err(ClientHandshakeError::Refused(status));
        }
        if parsed.version != Some(1) {
            return Err(ClientHandshakeError::Answer("its version is not HTTP/1.1"));
        }
        let fields = Fields::pack(&[], parsed.headers);
        let subprotocol = self.check_answer(&fields).map_err(ClientHandshakeError::Answer)?;
        Ok(Some((ServerAnswer { subprotocol, fields }, head.end)))
    }

    /// RFC 6455 §4.1, what a client validates, items 2 to 6; gives the subprotocol chosen.
    fn check_answer(&self, fields: &Fields) -> Result<Option<String>, &'static str> {
        match fields.single("upgrade") {
            Ok(Some(value)) if value.eq_ignore_ascii_case(b"websocket") => {}
            _ => return Err("its Upgrade is not websocket"),
        }
        if !fields.list_has("connection", b"upgrade") {
            return Err("its Connection doesn't name upgrade");
        }
        if fields.single("sec-websocket-accept") != Ok(Some(&self.accept)) {
            return Err("its Sec-WebSocket-Accept doesn't fit the key");
        }
        if fields.values("sec-websocket-extensions").next().is_some() {
            return Err("it uses an extension that was not offered");
        }
        let Ok(chosen) = fields.single("sec-websocket-protocol") else {
            return Err("its Sec-WebSocket-Protocol is repeated");
        };
        let Some(chosen) = chosen else { return Ok(None) };
        let offered = self.subprotocols.iter().find(|offer| offer.as_bytes() == chosen);
        offered.cloned().map(Some).ok_or("it chose a subprotocol that was not offered")
    }
}

impl fmt::Debug for ClientHandshake {
    /// The request may hold tokens and cookies, so it is left out.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ClientHandshake")
            .field("subprotocols", &self.subprotocols)
            .finish_non_exhaustive()
    }
}

fn check_parts(
    host: &str,
    path_and_query: &str,
    subprotocols: &[&str],
    origin: Option<&str>,
) -> Result<(), &'static str> {
    if !is_host(host.as_bytes()) {
        return Err("the host is malformed");
    }
    if !path_and_query.starts_with('/') {
        return Err("the path doesn't begin with a slash");
    }
    Target::parse(path_and_query)?;
    for (index, name) in subprotocols.iter().enumerate() {
        if !is_token(name.as_bytes()) {
            return Err("a subprotocol is not a token");
        }
        if subprotocols.iter().take(index).any(|earlier| earlier == name) {
            return Err("a subprotocol is repeated");
        }
    }
    if origin.is_some_and(|origin| !origin.bytes().all(is_field_byte)) {
        return Err("the origin holds a control character");
    }
    Ok(())
}

/// A 101 that fits the request.
#[derive(Clone)]
pub struct ServerAnswer {
    subprotocol: Option<String>,
    fields: Fields,
}

impl ServerAnswer {
    /// The subprotocol the server chose of those offered.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// The first header of that name, whatever its case; `None` also if its value is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.fields.values(name).next().and_then(|value| str::from_utf8(value).ok())
    }

    /// Names and values in order of arrival, with repeats.
    pub fn headers(&self) -> Headers<'_> {
        self.fields.iter()
    }
}

impl fmt::Debug for ServerAnswer {
    /// Header values may be secrets, so they are left out.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("ServerAnswer")
            .field("subprotocol", &self.subprotocol)
            .field("headers", &self.headers())
            .finish_non_exhaustive()
    }
}
