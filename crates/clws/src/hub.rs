//! What all sessions of a server share, and what a worker lends them.

use crate::addresses::Addresses;
use crate::budget::{Budget, Total};
use crate::client::{Client, Courier};
use crate::drain::{Drain, Plan, Tally};
use crate::hosts::Hosts;
use crate::limits::Limits;
use crate::metrics::{Counters, Metrics};
use crate::proxies::Proxies;
use crate::routes::Routes;
use crate::send_queue::SendQueue;
use crate::ticks::Epoch;
use crate::tls;
use clws_proto::connection::Config;
use clws_proto::deflate::DeflateConfig;
use clws_proto::handshake::HandshakeLimits;
use clws_proto::pool::Pool;
use clws_proto::version::Versions;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The largest buffer of an emptied send queue that is kept for the next client, in bytes.
const MAX_SPARE_QUEUE: usize = 256 * 1024;

/// What is spare for so long is freed: after this time, or after twice as long.
const SPARE_TIME: Duration = Duration::from_secs(2);

/// Where the memory budget is below the first, the system is to keep no more of a connection than
/// the second, in bytes: left alone it may keep ten times the budget for a few hundred peers.
const SMALL_BUDGET: usize = 128 * 1024 * 1024;
const SMALL_BUFFERS: usize = 64 * 1024;

/// One server, as its sessions see it.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) limits: Arc<Limits>,
    pub(crate) config: Arc<Config>,
    pub(crate) handshake: HandshakeLimits,
    pub(crate) routes: Routes,
    pub(crate) counters: Arc<Counters>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) budget: Arc<Budget>,
    pub(crate) deflate: DeflateConfig,
    pub(crate) versions: Versions,
    pub(crate) hosts: Hosts,
    pub(crate) proxies: Proxies,
    pub(crate) addresses: Arc<Addresses>,
    pub(crate) stopping: AtomicBool,
    pub(crate) tally: Tally,
    plan: Mutex<Option<Arc<Plan>>>,
    pub(crate) epoch: Epoch,
    next_id: AtomicU64,
    reserved: AtomicUsize,
    clients: Mutex<HashMap<u64, Client>>,
    workers: AtomicUsize,
}

impl Hub {
    pub(crate) fn new(settings: Settings, routes: Routes) -> Self {
        Self::counting(settings, routes, Total::of_process())
    }

    /// A server whose memory is counted in `total`.
    pub(crate) fn counting(settings: Settings, routes: Routes, total: Arc<Total>) -> Self {
        let Settings { limits, deflate, versions, hosts, proxies, on_panic } = settings;
        let counters = Arc::new(Counters::default());
        Self {
            config: Arc::new(limits.connection()),
            handshake: limits.handshake(),
            addresses: Addresses::new(limits.max_connections_per_address),
            routes,
            deflate,
            versions,
            hosts,
            proxies,
            guard: Arc::new(Guard {
                counters: Arc::clone(&counters),
                on_panic,
                total: total.clone(),
            }),
            budget: Arc::new(Budget::new(total, limits.memory_budget)),
            limits: Arc::new(limits),
            counters,
            stopping: AtomicBool::new(false),
            tally: Tally::default(),
            plan: Mutex::default(),
            epoch: Epoch::new(Instant::now()),
            next_id: AtomicU64::new(1),
            reserved: AtomicUsize::new(0),
            clients: Mutex::default(),
            workers: AtomicUsize::new(0),
        }
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes one of the places that [`Limits::max_clients`] allows.
    pub(crate) fn reserve(self: &Arc<Self>) -> Option<Place> {
        let max = self.limits.max_clients.unwrap_or(usize::MAX);
        let one_more = |count: usize| (count < max).then_some(count + 1);
        let reserved =
            self.reserved.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok();
        reserved.then(|| Place(Arc::clone(self)))
    }

    pub(crate) fn clients(&self) -> MutexGuard<'_, HashMap<u64, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands `tell` the plan that a drain comes to, in the order of the drains.
    pub(crate) fn plan(&self, drain: Drain, now: Instant, tell: impl FnOnce(&Arc<Plan>)) {
        let mut plan = self.plan.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Arc::new(Plan::new(drain, plan.as_deref(), now));
        tell(&next);
        *plan = Some(next);
    }

    /// See [`Limits::socket_buffers`].
    pub(crate) fn socket_buffers(&self) -> Option<usize> {
        let small = self.budget.limit() < SMALL_BUDGET;
        self.limits.socket_buffers.or(small.then_some(SMALL_BUFFERS))
    }

    pub(crate) fn metrics(&self) -> Metrics {
        let memory_held = self.budget.total().bytes() as u64;
        Metrics { memory_held, ..self.counters.snapshot() }
    }

    /// See [`Guard::run`].
    #[inline]
    pub(crate) fn guarded<T>(&self, code: impl FnOnce() -> T) -> Option<T> {
        self.guard.run(code)
    }

    /// Counts one worker more, until what this returns is dropped.
    pub(crate) fn shift(self: &Arc<Self>) -> Shift {
        self.workers.fetch_add(1, Ordering::AcqRel);
        Shift(Arc::clone(self))
    }
}

/// One worker's work; the last to be dropped tells the resources that the server has ended.
#[derive(Debug)]
pub(crate) struct Shift(Arc<Hub>);

impl Drop for Shift {
    fn drop(&mut self) {
        if self.0.workers.fetch_sub(1, Ordering::AcqRel) == 1 {
            for route in self.0.routes.all() {
                self.0.guarded(|| route.resource.ended());
            }
        }
    }
}

/// What stands between user code that panics and everything else of a server.
#[derive(Debug)]
pub(crate) struct Guard {
    counters: Arc<Counters>,
    on_panic: OnPanic,
    /// Where what is sent from elsewhere is counted.
    pub(crate) total: Arc<Total>,
}

impl Guard {
    pub(crate) fn count_dropped(&self) {
        self.counters.dropped.add(1);
    }

