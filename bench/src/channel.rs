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

/// Bytes received at once over TLS: a few records.
const RECEIVE: usize = 64 * 1024;

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
    received: Vec<u8>,
    /// How much of `received` was opened.
    used: usize,
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
        Ok(Self::Tls(Box::new(Tls { stream, conn, received: Vec::new(), used: 0 })))
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
        // Over TLS a read gives one record's payload at most.
        matches!(self, Self::Plain(_)) && count < asked
    }
}

impl Read for Channel {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        match self {
            // Without the C library, so that the load costs less than the server it measures.
            Self::Plain(stream) => {
                let (count, _) = rustix::net::recv(stream, buffer, RecvFlags::empty())?;
                Ok(count)
            }
            Self::Tls(tls) => tls.read(buffer),
        }
    }
}

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        match self {
            Self::Plain(stream) => Ok(rustix::net::send(stream, bytes, SendFlags::NOSIGNAL)?),
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
        loop {
            match self.conn.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                done => return done,
            }
            if self.used == self.received.len() && self.receive()? == 0 {
                return Ok(0);
            }
            let mut rest = &self.received[self.used..];
            self.used += self.conn.read_tls(&mut rest)?;
            self.conn.process_new_packets().map_err(Error::other)?;
        }
    }

    /// An idle client keeps no buffer, so that thousands of them fit beside the server.
    fn receive(&mut self) -> Result<usize> {
        self.used = 0;
        self.received.resize(RECEIVE, 0);
        let result = self.stream.read(&mut self.received);
        self.received.truncate(result.as_ref().map_or(0, |count| *count));
        if self.received.is_empty() {
            self.received = Vec::new();
        }
        result
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
            self.conn.write_tls(&mut self.stream)?;
        }
        Ok(())
    }
}
