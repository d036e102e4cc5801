//! Which host names clients may ask for: the `Host` header of their opening handshake.
//!
//! A web page can make a browser connect to this machine under a name of its own (DNS rebinding):
//! then origin and host agree, and only the name gives it away. A server that only this machine
//! reaches is known by few names, so by default no others are let in there.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

/// A rule over the `Host` header of requests.
#[derive(Clone, Default)]
pub struct Hosts(Rule);

#[derive(Clone, Default)]
enum Rule {
    #[default]
    Local,
    Any,
    Named(Arc<[String]>),
}

impl Hosts {
    /// The default: connections over a loopback address must name a loopback address or
    /// `localhost` or a name below it; other connections may name anything.
    pub fn local() -> Self {
        Self(Rule::Local)
    }

    /// Every name: for a server behind a proxy on the same machine that hands names through.
    pub fn any() -> Self {
        Self(Rule::Any)
    }

    /// These names, without ports and without regard to case, and those of [`Hosts::local`].
    pub fn named<I: IntoIterator<Item: Into<String>>>(names: I) -> Self {
        Self(Rule::Named(names.into_iter().map(Into::into).collect()))
    }

    /// Whether a client at `peer` may ask for `host`, a name or address with or without a port.
    /// A client without an address came by a Unix-domain socket, where no browser comes by.
    pub fn allows(&self, host: Option<&str>, peer: Option<IpAddr>) -> bool {
        let (named, everywhere) = match &self.0 {
            Rule::Any => return true,
            Rule::Local => (&[][..], false),
            Rule::Named(names) => (&names[..], true),
        };
        // HTTP/1.0 clients may leave it out; browsers never do.
        let Some(host) = host else { return true };
        let name = without_port(host);
        (!everywhere && !peer.is_some_and(is_loopback))
            || is_local(name)
            || named.iter().any(|one| one.eq_ignore_ascii_case(name))
    }
}

impl fmt::Debug for Hosts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Rule::Local => f.write_str("Hosts::local()"),
            Rule::Any => f.write_str("Hosts::any()"),
            Rule::Named(names) => write!(f, "Hosts::named({names:?})"),
        }
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}

fn is_local(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name);
    if let Some(address) = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')) {
        return address.parse::<Ipv6Addr>().is_ok_and(|address| is_loopback(address.into()));
    }
    let last = name.rsplit('.').next().unwrap_or_default();
    last.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok_and(is_loopback)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::LOCALHOST));
    const ELSEWHERE: Option<IpAddr> = Some(IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 7)));

    #[test]
    fn by_default_loopback_is_known_by_local_names_only() {
        for name in ["localhost", "LocalHost:80", "app.localhost:1", "127.0.0.1:12345", "127.9.9.9"]
        {
            assert!(Hosts::default().allows(Some(name), HERE), "{name}");
        }
        for name in ["[::1]", "[::1]:8080", "localhost."] {
            assert!(
                Hosts::default().allows(Some(name), Some(Ipv6Addr::LOCALHOST.into())),
                "{name}"
            );
        }
        for name in [
            "evil.example",
            "evil.example:12345",
            "localhost.evil.example",
            "notlocalhost",
            "[::2]",
        ] {
            assert!(!Hosts::default().allows(Some(name), HERE), "{name}");
            assert!(Hosts::default().allows(Some(name), ELSEWHERE), "{name}");
            assert!(Hosts::default().allows(Some(name), None), "{name}");
        }
        let mapped = "::ffff:127.0.0.1".parse().unwrap();
        assert!(!Hosts::default().allows(Some("evil.example"), Some(mapped)));
    }

    #[test]
    fn named_hosts_are_all_that_is_let_in_from_anywhere() {
        let hosts = Hosts::named(["chat.example", "192.0.2.1"]);
        for peer in [HERE, ELSEWHERE, None] {
            for name in ["chat.example", "CHAT.example:443", "192.0.2.1:80", "localhost"] {
                assert!(hosts.allows(Some(name), peer), "{name}");
            }
            for name in ["evil.example", "chat.example.evil", "xchat.example"] {
                assert!(!hosts.allows(Some(name), peer), "{name}");
            }
        }
        assert!(Hosts::any().allows(Some("evil.example"), HERE));
        assert!(Hosts::default().allows(None, HERE));
    }
}
