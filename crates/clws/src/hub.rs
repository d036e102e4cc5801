//! What all sessions of a server share, and what a worker lends them.

use crate::client::{Client, Courier};
use crate::limits::Limits;
use crate::metrics::Counters;
use crate::routes::Routes;
use crate::send_queue::SendQueue;
use clws_proto::connection::Config;
use clws_proto::handshake::HandshakeLimits;
use clws_proto::pool::Pool;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

/// The largest buffer of an emptied send queue that is kept for the next client, in bytes.
const MAX_SPARE_QUEUE: usize = 256 * 1024;

/// One server, as its sessions see it.
#[derive(Debug)]
pub(crate) struct Hub {
    pub(crate) limits: Arc<Limits>,
    pub(crate) config: Arc<Config>,
    pub(crate) handshake: HandshakeLimits,
    pub(crate) routes: Routes,
    pub(crate) counters: Counters,
    pub(crate) stopping: AtomicBool,
    next_id: AtomicU64,
    reserved: AtomicUsize,
    clients: Mutex<HashMap<u64, Client>>,
}

impl Hub {
    pub(crate) fn new(limits: Limits, routes: Routes) -> Self {
        Self {
            config: Arc::new(limits.connection()),
            handshake: limits.handshake(),
            limits: Arc::new(limits),
            routes,
            counters: Counters::default(),
            stopping: AtomicBool::new(false),
            next_id: AtomicU64::new(1),
            reserved: AtomicUsize::new(0),
            clients: Mutex::default(),
        }
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id.fetch_add(1, Ordering::Relaxed)
    }

    /// Takes one of the places that [`Limits::max_clients`] allows.
    pub(crate) fn reserve(&self) -> bool {
        let max = self.limits.max_clients.unwrap_or(usize::MAX);
        let one_more = |count: usize| (count < max).then_some(count + 1);
        self.reserved.fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more).is_ok()
    }

    pub(crate) fn release(&self) {
        self.reserved.fetch_sub(1, Ordering::AcqRel);
    }

    pub(crate) fn clients(&self) -> MutexGuard<'_, HashMap<u64, Client>> {
        self.clients.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs user code; a panic in it is counted and costs the caller's client only.
    pub(crate) fn guarded<T>(&self, code: impl FnOnce() -> T) -> Option<T> {
        let done = catch_unwind(AssertUnwindSafe(code));
        if done.is_err() {
            self.counters.panics.add(1);
            tracing::error!("a callback panicked; its client is closed");
        }
        done.ok()
    }
}

/// What a worker lends the session it runs.
pub(crate) struct Kit {
    pub(crate) now: Instant,
    pub(crate) hub: Arc<Hub>,
    pub(crate) pool: Pool,
    pub(crate) courier: Arc<dyn Courier>,
    spare: Option<Box<SendQueue>>,
}

impl Kit {
    pub(crate) fn new(hub: Arc<Hub>, courier: Arc<dyn Courier>, now: Instant) -> Self {
        let pool = Pool::new(hub.limits.spare_buffers);
        Self { now, hub, pool, courier, spare: None }
    }

    /// An empty send queue, with the memory of an earlier use.
    #[inline]
    pub(crate) fn queue(&mut self) -> Box<SendQueue> {
        self.spare.take().unwrap_or_default()
    }

    /// Takes an empty send queue back.
    #[inline]
    pub(crate) fn give_queue(&mut self, queue: Box<SendQueue>) {
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
