//! What both ends agree on in the opening handshake (RFC 7692 §5 and §7.1).

use super::params::{ClientBits, Element, MalformedExtensions, NAME, Params, read};
use super::{DeflateConfig, MAX_WINDOW_BITS, MIN_WINDOW_BITS};
use std::fmt::{self, Write};

/// The agreed parameters; printed, they are the value of the server's `Sec-WebSocket-Extensions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreed {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<u8>,
}

impl Agreed {
    /// Whether each message of the server is compressed on its own (§7.1.1.1).
    pub fn server_no_context_takeover(&self) -> bool {
        self.server_no_context_takeover
    }

    /// Whether each message of the client is compressed on its own (§7.1.1.2).
    pub fn client_no_context_takeover(&self) -> bool {
        self.client_no_context_takeover
    }

    /// The server's window in bits of its size, 8 to 15 (§7.1.2.1); as a server never 8.
    pub fn server_max_window_bits(&self) -> u8 {
        self.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS)
    }

    /// The client's window in bits of its size, 8 to 15 (§7.1.2.2).
    pub fn client_max_window_bits(&self) -> u8 {
        self.client_max_window_bits.unwrap_or(MAX_WINDOW_BITS)
    }

    /// Appends the value of the response's `Sec-WebSocket-Extensions` header.
    pub fn write_response_value(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.to_string().as_bytes());
    }

    /// What a server answers to an offer; `None` declines it.
    fn answer(offer: Params, config: &DeflateConfig) -> Option<Self> {
        let (server_bits, client_bits) = limits(config);
        let server_max_window_bits = match offer.server_max_window_bits {
            // No zlib compresses with 256 bytes, and a later offer may ask for more.
            Some(offered) if offered < MIN_WINDOW_BITS => return None,
            Some(offered) => Some(offered.min(server_bits)),
            None => below_max(server_bits),
        };
        // Only a client that named the parameter may be answered with it (§7.1.2.2).
        let client_max_window_bits = match offer.client_max_window_bits {
            ClientBits::Absent => None,
            ClientBits::Bare => below_max(client_bits),
            ClientBits::Bits(offered) => below_max(client_bits).map(|bits| bits.min(offered)),
        };
        Some(Self {
            server_no_context_takeover: offer.server_no_context_takeover
                || config.server_no_context_takeover,
            client_no_context_takeover: offer.client_no_context_takeover
                || config.client_no_context_takeover,
            server_max_window_bits,
            client_max_window_bits,
        })
    }

    /// What a client makes of the answer to its [`offer`].
    fn answered(answer: Params, config: &DeflateConfig) -> Result<Self, ResponseError> {
        let (server_bits, client_bits) = limits(config);
        let client_max_window_bits = match answer.client_max_window_bits {
            ClientBits::Absent => below_max(client_bits),
            ClientBits::Bits(bits) if bits <= client_bits => Some(bits),
            ClientBits::Bits(_) | ClientBits::Bare => return Err(ResponseError::Parameters),
        };
        let window = answer.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS);
        let takeover = !answer.server_no_context_takeover;
        if window > server_bits || takeover && config.server_no_context_takeover {
            return Err(ResponseError::Ignored);
        }
        Ok(Self {
            server_no_context_takeover: answer.server_no_context_takeover,
            client_no_context_takeover: answer.client_no_context_takeover
                || config.client_no_context_takeover,
            server_max_window_bits: answer.server_max_window_bits,
            client_max_window_bits,
        })
    }
}

impl fmt::Display for Agreed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(NAME)?;
        write_flags(f, self.server_no_context_takeover, self.client_no_context_takeover)?;
        if let Some(bits) = self.server_max_window_bits {
            write!(f, "; server_max_window_bits={bits}")?;
        }
        if let Some(bits) = self.client_max_window_bits {
            write!(f, "; client_max_window_bits={bits}")?;
        }
        Ok(())
    }
}

