//! Proxies whose word counts: which they are, and what they say about whose a request is.

use crate::error::{Error, Result};
use crate::peer::Peer;
use ipnet::IpNet;
use std::net::{IpAddr, SocketAddr};

/// The addresses of trusted proxies; nobody by default.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies {
    networks: Vec<IpNet>,
    /// Whoever comes by a Unix-domain socket.
    nameless: bool,
}

impl Proxies {
    /// Trusts an address, a network as `10.0.0.0/8`, or `unix`.
    pub(crate) fn add(&mut self, text: &str) -> Result<()> {
        if text == "unix" {
            self.nameless = true;
            return Ok(());
        }
        let one = || text.parse::<IpAddr>().map(|address| IpNet::from(address.to_canonical()));
        let network = text.parse::<IpNet>().or_else(|_| one());
        self.networks.push(network.map_err(|_| Error::Proxy(text.to_owned()))?);
        Ok(())
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.networks.is_empty() && !self.nameless
    }

    pub(crate) fn trusts(&self, host: Option<IpAddr>) -> bool {
        match host.map(|host| host.to_canonical()) {
            Some(host) => self.networks.iter().any(|network| network.contains(&host)),
            None => self.nameless,
        }
    }

    /// Whose a request by `peer` is, given the values of its `X-Forwarded-For` headers: each
    /// trusted hop vouches for the entry left of it. What is malformed vouches for nothing.
    pub(crate) fn client<'a>(&self, peer: Peer, forwarded: impl Iterator<Item = &'a [u8]>) -> Peer {
        let mut client = peer;
        if !self.trusts(peer.host) {
            return client;
        }
        let values: Vec<_> = forwarded.collect();
        for entry in values.into_iter().rev().flat_map(|value| value.rsplit(|byte| *byte == b',')) {
            match parse_entry(entry) {
                Some(hop) if self.trusts(client.host) => client = hop,
                _ => break,
            }
        }
        client
    }
}

/// An address, as most proxies write it, or one with a port, as some do.
fn parse_entry(entry: &[u8]) -> Option<Peer> {
    let entry = str::from_utf8(entry).ok()?.trim_matches([' ', '\t']);
    if let Ok(address) = entry.parse::<SocketAddr>() {
        return Some(Peer { host: Some(address.ip().to_canonical()), port: Some(address.port()) });
    }
    let bare = entry.strip_prefix('[').and_then(|entry| entry.strip_suffix(']'));
    let host: IpAddr = bare.unwrap_or(entry).parse().ok()?;
    Some(Peer { host: Some(host.to_canonical()), port: None })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trusting(networks: &[&str]) -> Proxies {
        let mut proxies = Proxies::default();
        for network in networks {
            proxies.add(network).unwrap();
        }
        proxies
    }

    fn peer(address: &str) -> Peer {
        Peer::from(address.parse::<SocketAddr>().unwrap())
    }

    fn client(proxies: &Proxies, from: Peer, forwarded: &[&str]) -> String {
        proxies.client(from, forwarded.iter().map(|value| value.as_bytes())).to_string()
    }

    const PROXY: &str = "10.0.0.1:5000";

    #[test]
    fn the_right_most_hop_that_is_not_trusted_is_the_client() {
        let proxies = trusting(&["10.0.0.0/8", "2001:db8::/32", "192.0.2.7"]);
        for (forwarded, expected) in [
            (&["203.0.113.5"][..], "203.0.113.5"),
            (&[" 203.0.113.5\t"], "203.0.113.5"),
            // What stands left of it is what the client said itself.
            (&["198.51.100.1, 203.0.113.5"], "203.0.113.5"),
            (&["198.51.100.1", "203.0.113.5"], "203.0.113.5"),
            (&["203.0.113.5, 10.9.9.9"], "203.0.113.5"),
            (&["203.0.113.5,192.0.2.7,2001:db8::5", "10.1.1.1"], "203.0.113.5"),
            (&["203.0.113.5, 192.0.2.8"], "192.0.2.8"),
            (&["203.0.113.5:4711"], "203.0.113.5:4711"),
            (&["[2001:db9::1]:4711"], "[2001:db9::1]:4711"),
            (&["[2001:db9::1]"], "2001:db9::1"),
            (&["2001:db9::1"], "2001:db9::1"),
            (&["::ffff:203.0.113.5, ::ffff:10.0.0.2"], "203.0.113.5"),
            // Everybody is trusted: the first one it is.
            (&["10.0.0.9, 10.0.0.8"], "10.0.0.9"),
            (&[], PROXY),
        ] {
            assert_eq!(client(&proxies, peer(PROXY), forwarded), expected, "{forwarded:?}");
        }
    }

    #[test]
    fn what_is_malformed_is_not_trusted() {
        let proxies = trusting(&["10.0.0.0/8"]);
        for forwarded in ["", "unknown", "203.0.113.5;", "203.0.113.5,", "_hidden", "1.2.3", "[::1"]
        {
            assert_eq!(client(&proxies, peer(PROXY), &[forwarded]), PROXY, "{forwarded:?}");
            let behind = format!("203.0.113.5, {forwarded}, 10.0.0.2");
            assert_eq!(client(&proxies, peer(PROXY), &[&behind]), "10.0.0.2", "{behind:?}");
        }
        let not_utf8 = proxies.client(peer(PROXY), [&b"\xff"[..]].into_iter());
        assert_eq!(not_utf8.to_string(), PROXY);
    }

    #[test]
    fn nobody_else_is_believed() {
        for networks in [&[][..], &["10.0.0.0/8"], &["unix"]] {
            let from = "192.0.2.1:80";
            assert_eq!(client(&trusting(networks), peer(from), &["203.0.113.5"]), from);
        }
        let proxies = trusting(&["10.0.0.0/8"]);
        assert_eq!(client(&proxies, Peer::NAMELESS, &["203.0.113.5"]), "a local socket");
    }

    #[test]
    fn addresses_are_the_same_in_all_their_forms() {
        let mapped = peer("[::ffff:10.0.0.1]:5000");
        assert_eq!(client(&trusting(&["10.0.0.1"]), mapped, &["203.0.113.5"]), "203.0.113.5");
        assert_eq!(client(&trusting(&["::ffff:10.0.0.1"]), mapped, &["1.1.1.1"]), "1.1.1.1");
        assert_eq!(client(&trusting(&["unix"]), Peer::NAMELESS, &["1.1.1.1"]), "1.1.1.1");
    }

    #[test]
    fn what_can_not_be_trusted_is_an_error() {
        for text in ["", "localhost", "10.0.0.0/33", "10.0.0/8", "10.0.0.1:80", "unix:", "any"] {
            let error = Proxies::default().add(text).unwrap_err();
            assert!(matches!(error, Error::Proxy(named) if named == text), "{text}");
        }
    }
}
