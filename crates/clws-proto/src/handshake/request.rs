//! A client's request: found in the bytes received, checked as HTTP and kept in a compact form.
//!
//! What is wrong with any request, upgrade or not, is refused here, so that no later code sees
//! it: grammar, `Host`, repeated headers, and a body, which is never read. What RFC 6455 asks on
//! top is checked by [`check_upgrade`](super::check_upgrade).

use core::fmt;
use core::str;

use super::HandshakeLimits;
use super::fields::{Fields, Headers};
use super::hixie76::KEYS;
use super::refusal::Refusal;
use super::scan::{HeadScanner, StartLine};
use super::syntax::{self, Target, is_host, is_token};
use crate::version::{Version, Versions};

/// What follows the header block in draft 76 (§5.1 there): 8 bytes that no header announces.
const CHALLENGE: usize = 8;

/// Finds one request in the bytes received.
///
/// It remembers how far it looked: the work is linear in the bytes, even when they come one by
/// one, and the verdict is the same however they were cut.
#[derive(Clone, Debug)]
pub struct RequestReader {
    scanner: HeadScanner,
    versions: Versions,
    /// A request of draft 76 whose challenge is still to come, and where that begins.
    waiting: Option<Box<(Request, usize)>>,
}

impl Default for RequestReader {
    fn default() -> Self {
        Self::new()
    }
}

impl RequestReader {
    /// A reader that has seen nothing, for the versions on by default.
    pub const fn new() -> Self {
        Self::with_versions(Versions { hixie76: false })
    }

    /// A reader that has seen nothing, for these versions.
    ///
    /// Where draft 76 is on, a request that asks for it is complete with the 8 bytes behind its
    /// header block, which count to no limit. Where it is off, nothing is waited for, and
    /// [`check_upgrade`](super::check_upgrade) refuses it.
    pub const fn with_versions(versions: Versions) -> Self {
        let scanner = HeadScanner::new(StartLine::Request);
        Self { scanner, versions, waiting: None }
    }

    /// Looks for a request; `received` is everything that came so far, from its first byte.
    ///
    /// `None` asks for more bytes. Otherwise the number is how many bytes the request took; the
    /// rest are frames. A reader reads one request: afterwards it finds nothing more.
    ///
    /// # Errors
    /// 400 for a malformed request, 414 and 431 at the byte that exceeds a limit, 505 for
    /// another version of HTTP. The reader gives no request afterwards.
    pub fn handle_bytes(
        &mut self,
        received: &[u8],
        limits: &HandshakeLimits,
    ) -> Result<Option<(Request, usize)>, Refusal> {
        if self.waiting.is_none() {
            let Some(head) = self.scanner.scan(received, limits)? else { return Ok(None) };
            let block = received.get(head.start..head.end).unwrap_or_default();
            let request = Request::parse(block, head.headers)?;
            if !self.versions.hixie76 || request.version() != Some(Version::Hixie76) {
                return Ok(Some((request, head.end)));
            }
            self.waiting = Some(Box::new((request, head.end)));
        }
        Ok(self.take_challenge(received))
    }

    fn take_challenge(&mut self, received: &[u8]) -> Option<(Request, usize)> {
        let end = self.waiting.as_ref()?.1;
        let challenge = received.get(end..)?.first_chunk::<CHALLENGE>()?;
        let (mut request, _) = *self.waiting.take()?;
        request.fields.push_lead(challenge);
        request.has_challenge = true;
        Some((request, end + CHALLENGE))
    }
}

/// A request as it was received.
///
/// It is one block on the heap of at most the header's own size plus 8 bytes per header, and
/// nothing in it is decoded: a path keeps its `%20`, its `..` and its double slashes.
#[derive(Clone)]
pub struct Request {
    fields: Fields,
    method_len: u32,
    authority_len: u32,
    path_len: u32,
    query_len: u32,
    has_query: bool,
    is_http_1_1: bool,
    has_challenge: bool,
}

impl Request {
    /// The bytes of memory it owns.
    pub fn memory(&self) -> usize {
        self.fields.memory()
    }

