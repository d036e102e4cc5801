//! What a peer can do wrong after the opening handshake.
//!
//! Every error names the section of RFC 6455 or RFC 7692 it breaks and the close code the peer is
//! told, so a log line or a test can say both.

use crate::close::CloseCode;
use std::fmt;

/// A peer's breach of the protocol or of a limit; the connection ends with [`Self::close_code`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ProtocolError {
    /// A reserved bit is set that no extension was negotiated for (§5.2).
    ReservedBits,
    /// An opcode that no specification defines (§5.2).
    ReservedOpcode(u8),
    /// A payload length that is not in its shortest form (§5.2).
    LengthNotMinimal,
    /// A 64-bit payload length whose top bit is set (§5.2).
    LengthTopBit,
    /// A client's frame without a mask (§5.1).
    Unmasked,
    /// A server's frame with a mask (§5.1).
    Masked,
    /// A control frame in fragments (§5.5).
    FragmentedControl,
    /// A control frame with more than 125 bytes of payload (§5.5).
    LongControl,
    /// A continuation frame while no message is unfinished (§5.4).
    UnexpectedContinuation,
    /// A new data frame while a message is unfinished (§5.4).
    ExpectedContinuation,
    /// A close frame whose payload is a single byte (§5.5.1).
    CloseLength,
    /// A close code that must not appear on the wire (§7.4).
    CloseCode(u16),
    /// Text or a close reason that is not UTF-8 (§8.1).
    InvalidUtf8,
    /// A compressed message that is not DEFLATE data, or ends inside a block (RFC 7692 §7.2.2).
    InvalidDeflate,
    /// A frame longer than the limit (§10.4).
    FrameTooBig,
    /// A message longer than the limit, or charged above it for its fragments (§10.4).
    MessageTooBig,
    /// An unfinished message took longer than its time (§10.4).
    MessageTimeout,
}

impl ProtocolError {
    /// The code of the close frame that tells the peer (§7.4.1).
    pub fn close_code(self) -> CloseCode {
        match self {
            Self::InvalidUtf8 | Self::InvalidDeflate => CloseCode::INVALID_PAYLOAD,
            Self::FrameTooBig | Self::MessageTooBig => CloseCode::TOO_BIG,
            Self::MessageTimeout => CloseCode::POLICY,
            _ => CloseCode::PROTOCOL,
        }
    }

    /// The RFC that [`Self::section`] is part of: 6455, or 7692 for compressed messages.
    pub fn rfc(self) -> u16 {
        if self == Self::InvalidDeflate { 7692 } else { 6455 }
    }

    /// The section of [`Self::rfc`] that was broken, or that allows the limit.
    pub fn section(self) -> &'static str {
        match self {
            Self::ReservedBits
            | Self::ReservedOpcode(_)
            | Self::LengthNotMinimal
            | Self::LengthTopBit => "5.2",
            Self::Unmasked | Self::Masked => "5.1",
            Self::FragmentedControl | Self::LongControl => "5.5",
            Self::UnexpectedContinuation | Self::ExpectedContinuation => "5.4",
            Self::CloseLength => "5.5.1",
            Self::CloseCode(_) => "7.4",
            Self::InvalidUtf8 => "8.1",
            Self::InvalidDeflate => "7.2.2",
            Self::FrameTooBig | Self::MessageTooBig | Self::MessageTimeout => "10.4",
        }
    }

    /// A short reason without peer-controlled text, fit for a close frame.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ReservedBits => "reserved bit set",
            Self::ReservedOpcode(_) => "reserved opcode",
            Self::LengthNotMinimal => "length not in shortest form",
            Self::LengthTopBit => "length out of range",
            Self::Unmasked => "client frame not masked",
            Self::Masked => "server frame masked",
            Self::FragmentedControl => "fragmented control frame",
            Self::LongControl => "control frame too long",
            Self::UnexpectedContinuation => "continuation without a message",
            Self::ExpectedContinuation => "new message inside a message",
            Self::CloseLength => "close payload of one byte",
            Self::CloseCode(_) => "close code not allowed",
            Self::InvalidUtf8 => "invalid UTF-8",
            Self::InvalidDeflate => "invalid compressed data",
            Self::FrameTooBig => "frame too big",
            Self::MessageTooBig => "message too big",
            Self::MessageTimeout => "message took too long",
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (reason, section, code) = (self.reason(), self.section(), self.close_code());
        write!(f, "{reason} (RFC {} section {section}, close {})", self.rfc(), code.get())
    }
}

impl std::error::Error for ProtocolError {}
