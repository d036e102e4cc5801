//! The resource listener: a resource whose callbacks run on threads of its own and may block.
//!
//! On the workers' side a [`Listener`] is a resource that queues what it hears (`mailbox`, over
//! `queue`) and pauses the reading from clients whose events wait. On the other side its threads
//! call the inner resource (`crew`), and a [`ListenerHandle`] reaches them from anywhere.

mod crew;
mod handle;
mod mailbox;
mod queue;
mod work;

pub use handle::{CallError, ListenerHandle, PostError, Receive};
pub use work::Queued;

use crate::client::Client;
use crate::pending::Pending;
use crate::request::Request;
use crate::resource::{Accept, Closed, Reject, Resource};
use clws_proto::close::CloseCode;
use clws_proto::handshake::Response;
use crew::{Crew, Item};
use mailbox::Mailbox;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use work::{Bounds, Kind, Refusal};

/// The reason in the close frames of a listener that stops.
const STOPPED: &str = "the resource has stopped";

const KIB: usize = 1024;

const DEFAULTS: Bounds = Bounds {
    bytes: 4 * KIB * KIB,
    events: 8 * KIB,
    client_bytes: 64 * KIB,
    client_events: 64,
    handshakes: 256,
    posts: KIB,
};

/// A resource whose callbacks run on its own threads instead of the workers, so that they may
/// block.
///
/// ```no_run
/// use clws::{Client, Listener, Origin, Resource, Server};
///
/// struct Lookup;
///
/// impl Resource for Lookup {
///     fn text(&self, client: &Client, message: &str) {
///         let found = std::fs::read_to_string(message).unwrap_or_default();
///         client.send_text(&found);
///     }
/// }
///
/// let lookup = Listener::new(Lookup).threads(4);
/// let handle = lookup.handle();
/// let server = Server::builder().resource("/lookup", Origin::same_host(), lookup);
/// # let _ = (handle, server);
/// ```
///
/// Each client's events keep their order and run one at a time, `disconnected` after everything
/// else; different clients run in parallel. With one thread, the default, everything runs in the
/// order of its arrival. `accept` runs on these threads too, while the opening handshake waits and
/// its deadline counts on; `get` stays with the worker and must not block.
///
/// Events wait in a mailbox, their payloads copied once. When a client's share or the whole mailbox
/// is full, reading from the client, or from all clients, pauses until half of it is left: nothing
/// is lost and nobody is disconnected. The mailbox holds at most its bound and one message for each
/// worker. What [`Client::pause_reading`] asked for stays as it was asked for. Events that were
/// queued before a callback closes its client are still told.
///
/// A panic closes its client with 1011 as elsewhere ([`OnPanic`](crate::OnPanic)).
///
/// The threads start with the first thing there is to do. They end when the listener is stopped
/// ([`ListenerHandle::stop`]), when its server ends, which waits for what is queued, or when it is
/// dropped.
#[derive(Debug)]
pub struct Listener<R: Resource>(Arc<Crew<R>>);

impl<R: Resource> Listener<R> {
    /// Runs the resource's callbacks on one thread, with the default bounds.
    pub fn new(resource: R) -> Self {
        Self(Arc::new(Crew::new(resource, Mailbox::new(DEFAULTS))))
    }

    /// Sets how many threads run callbacks, at least one. Has no effect once they run.
    pub fn threads(self, threads: usize) -> Self {
        self.0.size.store(threads.max(1), Ordering::Relaxed);
        self
    }

    /// Sets how many bytes of payload wait, at least one, before reading from all clients pauses.
    /// Default 4 MiB.
    pub fn max_queued_bytes(self, bytes: usize) -> Self {
        self.set(|bounds| bounds.bytes = bytes.max(1))
    }

    /// Sets how many events wait, at least one, before reading from all clients pauses.
    /// Default 8192.
    pub fn max_queued_events(self, events: usize) -> Self {
        self.set(|bounds| bounds.events = events.max(1))
    }

