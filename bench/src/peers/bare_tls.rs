//! The yardstick over TLS: opens the records it reads, and seals the same bytes to send them back.
//!
//! The loop is `bare`'s, rustls is used as clws uses it: unbuffered, with one buffer of each kind
//! for all clients. So what clws takes beyond this is WebSocket's share.

use std::io::{Error, ErrorKind, Result};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustls::ServerConfig;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};

use super::bare::send_some;

/// The read buffer, in bytes.
const BUFFER: usize = 128 * 1024;
/// The most plaintext in a record, and what sealing adds to it at most.
const RECORD: usize = 16 * 1024;
const OVERHEAD: usize = 64;
/// What is copied at once.
const PIECE: usize = 2048;
const LISTENER: u64 = u64::MAX;

pub(super) fn serve(address: SocketAddr) -> Result<()> {
    let config = crate::secure::server()?;
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut clients: Vec<Option<Client>> = Vec::new();
    let mut buffers = Buffers { read: vec![0; BUFFER], plain: Vec::new(), sealed: Vec::new() };
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    loop {
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let token = event.data.u64();
            if token == LISTENER {
                accept(&listener, &epoll, &config, &mut clients)?;
                continue;
            }
            let place = &mut clients[token as usize];
            if let Some(client) = place
                && client.echo(&mut buffers).is_err()
            {
                *place = None;
            }
        }
    }
}

fn accept(
    listener: &TcpListener,
    epoll: &OwnedFd,
    config: &Arc<ServerConfig>,
    clients: &mut Vec<Option<Client>>,
) -> Result<()> {
    let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
    while let Some(stream) = super::accept_next(listener)? {
        epoll::add(epoll, &stream, EventData::new_u64(clients.len() as u64), interest)?;
        let conn = UnbufferedServerConnection::new(Arc::clone(config)).map_err(Error::other)?;
        clients.push(Some(Client { stream, conn, partial: Vec::new(), unsent: Vec::new() }));
    }
    Ok(())
}

/// What all clients share.
struct Buffers {
    read: Vec<u8>,
    plain: Vec<u8>,
    sealed: Vec<u8>,
}

struct Client {
    stream: TcpStream,
    conn: UnbufferedServerConnection,
    /// The beginning of a record.
    partial: Vec<u8>,
    /// What the socket did not take.
    unsent: Vec<u8>,
}

impl Client {
    /// Goes on until the socket has nothing to read or takes nothing more; an error is the end.
    fn echo(&mut self, buffers: &mut Buffers) -> Result<()> {
        loop {
            if !self.unsent.is_empty() {
                let sent = send_some(&self.stream, &self.unsent)?;
                self.unsent.drain(..sent);
                if !self.unsent.is_empty() {
                    return Ok(());
                }
            }
            let Buffers { read, plain, sealed } = buffers;
            let kept = self.partial.len();
            read[..kept].copy_from_slice(&self.partial);
            let count = match recv(&self.stream, &mut read[kept..], RecvFlags::empty()) {
                Ok((0, _)) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            plain.clear();
            sealed.clear();
            let used = self.process(&mut read[..kept + count], plain, sealed)?;
            self.partial.clear();
            self.partial.extend_from_slice(&read[used..kept + count]);
            let sent = send_some(&self.stream, sealed)?;
            self.unsent.extend_from_slice(&sealed[sent..]);
            if kept + count < BUFFER && self.unsent.is_empty() {
                return Ok(());
            }
        }
    }

    /// Opens all whole records and seals what was in them; says how many bytes they were.
    fn process(
        &mut self,
        bytes: &mut [u8],
        plain: &mut Vec<u8>,
        sealed: &mut Vec<u8>,
    ) -> Result<usize> {
        let mut used = 0;
        loop {
            let UnbufferedStatus { discard, state } =
                self.conn.process_tls_records(&mut bytes[used..]);
            used += discard;
            match state.map_err(Error::other)? {
                ConnectionState::ReadTraffic(mut traffic) => {
                    while let Some(record) = traffic.next_record() {
                        // One long copy would be slow at some distances, by chance.
                        for piece in record.map_err(Error::other)?.payload.chunks(PIECE) {
                            plain.extend_from_slice(piece);
                        }
                    }
                }
                ConnectionState::EncodeTlsData(mut message) => append(sealed, &mut message),
                ConnectionState::TransmitTlsData(done) => done.done(),
                ConnectionState::WriteTraffic(mut traffic) => {
                    for piece in plain.chunks(RECORD) {
                        let before = sealed.len();
                        sealed.resize(before + piece.len() + OVERHEAD, 0);
                        let made = traffic.encrypt(piece, &mut sealed[before..]);
                        sealed.truncate(before + made.map_err(Error::other)?);
                    }
                    return Ok(used);
                }
                ConnectionState::BlockedHandshake => return Ok(used),
                _ => return Err(ErrorKind::UnexpectedEof.into()),
            }
        }
    }
}

fn append(out: &mut Vec<u8>, message: &mut EncodeTlsData<'_, ServerConnectionData>) {
    if let Err(EncodeError::InsufficientSize(needs)) = message.encode(&mut []) {
        let before = out.len();
        out.resize(before + needs.required_size, 0);
        let _ = message.encode(&mut out[before..]);
    }
}
