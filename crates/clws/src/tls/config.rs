//! What a listener's TLS is set to, and rustls's form of it.

use super::certificates::Certificates;
use super::error::TlsError;
use super::pem;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::pki_types::CertificateDer;
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, RootCertStore, ServerConfig, version};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The only protocol spoken over TLS here (RFC 7301).
const ALPN: &[u8] = b"http/1.1";

/// Whether clients must prove who they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientCertificates {
    /// A client without a certificate from one of the authorities can't connect.
    Required,
    /// A client may come without; one that shows a certificate must show a good one.
    Optional,
}

/// Where a certificate and its key come from.
#[derive(Clone, Debug)]
enum Source {
    Files {
        certificate: PathBuf,
        key: PathBuf,
    },
    #[cfg(feature = "self-signed")]
    Memory(Arc<CertifiedKey>),
}

impl Source {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Files { certificate, key }, Self::Files { certificate: other, key: others }) => {
                certificate == other && key == others
            }
            #[cfg(feature = "self-signed")]
            (Self::Memory(one), Self::Memory(other)) => Arc::ptr_eq(one, other),
            #[cfg(feature = "self-signed")]
            _ => false,
        }
    }

    fn files(&self) -> impl Iterator<Item = &Path> {
        let files = match self {
            Self::Files { certificate, key } => Some([&**certificate, &**key]),
            #[cfg(feature = "self-signed")]
            Self::Memory(_) => None,
        };
        files.into_iter().flatten()
    }

    fn load(&self, provider: &CryptoProvider) -> Result<Arc<CertifiedKey>, TlsError> {
        let (certificate, key) = match self {
            Self::Files { certificate, key } => (certificate, key),
            #[cfg(feature = "self-signed")]
            Self::Memory(key) => return Ok(Arc::clone(key)),
        };
        let chain = pem::certificates(certificate)?;
        let private = pem::private_key(key)?;
        let private = provider.key_provider.load_private_key(private);
        let private = private.map_err(|error| TlsError::invalid(key, &error))?;
        let certified = CertifiedKey::new(chain, private);
        match certified.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Arc::new(certified))
            }
            Err(rustls::Error::InconsistentKeys(_)) => {
                Err(TlsError::KeyMismatch { certificate: certificate.clone(), key: key.clone() })
            }
            Err(error) => Err(TlsError::invalid(certificate, &error)),
        }
    }
}

/// TLS for a listener: its certificates, and whether clients need some too.
///
/// TLS 1.3 and 1.2 are spoken; sessions are resumed by tickets (RFC 8446 §2.2, RFC 5077). Files
/// are PEM. They are read at once, and again by
/// [`ServerHandle::reload_tls`](crate::ServerHandle::reload_tls) and soon after they changed.
#[derive(Clone, Debug)]
#[must_use = "it does nothing until it is given to Server::bind_tls"]
pub struct Tls {
    sources: Vec<Source>,
    clients: Option<(PathBuf, ClientCertificates)>,
}

impl Tls {
    /// The certificate with all intermediate ones behind it in one file, its private key in
    /// another, or in the same.
    pub fn from_files(certificate: impl AsRef<Path>, key: impl AsRef<Path>) -> crate::Result<Self> {
        Self { sources: Vec::new(), clients: None }.add_certificate(certificate, key)
    }

    /// A certificate that nobody vouches for, made now, for these host names and addresses: for
    /// tests and trials, where clients are told to trust it or not to look.
    #[cfg(feature = "self-signed")]
    pub fn self_signed<I: IntoIterator<Item: Into<String>>>(names: I) -> crate::Result<Self> {
        let names: Vec<String> = names.into_iter().map(Into::into).collect();
        let made = rcgen::generate_simple_self_signed(names);
        let made = made.map_err(|error| TlsError::Setup(error.to_string()))?;
        let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
        let chain = vec![made.cert.der().clone()];
        let certified = CertifiedKey::from_der(chain, key.into(), &aws_lc_rs::default_provider());
        let certified = certified.map_err(|error| TlsError::Setup(error.to_string()))?;
        Ok(Self { sources: vec![Source::Memory(Arc::new(certified))], clients: None })
    }

    /// One more certificate. A client that asks for a host name (SNI) gets the first one that has
    /// this name; all others get the first one of all.
    pub fn add_certificate(
        mut self,
        certificate: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> crate::Result<Self> {
        let (certificate, key) = (certificate.as_ref().to_owned(), key.as_ref().to_owned());
        let source = Source::Files { certificate, key };
        source.load(&aws_lc_rs::default_provider())?;
        self.sources.push(source);
        Ok(self)
    }

    /// Asks clients for a certificate from one of the authorities in this file; see
    /// [`Request::tls`](crate::Request::tls) for whose it is.
    pub fn client_certificates(
        mut self,
        authorities: impl AsRef<Path>,
        needed: ClientCertificates,
    ) -> crate::Result<Self> {
        let file = authorities.as_ref().to_owned();
        verifier(&file, needed, &Arc::new(aws_lc_rs::default_provider()))?;
        self.clients = Some((file, needed));
        Ok(self)
    }

    pub(super) fn verifies_clients(&self) -> bool {
        self.clients.is_some()
    }

    /// Whether both stand for the same certificates and let the same clients in.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.clients == other.clients
            && self.sources.len() == other.sources.len()
            && self.sources.iter().zip(&other.sources).all(|(one, other)| one.is_same(other))
    }

    /// All files that were named.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        let clients = self.clients.iter().map(|(file, _)| &**file);
        self.sources.iter().flat_map(Source::files).chain(clients)
    }

    /// Reads all files.
    pub(super) fn build(
        &self,
        tickets: Arc<dyn ProducesTickets>,
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut certificates = Certificates::default();
        for source in &self.sources {
            certificates.push(source.load(&provider)?);
        }
        let verifier: Arc<dyn ClientCertVerifier> = match &self.clients {
            None => WebPkiClientVerifier::no_client_auth(),
            Some((file, needed)) => verifier(file, *needed, &provider)?,
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&version::TLS13, &version::TLS12])
            .map_err(|error| TlsError::Setup(error.to_string()))?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(certificates));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.ticketer = tickets;
        // Tickets are all that resumption takes; nothing is kept for clients that are gone.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 1;
        Ok(Arc::new(config))
    }
}

/// Tickets that only this process can read, under keys that change every six hours.
pub(super) fn tickets() -> Result<Arc<dyn ProducesTickets>, TlsError> {
    aws_lc_rs::Ticketer::new().map_err(|error| TlsError::Setup(error.to_string()))
}

fn verifier(
    file: &Path,
    needed: ClientCertificates,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    let authorities: Vec<CertificateDer<'static>> = pem::certificates(file)?;
    for one in authorities {
        roots.add(one).map_err(|error| TlsError::invalid(file, &error))?;
    }
    let builder =
        WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = match needed {
        ClientCertificates::Required => builder,
        ClientCertificates::Optional => builder.allow_unauthenticated(),
    };
    builder.build().map_err(|error| TlsError::invalid(file, &error))
}
