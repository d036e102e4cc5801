//! A server from the outside: building it, running it, talking to it while it runs.

use crate::client::Client;
use crate::drain::{Drain, Draining};
use crate::engine::{Engine, Listening};
use crate::error::{Error, Result};
use crate::hosts::Hosts;
use crate::hub::{Hub, OnPanic, Settings};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::origin::Origin;
use crate::resource::Resource;
use crate::routes::{Route, Routes};
use crate::session::Transport;
#[cfg(feature = "tls")]
use crate::tls::Tls;
use clws_proto::close::CloseCode;
use clws_proto::deflate::DeflateConfig;
use std::io;
use std::net::{SocketAddr, TcpListener};
#[cfg(unix)]
use std::os::unix::net::UnixListener;
#[cfg(unix)]
use std::path::{Path, PathBuf};
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
    settings: Settings,
    workers: Option<usize>,
    backlog: i32,
    listeners: Vec<(Listening, Transport)>,
    proxied: bool,
    failed: Option<Error>,
}

impl Server {
    /// A server without resources that listens nowhere.
    pub fn builder() -> Self {
        Self {
            routes: Routes::default(),
            settings: Settings::default(),
            workers: None,
            backlog: BACKLOG,
            listeners: Vec::new(),
            proxied: false,
            failed: None,
        }
    }

    /// Serves `resource` at `path` to clients whose origin passes.
    ///
    /// A path is exact, as `/echo`; or a prefix, as `/files/*`, which takes everything below
    /// `/files/`; or `*`, which takes what nothing else took. Exact paths win, then the longest
    /// prefix. A path that can't match or is taken is an error of `bind`, `run` or `start`.
    pub fn resource(mut self, path: &str, origin: Origin, resource: impl Resource) -> Self {
        self.register(Route::new(path, origin, resource));
        self
    }

    /// Serves `resource` with limits and compression of its own; see [`Server::resource`].
    ///
    /// Of the limits those of the opening handshake, `max_clients`, `memory_budget`,
    /// `turn_messages`, `turn_bytes` and `spare_buffers` stay the server's.
    pub fn resource_with(
        mut self,
        path: &str,
        origin: Origin,
        resource: impl Resource,
        options: ResourceOptions,
    ) -> Self {
        match options.route(path, origin, resource) {
            Ok(route) => self.register(route),
            Err(error) => {
                self.failed.get_or_insert(error);
            }
        }
        self
    }

    fn register(&mut self, route: Route) {
        if let Err(error) = self.routes.register(route) {
            self.failed.get_or_insert(error);
        }
    }

    /// Sets whether and how messages are compressed (RFC 7692); by default they are, when the
    /// client offers it, from 1 KiB on and without context takeover.
    pub fn deflate(mut self, config: DeflateConfig) -> Self {
        self.settings.deflate = config;
        self
    }

    /// Serves clients of draft-hixie-76 too (also called hybi-00), which know neither binary
    /// messages nor pings. Off by default: they are refused with 400.
    pub fn hixie76(mut self, on: bool) -> Self {
        self.settings.versions.hixie76 = on;
        self
    }

    /// Sets which host names clients may ask for; others get 421. By default clients that connect
    /// over a loopback address must name this machine, which keeps DNS rebinding out.
    pub fn hosts(mut self, hosts: Hosts) -> Self {
        self.settings.hosts = hosts;
        self
    }

    /// Trusts these proxies, each an address, a network as `10.0.0.0/8`, or `unix` for whoever
    /// comes by a Unix-domain socket: the last of the addresses in their `X-Forwarded-For` headers
    /// that is not a trusted proxy's own is the client's ([`Client::host`]). Nobody is trusted by
    /// default; what is malformed is not believed. Text that names no network is an error of
    /// `bind`, `run` or `start`.
    pub fn trusted_proxies<I: IntoIterator<Item: AsRef<str>>>(mut self, proxies: I) -> Self {
        for proxy in proxies {
            if let Err(error) = self.settings.proxies.add(proxy.as_ref()) {
                self.failed.get_or_insert(error);
            }
        }
        self
    }

    /// Sets whether connections must begin with a header of the PROXY protocol, version 1 or 2, by
    /// which a proxy tells the client's address; off by default. It holds for the addresses bound
    /// after it. Connections without the header are closed.
    ///
    /// Where proxies are trusted ([`Server::trusted_proxies`]), others' connections are closed.
    /// Without any, everybody is believed: let nobody but the proxy reach such an address.
    pub fn proxy_protocol(mut self, on: bool) -> Self {
        self.proxied = on;
        self
    }

    /// Sets what a panic in user code costs; by default the client whose callback it was.
    pub fn on_panic(mut self, on_panic: OnPanic) -> Self {
        self.settings.on_panic = on_panic;
        self
    }

