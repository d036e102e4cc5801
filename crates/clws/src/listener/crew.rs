//! A listener's threads: they take entries out of the mailbox and call the inner resource.

use super::mailbox::{EVENT, Mailbox};
use super::work::{Health, Kind, Owner, Queued, Refusal, Taken};
use crate::budget::Charge;
use crate::client::{Client, Mail};
use crate::hub::Guard;
use crate::pending::Pending;
use crate::resource::{Cause, Closed, Reject, Resource, hear};
use clws_proto::close::CloseCode;
use std::borrow::Cow;
use std::cell::Cell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread;
use std::time::Instant;

thread_local! {
    /// The address of the crew this thread is of.
    static OWN: Cell<usize> = const { Cell::new(0) };
}

impl Owner for Client {
    fn hold(&self) {
        Client::hold(self);
    }

    fn unhold(&self) -> bool {
        Client::unhold(self)
    }

    fn tell(&self) {
        self.post(Mail::Resume);
    }
}

type Task<R> = Box<dyn FnOnce(&R) + Send>;
type ClientTask<R> = Box<dyn FnOnce(&R, &Client) + Send>;

/// What a thread is to do.
pub(super) enum Item<R> {
    Accept(Box<Pending>),
    Connected,
    Text(String),
    Binary(Vec<u8>),
    Pong(Vec<u8>),
    Drained,
    Disconnected(Closed),
    /// A post or a call.
    Task(Task<R>),
    ClientTask(ClientTask<R>),
    /// The client is closed, behind what came before.
    Close(CloseCode, Cow<'static, str>),
}

/// The listener behind its faces: the resource, the mailbox and the threads.
pub(super) struct Crew<R> {
    pub(super) resource: R,
    /// What it said of itself ([`Resource::reads_text`]).
    reads_text: bool,
    pub(super) mailbox: Mailbox<Item<R>, Client>,
    /// How many threads there will be.
    pub(super) size: AtomicUsize,
    started: AtomicBool,
    starting: Mutex<()>,
    guard: OnceLock<Arc<Guard>>,
}

impl<R: Resource> Crew<R> {
    pub(super) fn new(resource: R, mailbox: Mailbox<Item<R>, Client>) -> Self {
        Self {
            reads_text: resource.reads_text(),
            resource,
            mailbox,
            size: AtomicUsize::new(1),
            started: AtomicBool::new(false),
            starting: Mutex::new(()),
            guard: OnceLock::new(),
        }
    }

    /// Learns whose panics it is that are caught here.
    pub(super) fn learn(&self, guard: &Arc<Guard>) {
        self.guard.get_or_init(|| {
            self.mailbox.count_in(&guard.total);
            Arc::clone(guard)
        });
    }

    /// Counts so many bytes and what an entry takes up, once a server counts what is queued.
    pub(super) fn charge(&self, bytes: usize) -> Option<Charge> {
        self.guard.get().map(|guard| Charge::new(&guard.total, EVENT + bytes))
    }

    fn guarded<T>(&self, code: impl FnOnce() -> T) -> Option<T> {
        match self.guard.get() {
            Some(guard) => guard.run(code),
            None => catch_unwind(AssertUnwindSafe(code)).ok(),
        }
    }

    /// Whether this is one of the listener's own threads.
    pub(super) fn is_here(&self) -> bool {
        OWN.get() == std::ptr::from_ref(self).addr()
    }

    /// Starts the threads, unless they run. Fails if the system gives none at all.
    pub(super) fn start(self: &Arc<Self>) -> Result<(), Refusal> {
        if self.started.load(Ordering::Acquire) {
            return Ok(());
        }
        let _one = self.starting.lock().unwrap_or_else(PoisonError::into_inner);
        if self.started.load(Ordering::Acquire) {
            return Ok(());
        }
        let size = self.size.load(Ordering::Relaxed);
        self.mailbox.add_threads(size);
        let running = (0..size).take_while(|index| self.spawn(*index)).count();
        self.mailbox.remove_threads(size - running);
        self.started.store(running > 0, Ordering::Release);
        if running > 0 { Ok(()) } else { Err(Refusal::Full) }
    }

