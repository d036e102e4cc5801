//! The engine: sockets, threads and timers around sessions.
//!
//! One acceptor thread takes connections and gives each to the least loaded worker; each worker is
//! one thread with one event loop. Nothing outside this folder sees a socket, and nothing in it
//! sees a resource: what a connection means is the business of its session.

mod acceptor;
#[cfg(all(test, target_os = "linux"))]
mod join_tests;
mod lag;
mod listening;
mod mailbox;
mod rate;
#[cfg(unix)]
mod socket_file;
mod stream;
mod timer;
mod trouble;
mod worker;

use crate::drain::Drain;
use crate::error::Result;
use crate::hub::Hub;
use crate::session::Transport;
use acceptor::Acceptor;
pub(crate) use listening::Listening;
use mailbox::{Letter, Mailbox};
use mio::Waker;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use worker::Worker;

/// The running threads of a server.
#[derive(Debug)]
pub(crate) struct Engine {
    hub: Arc<Hub>,
    mailboxes: Vec<Arc<Mailbox>>,
    acceptor: Arc<Waker>,
    acceptor_thread: Mutex<Option<JoinHandle<()>>>,
    worker_threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    pub(crate) fn start(
        hub: Arc<Hub>,
        listeners: Vec<(Listening, Transport)>,
        workers: usize,
    ) -> Result<Self> {
        if let Some(bytes) = hub.socket_buffers() {
            listeners.iter().try_for_each(|(listener, _)| listener.bound_buffers(bytes))?;
        }
        let workers: Vec<Worker> =
            (0..workers).map(|_| Worker::new(Arc::clone(&hub))).collect::<io::Result<_>>()?;
        let mailboxes: Vec<_> = workers.iter().map(Worker::mailbox).collect();
        let acceptor = Acceptor::new(Arc::clone(&hub), listeners, mailboxes.clone())?;
        let engine = Self {
            hub,
            mailboxes,
            acceptor: acceptor.waker(),
            acceptor_thread: Mutex::default(),
            worker_threads: Mutex::default(),
        };
        let started = engine.spawn(acceptor, workers);
        if started.is_err() {
            engine.drain(Drain::default());
        }
        started.map(|()| engine)
    }

    fn spawn(&self, acceptor: Acceptor, workers: Vec<Worker>) -> Result<()> {
        let mut threads = self.worker_threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, worker) in workers.into_iter().enumerate() {
            let named = thread::Builder::new().name(format!("clws-worker-{index}"));
            threads.push(named.spawn(move || worker.run())?);
        }
        let named = thread::Builder::new().name("clws-acceptor".to_owned());
        let mut thread = self.acceptor_thread.lock().unwrap_or_else(PoisonError::into_inner);
        *thread = Some(named.spawn(move || acceptor.run())?);
        Ok(())
    }

    /// Stops accepting and has every client closed; returns when nothing listens any more.
    pub(crate) fn drain(&self, drain: Drain) {
        self.hub.stopping.store(true, Ordering::Release);
        if let Err(error) = self.acceptor.wake() {
            tracing::error!(%error, "cannot wake the acceptor");
        }
        self.join_acceptor();
        self.hub.plan(drain, Instant::now(), |plan| {
            for mailbox in &self.mailboxes {
                mailbox.post(Letter::Drain(Arc::clone(plan)));
            }
        });
    }

    /// Waits until all threads have ended.
    pub(crate) fn join(&self) {
        let mut threads = self.worker_threads.lock().unwrap_or_else(PoisonError::into_inner);
        threads.drain(..).for_each(join);
        drop(threads);
        self.join_acceptor();
    }

    fn join_acceptor(&self) {
        let mut thread = self.acceptor_thread.lock().unwrap_or_else(PoisonError::into_inner);
        thread.take().into_iter().for_each(join);
    }
}

fn join(thread: JoinHandle<()>) {
    if thread.join().is_err() {
        tracing::error!("a server thread panicked");
    }
}