    /// Sets how many bytes of payload of one client wait, at least one, before reading from it
    /// pauses. Default 64 KiB.
    pub fn max_client_bytes(self, bytes: usize) -> Self {
        self.set(|bounds| bounds.client_bytes = bytes.max(1))
    }

    /// Sets how many events of one client wait, at least one, before reading from it pauses.
    /// Default 64.
    pub fn max_client_events(self, events: usize) -> Self {
        self.set(|bounds| bounds.client_events = events.max(1))
    }

    /// Sets how many opening handshakes wait for `accept`, at least one; one more gets 503.
    /// Default 256.
    pub fn max_handshakes(self, handshakes: usize) -> Self {
        self.set(|bounds| bounds.handshakes = handshakes.max(1))
    }

    /// Sets how many posted messages wait, at least one; one more is given back. Default 1024.
    pub fn max_posts(self, posts: usize) -> Self {
        self.set(|bounds| bounds.posts = posts.max(1))
    }

    fn set(self, set: impl FnOnce(&mut Bounds)) -> Self {
        self.0.mailbox.set_bounds(set);
        self
    }

    /// A handle to talk to the listener's threads and to stop them.
    pub fn handle(&self) -> ListenerHandle<R> {
        ListenerHandle::new(Arc::clone(&self.0))
    }

    /// The inner resource.
    pub fn resource(&self) -> &R {
        &self.0.resource
    }
}

impl<R: Resource> Resource for Listener<R> {
    fn accept(&self, request: &Request) -> Result<Accept, Reject> {
        if self.0.mailbox.is_stopping() {
            return Err(stopped());
        }
        self.0.resource.accept(request)
    }

    fn accept_later(&self, pending: Pending) -> Option<Pending> {
        self.0.learn(pending.guard());
        let item = Item::Accept(Box::new(pending));
        let queued = match self.0.start() {
            Ok(()) => self.0.mailbox.push(None, Kind::Handshake, item),
            Err(refusal) => Err((refusal, item)),
        };
        if let Err((refusal, Item::Accept(pending))) = queued {
            let busy = || Reject::new(503, "the resource is busy");
            let answer = if refusal == Refusal::Full { busy() } else { stopped() };
            pending.decide(Err(answer));
        }
        None
    }

    fn get(&self, request: &Request) -> Option<Response> {
        self.0.resource.get(request)
    }

    fn connected(&self, client: &Client) -> Result<(), Reject> {
        self.0.learn(&client.0.guard);
        let entered = self.0.start().and_then(|()| {
            self.0.mailbox.enter(client.address(), client.clone())?;
            self.0.note(client, Kind::Free, Item::Connected);
            Ok(())
        });
        entered.map_err(|_| stopped())
    }

    fn text(&self, client: &Client, message: &str) {
        self.0.note(client, Kind::Event(message.len()), Item::Text(message.to_owned()));
    }

    fn binary(&self, client: &Client, message: &[u8]) {
        self.0.note(client, Kind::Event(message.len()), Item::Binary(message.to_owned()));
    }

    fn pong(&self, client: &Client, payload: &[u8]) {
        self.0.note(client, Kind::Event(payload.len()), Item::Pong(payload.to_owned()));
    }

    fn drained(&self, client: &Client) {
        self.0.note(client, Kind::Drained, Item::Drained);
    }

    fn closing(&self, client: &Client, code: CloseCode, reason: &str) -> bool {
        // Where it is refused the client is being closed already.
        self.0.note(client, Kind::Free, Item::Close(code, reason.to_owned().into()));
        true
    }

    fn disconnected(&self, client: &Client, closed: &Closed) {
        self.0.note(client, Kind::End, Item::Disconnected(closed.clone()));
    }

    fn ended(&self) {
        self.0.stop(Queued::Finish);
        if !self.0.is_here() {
            self.0.mailbox.join();
        }
        self.0.resource.ended();
    }
}

impl<R: Resource> Drop for Listener<R> {
    fn drop(&mut self) {
        self.0.stop(Queued::Finish);
    }
}

/// The answer to handshakes of a listener that has stopped.
fn stopped() -> Reject {
    Reject::new(503, STOPPED).close_code(CloseCode::GOING_AWAY)
}
