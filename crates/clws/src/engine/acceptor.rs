//! The acceptor: takes connections and gives each to the least loaded worker.
//!
//! Failures to accept never spin: a peer that went away is skipped, a lack of file descriptors or
//! memory makes the acceptor pause, and the log hears of it at most once a second.

use super::listening::Listening;
use super::mailbox::{Letter, Mailbox};
use super::stream::Stream;
use crate::hub::Hub;
use crate::peer::Peer;
use crate::session::Transport;
use mio::{Events, Poll, Token, Waker};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long no connections are taken after the system had no room for one.
const PAUSE: Duration = Duration::from_millis(200);
/// How often files of certificates are looked at.
const WATCH: Duration = Duration::from_secs(3);
const LOG_EVERY: Duration = Duration::from_secs(1);
const WAKE: Token = Token(usize::MAX);

#[derive(Debug)]
pub(super) struct Acceptor {
    hub: Arc<Hub>,
    poll: Poll,
    waker: Arc<Waker>,
    listeners: Vec<(Listening, Transport)>,
    workers: Vec<Arc<Mailbox>>,
    logged: Option<Instant>,
    /// When files of certificates were looked at last.
    watched: Instant,
}

impl Acceptor {
    pub(super) fn new(
        hub: Arc<Hub>,
        mut listeners: Vec<(Listening, Transport)>,
        workers: Vec<Arc<Mailbox>>,
    ) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
        for (index, (listener, _)) in listeners.iter_mut().enumerate() {
            listener.watch(poll.registry(), Token(index))?;
        }
        Ok(Self { hub, poll, waker, listeners, workers, logged: None, watched: Instant::now() })
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(64);
        let watch = self.listeners.iter().any(|(_, transport)| transport.is_tls()).then_some(WATCH);
        let mut pause = watch;
        while !self.hub.stopping.load(Ordering::Acquire) {
            if let Err(error) = self.poll.poll(&mut events, pause)
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the acceptor cannot poll");
                std::thread::sleep(PAUSE);
            }
            // Readiness is told once, so after a pause every listener is asked again.
            let all_drained = (0..self.listeners.len()).all(|index| self.accept_all(index));
            pause = if all_drained { watch } else { Some(PAUSE) };
            if self.watched.elapsed() >= WATCH {
                self.watched = Instant::now();
                self.listeners.iter().for_each(|(_, transport)| transport.refresh());
            }
        }
    }

    /// Accepts until nobody waits; `false` when the system has no room for another connection.
    fn accept_all(&mut self, index: usize) -> bool {
        while let Some((listener, transport)) = self.listeners.get(index) {
            match listener.accept() {
                Ok((stream, peer)) => self.hand_over(stream, peer, transport.clone()),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return true,
                Err(error) => {
                    self.hub.counters.accept_errors.add(1);
                    if !is_about_the_peer(&error) {
                        self.log(&error);
                        return false;
                    }
                }
            }
            if self.hub.stopping.load(Ordering::Acquire) {
                return true;
            }
        }
        true
    }

    fn hand_over(&self, stream: Stream, peer: Peer, transport: Transport) {
        self.hub.counters.accepted.add(1);
        let load = |mailbox: &&Arc<Mailbox>| mailbox.load.load(Ordering::Relaxed);
        if let Some(worker) = self.workers.iter().min_by_key(load) {
            worker.load.fetch_add(1, Ordering::Relaxed);
            worker.post(Letter::Join(stream, peer, transport));
        }
    }

    fn log(&mut self, error: &io::Error) {
        let now = Instant::now();
        if self.logged.is_none_or(|last| now.duration_since(last) >= LOG_EVERY) {
            self.logged = Some(now);
            tracing::warn!(%error, "cannot accept connections; trying again");
        }
    }
}

/// Errors of one connection, such as a peer that left before it was accepted (accept(2)).
fn is_about_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{
        ConnectionAborted, ConnectionRefused, ConnectionReset, HostUnreachable, Interrupted,
        NetworkDown, NetworkUnreachable, PermissionDenied, TimedOut,
    };
    matches!(
        error.kind(),
        ConnectionAborted
            | ConnectionReset
            | ConnectionRefused
            | HostUnreachable
            | Interrupted
            | NetworkDown
            | NetworkUnreachable
            | PermissionDenied
            | TimedOut
    )
}
