//! What can go wrong for the program that runs a server.

use std::{fmt, io};

/// The result of what a program asks of its server.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure to set up or run a server; what peers do wrong never gets here.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// An address could not be resolved or listened on.
    Bind {
        /// The address as it was given.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// A resource's path does not start with `/`, or has a `*` that is not its last segment.
    Path(String),
    /// A resource is already registered at this path.
    PathTaken(String),
    /// A server was started without an address to listen on.
    NoListener,
    /// Neither an address nor a network, to trust as a proxy.
    Proxy(String),
    /// A limit that can't work, with what to do.
    Limits(&'static str),
    /// A certificate, a key or the authorities of clients can't be used.
    #[cfg(feature = "tls")]
    Tls(crate::TlsError),
    /// The operating system refused a poll, a thread or a pipe.
    Io(io::Error),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bind { address, source } => write!(f, "cannot listen on {address}: {source}"),
            Self::Path(path) => {
                write!(f, "path {path:?} must start with '/'; '*' may only be its last segment")
            }
            Self::PathTaken(path) => write!(f, "a resource is already registered at {path:?}"),
            Self::NoListener => write!(f, "no address to listen on: call bind() first"),
            Self::Proxy(text) => {
                write!(
                    f,
                    "cannot trust {text:?}: give an address, a network as 10.0.0.0/8, or unix"
                )
            }
            Self::Limits(what) => write!(f, "limits: {what}"),
            #[cfg(feature = "tls")]
            Self::Tls(error) => write!(f, "{error}"),
            Self::Io(source) => write!(f, "{source}"),
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { source, .. } | Self::Io(source) => Some(source),
            #[cfg(feature = "tls")]
            Self::Tls(error) => error.source(),
            _ => None,
        }
    }
}

#[cfg(feature = "tls")]
impl From<crate::TlsError> for Error {
    fn from(error: crate::TlsError) -> Self {
        Self::Tls(error)
    }
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}
