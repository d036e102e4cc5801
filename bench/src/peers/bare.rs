//! The yardstick: a plain epoll loop that writes back the bytes it reads.
//!
//! It knows no protocol, so what it takes per message is what the kernel takes. Edge-triggered,
//! one buffer for all clients, one read and one write per readable socket; what a full socket
//! does not take is kept for that client, which is read again only when it is gone.

use std::io::Result;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

/// The read buffer, in bytes. Of 64 KiB to 2 MiB this is the cheapest: smaller ones give a large
/// message back in pieces, which costs wake-ups; the others measure the same on small messages.
const BUFFER: usize = 1024 * 1024;
const LISTENER: u64 = u64::MAX;

pub(super) fn serve(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut clients = Clients::default();
    let mut buffer = vec![0; BUFFER];
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    loop {
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            let (token, flags) = (event.data.u64(), event.flags);
            if token == LISTENER {
                clients.accept(&listener, &epoll)?;
            } else {
                clients.serve(token as usize, flags, &mut buffer);
            }
        }
    }
}

#[derive(Default)]
struct Clients {
    slots: Vec<Option<Client>>,
    free: Vec<usize>,
}

impl Clients {
    fn accept(&mut self, listener: &TcpListener, epoll: &OwnedFd) -> Result<()> {
        let interest = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        while let Some(stream) = super::accept_next(listener)? {
            let token = self.free.pop().unwrap_or(self.slots.len());
            epoll::add(epoll, &stream, EventData::new_u64(token as u64), interest)?;
            if token == self.slots.len() {
                self.slots.push(None);
            }
            self.slots[token] = Some(Client { stream, unsent: Vec::new(), sent: 0 });
        }
        Ok(())
    }

    fn serve(&mut self, token: usize, flags: EventFlags, buffer: &mut [u8]) {
        let Some(client) = &mut self.slots[token] else { return };
        let ending = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if client.echo(ending, buffer).is_err() {
            self.slots[token] = None;
            self.free.push(token);
        }
    }
}

struct Client {
    stream: TcpStream,
    /// What the socket did not take, of it `sent` bytes it has taken since.
    unsent: Vec<u8>,
    sent: usize,
}

impl Client {
    /// Goes on until the socket has nothing to read or takes nothing more; an error is the end.
    fn echo(&mut self, ending: bool, buffer: &mut [u8]) -> rustix::io::Result<()> {
        if !self.unsent.is_empty() {
            self.sent += send_some(&self.stream, &self.unsent[self.sent..])?;
            if self.sent < self.unsent.len() {
                return Ok(());
            }
            self.unsent.clear();
        }
        loop {
            let count = match recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => return Err(Errno::PIPE),
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => return Ok(()),
                Err(error) => return Err(error),
            };
            let sent = send_some(&self.stream, &buffer[..count])?;
            if sent < count {
                self.unsent.extend_from_slice(&buffer[sent..count]);
                self.sent = 0;
                return Ok(());
            }
            // A short read emptied the socket; more bytes, or its end, are a new edge.
            if count < buffer.len() && !ending {
                return Ok(());
            }
        }
    }
}

/// Writes until all is written or the socket is full; says how much that was.
pub(super) fn send_some(stream: &TcpStream, bytes: &[u8]) -> rustix::io::Result<usize> {
    let mut sent = 0;
    while sent < bytes.len() {
        match send(stream, &bytes[sent..], SendFlags::NOSIGNAL) {
            Ok(count) => sent += count,
            Err(Errno::AGAIN) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(sent)
}