    /// Parses a block that the scanner passed.
    fn parse(block: &[u8], count: usize) -> Result<Self, Refusal> {
        let mut headers = vec![httparse::EMPTY_HEADER; count];
        let mut parsed = httparse::Request::new(&mut headers);
        match parsed.parse(block) {
            Ok(httparse::Status::Complete(size)) if size == block.len() => {}
            Err(httparse::Error::Version) if names_other_version(block) => {
                return Err(Refusal::new(505, "only HTTP/1.1 is spoken here"));
            }
            _ => return Err(Refusal::bad_request("the request line is malformed")),
        }
        let method = parsed.method.unwrap_or_default();
        let target =
            Target::parse(parsed.path.unwrap_or_default()).map_err(Refusal::bad_request)?;
        let request = Self {
            fields: Fields::pack(
                &[method, target.authority, target.path, target.query.unwrap_or_default()]
                    .map(str::as_bytes),
                parsed.headers,
            ),
            method_len: method.len() as u32,
            authority_len: target.authority.len() as u32,
            path_len: target.path.len() as u32,
            query_len: target.query.unwrap_or_default().len() as u32,
            has_query: target.query.is_some(),
            is_http_1_1: parsed.version == Some(1),
            has_challenge: false,
        };
        request.check_host()?;
        request.check_body()?;
        request.check_origin()?;
        Ok(request)
    }

    /// Of two origins it would be open which one is judged.
    fn check_origin(&self) -> Result<(), Refusal> {
        let repeated = |name| self.fields.single(name).is_err();
        if repeated("origin") || repeated(self.origin_header()) {
            return Err(Refusal::bad_request("the Origin header is repeated"));
        }
        Ok(())
    }

    /// RFC 9112 §3.2: one valid `Host`; only HTTP/1.0 may leave it out.
    fn check_host(&self) -> Result<(), Refusal> {
        match self.fields.single("host") {
            Err(_) => Err(Refusal::bad_request("the Host header is repeated")),
            Ok(Some(host)) if is_host(host) => Ok(()),
            Ok(Some(_)) => Err(Refusal::bad_request("the Host header is malformed")),
            Ok(None) if self.is_http_1_1 => Err(Refusal::bad_request("the Host header is missing")),
            Ok(None) => Ok(()),
        }
    }

    /// A body would be taken for frames or for a second request (RFC 9112 §11.2). Only draft 76
    /// has 8 bytes behind its header block, and some of its clients call them a body.
    fn check_body(&self) -> Result<(), Refusal> {
        let is_draft76 = self.version() == Some(Version::Hixie76);
        let has_coding = self.fields.values("transfer-encoding").next().is_some();
        match self.fields.single("content-length") {
            Ok(None | Some(b"0")) if !has_coding => Ok(()),
            Ok(Some(b"8")) if !has_coding && is_draft76 => Ok(()),
            _ => Err(Refusal::bad_request("a request body is not accepted")),
        }
    }

    /// The method, as `GET`; methods are case-sensitive.
    pub fn method(&self) -> &str {
        self.fields.lead_text(0, self.method_len)
    }

    /// The path as sent, without the query; it begins with `/`.
    pub fn path(&self) -> &str {
        self.fields.lead_text(self.method_len + self.authority_len, self.path_len)
    }

    /// What follows the first `?` of the target; may be empty.
    pub fn query(&self) -> Option<&str> {
        let start = self.method_len + self.authority_len + self.path_len;
        self.has_query.then(|| self.fields.lead_text(start, self.query_len))
    }

    /// Whether the request is HTTP/1.1; otherwise it is HTTP/1.0.
    pub const fn is_http_1_1(&self) -> bool {
        self.is_http_1_1
    }

