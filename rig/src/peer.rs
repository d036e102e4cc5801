//! One client that waits for what it reads: for probes, and for attacks that need no crowd.

use crate::wire::{self, Frame, Reader};
use socket2::SockRef;
use std::io::{self, Error, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

/// How long an answer may take before a peer gives up.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) stream: TcpStream,
    reader: Reader,
}

impl Peer {
    pub(crate) fn connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self { stream, reader: Reader::default() })
    }

    /// Connects, and opens a `WebSocket`.
    pub(crate) fn open(address: SocketAddr, path: &str) -> io::Result<Self> {
        Self::open_with(address, path, "")
    }

    pub(crate) fn open_with(address: SocketAddr, path: &str, headers: &str) -> io::Result<Self> {
        let mut peer = Self::connect(address)?;
        peer.send(&wire::request(address, path, headers))?;
        match peer.status()? {
            101 => Ok(peer),
            status => Err(Error::other(format!("the handshake got {status}"))),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)
    }

    /// The status of the answer to a request.
    pub(crate) fn status(&mut self) -> io::Result<u16> {
        loop {
            if let Some(status) = self.reader.status() {
                return Ok(status);
            }
            self.fill()?;
        }
    }

    /// The next frame.
    pub(crate) fn frame(&mut self) -> io::Result<Frame> {
        loop {
            if let Some(frame) = self.reader.frame() {
                return Ok(frame);
            }
            self.fill()?;
        }
    }

    /// Reads until a close frame, for its code.
    pub(crate) fn close_code(&mut self) -> io::Result<u16> {
        loop {
            if let Some(code) = self.frame()?.close_code() {
                return Ok(code);
            }
        }
    }

    /// Reads until the end of the connection, whatever comes.
    pub(crate) fn wait_end(&mut self) {
        let mut chunk = [0; 4096];
        while self.stream.read(&mut chunk).is_ok_and(|count| count > 0) {}
    }

    fn fill(&mut self) -> io::Result<()> {
        let mut chunk = [0; 16 * 1024];
        match self.stream.read(&mut chunk)? {
            0 => Err(ErrorKind::UnexpectedEof.into()),
            count => {
                self.reader.feed(&chunk[..count]);
                Ok(())
            }
        }
    }

    /// Ends this side in order.
    pub(crate) fn finish(&self) {
        // It fails for a connection that is gone, which is as well.
        let _ = self.stream.shutdown(Shutdown::Write);
    }

    /// Ends the connection by a reset.
    pub(crate) fn reset(self) {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
    }
}

/// An echo that must come back, as a client that leaves cleanly afterwards.
pub(crate) fn echo_once(address: SocketAddr) -> io::Result<()> {
    let mut peer = Peer::open(address, "/echo")?;
    peer.send(&wire::frame(wire::TEXT, b"probe"))?;
    let came = peer.frame()?;
    if came.payload != b"probe" {
        return Err(Error::new(ErrorKind::InvalidData, "the echo differs"));
    }
    peer.send(&wire::frame(wire::CLOSE, &[0x03, 0xE8]))?;
    peer.close_code()?;
    peer.finish();
    peer.wait_end();
    Ok(())
}
