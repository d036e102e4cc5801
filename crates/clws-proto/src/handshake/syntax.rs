//! The small grammars of RFC 9110 and RFC 3986 that a handshake meets: tokens, comma-separated
//! lists, a host with its port, and the target of a request.
//!
//! Nothing is decoded or normalised: what passes is used as it was written.

use core::net::Ipv6Addr;
use core::str;

/// RFC 9110 §5.6.2 `tchar`.
pub(super) const fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'!' | b'#'
                | b'$'
                | b'%'
                | b'&'
                | b'\''
                | b'*'
                | b'+'
                | b'-'
                | b'.'
                | b'^'
                | b'_'
                | b'`'
                | b'|'
                | b'~'
        )
}

/// What may stand in a header value: RFC 9110 §5.5, spaces and tabs included.
pub(super) const fn is_field_byte(byte: u8) -> bool {
    matches!(byte, b'\t' | b' '..=b'~' | 0x80..)
}

/// Whether the text is an RFC 9110 §5.6.2 `token`.
pub(super) fn is_token(text: &[u8]) -> bool {
    !text.is_empty() && text.iter().copied().all(is_token_byte)
}

/// The elements of a comma-separated list over several header lines; empty ones are skipped
/// (RFC 9110 §5.6.1.2).
pub(super) fn elements<'a>(
    values: impl Iterator<Item = &'a [u8]>,
) -> impl Iterator<Item = &'a [u8]> {
    values
        .flat_map(|value| value.split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
        .filter(|element| !element.is_empty())
}

/// Whether the text is a host with an optional port (RFC 9110 §7.2), and not empty.
///
/// The host is a name, an IPv4 address or an IPv6 address in brackets; user information and
/// addresses of a future IP version are refused.
pub(super) fn is_host(text: &[u8]) -> bool {
    if let Some(rest) = text.strip_prefix(b"[") {
        let mut parts = rest.splitn(2, |&byte| byte == b']');
        let address = parts.next().and_then(|address| str::from_utf8(address).ok());
        let is_address = address.is_some_and(|address| address.parse::<Ipv6Addr>().is_ok());
        return is_address
            && parts.next().is_some_and(|tail| {
                tail.is_empty() || tail.strip_prefix(b":").is_some_and(is_port)
            });
    }
    let mut parts = text.splitn(2, |&byte| byte == b':');
    parts.next().is_some_and(is_reg_name) && parts.next().is_none_or(is_port)
}

/// RFC 3986 §3.2.3 lets a port be empty; it means the default then.
fn is_port(text: &[u8]) -> bool {
    text.iter().all(u8::is_ascii_digit)
        && (text.is_empty() || str::from_utf8(text).is_ok_and(|text| text.parse::<u16>().is_ok()))
}

/// RFC 3986 §3.2.2 `reg-name`, which an IPv4 address is too; here it can't be empty.
fn is_reg_name(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = match (byte, tail) {
            (b'%', [high, low, tail @ ..])
                if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() =>
            {
                tail
            }
            (b'-' | b'.' | b'_' | b'~', _) => tail,
            (b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=', _) => {
                tail
            }
            _ if byte.is_ascii_alphanumeric() => tail,
            _ => return false,
        };
    }
    !text.is_empty()
}

/// The target of a request, cut into its parts (RFC 9112 §3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// Host and port of an absolute-form target; empty in origin-form.
    pub(super) authority: &'a str,
    pub(super) path: &'a str,
    pub(super) query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// Cuts an origin-form or absolute-form target; the error says what is wrong with it.
    pub(super) fn parse(text: &'a str) -> Result<Self, &'static str> {
        if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("the request target holds an illegal character");
        }
        if text.contains('#') {
            return Err("a request target has no fragment");
        }
        let (authority, rest) = match after_scheme(text) {
            Some(rest) => rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len())),
            None if text.starts_with('/') => ("", text),
            None => return Err("the request target is neither a path nor an http URI"),
        };
        if after_scheme(text).is_some() && !is_host(authority.as_bytes()) {
            return Err("the request target names no valid host");
        }
        let (path, query) = match rest.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (rest, None),
        };
        if path.contains("%00") {
            return Err("the path holds a NUL");
        }
        Ok(Self { authority, path: if path.is_empty() { "/" } else { path }, query })
    }
}