    /// Sets all limits; a contradiction in them is an error of `run` or `start`.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.settings.limits = limits;
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
    pub fn bind(self, address: impl AsRef<str>) -> Result<Self> {
        self.listen(address.as_ref(), &Transport::Tcp)
    }

    /// Listens on an address for TLS alone: `https:` and `wss:`. Plain and TLS listeners may stand
    /// side by side, each with its own certificates; those with the same ones share them, and
    /// sessions. See [`Server::bind`].
    #[cfg(feature = "tls")]
    pub fn bind_tls(self, address: impl AsRef<str>, tls: Tls) -> Result<Self> {
        let transport = self.secure(tls)?;
        self.listen(address.as_ref(), &transport)
    }

    /// Listens on a Unix-domain socket at `path`; see [`Server::bind`].
    ///
    /// The file is made with the rights that the process's umask leaves, and removed when the
    /// server has ended. A file that a killed server left there is replaced; one that somebody
    /// listens on, or that is no socket, is an error. Clients by this way have no address, and
    /// may ask for any host name but where [`Hosts::named`] says otherwise.
    #[cfg(unix)]
    pub fn bind_unix(mut self, path: impl AsRef<Path>) -> Result<Self> {
        self.check()?;
        let bound = Listening::bind_unix(path.as_ref(), self.backlog)?;
        self.add(bound, Transport::Tcp);
        Ok(self)
    }

    /// Accepts from a socket that is listened on already, such as one that a service manager bound.
    pub fn listener(self, listener: TcpListener) -> Result<Self> {
        self.adopt(Listening::adopt(listener), Transport::Tcp)
    }

    /// As [`Server::listener`], for TLS alone.
    #[cfg(feature = "tls")]
    pub fn listener_tls(self, listener: TcpListener, tls: Tls) -> Result<Self> {
        let transport = self.secure(tls)?;
        self.adopt(Listening::adopt(listener), transport)
    }

    /// As [`Server::listener`]; the socket's file stays when the server has ended.
    #[cfg(unix)]
    pub fn unix_listener(self, listener: UnixListener) -> Result<Self> {
        self.adopt(Listening::adopt_unix(listener), Transport::Tcp)
    }

    #[cfg(feature = "tls")]
    fn secure(&self, tls: Tls) -> Result<Transport> {
        let earlier = self.listeners.iter().map(|(_, transport)| transport);
        Ok(Transport::secure(tls, earlier)?)
    }

    fn adopt(mut self, listener: io::Result<Listening>, transport: Transport) -> Result<Self> {
        self.check()?;
        self.add(listener?, transport);
        Ok(self)
    }

    fn listen(mut self, address: &str, transport: &Transport) -> Result<Self> {
        self.check()?;
        for bound in Listening::bind(address, self.backlog)? {
            self.add(bound, transport.clone());
        }
        Ok(self)
    }

    fn add(&mut self, listener: Listening, transport: Transport) {
        let proxied = self.proxied;
        let transport = if proxied { Transport::Proxied(Arc::new(transport)) } else { transport };
        self.listeners.push((listener, transport));
    }

    /// Tells the first of what went wrong so far.
    fn check(&mut self) -> Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Runs the server until [`ServerHandle::shutdown`] is called, or for ever.
    pub fn run(self) -> Result<()> {
        let handle = self.start()?;
        handle.join();
        Ok(())
    }

    /// Starts the server on threads of its own and returns at once.
    pub fn start(mut self) -> Result<ServerHandle> {
        self.check()?;
        self.settings.limits.settle()?;
        if self.listeners.is_empty() {
            return Err(Error::NoListener);
        }
        let mut listening = Vec::new();
        for (listener, transport) in &self.listeners {
            listening.extend(listener.address()?.map(|address| (address, transport.clone())));
        }
        let (addresses, transports): (Vec<_>, Vec<_>) = listening.into_iter().unzip();
        #[cfg(unix)]
        let paths = self.listeners.iter().filter_map(|(listener, _)| listener.path()).collect();
        let cores = || thread::available_parallelism().map_or(1, usize::from);
        let workers = self.workers.unwrap_or_else(cores);
        let hub = Arc::new(Hub::new(self.settings, self.routes));
        let engine = Engine::start(Arc::clone(&hub), self.listeners, workers)?;
        Ok(ServerHandle {
            hub,
            engine: Arc::new(engine),
            addresses: addresses.into(),
            transports: transports.into(),
            #[cfg(unix)]
            paths,
        })
    }
}

/// What becomes of the clients of a resource that is unregistered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connected {
    /// They stay until they leave.
    Stay,
    /// They are closed with 1001.
    Close,
}

/// What one resource has otherwise than its server.
#[derive(Clone, Debug, Default)]
pub struct ResourceOptions {
    limits: Option<Limits>,
    deflate: Option<DeflateConfig>,
}

impl ResourceOptions {
    /// Nothing otherwise.
    pub fn new() -> Self {
        Self::default()
    }