    /// The first header of that name, whatever its case; `None` also if its value is not UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.header_values(name).next().and_then(|value| str::from_utf8(value).ok())
    }

    /// Names and values in order of arrival, with repeats.
    pub fn headers(&self) -> Headers<'_> {
        self.fields.iter()
    }

    /// The values of all headers of that name, whatever its case.
    pub fn header_values<'a, 'n>(
        &'a self,
        name: &'n str,
    ) -> impl Iterator<Item = &'a [u8]> + use<'a, 'n> {
        self.fields.values(name)
    }

    /// The host and port the client meant: those of an absolute-form target, otherwise the
    /// `Host` header (RFC 9112 §3.2.2). Absent only in HTTP/1.0.
    pub fn host(&self) -> Option<&str> {
        if self.authority_len > 0 {
            return Some(self.fields.lead_text(self.method_len, self.authority_len));
        }
        self.header("host")
    }

    /// The version of the protocol the request names, if this crate knows it.
    ///
    /// Draft 76 has no number on the wire: its requests are those without a version that bring a
    /// numbered key. Whether a version is on is told by [`check_upgrade`](super::check_upgrade).
    pub fn version(&self) -> Option<Version> {
        let has = |name| self.fields.values(name).next().is_some();
        match self.fields.single("sec-websocket-version") {
            Ok(Some(value)) => Version::from_header(value),
            Ok(None) if has(KEYS[0]) || has(KEYS[1]) => {
                self.is_upgrade().then_some(Version::Hixie76)
            }
            _ => None,
        }
    }

    /// The origin, which browsers always send; `None` if the header is missing.
    ///
    /// It is read from the header its [version](Self::version) has it in: `Origin`, but in
    /// versions 7 and 8 `Sec-WebSocket-Origin` where there is one, since version 8 is both draft
    /// 10, which has that, and draft 12, which has `Origin`. It may be empty, `null`, or no URI
    /// at all: bytes of a header value, nothing more.
    pub fn origin(&self) -> Option<&[u8]> {
        let own = self.header_values(self.origin_header()).next();
        own.or_else(|| self.header_values("origin").next())
    }

    fn origin_header(&self) -> &'static str {
        self.version().map_or("origin", Version::origin_header)
    }

    /// The 8 bytes behind the header block, where draft 76 is on and asked for.
    pub(super) fn challenge(&self) -> Option<&[u8; CHALLENGE]> {
        if self.has_challenge { self.fields.lead_end() } else { None }
    }

    /// The subprotocols the client offers, the one it likes best first (RFC 6455 §4.1).
    ///
    /// Offers that are no tokens are left out; `check_upgrade` refuses them.
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.subprotocol_offers()
            .filter(|offer| is_token(offer))
            .filter_map(|offer| str::from_utf8(offer).ok())
    }

    pub(super) fn subprotocol_offers(&self) -> impl Iterator<Item = &[u8]> {
        syntax::elements(self.header_values("sec-websocket-protocol"))
    }

    /// Whether the client asks for a WebSocket at all: `Upgrade` names `websocket`.
    ///
    /// If not, this is a plain HTTP request and the caller decides what to answer.
    pub fn is_upgrade(&self) -> bool {
        self.fields.list_has("upgrade", b"websocket")
    }

    pub(super) const fn fields(&self) -> &Fields {
        &self.fields
    }
}

impl fmt::Debug for Request {
    /// Header values and the query may hold tokens and cookies, so they are left out.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Request")
            .field("method", &self.method())
            .field("path", &self.path())
            .field("headers", &self.headers())
            .finish_non_exhaustive()
    }
}

/// Whether the first line is whole and ends in a well-formed version of HTTP.
fn names_other_version(block: &[u8]) -> bool {
    let line = block.split(|&byte| byte == b'\r').next().unwrap_or_default();
    let mut parts = line.splitn(3, |&byte| byte == b' ').skip(2);
    match parts.next().and_then(|version| version.strip_prefix(b"HTTP/")) {
        Some([major, b'.', minor]) => major.is_ascii_digit() && minor.is_ascii_digit(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Request, RequestReader};
    use crate::handshake::HandshakeLimits;

    fn assert_send_sync<T: Send + Sync>(_: &T) {}

    #[test]
    fn a_request_costs_its_bytes_and_8_per_header() {
        let bytes = b"GET http://h?q HTTP/1.1\r\nHost: h\r\nCookie: 1\r\nX:\r\n\r\n";
        let (request, _) = RequestReader::new()
            .handle_bytes(bytes, &HandshakeLimits::default())
            .expect("legal")
            .expect("complete");
        assert!(request.fields.heap_size() <= bytes.len() + 3 * 8);
        assert!(size_of::<Request>() <= 48, "{}", size_of::<Request>());
        assert_send_sync(&request);
    }
}
