//! The sockets that are listened on: how they come to be, and what their end leaves behind.

use super::stream::Stream;
use crate::error::{Error, Result};
use crate::peer::Peer;
use mio::net::TcpListener;
use mio::{Interest, Registry, Token, event};
use socket2::{Domain, SockRef, Socket, Type};
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};

/// A socket that is listened on.
#[derive(Debug)]
pub(crate) enum Listening {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(
        mio::net::UnixListener,
        #[expect(dead_code, reason = "dropped with the listener: that removes the file")]
        Option<super::socket_file::SocketFile>,
    ),
}

impl Listening {
    /// Listens on everything `address` resolves to.
    pub(crate) fn bind(address: &str, backlog: i32) -> Result<Vec<Self>> {
        let failed = |source| Error::Bind { address: address.to_owned(), source };
        let resolved = address.to_socket_addrs().map_err(failed)?;
        let listeners: io::Result<Vec<_>> = resolved.map(|one| bind_to(one, backlog)).collect();
        let listeners = listeners.map_err(failed)?;
        if listeners.is_empty() {
            return Err(failed(io::Error::new(io::ErrorKind::NotFound, "no address")));
        }
        Ok(listeners)
    }

    /// Listens on a socket in the file system; see [`SocketFile`](super::socket_file::SocketFile).
    #[cfg(unix)]
    pub(crate) fn bind_unix(path: &std::path::Path, backlog: i32) -> Result<Self> {
        let bound = super::socket_file::bind(path, backlog);
        let (listener, file) = bound.map_err(|source| {
            let address = format!("unix:{}", path.display());
            Error::Bind { address, source }
        })?;
        Ok(Self::Unix(mio::net::UnixListener::from_std(listener), Some(file)))
    }

    /// Takes over a socket that was bound elsewhere.
    pub(crate) fn adopt(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::Tcp(TcpListener::from_std(listener)))
    }

    /// As [`Self::adopt`]; its file stays when it is closed.
    #[cfg(unix)]
    pub(crate) fn adopt_unix(listener: std::os::unix::net::UnixListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        Ok(Self::Unix(mio::net::UnixListener::from_std(listener), None))
    }

    /// Bounds what the system keeps of each connection that is accepted from now on, in bytes for
    /// each direction. What is on its way to a peer that takes it is not bounded, so that far peers
    /// are served as fast. Unix-domain sockets have bounds of their own.
    pub(super) fn bound_buffers(&self, bytes: usize) -> io::Result<()> {
        let listener = match self {
            Self::Tcp(listener) => SockRef::from(listener),
            #[cfg(unix)]
            Self::Unix(..) => return Ok(()),
        };
        #[cfg(any(target_os = "android", target_os = "linux"))]
        listener.set_tcp_notsent_lowat(u32::try_from(bytes).unwrap_or(u32::MAX))?;
        listener.set_recv_buffer_size(bytes)
    }

    /// The next connection that waits, and whose it is.
    pub(super) fn accept(&self) -> io::Result<(Stream, Peer)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept()?;
                // Without it small answers wait for the peer's delayed acknowledgement. It fails
                // only for a connection that is gone already, which its worker will find out.
                let _ = stream.set_nodelay(true);
                Ok((Stream::Tcp(stream), Peer::from(peer)))
            }
            #[cfg(unix)]
            Self::Unix(listener, _) => {
                listener.accept().map(|(stream, _)| (Stream::Unix(stream), Peer::NAMELESS))
            }
        }
    }

    /// Where it listens, if that is an address.
    pub(crate) fn address(&self) -> io::Result<Option<SocketAddr>> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Some),
            #[cfg(unix)]
            Self::Unix(..) => Ok(None),
        }
    }

    /// Where it listens, if that is a file.
    #[cfg(unix)]
    pub(crate) fn path(&self) -> Option<std::path::PathBuf> {
        match self {
            Self::Tcp(_) => None,
            Self::Unix(listener, _) => {
                listener.local_addr().ok()?.as_pathname().map(std::path::Path::to_owned)
            }
        }
    }

    pub(super) fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        let source: &mut dyn event::Source = match self {
            Self::Tcp(listener) => listener,
            #[cfg(unix)]
            Self::Unix(listener, _) => listener,
        };
        source.register(registry, token, Interest::READABLE)
    }
}

fn bind_to(address: SocketAddr, backlog: i32) -> io::Result<Listening> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // "0.0.0.0" and "[::]" can then both be listened on, each for its own family.
        socket.set_only_v6(true)?;
    }
    // On Windows this option would let another program take the port over.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    Listening::adopt(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpStream;

    #[test]
    fn what_is_accepted_has_the_buffers_that_were_asked_for() {
        let own = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = own.local_addr().unwrap();
        let listening = Listening::adopt(own).unwrap();
        listening.bound_buffers(16 * 1024).unwrap();
        let _client = TcpStream::connect(address).unwrap();
        // Linux sets its own overhead aside.
        let (stream, _) = listening.accept().unwrap();
        assert!(stream.receive_buffer() <= 2 * 16 * 1024, "{}", stream.receive_buffer());
    }
}