/// What follows `http://` or `https://`, the only schemes RFC 6455 §4.1 lets a client write here.
fn after_scheme(text: &str) -> Option<&str> {
    let (scheme, rest) = text.split_once("://")?;
    (scheme.eq_ignore_ascii_case("http") || scheme.eq_ignore_ascii_case("https")).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::{Target, elements, is_host, is_token};

    #[test]
    fn hosts_that_rfc_3986_allows_pass() {
        for host in [
            "localhost",
            "example.com:80",
            "example.com:",
            "127.0.0.1:65535",
            "[::1]",
            "[::1]:0",
            "[::ffff:1.2.3.4]:8080",
            "a_b-c.d~e",
            "xn--bcher-kva.example",
            "%C3%BC.example",
            "a:00080",
        ] {
            assert!(is_host(host.as_bytes()), "{host}");
        }
    }

    #[test]
    fn hosts_that_rfc_3986_forbids_fail() {
        for host in [
            "",
            ":80",
            "[::1",
            "[]",
            "[::1]x",
            "[::1]:99999",
            "[fe80::1%eth0]",
            "::1",
            "a:99999",
            "a:-1",
            "a:+80",
            "a:8 0",
            "a b",
            "user@host",
            "user:pw@host",
            "a/b",
            "a?b",
            "a#b",
            "a\\b",
            "a%",
            "a%2",
            "a%zz",
            "a:80:90",
            "[v1.x]",
            "\u{fc}",
            "a\"b",
            "<a>",
            "a:65536",
        ] {
            assert!(!is_host(host.as_bytes()), "{host}");
        }
        assert!(!is_host(b"a\xffb"));
        assert!(!is_host(b"a\0b"));
    }

    #[test]
    fn lists_skip_empty_elements_and_run_over_several_lines() {
        let lines: [&[u8]; 3] = [b" , a ,,b\t", b"", b"c,"];
        let found: Vec<_> = elements(lines.into_iter()).collect();
        assert_eq!(found, [b"a", b"b", b"c"]);
    }

    #[test]
    fn tokens_are_those_of_rfc_9110() {
        assert!(is_token(b"v1.chat+json~!#$%&'*^_`|-"));
        for text in ["", "a b", "a,b", "a;b", "a/b", "\"a\"", "(a)", "a=b", "\u{e9}", "a\r\n"] {
            assert!(!is_token(text.as_bytes()), "{text:?}");
        }
    }

    #[test]
    fn targets_are_cut_and_never_normalised() {
        for (text, authority, path, query) in [
            ("/", "", "/", None),
            ("/a/b?c=d?e", "", "/a/b", Some("c=d?e")),
            ("/?", "", "/", Some("")),
            ("//x", "", "//x", None),
            ("/../%2e%2E/./a", "", "/../%2e%2E/./a", None),
            ("/a?b=%00", "", "/a", Some("b=%00")),
            ("/go?to=http://x/y", "", "/go", Some("to=http://x/y")),
            ("http://host/p", "host", "/p", None),
            ("HTTPS://[::1]:8443/p?q", "[::1]:8443", "/p", Some("q")),
            ("http://host", "host", "/", None),
            ("http://host?q", "host", "/", Some("q")),
            ("http://host//p", "host", "//p", None),
        ] {
            assert_eq!(Target::parse(text), Ok(Target { authority, path, query }), "{text}");
        }
    }

    #[test]
    fn other_targets_are_refused() {
        for text in [
            "",
            "*",
            "host:443",
            "host",
            "?q",
            "ws://host/",
            "ftp://host/",
            "http:///p",
            "http://",
            "http://user@host/",
            "http://[::1/",
            "http://host:99999/",
            "/a#b",
            "/a%00",
            "/\u{e9}",
            "http:/host",
            "/a b",
            "x/y://z",
        ] {
            assert!(Target::parse(text).is_err(), "{text}");
        }
    }
}
