//! A handshake that is turned down: the HTTP status and the reason the peer is given.
//!
//! Reasons are written for the person at the other end and never quote the request, so they can
//! be logged and sent as they are.

use core::fmt;
use std::borrow::Cow;

use super::scan::HeadError;
use crate::version::Version;

type OwnHeaders = &'static [(&'static str, &'static str)];

/// RFC 6455 §4.2.2 and RFC 9110 §15.5.22: a 426 says what to upgrade to.
const UPGRADE: OwnHeaders =
    &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", Version::SUPPORTED)];

/// RFC 6455 §4.4: a client of a draft without version numbers is told which ones would do.
const VERSIONS: OwnHeaders = &[("Sec-WebSocket-Version", Version::SUPPORTED)];

/// RFC 9110 §15.5.6: a 405 lists the methods that would do.
const ALLOW: OwnHeaders = &[("Allow", "GET")];

/// A refused request; the answer is a [`Response`](super::Response) made from it, and then the
/// connection is closed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    reason: Cow<'static, str>,
    headers: OwnHeaders,
}

impl Refusal {
    /// A refusal with an HTTP error status, such as 403, 404, 408, 431 or 503.
    ///
    /// The reason becomes the body of the answer. 405 and 426 bring the headers they need. A
    /// status outside 400–599 refuses nothing, so it counts as 500.
    pub fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        let headers: OwnHeaders = match status {
            405 => ALLOW,
            426 => UPGRADE,
            _ => &[],
        };
        let status = if matches!(status, 400..=599) { status } else { 500 };
        Self { status, reason: reason.into(), headers }
    }

    /// The answer to a plain request where only a WebSocket is served: 426 (RFC 9110 §15.5.22).
    pub fn upgrade_required() -> Self {
        Self::new(426, "this address speaks WebSocket only")
    }

    /// 400: the request breaks a rule.
    pub(super) fn bad_request(reason: &'static str) -> Self {
        Self::new(400, reason)
    }

    /// 400: an opening handshake of draft 76 that comes to nothing; it names what is spoken.
    pub(super) fn bad_draft(reason: &'static str) -> Self {
        Self { headers: VERSIONS, ..Self::bad_request(reason) }
    }

    /// The HTTP status, 400–599.
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// What is wrong, in one sentence without a line end.
    pub fn reason(&self) -> &str {
        &self.reason
    }

    /// The headers this status calls for, as `Sec-WebSocket-Version: 13, 8, 7` with 426.
    pub const fn headers(&self) -> &'static [(&'static str, &'static str)] {
        self.headers
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.status, self.reason)
    }
}

impl std::error::Error for Refusal {}

impl From<HeadError> for Refusal {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Malformed(reason) => Self::bad_request(reason),
            HeadError::StartLineTooLong => Self::new(414, "the request line is too long"),
            HeadError::TooLarge => Self::new(431, "the request header is too large"),
            HeadError::TooManyHeaders => Self::new(431, "the request has too many headers"),
        }
    }
}
