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
