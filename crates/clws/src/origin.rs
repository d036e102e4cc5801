//! Which web pages may connect (RFC 6455 §4.2.2, §10.2).
//!
//! Browsers name the page's origin in the `Origin` header and let no page choose it; other clients
//! send what they like or nothing. A check here keeps foreign pages from using a visitor's
//! cookies or network; it is no login.

use std::fmt;
use std::sync::Arc;

/// A rule over the `Origin` header of an opening handshake.
///
/// Origins compare as browsers write them: scheme, host and port, without regard to the case of
/// letters. A header repeated or not UTF-8 never gets as far as this rule.
#[derive(Clone)]
pub struct Origin(Rule);

type Predicate = dyn Fn(Option<&str>) -> bool + Send + Sync;

#[derive(Clone)]
enum Rule {
    Any,
    None,
    SameHost,
    Exact(Arc<[String]>),
    Prefix(Arc<[String]>),
    Custom(Arc<Predicate>),
}

impl Origin {
    /// Every origin, and clients that send none.
    pub fn any() -> Self {
        Self(Rule::Any)
    }

    /// Only clients that send no `Origin`: programs, not browsers.
    pub fn none() -> Self {
        Self(Rule::None)
    }

    /// Pages from the host and port the client connects to (the `Host` header), by `http` or
    /// `https`, and clients that send no `Origin`.
    pub fn same_host() -> Self {
        Self(Rule::SameHost)
    }

    /// These origins, as in `https://example.com` or `http://localhost:8080`, and no others.
    pub fn exact<I: IntoIterator<Item: Into<String>>>(origins: I) -> Self {
        Self(Rule::Exact(origins.into_iter().map(Into::into).collect()))
    }

    /// Origins that begin with one of these and go on only with a port: `http://localhost` admits
    /// `http://localhost:8080`, never `http://localhost.evil.example`.
    ///
    /// One that ends in a separator has its boundary already: `http://localhost:` admits every
    /// port and `https://` every host.
    pub fn prefix<I: IntoIterator<Item: Into<String>>>(prefixes: I) -> Self {
        Self(Rule::Prefix(prefixes.into_iter().map(Into::into).collect()))
    }

    /// Whether a client that sends `origin` and asks for `host` may connect. `null`, which
    /// browsers send for files and sandboxed frames, is an origin like others.
    pub fn allows(&self, origin: Option<&str>, host: Option<&str>) -> bool {
        match &self.0 {
            Rule::Any => true,
            Rule::None => origin.is_none(),
            Rule::Custom(predicate) => predicate(origin),
            Rule::SameHost => origin.is_none_or(|origin| is_same_host(origin, host)),
            Rule::Exact(allowed) => origin
                .is_some_and(|origin| allowed.iter().any(|one| one.eq_ignore_ascii_case(origin))),
            Rule::Prefix(allowed) => {
                origin.is_some_and(|origin| allowed.iter().any(|prefix| has_prefix(origin, prefix)))
            }
        }
    }
}

impl<F: Fn(Option<&str>) -> bool + Send + Sync + 'static> From<F> for Origin {
    fn from(predicate: F) -> Self {
        Self(Rule::Custom(Arc::new(predicate)))
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Any => f.write_str("Origin::any()"),
            Rule::None => f.write_str("Origin::none()"),
            Rule::SameHost => f.write_str("Origin::same_host()"),
            Rule::Exact(origins) => write!(f, "Origin::exact({origins:?})"),
            Rule::Prefix(origins) => write!(f, "Origin::prefix({origins:?})"),
            Rule::Custom(_) => f.write_str("Origin::from(closure)"),
        }
    }
}

fn is_same_host(origin: &str, host: Option<&str>) -> bool {
    let (Some(host), Some((scheme, authority))) = (host, origin.split_once("://")) else {
        return false;
    };
    let default_port = match scheme.to_ascii_lowercase().as_str() {
        "http" => ":80",
        "https" => ":443",
        _ => return false,
    };
    // A browser leaves a default port out of both headers; a client that spells it out is equal.
    // What has another port before it is no host, and not that of a page at that other port.
    let bare = |name: &str| {
        let name = name.to_ascii_lowercase();
        let host = name.strip_suffix(default_port).filter(|host| !has_port(host));
        host.map(str::to_owned).unwrap_or(name)
    };
    let host = bare(host);
    !host.is_empty() && bare(authority) == host
}

/// An IPv6 address stands in brackets.
fn has_port(host: &str) -> bool {
    host.contains(':') && !host.ends_with(']')
}

fn has_prefix(origin: &str, prefix: &str) -> bool {
    let Some((head, rest)) = origin.split_at_checked(prefix.len()) else { return false };
    if prefix.is_empty() || !head.eq_ignore_ascii_case(prefix) {
        return false;
    }
    // A prefix that ends in a separator has its boundary already.
    if prefix.ends_with("://") {
        return !rest.is_empty();
    }
    let port = if prefix.ends_with(':') { Some(rest) } else { rest.strip_prefix(':') };
    rest.is_empty() || port.is_some_and(is_port)
}

/// A port as browsers write it: no sign, no leading zero.
fn is_port(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|number| number.to_string() == text)
}