    fn spawn(self: &Arc<Self>, index: usize) -> bool {
        let crew = Arc::clone(self);
        let named = thread::Builder::new().name(format!("clws-listener-{index}"));
        let spawned = named.spawn(move || crew.run());
        if let Err(error) = &spawned {
            tracing::error!(%error, "a thread of a listener cannot start");
        }
        spawned.is_ok()
    }

    fn run(&self) {
        OWN.set(std::ptr::from_ref(self).addr());
        let mut finished = None;
        while let Some(taken) = self.mailbox.next(finished) {
            let ticket = taken.ticket;
            // Callbacks are guarded one by one; this is for what dropping messages may do.
            let health = self.guarded(|| self.perform(taken)).flatten();
            finished = Some((ticket, health));
        }
        self.mailbox.remove_threads(1);
    }

    /// Does one thing; the health of its client, if that changes.
    fn perform(&self, taken: Taken<Item<R>, Client>) -> Option<Health> {
        let Taken { owner, health, stop, item, .. } = taken;
        match (item, owner) {
            (Item::Accept(pending), _) => self.decide(*pending, stop.is_some()),
            (Item::Task(task), _) if stop != Some(Queued::Drop) => {
                self.guarded(|| task(&self.resource));
            }
            (Item::Close(code, reason), Some(client)) => client.close(code, &reason),
            (Item::Disconnected(closed), Some(client)) => self.farewell(&client, health, closed),
            (Item::Connected, Some(client)) if stop != Some(Queued::Drop) => {
                return Some(self.introduce(&client));
            }
            (item, Some(client)) if health == Health::Met && stop != Some(Queued::Drop) => {
                let done = client.0.guard.run(|| self.callback(&client, item));
                return done.is_none().then(|| fail(&client));
            }
            _ => {}
        }
        None
    }

    fn decide(&self, pending: Pending, stopping: bool) {
        if stopping {
            return pending.decide(Err(super::stopped()));
        }
        if pending.is_late(Instant::now()) {
            return pending.decide(Err(Reject::new(408, "the request took too long")));
        }
        let guard = Arc::clone(pending.guard());
        // Dropped undecided after a panic, it is answered with 500.
        if let Some(answer) = guard.run(|| self.resource.accept(pending.request())) {
            pending.decide(answer);
        }
    }

    fn introduce(&self, client: &Client) -> Health {
        match client.0.guard.run(|| self.resource.connected(client)) {
            Some(Ok(())) => Health::Met,
            Some(Err(Reject { code, reason, .. })) => {
                client.close_for(Cause::Rejected, code, &reason);
                Health::Rejected
            }
            None => fail(client),
        }
    }

    fn callback(&self, client: &Client, item: Item<R>) {
        let resource = &self.resource;
        match item {
            Item::Text(text) => hear(resource, self.reads_text, client, &text),
            Item::Binary(bytes) => resource.binary(client, &bytes),
            Item::Pong(payload) => resource.pong(client, &payload),
            Item::Drained => resource.drained(client),
            Item::ClientTask(task) => task(resource, client),
            _ => {}
        }
    }

    fn farewell(&self, client: &Client, health: Health, mut closed: Closed) {
        if health == Health::Rejected {
            // It may have left before it could be told.
            closed.cause = Cause::Rejected;
        }
        if health != Health::New {
            client.0.guard.run(|| self.resource.disconnected(client, &closed));
        }
    }

    /// Queues something about a client, if it is still wanted.
    pub(super) fn note(&self, client: &Client, kind: Kind, item: Item<R>) {
        // What is refused is about a client that was turned away, or nobody's business any more.
        let _ = self.mailbox.push(Some(client.address()), kind, item);
    }

    pub(super) fn stop(&self, queued: Queued) {
        let close = || Item::Close(CloseCode::GOING_AWAY, super::STOPPED.into());
        for client in self.mailbox.stop(queued, close) {
            client.close(CloseCode::GOING_AWAY, super::STOPPED);
        }
    }
}

fn fail(client: &Client) -> Health {
    client.close_for(Cause::Panic, CloseCode::INTERNAL, "internal error");
    Health::Failed
}

impl<R> fmt::Debug for Crew<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crew").field("size", &self.size).finish_non_exhaustive()
    }
}
