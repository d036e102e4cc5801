//! The engine: sockets, threads and timers around sessions.
//!
//! One acceptor thread takes connections and gives each to the least loaded worker; each worker is
//! one thread with one event loop. Nothing outside this folder sees a socket, and nothing in it
//! sees a resource: what a connection means is the business of its session.

mod acceptor;
mod listening;
mod mailbox;
#[cfg(unix)]
mod socket_file;
mod stream;
mod timer;
mod worker;

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
use worker::Worker;

/// The running threads of a server.
#[derive(Debug)]
pub(crate) struct Engine {
    hub: Arc<Hub>,
    mailboxes: Vec<Arc<Mailbox>>,
    acceptor: Arc<Waker>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Engine {
    pub(crate) fn start(
        hub: Arc<Hub>,
        listeners: Vec<(Listening, Transport)>,
        workers: usize,
    ) -> Result<Self> {
        let workers: Vec<Worker> =
            (0..workers).map(|_| Worker::new(Arc::clone(&hub))).collect::<io::Result<_>>()?;
        let mailboxes: Vec<_> = workers.iter().map(Worker::mailbox).collect();
        let acceptor = Acceptor::new(Arc::clone(&hub), listeners, mailboxes.clone())?;
        let engine =
            Self { hub, mailboxes, acceptor: acceptor.waker(), threads: Mutex::new(Vec::new()) };
        let started = engine.spawn(acceptor, workers);
        if started.is_err() {
            engine.shutdown();
        }
        started.map(|()| engine)
    }

    fn spawn(&self, acceptor: Acceptor, workers: Vec<Worker>) -> Result<()> {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for (index, worker) in workers.into_iter().enumerate() {
            let named = thread::Builder::new().name(format!("clws-worker-{index}"));
            threads.push(named.spawn(move || worker.run())?);
        }
        let named = thread::Builder::new().name("clws-acceptor".to_owned());
        threads.push(named.spawn(move || acceptor.run())?);
        Ok(())
    }

    /// Stops accepting and closes every client with 1001; returns at once.
    pub(crate) fn shutdown(&self) {
        self.hub.stopping.store(true, Ordering::Release);
        if let Err(error) = self.acceptor.wake() {
            tracing::error!(%error, "cannot wake the acceptor");
        }
        for mailbox in &self.mailboxes {
            mailbox.post(Letter::Shutdown);
        }
    }

    /// Waits until all threads have ended.
    pub(crate) fn join(&self) {
        let mut threads = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        for thread in threads.drain(..) {
            if thread.join().is_err() {
                tracing::error!("a server thread panicked");
            }
        }
    }
}
