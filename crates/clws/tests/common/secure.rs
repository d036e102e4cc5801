//! A client made of bytes, over TLS.

use crate::raw::{self, BINARY, FIN, PATIENCE};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

pub use crate::certs::{Authority, Folder, Pair};

/// What a client is set to that trusts this authority and shows this certificate.
pub fn config(authority: &Authority, own: Option<&Pair>) -> ClientConfig {
    config_of(rustls::DEFAULT_VERSIONS, authority, own)
}

/// The same, for these versions of TLS.
pub fn config_of(
    versions: &[&'static SupportedProtocolVersion],
    authority: &Authority,
    own: Option<&Pair>,
) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.der())).expect("an authority");
    let builder = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions")
        .with_root_certificates(roots);
    let Some(own) = own else { return builder.with_no_client_auth() };
    let certificate = CertificateDer::from_pem_slice(own.certificate.as_bytes());
    let key = PrivateKeyDer::from_pem_slice(own.key.as_bytes()).expect("a key");
    builder.with_client_auth_cert(vec![certificate.expect("one")], key).expect("a certificate")
}

pub struct Secure(pub StreamOwned<ClientConnection, TcpStream>);

impl Secure {
    /// Connects; TLS's handshake is done with the first byte.
    pub fn connect(address: SocketAddr, config: &Arc<ClientConfig>, name: &str) -> Self {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket");
        let name = ServerName::try_from(name.to_owned()).expect("a name");
        let tls = ClientConnection::new(Arc::clone(config), name).expect("a client");
        Self(StreamOwned::new(tls, stream))
    }

    /// Connects and does the opening handshake.
    pub fn open(
        address: SocketAddr,
        config: &Arc<ClientConfig>,
        name: &str,
        path: &str,
    ) -> std::io::Result<Self> {
        let mut secure = Self::connect(address, config, name);
        secure.0.write_all(raw::request("localhost", path, "").as_bytes())?;
        let head = secure.head()?;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Ok(secure)
    }

    /// Reads an HTTP answer's head.
    pub fn head(&mut self) -> std::io::Result<String> {
        let (mut head, mut byte) = (Vec::new(), [0]);
        while !head.ends_with(b"\r\n\r\n") {
            self.0.read_exact(&mut byte)?;
            head.push(byte[0]);
        }
        Ok(String::from_utf8(head).expect("UTF-8"))
    }

    /// Sends a frame and expects a small one back with the same payload.
    pub fn echo(&mut self, payload: &[u8]) -> std::io::Result<()> {
        self.0.write_all(&raw::frame(FIN | BINARY, payload))?;
        let mut answer = vec![0; payload.len() + 2];
        self.0.read_exact(&mut answer)?;
        assert_eq!(&answer[2..], payload);
        Ok(())
    }

    /// Which certificate the server showed, in DER.
    pub fn server_certificate(&self) -> Vec<u8> {
        self.0.conn.peer_certificates().expect("a certificate")[0].to_vec()
    }
}
