//! What a listener's queue is handed and hands out: its words, without its doing.

/// A lane's name: its client's address.
pub(super) type Key = usize;

/// The lane of posts and calls; no client has this address.
pub(super) const COMMON: Key = 0;

/// Whom a lane belongs to.
pub(super) trait Owner {
    /// Stops the reading of more events; called with the mailbox locked.
    fn hold(&self);

    /// Lets the reading go on; whether [`Self::tell`] is wanted. Called with the mailbox locked.
    fn unhold(&self) -> bool;

    /// Tells the owner that reading goes on; called with nothing locked.
    fn tell(&self);
}

/// What may be queued.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Bounds {
    /// Payloads of all clients' events; reading pauses from here on, until half of it is left.
    pub(super) bytes: usize,
    pub(super) events: usize,
    pub(super) client_bytes: usize,
    pub(super) client_events: usize,
    pub(super) handshakes: usize,
    pub(super) posts: usize,
}

/// What becomes of queued events when a listener stops.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Queued {
    /// They are worked off, and answers to them are sent.
    Finish,
    /// They are dropped.
    Drop,
}

/// What an entry counts as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Handshake,
    /// A client's event with so many bytes of payload.
    Event(usize),
    /// A client's `drained`; one that waits already stands for those after it.
    Drained,
    /// A client's last event.
    End,
    Post,
    /// A call, `connected` or the order to close: bounded by who makes them.
    Free,
}

/// How far a client has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Health {
    /// `connected` was not called yet.
    New,
    Met,
    /// `connected` turned it away.
    Rejected,
    /// A callback panicked.
    Failed,
}

/// Why something is not queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    Full,
    /// The client is gone, rejected or failed; or there is one such entry already.
    Gone,
    Stopped,
}

/// Names an entry that was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ticket {
    pub(super) lane: Option<Key>,
    pub(super) kind: Kind,
}

/// An entry for a thread to work on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Taken<T, O> {
    pub(super) ticket: Ticket,
    pub(super) owner: Option<O>,
    pub(super) health: Health,
    pub(super) stop: Option<Queued>,
    pub(super) item: T,
}

/// What is to be done once nothing is locked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Aftermath<O> {
    pub(super) tell: Vec<O>,
    /// Dropping an owner may run any code.
    pub(super) gone: Option<O>,
}

impl<O> Default for Aftermath<O> {
    fn default() -> Self {
        Self { tell: Vec::new(), gone: None }
    }
}

impl<O> Aftermath<O> {
    pub(super) fn is_empty(&self) -> bool {
        self.tell.is_empty() && self.gone.is_none()
    }
}
