//! Whose connection it is, as far as an address can say.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where a client is: its address and port, where they are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) host: Option<IpAddr>,
    pub(crate) port: Option<u16>,
}

impl Peer {
    /// Somebody without an address: a program on this machine, by a Unix-domain socket.
    #[cfg(any(unix, test))]
    pub(crate) const NAMELESS: Self = Self { host: None, port: None };
}

impl From<SocketAddr> for Peer {
    fn from(address: SocketAddr) -> Self {
        Self { host: Some(address.ip()), port: Some(address.port()) }
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host, self.port) {
            (Some(host), Some(port)) => SocketAddr::new(host, port).fmt(f),
            (Some(host), None) => host.fmt(f),
            (None, _) => f.write_str("a local socket"),
        }
    }
}
