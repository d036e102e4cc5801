//! One message to many clients, bare and by clws: whoever writes first drives, the others receive.

use std::io::Result;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use clws::{Client, Origin, Reject, Resource};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::net::{SendFlags, send};

use crate::broadcast::{DRIVE, RECEIVE, TEXT};
use crate::wire::{self, Kind};

const LISTENER: u64 = u64::MAX;

/// Writes the frame's bytes to every receiver with a system call each, and does nothing else.
pub(super) fn serve_bare(address: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
    let mut frame = Vec::new();
    wire::push_frame(&mut frame, Kind::Text, TEXT.as_bytes(), None);
    let mut clients: Vec<TcpStream> = Vec::new();
    let mut events: Vec<Event> = Vec::with_capacity(1024);
    let mut buffer = [0; 4096];
    loop {
        epoll::wait(&epoll, spare_capacity(&mut events), None)?;
        // Whoever connected before the trigger was sent is to hear of it.
        accept_all(&listener, &epoll, &mut clients)?;
        for token in events.drain(..).map(|event| event.data.u64()) {
            if token == LISTENER {
                continue;
            }
            if rustix::io::read(&clients[token as usize], &mut buffer)? == 0 {
                // Who leaves triggers nothing.
                continue;
            }
            // The first connection was made to see whether the server is up.
            let drivers = [0, token as usize];
            let receivers = clients.iter().enumerate();
            for (_, receiver) in receivers.filter(|(index, _)| !drivers.contains(index)) {
                send(receiver, &frame, SendFlags::NOSIGNAL)?;
            }
        }
    }
}

fn accept_all(listener: &TcpListener, epoll: &OwnedFd, clients: &mut Vec<TcpStream>) -> Result<()> {
    while let Some(stream) = super::accept_next(listener)? {
        let data = EventData::new_u64(clients.len() as u64);
        epoll::add(epoll, &stream, data, EventFlags::IN | EventFlags::ET)?;
        clients.push(stream);
    }
    Ok(())
}

type Receivers = Arc<Mutex<Vec<Client>>>;

struct Drive(Receivers);

impl Resource for Drive {
    fn text(&self, _: &Client, _: &str) {
        let receivers = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        clws::send_text_to(receivers.iter(), TEXT);
    }
}

struct Receive(Receivers);

impl Resource for Receive {
    fn connected(&self, client: &Client) -> std::result::Result<(), Reject> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(client.clone());
        Ok(())
    }
}

/// Sends by `clws::send_text_to` from the driver's callback.
pub(super) fn serve_clws(address: SocketAddr) -> Result<()> {
    let receivers = Receivers::default();
    clws::Server::builder()
        .workers(1)
        .resource(DRIVE, Origin::any(), Drive(receivers.clone()))
        .resource(RECEIVE, Origin::any(), Receive(receivers))
        .bind(address.to_string())
        .and_then(clws::Server::run)
        .map_err(std::io::Error::other)
}
