//! The acceptor: takes connections and gives each to the least loaded worker.
//!
//! Failures to accept never spin: a peer that went away is skipped, a lack of file descriptors or
//! memory makes the acceptor pause, and the log hears of it at most once a second. Where a rate is
//! set, connections above it wait in the system's queue.

use super::listening::Listening;
use super::mailbox::{Letter, Mailbox};
use super::rate::Rate;
use super::stream::Stream;
use super::trouble::{Accepting, Quiet};
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
/// So many connections that are gone before they are accepted are skipped without a pause.
const MAX_SKIPPED: u32 = 100;
/// How often files of certificates are looked at.
const WATCH: Duration = Duration::from_secs(3);
const WAKE: Token = Token(usize::MAX);

#[derive(Debug)]
pub(super) struct Acceptor {
    hub: Arc<Hub>,
    poll: Poll,
    waker: Arc<Waker>,
    listeners: Vec<(Listening, Transport)>,
    workers: Vec<Arc<Mailbox>>,
    rate: Rate,
    /// Which listener is asked first: another one each time, as it may leave nothing to the rest.
    first: usize,
    quiet: Quiet,
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
        let now = Instant::now();
        let rate = Rate::new(hub.limits.max_accept_rate, now);
        let quiet = Quiet::default();
        Ok(Self { hub, poll, waker, listeners, workers, rate, first: 0, quiet, watched: now })
    }

    pub(super) fn waker(&self) -> Arc<Waker> {
        Arc::clone(&self.waker)
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(64);
        let watch = self.listeners.iter().any(|(_, transport)| transport.is_tls()).then_some(WATCH);
        let mut resume: Option<Instant> = None;
        while !self.is_stopping() {
            let pause = resume.map(|at| at.saturating_duration_since(Instant::now()));
            if let Err(error) = self.poll.poll(&mut events, pause.into_iter().chain(watch).min())
                && error.kind() != io::ErrorKind::Interrupted
            {
                tracing::error!(%error, "the acceptor cannot poll");
                std::thread::sleep(PAUSE);
            }
            let now = Instant::now();
            // Those who come during a pause wake the acceptor too; they wait for its end.
            if resume.is_none_or(|at| at <= now) {
                resume = self.accept_all(now).map(|wait| now + wait);
            }
            if now.saturating_duration_since(self.watched) >= WATCH {
                self.watched = now;
                self.listeners.iter().for_each(|(_, transport)| transport.refresh());
            }
        }
    }

    fn is_stopping(&self) -> bool {
        self.hub.stopping.load(Ordering::Acquire)
    }

    /// Asks every listener, as readiness is told once; gives the time to wait before it is done
    /// again, if not all of them are empty.
    fn accept_all(&mut self, now: Instant) -> Option<Duration> {
        let count = self.listeners.len();
        self.first = (self.first + 1) % count.max(1);
        let order = (self.first..count).chain(0..self.first);
        order.filter_map(|index| self.accept_from(index, now)).max()
    }

    /// Accepts until nobody waits, or gives the time to wait before more can be accepted.
    fn accept_from(&mut self, index: usize, now: Instant) -> Option<Duration> {
        let mut skipped = 0;
        while !self.is_stopping() {
            if let Some(wait) = self.rate.wait(now) {
                return Some(wait);
            }
            let (listener, transport) = self.listeners.get(index)?;
            match listener.accept() {
                Ok((stream, peer)) => {
                    self.hand_over(stream, peer, transport.clone());
                    self.rate.spend(now);
                }
                Err(error) => match Accepting::after(&error) {
                    Accepting::Done => return None,
                    Accepting::Next if skipped < MAX_SKIPPED => {
                        self.hub.counters.accept_errors.add(1);
                        skipped += 1;
                    }
                    Accepting::Next | Accepting::Later => {
                        self.hub.counters.accept_errors.add(1);
                        self.tell(&error, now);
                        return Some(PAUSE);
                    }
                },
            }
        }
        None
    }

    pub(super) fn hand_over(&self, stream: Stream, peer: Peer, transport: Transport) {
        self.hub.counters.accepted.add(1);
        let load = |mailbox: &&Arc<Mailbox>| mailbox.load.load(Ordering::Relaxed);
        if let Some(worker) = self.workers.iter().min_by_key(load) {
            worker.load.fetch_add(1, Ordering::Relaxed);
            worker.post(Letter::Join(stream, peer, transport));
        }
    }

    fn tell(&mut self, error: &io::Error, now: Instant) {
        if self.quiet.tells(now) {
            tracing::warn!(%error, "cannot accept connections; trying again");
        }
    }
}
