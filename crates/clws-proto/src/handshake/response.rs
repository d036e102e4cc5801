//! A plain HTTP answer: a page for a GET without upgrade, or a refusal.
//!
//! There is one response per connection, then the connection closes; every answer says so and
//! gives its length. Nothing illegal can be put into one.

use core::fmt;

use super::headers::{ExtraHeaders, InvalidHeader};
use super::refusal::Refusal;

/// A response whose parts were checked when they were put in.
#[derive(Clone, PartialEq, Eq)]
pub struct Response {
    status: u16,
    headers: ExtraHeaders,
    body: Vec<u8>,
}

impl Response {
    /// An empty response. A status outside 200–599 can't end a request and counts as 500.
    pub fn new(status: u16) -> Self {
        let status = if matches!(status, 200..=599) { status } else { 500 };
        Self { status, headers: ExtraHeaders::new(), body: Vec::new() }
    }

    /// Adds a header.
    ///
    /// # Errors
    /// As [`ExtraHeaders::push`].
    pub fn with_header(mut self, name: &str, value: &str) -> Result<Self, InvalidHeader> {
        self.headers.push(name, value)?;
        Ok(self)
    }

    /// Sets the body and adds its `Content-Type`.
    ///
    /// # Errors
    /// The content type holds a control character.
    pub fn with_body(
        mut self,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> Result<Self, InvalidHeader> {
        self.headers.push("Content-Type", content_type)?;
        self.body = body.into();
        Ok(self)
    }

    /// The HTTP status, 200–599.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The headers added so far.
    pub const fn headers(&self) -> &ExtraHeaders {
        &self.headers
    }

    /// The body.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// Appends the response to `out`, without its body if `head_only` (the answer to HEAD).
    ///
    /// 204 and 304 never have a body (RFC 9110 §6.4.1).
    pub fn write_to(&self, head_only: bool, out: &mut Vec<u8>) {
        let phrase = reason_phrase(self.status);
        push(out, &["HTTP/1.1 ", &self.status.to_string(), " ", phrase, "\r\n"]);
        // RFC 9110 §7.8: who sends Upgrade names it in Connection too.
        let also = if self.headers.contains("upgrade") { ", upgrade" } else { "" };
        push(out, &["Connection: close", also, "\r\n"]);
        let has_body = !matches!(self.status, 204 | 304);
        if has_body {
            push(out, &["Content-Length: ", &self.body.len().to_string(), "\r\n"]);
        }
        out.extend_from_slice(self.headers.as_bytes());
        out.extend_from_slice(b"\r\n");
        if has_body && !head_only {
            out.extend_from_slice(&self.body);
        }
    }
}

impl From<&Refusal> for Response {
    /// The refusal's reason, as one line of plain text.
    fn from(refusal: &Refusal) -> Self {
        let mut response = Self::new(refusal.status());
        for (name, value) in refusal.headers() {
            response.headers.push_own(name, value);
        }
        response.headers.push_own("Content-Type", "text/plain; charset=utf-8");
        response.body = format!("{}\n", refusal.reason()).into_bytes();
        response
    }
}

impl fmt::Debug for Response {
    /// Header values and the body may hold secrets, so they are left out.
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Response")
            .field("status", &self.status)
            .field("headers", &self.headers)
            .field("body_len", &self.body.len())
            .finish()
    }
}

pub(super) fn push(out: &mut Vec<u8>, parts: &[&str]) {
    for part in parts {
        out.extend_from_slice(part.as_bytes());
    }
}

/// RFC 9110 §15: the phrase is a comment for people, and may be empty.
const fn reason_phrase(status: u16) -> &'static str {
    match status {
        200 => "OK",
        204 => "No Content",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        408 => "Request Timeout",
        414 => "URI Too Long",
        421 => "Misdirected Request",
        426 => "Upgrade Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        500 => "Internal Server Error",
        503 => "Service Unavailable",
        505 => "HTTP Version Not Supported",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::{Refusal, Response};

    fn written(response: &Response, head_only: bool) -> String {
        let mut out = Vec::new();
        response.write_to(head_only, &mut out);
        String::from_utf8(out).expect("text")
    }

    #[test]
    fn a_page_gives_its_length_and_closes() {
        let page = Response::new(200).with_body("text/html", "<p>").expect("legal");
        let head = "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\
                    Content-Type: text/html\r\n\r\n";
        assert_eq!(written(&page, false), format!("{head}<p>"));
        assert_eq!(written(&page, true), head);
    }

    #[test]
    fn a_426_says_what_to_upgrade_to() {
        let text = written(&Response::from(&Refusal::upgrade_required()), false);
        assert!(text.starts_with("HTTP/1.1 426 Upgrade Required\r\n"), "{text}");
        assert!(text.contains("\r\nConnection: close, upgrade\r\n"), "{text}");
        assert!(text.contains("\r\nUpgrade: websocket\r\n"), "{text}");
        assert!(text.contains("\r\nSec-WebSocket-Version: 13, 8, 7\r\n"), "{text}");
    }

    #[test]
    fn a_405_lists_the_method_that_would_do() {
        let text = written(&Response::from(&Refusal::new(405, "no")), false);
        assert!(text.contains("\r\nAllow: GET\r\n") && text.ends_with("\r\n\r\nno\n"), "{text}");
    }

    #[test]
    fn a_204_has_neither_body_nor_length() {
        let empty = Response::new(204).with_body("text/plain", "x").expect("legal");
        let text = written(&empty, false);
        assert!(!text.contains("Content-Length") && text.ends_with("\r\n\r\n"), "{text}");
    }

    #[test]
    fn a_status_that_is_no_answer_becomes_500() {
        assert_eq!(Response::new(101).status(), 500);
        assert_eq!(Response::new(600).status(), 500);
        assert_eq!(Refusal::new(101, "").status(), 500);
        assert_eq!(Refusal::new(200, "").status(), 500);
    }
}
