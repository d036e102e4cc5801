//! Reaching a listener's threads from anywhere: calls, posts, and the end.

use super::crew::{Crew, Item};
use super::work::{COMMON, Key, Kind, Queued, Refusal};
use crate::client::Client;
use crate::resource::Resource;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::sync_channel;

/// A resource that receives messages of type `M` from the program, by [`ListenerHandle::post`].
///
/// A resource may implement it for several types.
pub trait Receive<M>: Resource {
    /// A message of [`ListenerHandle::post`], on a listener's thread.
    ///
    /// A panic in it costs the message only.
    fn receive(&self, message: M);

    /// A message of [`ListenerHandle::post_for`], in order with the client's events. By default
    /// it goes to `receive`.
    ///
    /// A panic in it closes the client.
    fn receive_for(&self, client: &Client, message: M) {
        let _ = client;
        self.receive(message);
    }
}

/// A message that was not posted, given back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PostError<M> {
    /// Too many messages wait ([`Listener::max_posts`](super::Listener::max_posts)), or the system
    /// gives no thread.
    Full(M),
    /// The client is not, or no longer, one of this listener, or is being closed by it.
    Gone(M),
    /// The listener has stopped.
    Stopped(M),
}

impl<M> PostError<M> {
    /// The message.
    pub fn into_inner(self) -> M {
        match self {
            Self::Full(message) | Self::Gone(message) | Self::Stopped(message) => message,
        }
    }
}

impl<M> fmt::Display for PostError<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Full(_) => "too many messages wait for the listener",
            Self::Gone(_) => "the client is gone",
            Self::Stopped(_) => "the listener has stopped",
        })
    }
}

impl<M: fmt::Debug> std::error::Error for PostError<M> {}

/// Why a call gave nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallError {
    /// The listener has stopped, or could not start; the closure was not called.
    Stopped,
    /// The closure panicked.
    Panicked,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Stopped => "the listener has stopped",
            Self::Panicked => "the closure panicked",
        })
    }
}

impl std::error::Error for CallError {}

/// A way to a listener's threads: a cheap clone, usable from any thread, also before the listener
/// is registered and after it has stopped. Dropping it stops nothing.
pub struct ListenerHandle<R: Resource>(Arc<Crew<R>>);

impl<R: Resource> ListenerHandle<R> {
    pub(super) fn new(crew: Arc<Crew<R>>) -> Self {
        Self(crew)
    }

    /// Calls a closure on a listener's thread, waits for it and gives what it returns.
    ///
    /// It takes its turn behind everything queued before it; calls and [posts](Self::post) run one
    /// at a time, in their order. On the listener's own threads it is called at once. From a
    /// callback of another resource it blocks that resource's clients.
    pub fn call<T, F>(&self, closure: F) -> Result<T, CallError>
    where
        T: Send + 'static,
        F: FnOnce(&R) -> T + Send + 'static,
    {
        if self.0.is_here() {
            return Ok(closure(&self.0.resource));
        }
        let (sender, receiver) = sync_channel(2);
        let task = Item::Task(Box::new(move |resource| {
            // Nobody can be gone: the caller waits.
            let _ = sender.send(None);
            let _ = sender.send(Some(closure(resource)));
        }));
        self.0.start().map_err(|_| CallError::Stopped)?;
        let pushed = self.0.mailbox.push(Some(COMMON), Kind::Free, task);
        pushed.map_err(|_| CallError::Stopped)?;
        match (receiver.recv(), receiver.recv()) {
            (Ok(_), Ok(Some(value))) => Ok(value),
            (Ok(_), _) => Err(CallError::Panicked),
            (Err(_), _) => Err(CallError::Stopped),
        }
    }

    /// Sends the resource a message: [`Receive::receive`] gets it on a listener's thread.
    ///
    /// With one thread it comes in order with all clients' events, in the order in which they were
    /// queued. With several threads posts and calls keep their order and run one at a time, but
    /// beside clients' events; for an order with these see [`Self::post_for`]. A message that is
    /// queued when the listener stops comes or is dropped with the events.
    pub fn post<M>(&self, message: M) -> Result<(), PostError<M>>
    where
        R: Receive<M>,
        M: Send + 'static,
    {
        self.post_to(COMMON, message, |message| {
            let charge = self.0.charge(size_of::<M>());
            Item::Task(Box::new(move |resource| {
                resource.receive(message);
                drop(charge);
            }))
        })
    }

    /// Sends the resource a message about one of its clients: [`Receive::receive_for`] gets it in
    /// order with that client's events, never while another of them runs.
    ///
    /// It comes after `connected` and before `disconnected`, or not at all: it is dropped with the
    /// client's events if `connected` rejects the client or a callback panics.
    pub fn post_for<M>(&self, client: &Client, message: M) -> Result<(), PostError<M>>
    where
        R: Receive<M>,
        M: Send + 'static,
    {
        self.post_to(client.address(), message, |message| {
            let charge = self.0.charge(size_of::<M>());
            Item::ClientTask(Box::new(move |resource, client| {
                resource.receive_for(client, message);
                drop(charge);
            }))
        })
    }

    fn post_to<M>(
        &self,
        lane: Key,
        message: M,
        item: impl FnOnce(M) -> Item<R>,
    ) -> Result<(), PostError<M>> {
        let posted = match self.0.start() {
            Ok(()) => self.0.mailbox.push_as(Some(lane), Kind::Post, message, item),
            Err(refusal) => Err((refusal, message)),
        };
        posted.map_err(|(refusal, message)| match refusal {
            Refusal::Full => PostError::Full(message),
            Refusal::Gone => PostError::Gone(message),
            Refusal::Stopped => PostError::Stopped(message),
        })
    }

    /// Stops the listener for good and returns at once; [`Self::join`] waits for the end.
    ///
    /// From now on opening handshakes get 503, clients' messages are dropped, and posts and calls
    /// fail. What is queued is finished or dropped, messages and calls like events; the clients are
    /// closed with 1001, behind the answers to what is finished. `disconnected` is still called
    /// once for each `connected`. Stopping again changes one thing: [`Queued::Drop`] after
    /// [`Queued::Finish`] drops what is left.
    pub fn stop(&self, queued: Queued) {
        self.0.stop(queued);
    }

    /// Waits until the listener was stopped, its clients have left and its threads have ended. On
    /// one of these threads, where that would be for ever, it returns at once.
    pub fn join(&self) {
        if !self.0.is_here() {
            self.0.mailbox.join();
        }
    }

    /// Bytes of payload in clients' messages and pongs that wait or are being worked on.
    pub fn queued_bytes(&self) -> usize {
        self.0.mailbox.bytes()
    }

    /// Clients' messages and pongs that wait or are being worked on.
    pub fn queued_events(&self) -> usize {
        self.0.mailbox.events()
    }

    /// The inner resource.
    pub fn resource(&self) -> &R {
        &self.0.resource
    }
}

impl<R: Resource> Clone for ListenerHandle<R> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<R: Resource> fmt::Debug for ListenerHandle<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ListenerHandle").finish_non_exhaustive()
    }
}
