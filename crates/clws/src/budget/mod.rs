//! The memory that is held for clients: one count for the process, and what to do when it runs
//! short.
//!
//! A worker adds up what its sessions hold and publishes the sum once a turn ([`Ledger`]); what is
//! on its way to a worker, waits for a listener or belongs to several clients counts itself
//! ([`Charge`]). A [`Budget`] is one server's judgement of the [`Total`]. Bytes are counted here,
//! whosever they are: what a client holds and how it is shed is the session's business.

mod ledger;
mod machine;

pub(crate) use ledger::Ledger;
use ledger::Member;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The least time between two events for the log.
const LOG_EVERY: Duration = Duration::from_secs(1);

/// The bytes held for clients by all servers of a process.
#[derive(Debug, Default)]
pub(crate) struct Total(AtomicUsize);

impl Total {
    /// The one that all servers of this process share.
    pub(crate) fn of_process() -> Arc<Self> {
        static TOTAL: LazyLock<Arc<Total>> = LazyLock::new(Arc::default);
        Arc::clone(&TOTAL)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bytes that are counted until this is dropped.
#[derive(Debug)]
pub(crate) struct Charge {
    total: Arc<Total>,
    bytes: usize,
}

impl Charge {
    pub(crate) fn new(total: &Arc<Total>, bytes: usize) -> Self {
        let mut charge = Self { total: Arc::clone(total), bytes: 0 };
        charge.set(bytes);
        charge
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Another that stands for all of its bytes from now on.
    pub(crate) fn take(&mut self) -> Self {
        let bytes = std::mem::take(&mut self.bytes);
        Self { total: Arc::clone(&self.total), bytes }
    }

    /// Corrects how many bytes it stands for; where nothing changes nobody else notices.
    #[inline]
    pub(crate) fn set(&mut self, bytes: usize) {
        if bytes > self.bytes {
            self.total.0.fetch_add(bytes - self.bytes, Ordering::Relaxed);
        } else if bytes < self.bytes {
            self.total.0.fetch_sub(self.bytes - bytes, Ordering::Relaxed);
        }
        self.bytes = bytes;
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// A thing that several clients hold, counted once and as long as one of them does.
#[derive(Debug)]
pub(crate) struct Counted<T> {
    thing: T,
    _charge: Charge,
}

impl<T> Counted<T> {
    /// `bytes` is what it takes up.
    pub(crate) fn new(thing: T, bytes: usize, total: &Arc<Total>) -> Self {
        Self { thing, _charge: Charge::new(total, bytes) }
    }
}

impl<T> Deref for Counted<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.thing
    }
}

/// What one client makes a server hold, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Holding {
    /// As long as it is there: its seat, its request, keys, the history of compressed messages.
    pub(crate) kept: usize,
    /// What came and is not finished, and what waits to be sent.
    pub(crate) waiting: usize,
    /// What waits to be sent to others too, which counts itself.
    pub(crate) shared: usize,
}

impl Holding {
    #[inline]
    pub(crate) fn own(&self) -> usize {
        self.kept + self.waiting
    }

    /// What makes a client large among others.
    fn weight(&self) -> usize {
        self.own() + self.shared
    }
}

/// How short memory is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Level {
    Ease,
    /// From three quarters of the budget on: nothing more is read from the largest holders.
    /// It lasts until less than five eighths are held.
    Near,
    /// From seven eighths on: new clients are refused.
    Full,
    /// The largest holders are closed.
    Over,
}

/// What one server allows of the process's [`Total`].
#[derive(Debug)]
pub(crate) struct Budget {
    total: Arc<Total>,
    limit: usize,
    /// Whether memory is short.
    short: AtomicBool,
    /// What the log was told of that last.
    told: AtomicBool,
    told_at: Mutex<Option<Instant>>,
    /// A worker waits until less is held than the limit, and can do nothing for it.
    awaited: AtomicBool,
    members: Mutex<Vec<Arc<Member>>>,
}

impl Budget {
    /// Without a limit it is a quarter of what the machine has, or the control group.
    pub(crate) fn new(total: Arc<Total>, limit: Option<usize>) -> Self {
        Self {
            total,
            limit: limit.unwrap_or_else(machine::quarter),
            short: AtomicBool::new(false),
            told: AtomicBool::new(false),
            told_at: Mutex::new(None),
            awaited: AtomicBool::new(false),
            members: Mutex::default(),
        }
    }

    pub(crate) fn total(&self) -> &Arc<Total> {
        &self.total
    }

    fn level(&self) -> Level {
        let held = self.total.bytes();
        let eighths = |count: usize| self.limit / 8 * count;
        if held < eighths(5) {
            Level::Ease
        } else if held >= self.limit {
            Level::Over
        } else if held >= eighths(7) {
            Level::Full
        } else if held >= eighths(6) || self.is_short() {
            Level::Near
        } else {
            Level::Ease
        }
    }

    /// How many bytes may be held.
    pub(crate) fn limit(&self) -> usize {
        self.limit
    }

    /// How many bytes who holds `own` of the total may hold, if the others hold what they do now.
    fn ceiling(&self, own: usize) -> usize {
        let others = self.total.bytes().saturating_sub(own);
        self.limit.saturating_sub(others)
    }

    fn is_short(&self) -> bool {
        self.short.load(Ordering::Relaxed)
    }

    /// Whether there is no memory for one client more.
    pub(crate) fn is_full(&self) -> bool {
        self.level() >= Level::Full
    }

    /// Has all workers woken once less is held than the limit.
    fn await_room(&self) {
        self.awaited.store(true, Ordering::Relaxed);
    }

    /// Whether somebody waits for that; it is told once.
    fn is_awaited(&self) -> bool {
        self.awaited.load(Ordering::Relaxed) && self.awaited.swap(false, Ordering::Relaxed)
    }

    fn members(&self) -> MutexGuard<'_, Vec<Arc<Member>>> {
        self.members.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Judges anew; when memory becomes short, every worker learns of it, as one that sleeps may
    /// hold the most, and when there is some again, those that wait for it.
    #[inline]
    fn judge(&self, now: Instant) -> Level {
        let level = self.level();
        let short = level > Level::Ease;
        let begins =
            short != self.is_short() && self.short.swap(short, Ordering::Relaxed) != short && short;
        if begins || (level < Level::Over && self.is_awaited()) {
            self.members().iter().for_each(|member| member.wake());
        }
        if short != self.told.load(Ordering::Relaxed) {
            self.tell(short, now);
        }
        level
    }

    #[cold]
    fn tell(&self, short: bool, now: Instant) {
        let mut told_at = self.told_at.lock().unwrap_or_else(PoisonError::into_inner);
        if told_at.is_some_and(|last| now.saturating_duration_since(last) < LOG_EVERY) {
            return;
        }
        *told_at = Some(now);
        self.told.store(short, Ordering::Relaxed);
        let (held, budget) = (self.total.bytes(), self.limit);
        if short {
            tracing::warn!(held, budget, "memory for clients runs short");
        } else {
            tracing::info!(held, budget, "memory for clients suffices again");
        }
    }
}

#[cfg(test)]
#[path = "budget_tests.rs"]
mod tests;