    /// Runs user code; a panic in it is counted and costs the caller's client only, or the whole
    /// process where that was asked for.
    #[inline]
    pub(crate) fn run<T>(&self, code: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(code));
        if done.is_err() {
            self.panicked();
        }
        done.ok()
    }

    #[cold]
    fn panicked(&self) {
        self.counters.panics.add(1);
        if self.on_panic == OnPanic::Abort {
            // The panic's message and backtrace are on stderr already.
            std::process::abort();
        }
        tracing::error!("a callback panicked; its client is closed");
    }
}

/// What a panic in user code costs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnPanic {
    /// The client whose callback it was: it is closed with 1011.
    #[default]
    CloseClient,
    /// The process, at once: for debugging.
    Abort,
}

/// What a server is set to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Settings {
    pub(crate) limits: Limits,
    pub(crate) deflate: DeflateConfig,
    pub(crate) versions: Versions,
    pub(crate) hosts: Hosts,
    pub(crate) proxies: Proxies,
    pub(crate) on_panic: OnPanic,
}

/// One client's place; dropping it frees the place.
#[derive(Debug)]
pub(crate) struct Place(Arc<Hub>);

impl Place {
    pub(crate) fn epoch(&self) -> Epoch {
        self.0.epoch
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.reserved.fetch_sub(1, Ordering::AcqRel);
    }
}

/// What a worker lends the session it runs.
pub(crate) struct Kit {
    pub(crate) now: Instant,
    pub(crate) hub: Arc<Hub>,
    pub(crate) pool: Pool,
    /// How many messages and control frames the session that is served may still deliver in this
    /// turn; none when it has inflated all that it may in one.
    pub(crate) share: usize,
    /// Sessions wait to inflate long messages, one after another: no other goes on with one.
    pub(crate) crowded: bool,
    pub(crate) courier: Arc<dyn Courier>,
    /// How the server ends, once it does.
    pub(crate) drain: Option<Arc<Plan>>,
    /// Empty until the first client comes by TLS.
    pub(crate) tls: tls::Buffers,
    spare: Option<Box<SendQueue>>,
    /// When to free what nobody needed meanwhile.
    retire: Option<Instant>,
    /// Sessions keep what they might free; [`Session::fate`] says so.
    ///
    /// [`Session::fate`]: crate::session::Session::fate
    pub(crate) lent: bool,
}

impl Kit {
    pub(crate) fn new(hub: Arc<Hub>, courier: Arc<dyn Courier>, now: Instant) -> Self {
        Self {
            now,
            pool: Pool::new(hub.limits.spare_buffers),
            share: hub.limits.turn_messages,
            hub,
            crowded: false,
            courier,
            drain: None,
            tls: tls::Buffers::default(),
            spare: None,
            retire: None,
            lent: false,
        }
    }

    /// Deals a full share out; an engine does so before it serves a session.
    #[inline]
    pub(crate) fn deal(&mut self) {
        self.share = self.hub.limits.turn_messages;
        // What was read is `turn_bytes` already; a KiB of it may inflate to a MiB.
        let bytes = if self.crowded { self.long() } else { self.hub.limits.turn_bytes as u64 };
        self.pool.allow_inflating(bytes);
        self.pool.be_frugal(self.crowded);
    }

    /// Frees buffers that nobody has needed for a while; an engine calls it at the end of a turn,
    /// and then, where it says `true`, [`Session::retire`] of all its sessions, and settles those
    /// that had something to free.
    ///
    /// [`Session::retire`]: crate::session::Session::retire
    #[inline]
    #[must_use]
    pub(crate) fn retire(&mut self) -> bool {
        if !self.lent && !self.pool.has_spares() {
            self.retire = None;
        } else if *self.retire.get_or_insert(self.now + SPARE_TIME) <= self.now {
            self.pool.retire();
            self.retire = Some(self.now + SPARE_TIME);
            return std::mem::take(&mut self.lent);
        }
        false
    }

    /// When [`Self::retire`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.retire
    }

    /// A message that has inflated to so many bytes and is not finished is a long one.
    #[inline]
    pub(crate) fn long(&self) -> u64 {
        (self.hub.limits.turn_bytes as u64 / 4).max(1)
    }

    /// An empty send queue, with the memory of an earlier use.
    #[inline]
    pub(crate) fn queue(&mut self) -> Box<SendQueue> {
        self.spare.take().unwrap_or_default()
    }

    /// Takes an empty send queue back.
    #[inline]
    pub(crate) fn give_queue(&mut self, mut queue: Box<SendQueue>) {
        // What an ended client was counted for is nothing to the next.
        queue.counted = 0;
        if queue.is_reusable(MAX_SPARE_QUEUE) {
            self.spare = Some(queue);
        }
    }
}

impl fmt::Debug for Kit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kit").field("now", &self.now).finish_non_exhaustive()
    }
}