    /// Limits of its own; a contradiction in them is an error where they are used.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = Some(limits);
        self
    }

    /// Compression of its own.
    pub fn deflate(mut self, config: DeflateConfig) -> Self {
        self.deflate = Some(config);
        self
    }

    fn route(self, path: &str, origin: Origin, resource: impl Resource) -> Result<Route> {
        let mut route = Route::new(path, origin, resource);
        if let Some(mut limits) = self.limits {
            limits.settle()?;
            let config = Arc::new(limits.connection());
            route.own_limits = Some((Arc::new(limits), config));
        }
        route.own_deflate = self.deflate;
        Ok(route)
    }
}

/// A running server: a cheap clone, usable from any thread. Dropping it does not stop the server.
#[derive(Clone, Debug)]
pub struct ServerHandle {
    hub: Arc<Hub>,
    engine: Arc<Engine>,
    addresses: Arc<[SocketAddr]>,
    /// Of the addresses, in their order.
    transports: Arc<[Transport]>,
    #[cfg(unix)]
    paths: Arc<[PathBuf]>,
}

impl ServerHandle {
    /// The addresses it listens on, with the ports the system chose.
    pub fn local_addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The files of the Unix-domain sockets it listens on.
    #[cfg(unix)]
    pub fn local_paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// The addresses among them where TLS is spoken.
    pub fn tls_addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let both = self.addresses.iter().zip(&*self.transports);
        both.filter(|(_, transport)| transport.is_tls()).map(|(address, _)| *address)
    }

    /// Reads certificates, keys and the authorities of clients from their files again, for the
    /// connections from now on. A listener whose files can't be used keeps what it had; the first
    /// such fault is returned.
    ///
    /// It also happens by itself, a few seconds after a file was written.
    #[cfg(feature = "tls")]
    pub fn reload_tls(&self) -> Result<()> {
        Transport::reload(&self.transports).map_err(Error::Tls)
    }

    /// Serves another resource from now on; see [`Server::resource`].
    pub fn register(&self, path: &str, origin: Origin, resource: impl Resource) -> Result<()> {
        self.hub.routes.register(Route::new(path, origin, resource))
    }

    /// Serves another resource with options of its own; see [`Server::resource_with`].
    pub fn register_with(
        &self,
        path: &str,
        origin: Origin,
        resource: impl Resource,
        options: ResourceOptions,
    ) -> Result<()> {
        self.hub.routes.register(options.route(path, origin, resource)?)
    }

    /// The resource registered at `path`, a pattern as it was given, if it is of this type.
    pub fn find<R: Resource>(&self, path: &str) -> Option<Arc<R>> {
        let route = self.hub.routes.registered(path)?;
        Arc::clone(&route.typed).downcast().ok()
    }

    /// Serves nothing at `path`, a pattern as it was given, from now on; `false` when nothing was.
    /// Clients that are connected stay, or are closed with 1001.
    pub fn unregister(&self, path: &str, clients: Connected) -> bool {
        let Some(route) = self.hub.routes.unregister(path) else { return false };
        if clients == Connected::Close {
            let of_route = |client: &Client| Arc::ptr_eq(&client.0.route, &route);
            for client in self.clients().into_iter().filter(of_route) {
                client.close(CloseCode::GOING_AWAY, "the resource is gone");
            }
        }
        true
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
        self.hub.metrics()
    }

    /// Ends the server in order: a [`Drain`] with its defaults, so every client is closed with 1001
    /// at once. Does not wait; `join` waits for the end, which comes when the last client has left
    /// or its time is up ([`Limits::close_timeout`]).
    pub fn shutdown(&self) {
        self.engine.drain(Drain::default());
    }

    /// Ends the server in order, and loses nothing that a client sent before.
    ///
    /// When it returns, nothing listens any more and another server may bind the addresses.
    /// Unfinished opening handshakes get 503. Each client has its moment within [`Drain::over`]:
    /// what has come from it by then is read and delivered, its resource hears
    /// [`Resource::closing`], and the close frame goes behind everything sent; a [`Listener`]
    /// works off what it has queued first. A client that does not stop sending, or that the
    /// resource keeps, is closed [`Limits::close_timeout`] before the deadline, or that long after
    /// its moment where there is no deadline. Who is left at [`Drain::deadline`] is reset.
    ///
    /// Does not wait for any of this; [`Draining::wait`] does, and tells what became of it. A
    /// callback that blocks is not ended by the deadline. Called again, it can only hasten what is
    /// under way: each client's moment is the earlier one, and so is the deadline, but code and
    /// reason stay the first call's.
    ///
    /// [`Listener`]: crate::Listener
    pub fn drain(&self, drain: Drain) -> Draining {
        self.engine.drain(drain);
        Draining::new(Arc::clone(&self.hub), Arc::clone(&self.engine))
    }

    /// Waits until the server has ended.
    pub fn join(&self) {
        self.engine.join();
    }
}
