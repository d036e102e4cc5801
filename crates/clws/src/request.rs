//! The opening handshake's request, as user code sees it, before and after the upgrade.

use crate::peer::Peer;
use crate::tls::TlsInfo;
use clws_proto::handshake::{self, Headers};
use std::fmt;
use std::net::IpAddr;

/// What a client asked for when it connected.
pub struct Request {
    head: handshake::Request,
    peer: Peer,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is never any"))]
    tls: Option<Box<TlsInfo>>,
}

impl Request {
    pub(crate) fn new(head: handshake::Request, peer: Peer, tls: Option<TlsInfo>) -> Self {
        Self { head, peer, tls: tls.map(Box::new) }
    }

    /// The bytes it keeps.
    pub(crate) fn memory(&self) -> usize {
        self.head.memory()
    }

    pub(crate) fn head(&self) -> &handshake::Request {
        &self.head
    }

    /// The HTTP method, `GET` for every upgrade.
    pub fn method(&self) -> &str {
        self.head.method()
    }

    /// The path, without the query, as it was sent: nothing is decoded or resolved.
    pub fn path(&self) -> &str {
        self.head.path()
    }

    /// What follows the `?`, if there is one.
    pub fn query_string(&self) -> Option<&str> {
        self.head.query()
    }

    /// The first header of this name, without regard to case, if it is UTF-8.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.header(name)
    }

    /// All headers in their order, repeated ones too.
    pub fn headers(&self) -> Headers<'_> {
        self.head.headers()
    }

    /// The `Origin` header, if it is there and UTF-8.
    pub fn origin(&self) -> Option<&str> {
        self.head.origin().and_then(|origin| str::from_utf8(origin).ok())
    }

    /// The host and port the client wanted to reach: its `Host` header.
    pub fn requested_host(&self) -> Option<&str> {
        self.head.host()
    }

    /// The subprotocols the client offers, the one it likes best first (RFC 6455 §1.9).
    pub fn subprotocols(&self) -> impl Iterator<Item = &str> {
        self.head.subprotocols()
    }

    /// The client's address: where the connection comes from, or what a trusted proxy says
    /// ([`Server::trusted_proxies`](crate::Server::trusted_proxies)). A client of a Unix-domain
    /// socket has none.
    pub fn host(&self) -> Option<IpAddr> {
        self.peer.host
    }

    /// The client's port, where it has an address; most proxies do not tell it.
    pub fn port(&self) -> Option<u16> {
        self.peer.port
    }

    /// How the connection is encrypted and who the client proved to be, if it came by TLS.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_deref()
    }
}

/// Header values and queries carry secrets, so they are not printed.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("method", &self.method())
            .field("path", &self.path())
            .field("peer", &format_args!("{}", self.peer))
            .finish_non_exhaustive()
    }
}
