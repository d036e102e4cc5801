//! Finds the end of a header block and holds it to the letter of RFC 9112 on the way.
//!
//! Parsers of HTTP forgive a lot, and two that forgive differently can be played against each
//! other (request smuggling). So every byte is judged here first: line ends are CRLF, names are
//! tokens that touch their colon, no line is folded, values hold no control character. The scan
//! remembers where it stopped, so each byte is looked at once however it arrives, and the verdict
//! doesn't depend on how the bytes were cut.

use super::HandshakeLimits;
use super::syntax::{is_field_byte, is_token_byte};

/// Offsets in a block stay far inside `u32`, the unit in which they are kept.
const LARGEST_BLOCK: usize = 1 << 30;

/// Why a header block is refused before its meaning is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    Malformed(&'static str),
    StartLineTooLong,
    TooLarge,
    TooManyHeaders,
}

/// The first line's grammar differs by role: a reason phrase may hold what a target may not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StartLine {
    Request,
    Status,
}

/// Where a complete header block lies in the bytes received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// First byte of the start line.
    pub(super) start: usize,
    /// One past the empty line.
    pub(super) end: usize,
    /// Number of header lines.
    pub(super) headers: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Begin,
    BlankLf,
    Start,
    StartLine,
    StartLineLf,
    LineBegin,
    Name,
    Value,
    ValueLf,
    EndLf,
    Finished,
}

/// The state of one scan.
#[derive(Clone, Debug)]
pub(super) struct HeadScanner {
    kind: StartLine,
    state: State,
    seen: u32,
    start: u32,
    headers: u32,
}

impl HeadScanner {
    pub(super) const fn new(kind: StartLine) -> Self {
        Self { kind, state: State::Begin, seen: 0, start: 0, headers: 0 }
    }

    /// Looks at the bytes not seen before. `received` is everything so far; `None` asks for more.
    ///
    /// A failed scan stays at the byte that failed, and a finished one finds nothing more.
    pub(super) fn scan(
        &mut self,
        received: &[u8],
        limits: &HandshakeLimits,
    ) -> Result<Option<Head>, HeadError> {
        let largest = limits.max_header_size.min(LARGEST_BLOCK);
        if self.state == State::Finished {
            return Ok(None);
        }
        for &byte in received.get(self.seen as usize..).unwrap_or_default() {
            if self.seen as usize >= largest {
                return Err(HeadError::TooLarge);
            }
            self.state = self.step(byte, limits)?;
            self.seen += 1;
            if self.state == State::Finished {
                return Ok(Some(self.head()));
            }
        }
        // A full block without its end can't end in time: the caller's buffer may be full too.
        if self.seen as usize >= largest { Err(HeadError::TooLarge) } else { Ok(None) }
    }

    fn head(&self) -> Head {
        Head { start: self.start as usize, end: self.seen as usize, headers: self.headers as usize }
    }

    fn step(&mut self, byte: u8, limits: &HandshakeLimits) -> Result<State, HeadError> {
        match (self.state, byte) {
            // RFC 9112 §2.2: an empty line before a request is ignored, here at most one.
            (State::Begin, b'\r') if self.kind == StartLine::Request => Ok(State::BlankLf),
            (State::BlankLf, b'\n') => {
                self.start = self.seen + 1;
                Ok(State::Start)
            }
            (State::Begin | State::Start, _) if is_token_byte(byte) => self.in_start_line(limits),
            (State::StartLine, b'\r') => Ok(State::StartLineLf),
            (State::StartLine, _) if self.may_start_line_hold(byte) => self.in_start_line(limits),
            (State::StartLineLf | State::ValueLf, b'\n') => Ok(State::LineBegin),
            (State::LineBegin, b'\r') => Ok(State::EndLf),
            (State::LineBegin, _) if is_token_byte(byte) => self.begin_header(limits),
            (State::Name, b':') => Ok(State::Value),
            (State::Name, _) if is_token_byte(byte) => Ok(State::Name),
            (State::Value, b'\r') => Ok(State::ValueLf),
            (State::Value, _) if is_field_byte(byte) => Ok(State::Value),
            (State::EndLf, b'\n') => Ok(State::Finished),
            (state, _) => Err(HeadError::Malformed(explain(state, byte))),
        }
    }

