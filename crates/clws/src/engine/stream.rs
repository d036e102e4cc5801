//! A connection's socket, of whichever kind: to sessions and to the loop they are all alike.

use crate::session::Output;
use mio::net::TcpStream;
#[cfg(unix)]
use mio::net::UnixStream;
use mio::{Interest, Registry, Token, event};
#[cfg(unix)]
use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags};
use socket2::SockRef;
use std::io::{self, IoSlice};
#[cfg(not(unix))]
use std::io::{Read, Write};
use std::net::Shutdown;
#[cfg(unix)]
use std::os::fd::AsFd;
use std::time::Duration;

#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(UnixStream),
}

impl Stream {
    #[inline(always)]
    pub(super) fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => read(stream, buffer),
            #[cfg(unix)]
            Self::Unix(stream) => read(stream, buffer),
        }
    }

    /// Looks at the first bytes that have come; says how many those are, and how many have come in
    /// all. An error where the system does not say that.
    pub(super) fn peek(&self, buffer: &mut [u8]) -> io::Result<(usize, usize)> {
        match self {
            Self::Tcp(stream) => peek(stream, buffer),
            #[cfg(unix)]
            Self::Unix(stream) => peek(stream, buffer),
        }
    }

    /// How many bytes the system holds of what came, at most; 0 where it does not say.
    pub(super) fn receive_buffer(&self) -> usize {
        let size = match self {
            Self::Tcp(stream) => SockRef::from(stream).recv_buffer_size(),
            #[cfg(unix)]
            Self::Unix(stream) => SockRef::from(stream).recv_buffer_size(),
        };
        size.unwrap_or(0)
    }

    /// Says that nothing more will be written.
    pub(super) fn finish(&self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown(Shutdown::Write),
            #[cfg(unix)]
            Self::Unix(stream) => stream.shutdown(Shutdown::Write),
        }
    }

    /// Closes it with a reset, where there is such a thing: what waits for the peer is dropped.
    pub(super) fn reset(self) {
        if let Self::Tcp(stream) = &self {
            // It fails for a connection that is gone already.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Output for &Stream {
    #[inline(always)]
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => write(stream, slices),
            #[cfg(unix)]
            Stream::Unix(stream) => write(stream, slices),
        }
    }
}

// The calls are made without the C library: around each it asks whether the thread is to be
// cancelled, which with a small message costs a tenth of the whole.
#[cfg(unix)]
#[inline(always)]
fn read(stream: impl AsFd, buffer: &mut [u8]) -> io::Result<usize> {
    let (count, _) = rustix::net::recv(stream, buffer, RecvFlags::empty())?;
    Ok(count)
}

#[cfg(unix)]
fn peek(stream: impl AsFd, buffer: &mut [u8]) -> io::Result<(usize, usize)> {
    let (count, _) = rustix::net::recv(&stream, buffer, RecvFlags::PEEK)?;
    let all = rustix::io::ioctl_fionread(stream)?;
    Ok((count, usize::try_from(all).unwrap_or(usize::MAX)))
}

#[cfg(unix)]
#[inline(always)]
fn write(stream: impl AsFd, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    if let [one] = slices {
        return Ok(rustix::net::send(stream, one, SendFlags::NOSIGNAL)?);
    }
    let mut nothing = SendAncillaryBuffer::default();
    let count = rustix::net::sendmsg(stream, slices, &mut nothing, SendFlags::NOSIGNAL)?;
    Ok(count)
}

#[cfg(not(unix))]
fn read(mut stream: impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    stream.read(buffer)
}

#[cfg(not(unix))]
fn peek<T>(_: T, _: &mut [u8]) -> io::Result<(usize, usize)> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(not(unix))]
fn write(mut stream: impl Write, slices: &[IoSlice<'_>]) -> io::Result<usize> {
    match slices {
        [one] => stream.write(one),
        _ => stream.write_vectored(slices),
    }
}

impl event::Source for Stream {
    fn register(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.register(to, token, interest),
            #[cfg(unix)]
            Self::Unix(stream) => stream.register(to, token, interest),
        }
    }

    fn reregister(&mut self, to: &Registry, token: Token, interest: Interest) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.reregister(to, token, interest),
            #[cfg(unix)]
            Self::Unix(stream) => stream.reregister(to, token, interest),
        }
    }

    fn deregister(&mut self, from: &Registry) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.deregister(from),
            #[cfg(unix)]
            Self::Unix(stream) => stream.deregister(from),
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::Stream;
    use mio::net::{TcpStream, UnixStream};
    use std::io::{Result, Write};
    use std::net::TcpListener;

    /// Two ends of a connection by TCP and by a Unix-domain socket: the peer's, and ours.
    fn pairs() -> Result<[(Box<dyn Write>, Stream); 2]> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let peer = std::net::TcpStream::connect(listener.local_addr()?)?;
        let ours = TcpStream::from_std(listener.accept()?.0);
        let (unix_peer, unix) = std::os::unix::net::UnixStream::pair()?;
        Ok([
            (Box::new(peer), Stream::Tcp(ours)),
            (Box::new(unix_peer), Stream::Unix(UnixStream::from_std(unix))),
        ])
    }

    #[test]
    fn a_look_takes_nothing_and_tells_how_much_there_is() -> Result<()> {
        for (mut peer, stream) in pairs()? {
            peer.write_all(&[7; 100])?;
            let mut few = [0; 14];
            assert_eq!(stream.peek(&mut few)?, (14, 100), "{stream:?}");
            assert_eq!(few, [7; 14]);
            assert_eq!(stream.read(&mut [0; 200])?, 100);
            drop(peer);
            assert_eq!(stream.peek(&mut few)?, (0, 0));
        }
        Ok(())
    }
}
