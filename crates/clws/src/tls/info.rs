//! What TLS says about a connection, for user code.

use super::subject;

/// How a client's connection is encrypted and who the client proved to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsInfo {
    pub(super) version: &'static str,
    pub(super) server_name: Option<Box<str>>,
    pub(super) alpn: Option<Box<str>>,
    pub(super) peer_certificates: Vec<Box<[u8]>>,
}

impl TlsInfo {
    /// The protocol's version: `TLS 1.3` or `TLS 1.2`.
    pub fn version(&self) -> &str {
        self.version
    }

    /// The host name the client asked for (SNI). Clients that connect to an address ask for none.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// The application protocol that was agreed, `http/1.1`, if the client offered any (ALPN).
    pub fn alpn(&self) -> Option<&str> {
        self.alpn.as_deref()
    }

    /// The certificates the client proved to hold and that lead to an authority asked for with
    /// [`Tls::client_certificates`](crate::Tls::client_certificates): its own first, each in DER.
    /// Empty where it showed none.
    pub fn peer_certificates(&self) -> impl ExactSizeIterator<Item = &[u8]> {
        self.peer_certificates.iter().map(|one| &**one)
    }

    /// The subject of the client's own certificate, as `CN=alice,O=Example` (RFC 4514): the most
    /// specific part first.
    pub fn peer_subject(&self) -> Option<String> {
        let own = self.peer_certificates.first()?;
        let own = rustls::pki_types::CertificateDer::from(&**own);
        let parsed = webpki::EndEntityCert::try_from(&own).ok()?;
        subject::to_string(parsed.subject())
    }
}
