//! What can be wrong with the files TLS is set up from, in one line for a person each.

use std::fmt;
use std::io;
use std::path::PathBuf;

/// Why certificates or keys can't be used.
#[derive(Debug)]
#[non_exhaustive]
pub enum TlsError {
    /// A file can't be read.
    Read {
        /// The file.
        file: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file holds no PEM block `CERTIFICATE`.
    NoCertificate(PathBuf),
    /// A file holds no PEM block with a private key.
    NoKey(PathBuf),
    /// The private key in this file needs a password.
    EncryptedKey(PathBuf),
    /// The key is not that of the first certificate in the chain.
    KeyMismatch {
        /// The file with the certificate.
        certificate: PathBuf,
        /// The file with the key.
        key: PathBuf,
    },
    /// What a file holds is malformed or not supported.
    Invalid {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// TLS itself can't be set up.
    Setup(String),
}

impl TlsError {
    pub(super) fn invalid(file: impl Into<PathBuf>, why: &impl ToString) -> Self {
        Self::Invalid { file: file.into(), why: why.to_string() }
    }
}

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, source } => write!(f, "cannot read {}: {source}", file.display()),
            Self::NoCertificate(file) => write!(f, "{} holds no certificate", file.display()),
            Self::NoKey(file) => write!(f, "{} holds no private key", file.display()),
            Self::EncryptedKey(file) => write!(
                f,
                "the private key in {} is encrypted; decrypt it with 'openssl pkey'",
                file.display()
            ),
            Self::KeyMismatch { certificate, key } => write!(
                f,
                "the private key in {} does not belong to the certificate in {}",
                key.display(),
                certificate.display()
            ),
            Self::Invalid { file, why } => write!(f, "{}: {why}", file.display()),
            Self::Setup(why) => write!(f, "TLS cannot be set up: {why}"),
        }
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Read { source, .. } => Some(source),
            _ => None,
        }
    }
}
