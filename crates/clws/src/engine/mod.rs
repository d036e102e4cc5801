//! The engine: sockets, threads and timers around sessions.
//!
//! One acceptor thread takes connections and gives each to the least loaded worker; each worker is
//! one thread with one event loop. Nothing outside this folder sees a socket, and nothing in it
//! sees a resource: what a connection means is the business of its session.

mod acceptor;
mod mailbox;
mod timer;
mod worker;

use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::session::Transport;
use acceptor::Acceptor;
use mailbox::{Letter, Mailbox};
use mio::Waker;
use socket2::{Domain, Socket, Type};
use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use worker::Worker;

/// Listens on everything `address` resolves to.
pub(crate) fn listen(address: &str, backlog: i32) -> Result<Vec<TcpListener>> {
    let failed = |source| Error::Bind { address: address.to_owned(), source };
    let resolved = address.to_socket_addrs().map_err(failed)?;
    let listeners: io::Result<Vec<_>> = resolved.map(|one| listen_on(one, backlog)).collect();
    let listeners = listeners.map_err(failed)?;
    if listeners.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::NotFound, "no address")));
    }
    Ok(listeners)
}

fn listen_on(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        // "0.0.0.0" and "[::]" can then both be listened on, each for its own family.
        socket.set_only_v6(true)?;
    }
    // On Windows this option would let another program take the port over.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(backlog)?;
    socket.set_nonblocking(true)?;
    Ok(socket.into())
}

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
        listeners: Vec<(TcpListener, Transport)>,
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
