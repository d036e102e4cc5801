//! The syntax of `Sec-WebSocket-Extensions` (RFC 6455 §9.1) and permessage-deflate's parameters.
//!
//! One pass over the bytes, no allocation: a header full of offers costs no more than its length.

use super::MAX_WINDOW_BITS;

/// What names this extension in a header (RFC 7692 §7).
pub(super) const NAME: &str = "permessage-deflate";

/// The header does not follow the grammar of RFC 6455 §9.1, so the handshake must fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MalformedExtensions;

impl std::fmt::Display for MalformedExtensions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("malformed Sec-WebSocket-Extensions (RFC 6455 section 9.1)")
    }
}

impl std::error::Error for MalformedExtensions {}

/// The parameters of one permessage-deflate element, each at most once and with a legal value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Params {
    pub(super) server_no_context_takeover: bool,
    pub(super) client_no_context_takeover: bool,
    pub(super) server_max_window_bits: Option<u8>,
    pub(super) client_max_window_bits: ClientBits,
}

/// `client_max_window_bits`, whose value an offer may leave out (RFC 7692 §7.1.2.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum ClientBits {
    #[default]
    Absent,
    Bare,
    Bits(u8),
}

impl Params {
    /// Takes one parameter; `None` when it is unknown, repeated or has a wrong value.
    ///
    /// Names are compared byte for byte, as browsers and libraries do: an offer in other letters
    /// is declined, which no client can stumble over, while an answer to it might be refused.
    fn add(&mut self, name: &[u8], value: Option<Value<'_>>) -> Option<()> {
        match (name, value) {
            (b"server_no_context_takeover", None) => set(&mut self.server_no_context_takeover),
            (b"client_no_context_takeover", None) => set(&mut self.client_no_context_takeover),
            (b"server_max_window_bits", Some(value)) => {
                let before = self.server_max_window_bits.replace(value.window_bits()?);
                before.is_none().then_some(())
            }
            (b"client_max_window_bits", value) => {
                let bits = match value {
                    Some(value) => ClientBits::Bits(value.window_bits()?),
                    None => ClientBits::Bare,
                };
                let before = std::mem::replace(&mut self.client_max_window_bits, bits);
                (before == ClientBits::Absent).then_some(())
            }
            _ => None,
        }
    }
}

fn set(flag: &mut bool) -> Option<()> {
    let before = std::mem::replace(flag, true);
    (!before).then_some(())
}

/// One element of the header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    /// Another extension.
    Foreign,
    /// permessage-deflate; `None` when a parameter is unknown, repeated or has a wrong value.
    Deflate(Option<Params>),
}

/// Calls `each` with the elements of all header values in their order.
pub(super) fn read<'a>(
    values: impl Iterator<Item = &'a [u8]>,
    mut each: impl FnMut(Element),
) -> Result<(), MalformedExtensions> {
    for value in values {
        let mut scanner = Scanner { rest: value };
        loop {
            scanner.skip_spaces();
            if scanner.rest.is_empty() {
                break;
            }
            if scanner.eat(b',') {
                continue;
            }
            each(scanner.element().ok_or(MalformedExtensions)?);
            if !scanner.rest.is_empty() && !scanner.eat(b',') {
                return Err(MalformedExtensions);
            }
        }
    }
    Ok(())
}

/// A parameter's value, still quoted where it was.
#[derive(Clone, Copy)]
struct Value<'a>(&'a [u8]);

impl Value<'_> {
    /// The value's bytes with backslashes resolved; the scanner lets none end on a backslash.
    fn bytes(&self) -> impl Iterator<Item = u8> {
        let mut escaped = false;
        self.0.iter().copied().filter(move |byte| {
            escaped = !escaped && *byte == b'\\';
            !escaped
        })
    }

    /// A decimal number from 8 to 15 without leading zeros (RFC 7692 §7.1.2).
    fn window_bits(self) -> Option<u8> {
        let mut bytes = self.bytes();
        let bits = match (bytes.next()?, bytes.next()) {
            (digit @ b'8'..=b'9', None) => digit - b'0',
            (b'1', Some(digit @ b'0'..=b'9')) => 10 + digit - b'0',
            _ => return None,
        };
        (bits <= MAX_WINDOW_BITS && bytes.next().is_none()).then_some(bits)
    }
}

/// The rest of a header value; `None` from its methods means that the grammar is broken.
struct Scanner<'a> {
    rest: &'a [u8],
}

impl<'a> Scanner<'a> {
    /// An extension with its parameters, and the spaces behind it.
    fn element(&mut self) -> Option<Element> {
        let ours = self.token()? == NAME.as_bytes();
        let mut params = Some(Params::default());
        self.skip_spaces();
        while self.eat(b';') {
            self.skip_spaces();
            let name = self.token()?;
            self.skip_spaces();
            let value = if self.eat(b'=') {
                self.skip_spaces();
                let value = self.value()?;
                self.skip_spaces();
                Some(value)
            } else {
                None
            };
            if ours {
                params = params.and_then(|mut params| params.add(name, value).map(|()| params));
            }
        }
        Some(if ours { Element::Deflate(params) } else { Element::Foreign })
    }

    fn skip_spaces(&mut self) {
        while let [b' ' | b'\t', rest @ ..] = self.rest {
            self.rest = rest;
        }
    }

    fn eat(&mut self, byte: u8) -> bool {
        let found = self.rest.first() == Some(&byte);
        if found {
            self.rest = self.rest.get(1..).unwrap_or_default();
        }
        found
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        let len = self.rest.iter().take_while(|byte| is_token_byte(**byte)).count();
        let (token, rest) = self.rest.split_at_checked(len)?;
        self.rest = rest;
        (len > 0).then_some(token)
    }

    /// A token, or a quoted string that is a token once its backslashes are resolved.
    fn value(&mut self) -> Option<Value<'a>> {
        if !self.eat(b'"') {
            return self.token().map(Value);
        }
        let mut escaped = false;
        let end = self.rest.iter().position(|byte| {
            let ends = *byte == b'"' && !escaped;
            escaped = *byte == b'\\' && !escaped;
            ends
        })?;
        let (quoted, rest) = self.rest.split_at_checked(end)?;
        self.rest = rest;
        self.eat(b'"');
        let value = Value(quoted);
        (!quoted.is_empty() && value.bytes().all(is_token_byte)).then_some(value)
    }
}

/// What a `token` of RFC 9110 §5.6.2 is made of.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}