    fn may_start_line_hold(&self, byte: u8) -> bool {
        match self.kind {
            StartLine::Request => matches!(byte, b' '..=b'~'),
            StartLine::Status => is_field_byte(byte),
        }
    }

    fn in_start_line(&self, limits: &HandshakeLimits) -> Result<State, HeadError> {
        if (self.seen - self.start) as usize >= limits.max_request_line {
            return Err(HeadError::StartLineTooLong);
        }
        Ok(State::StartLine)
    }

    fn begin_header(&mut self, limits: &HandshakeLimits) -> Result<State, HeadError> {
        if self.headers as usize >= limits.max_headers {
            return Err(HeadError::TooManyHeaders);
        }
        self.headers += 1;
        Ok(State::Name)
    }
}

fn explain(state: State, byte: u8) -> &'static str {
    match (state, byte) {
        (State::Begin | State::BlankLf | State::Start, _) => "this is not HTTP/1.1",
        (State::StartLineLf | State::ValueLf | State::EndLf, _) => "a CR without its LF",
        (_, b'\n') => "a line must end with CR and LF",
        (State::StartLine, _) => "the first line holds an illegal character",
        (State::LineBegin, b' ' | b'\t') => "a header line must not be folded",
        (State::Name, b' ' | b'\t') => "no space is allowed between header name and colon",
        (State::LineBegin | State::Name, _) => "a header name holds an illegal character",
        _ => "a header value holds a control character",
    }
}

#[cfg(test)]
mod tests {
    use super::{Head, HeadError, HeadScanner, StartLine};
    use crate::handshake::HandshakeLimits;

    fn scan(bytes: &[u8], limits: &HandshakeLimits) -> Result<Option<Head>, HeadError> {
        HeadScanner::new(StartLine::Request).scan(bytes, limits)
    }

    #[test]
    fn a_failed_scan_stays_failed() {
        let limits = HandshakeLimits::default();
        let mut scanner = HeadScanner::new(StartLine::Request);
        let first = scanner.scan(b"GET\n", &limits).expect_err("a bare LF");
        assert_eq!(scanner.scan(b"GET\n / HTTP/1.1\r\n\r\n", &limits), Err(first));
    }

    #[test]
    fn a_block_of_exactly_the_limit_passes_and_a_full_one_without_end_does_not() {
        let block = b"GET / HTTP/1.1\r\nA: b\r\n\r\n";
        let limits = HandshakeLimits { max_header_size: block.len(), ..HandshakeLimits::default() };
        let head = Head { start: 0, end: block.len(), headers: 1 };
        assert_eq!(scan(block, &limits), Ok(Some(head)));
        let longer = b"GET / HTTP/1.1\r\nA: bc\r\n\r\n";
        assert_eq!(scan(longer, &limits), Err(HeadError::TooLarge));
        assert_eq!(scan(longer.split_at(block.len()).0, &limits), Err(HeadError::TooLarge));
        assert_eq!(scan(block.split_at(block.len() - 1).0, &limits), Ok(None));
    }

    #[test]
    fn a_request_line_and_the_number_of_headers_are_bounded_to_the_unit() {
        let limits =
            HandshakeLimits { max_request_line: 14, max_headers: 2, ..HandshakeLimits::default() };
        assert!(scan(b"\r\nGET / HTTP/1.1\r\nA:\r\nB:\r\n\r\n", &limits).is_ok());
        assert_eq!(scan(b"GET /x HTTP/1.1", &limits), Err(HeadError::StartLineTooLong));
        let third = scan(b"GET / HTTP/1.1\r\nA:\r\nB:\r\nC", &limits);
        assert_eq!(third, Err(HeadError::TooManyHeaders));
    }

    #[test]
    fn a_scan_keeps_within_16_bytes() {
        assert!(size_of::<HeadScanner>() <= 16, "{}", size_of::<HeadScanner>());
    }
}
