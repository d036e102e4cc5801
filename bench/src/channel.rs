//! A client's end of a connection: a socket, with or without TLS over it.
//!
//! It reads and writes as a socket does, blocking or not. Of TLS it keeps what was received and
//! not yet opened, and what was sealed and not yet written; the next call goes on with that.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::TcpStream;
use std::sync::Arc;

use rustix::net::{RecvFlags, SendFlags};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};

/// A connected socket, perhaps with TLS over it.
#[derive(Debug)]
pub(crate) enum Channel {
    Plain(TcpStream),
    Tls(Box<Tls>),
}

/// TLS over a socket.
#[derive(Debug)]
pub(crate) struct Tls {
    stream: TcpStream,
    conn: ClientConnection,
    /// What was received and rustls did not take yet.
    sealed: Vec<u8>,
    /// Bytes that were opened and not read yet.
    opened: usize,
    /// Whether the last look at the socket brought all that was there.
    emptied: bool,
}

impl Channel {
    /// Takes over a connected, blocking socket; with a configuration, shakes hands for TLS on it.
    pub(crate) fn new(mut stream: TcpStream, tls: Option<&Arc<ClientConfig>>) -> Result<Self> {
        let Some(config) = tls else { return Ok(Self::Plain(stream)) };
        let name = ServerName::IpAddress(stream.peer_addr()?.ip().into());
        let mut conn = ClientConnection::new(Arc::clone(config), name).map_err(Error::other)?;
        conn.set_buffer_limit(None);
        while conn.is_handshaking() || conn.wants_write() {
            conn.complete_io(&mut stream)?;
        }
        let (sealed, opened, emptied) = (Vec::new(), 0, false);
        Ok(Self::Tls(Box::new(Tls { stream, conn, sealed, opened, emptied })))
    }

    /// The socket.
    pub(crate) fn stream(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Tls(tls) => &tls.stream,
        }
    }

    /// Whether a read that brought `count` bytes of at most `asked` has emptied the socket, so
    /// that more to read is a new event.
    pub(crate) fn is_emptied(&self, count: usize, asked: usize) -> bool {
        match self {
            Self::Plain(_) => count < asked,
            Self::Tls(tls) => tls.emptied && tls.sealed.is_empty() && tls.opened == 0,
        }
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            Self::Plain(stream) => receive(stream, buffer),
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Plain(stream) => send(stream, bytes),
            Self::Tls(tls) => tls.write(bytes),
        }
    }

    fn flush(&mut self) -> Result<()> {
        match self {
            Self::Plain(_) => Ok(()),
            Self::Tls(tls) => tls.flush(),
        }
    }
}

impl Tls {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        while self.opened == 0 {
            if !self.sealed.is_empty() {
                let sealed = std::mem::take(&mut self.sealed);
                self.open(&sealed)?;
                continue;
            }
            // The caller's buffer holds what is sealed too, so that a client has none of its own.
            self.emptied = false;
            let count = receive(&self.stream, buffer)?;
            if count == 0 {
                return Ok(0);
            }
            self.emptied = count < buffer.len();
            self.open(&buffer[..count])?;
        }
        let count = self.conn.reader().read(buffer)?;
        self.opened -= count;
        Ok(count)
    }

    /// Has rustls open as much as it takes, and keeps the rest.
    fn open(&mut self, mut sealed: &[u8]) -> Result<()> {
        while self.opened == 0 && !sealed.is_empty() {
            if self.conn.read_tls(&mut sealed)? == 0 {
                return Err(Error::new(ErrorKind::UnexpectedEof, "the server ended TLS"));
            }
            let state = self.conn.process_new_packets().map_err(Error::other)?;
            self.opened = state.plaintext_bytes_to_read();
        }
        self.sealed.extend_from_slice(sealed);
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.flush()?;
        let count = self.conn.writer().write(bytes)?;
        match self.flush() {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(count),
            done => done.map(|()| count),
        }
    }

    fn flush(&mut self) -> Result<()> {
        while self.conn.wants_write() {
            self.conn.write_tls(&mut Records(&self.stream))?;
        }
        Ok(())
    }
}

// Without the C library, so that the load costs less than the server it measures.
fn receive(stream: &TcpStream, buffer: &mut [u8]) -> Result<usize> {
    let (count, _) = rustix::net::recv(stream, buffer, RecvFlags::empty())?;
    Ok(count)
}

fn send(stream: &TcpStream, bytes: &[u8]) -> Result<usize> {
    Ok(rustix::net::send(stream, bytes, SendFlags::NOSIGNAL)?)
}

/// Writes records as `Channel` writes bytes.
struct Records<'a>(&'a TcpStream);

impl Write for Records<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        send(self.0, bytes)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}
