//! A server from the outside: building it, running it, talking to it while it runs.

use crate::client::Client;
use crate::engine::{self, Engine};
use crate::error::{Error, Result};
use crate::hub::Hub;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::origin::Origin;
use crate::resource::Resource;
use crate::routes::{Route, Routes};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread;

/// How many connections the system keeps for a server that is busy, at most.
const BACKLOG: i32 = 1024;

/// A server that is being put together; it runs with [`Server::run`] or [`Server::start`].
///
/// Several servers may live in one process; each has its own resources, workers and limits.
#[derive(Debug)]
#[must_use = "a server does nothing until it is run or started"]
pub struct Server {
    routes: Routes,
    limits: Limits,
    workers: Option<usize>,
    backlog: i32,
    listeners: Vec<TcpListener>,
    failed: Option<Error>,
}

impl Server {
    /// A server without resources that listens nowhere.
    pub fn builder() -> Self {
        Self {
            routes: Routes::default(),
            limits: Limits::default(),
            workers: None,
            backlog: BACKLOG,
            listeners: Vec::new(),
            failed: None,
        }
    }

    /// Serves `resource` at `path` to clients whose origin passes.
    ///
    /// A path is exact, as `/echo`; or a prefix, as `/files/*`, which takes everything below
    /// `/files/`; or `*`, which takes what nothing else took. Exact paths win, then the longest
    /// prefix. A path that can't match or is taken is an error of `bind`, `run` or `start`.
    pub fn resource(mut self, path: &str, origin: Origin, resource: impl Resource) -> Self {
        let route = Route { path: path.to_owned(), origin, resource: Arc::new(resource) };
        if let Err(error) = self.routes.register(route) {
            self.failed.get_or_insert(error);
        }
        self
    }

    /// Sets all limits; a contradiction in them is an error of `run` or `start`.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets how many worker threads serve clients; by default one for each core, at least one.
    pub fn workers(mut self, workers: usize) -> Self {
        self.workers = Some(workers.max(1));
        self
    }

    /// Sets how many connections the system keeps until they are accepted (`listen(2)`), for the
    /// addresses bound after it; 1024 by default.
    pub fn backlog(mut self, backlog: u32) -> Self {
        self.backlog = i32::try_from(backlog).unwrap_or(i32::MAX);
        self
    }

    /// Listens on an address, such as `127.0.0.1:12345`, `[::1]:0` or `localhost:8080`; call it
    /// again for more. Port 0 lets the system choose. Connections are accepted from `run` or
    /// `start` on.
    pub fn bind(mut self, address: impl AsRef<str>) -> Result<Self> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.listeners.extend(engine::listen(address.as_ref(), self.backlog)?);
        Ok(self)
    }

    /// Runs the server until [`ServerHandle::shutdown`] is called, or for ever.
    pub fn run(self) -> Result<()> {
        let handle = self.start()?;
        handle.join();
        Ok(())
    }

    /// Starts the server on threads of its own and returns at once.
    pub fn start(self) -> Result<ServerHandle> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.limits.check()?;
        if self.listeners.is_empty() {
            return Err(Error::NoListener);
        }
        let addresses: std::io::Result<Vec<_>> =
            self.listeners.iter().map(TcpListener::local_addr).collect();
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let workers = self.workers.unwrap_or_else(cores);
        let hub = Arc::new(Hub::new(self.limits, self.routes));
        let engine = Engine::start(Arc::clone(&hub), self.listeners, workers)?;
        Ok(ServerHandle { hub, engine: Arc::new(engine), addresses: addresses?.into() })
    }
}

/// A running server: a cheap clone, usable from any thread. Dropping it does not stop the server.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    hub: Arc<Hub>,
    engine: Arc<Engine>,
    addresses: Arc<[SocketAddr]>,
}

impl ServerHandle {
    /// The addresses it listens on, with the ports the system chose.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Serves another resource from now on; see [`Server::resource`].
    pub fn register(&self, path: &str, origin: Origin, resource: impl Resource) -> Result<()> {
        let route = Route { path: path.to_owned(), origin, resource: Arc::new(resource) };
        self.hub.routes.register(route)
    }

    /// All connected clients, in the order they connected.
    pub fn clients(&self) -> Vec<Client> {
        let mut clients: Vec<_> = self.hub.clients().values().cloned().collect();
        clients.sort_unstable_by_key(Client::id);
        clients
    }

    /// How many clients are connected.
    pub fn client_count(&self) -> usize {
        self.hub.clients().len()
    }

    /// What the server has counted since it started.
    pub fn metrics(&self) -> Metrics {
        self.hub.counters.snapshot()
    }

    /// Stops accepting connections and closes every client with 1001. Returns at once; `join`
    /// waits for the end, which comes when the last client has left or its time is up
    /// ([`Limits::close_timeout`]).
    pub fn shutdown(&self) {
        self.engine.shutdown();
    }

    /// Waits until the server has ended.
    pub fn join(&self) {
        self.engine.join();
    }
}