fn write_flags(f: &mut impl Write, server: bool, client: bool) -> fmt::Result {
    if server {
        f.write_str("; server_no_context_takeover")?;
    }
    if client {
        f.write_str("; client_no_context_takeover")?;
    }
    Ok(())
}

/// The configured windows, server's and client's, as what can be done here.
fn limits(config: &DeflateConfig) -> (u8, u8) {
    let possible = |bits: u8| bits.clamp(MIN_WINDOW_BITS, MAX_WINDOW_BITS);
    (possible(config.server_max_window_bits), possible(config.client_max_window_bits))
}

fn below_max(bits: u8) -> Option<u8> {
    (bits < MAX_WINDOW_BITS).then_some(bits)
}

/// The server's side: picks the first offer that can be accepted, from the values of all
/// `Sec-WebSocket-Extensions` headers in their order (§5).
///
/// `None` means that the answer has no such header. An offer is declined for an unknown or
/// repeated parameter, a wrong value, or a server's window of 8 bits. An error means that the
/// headers break the grammar, and RFC 6455 §9.1 wants the handshake refused. The time is linear in
/// the bytes; nothing is allocated.
pub fn negotiate<'a>(
    offers: impl Iterator<Item = &'a [u8]>,
    config: &DeflateConfig,
) -> Result<Option<Agreed>, MalformedExtensions> {
    let mut agreed = None;
    read(offers, |element| {
        if let Element::Deflate(Some(offer)) = element
            && config.enabled
            && agreed.is_none()
        {
            agreed = Agreed::answer(offer, config);
        }
    })?;
    Ok(agreed)
}

/// A client's side: the value of its `Sec-WebSocket-Extensions`; `None` when it wants no
/// compression.
pub fn offer(config: &DeflateConfig) -> Option<String> {
    let (server_bits, client_bits) = limits(config);
    let mut text = String::from(NAME);
    let mut write = || {
        let (server, client) =
            (config.server_no_context_takeover, config.client_no_context_takeover);
        write_flags(&mut text, server, client)?;
        if let Some(bits) = below_max(server_bits) {
            write!(text, "; server_max_window_bits={bits}")?;
        }
        match below_max(client_bits) {
            Some(bits) => write!(text, "; client_max_window_bits={bits}"),
            None => text.write_str("; client_max_window_bits"),
        }
    };
    let written = write().is_ok();
    (config.enabled && written).then_some(text)
}

/// Why a client must fail the connection over a server's `Sec-WebSocket-Extensions`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ResponseError {
    /// The header breaks the grammar (RFC 6455 §9.1).
    Malformed,
    /// An extension that was not offered, or the same one twice (RFC 6455 §4.1).
    NotOffered,
    /// A parameter that is unknown, repeated or has a wrong value (RFC 7692 §7.1).
    Parameters,
    /// A parameter that the offer demanded is missing (RFC 7692 §7.1.1.1, §7.1.2.1).
    Ignored,
}

impl fmt::Display for ResponseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "malformed Sec-WebSocket-Extensions (RFC 6455 section 9.1)",
            Self::NotOffered => "an extension that was not offered (RFC 6455 section 4.1)",
            Self::Parameters => "wrong parameters of permessage-deflate (RFC 7692 section 7.1)",
            Self::Ignored => "permessage-deflate not as offered (RFC 7692 section 7.1)",
        })
    }
}

impl std::error::Error for ResponseError {}

/// A client's side: what the server answered to the [`offer`] of the same configuration.
///
/// `None` means that the server declined, and nothing may be compressed.
pub fn accept_response<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    config: &DeflateConfig,
) -> Result<Option<Agreed>, ResponseError> {
    let mut result = Ok(None);
    read(values, |element| {
        result = match (element, &result) {
            (Element::Deflate(params), Ok(None)) if config.enabled => {
                let params = params.ok_or(ResponseError::Parameters);
                params.and_then(|params| Agreed::answered(params, config)).map(Some)
            }
            (_, Ok(_)) => Err(ResponseError::NotOffered),
            (_, Err(error)) => Err(*error),
        };
    })
    .map_err(|_| ResponseError::Malformed)?;
    result
}
