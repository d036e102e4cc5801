//! An orderly end: what it is to be like, what became of it, and the counts in between.
//!
//! A [`Drain`] becomes a [`Plan`], which every worker gets; when each client's moment has come and
//! what is done then is the business of its session.

use crate::engine::Engine;
use crate::hub::Hub;
use crate::metrics::Counter;
use crate::ticks;
use clws_proto::close::CloseCode;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a server is to end; see [`ServerHandle::drain`](crate::ServerHandle::drain).
///
/// ```
/// use std::time::Duration;
///
/// let mut drain = clws::Drain::default();
/// drain.over = Duration::from_secs(10);
/// drain.deadline = Some(Duration::from_secs(25));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Drain {
    /// The clients are closed over so long, each at a moment of its own, so that not all of them
    /// reconnect at once. Default zero: all at once.
    pub over: Duration,
    /// Clients that are left so long after the call are reset. It should exceed `over` by
    /// [`Limits::close_timeout`](crate::Limits::close_timeout), in which a client may answer.
    /// Default `None`: the limits bound how long each takes.
    pub deadline: Option<Duration>,
    /// What the close frames say. Default 1001.
    pub code: CloseCode,
    /// The reason in them, cut to 123 bytes. Default "shutting down".
    pub reason: Cow<'static, str>,
}

impl Default for Drain {
    fn default() -> Self {
        Self {
            over: Duration::ZERO,
            deadline: None,
            code: CloseCode::GOING_AWAY,
            reason: "shutting down".into(),
        }
    }
}

/// What became of a drain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DrainReport {
    /// The clients that were connected when it began.
    pub clients: u64,
    /// Of these, how many exchanged close frames with the server.
    pub clean: u64,
    /// Of these, how many were reset at the deadline. Those that are neither clean nor forced
    /// went without a close frame, or let a timeout pass.
    pub forced: u64,
    /// Connections whose opening handshake was not finished; they got 503.
    pub refused: u64,
}

/// A drain that has begun.
#[derive(Clone, Debug)]
pub struct Draining {
    hub: Arc<Hub>,
    engine: Arc<Engine>,
}

impl Draining {
    pub(crate) fn new(hub: Arc<Hub>, engine: Arc<Engine>) -> Self {
        Self { hub, engine }
    }

    /// Waits until the server has ended, as [`ServerHandle::join`](crate::ServerHandle::join)
    /// does; not to be called from a callback, which it would wait for.
    pub fn wait(&self) -> DrainReport {
        self.engine.join();
        self.hub.tally.report()
    }
}

/// What is counted while a server drains.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) clients: Counter,
    pub(crate) clean: Counter,
    pub(crate) forced: Counter,
    pub(crate) refused: Counter,
}

impl Tally {
    pub(crate) fn report(&self) -> DrainReport {
        DrainReport {
            clients: self.clients.read(),
            clean: self.clean.read(),
            forced: self.forced.read(),
            refused: self.refused.read(),
        }
    }
}

/// A drain with its moments fixed.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    begun: Instant,
    over: Duration,
    /// When what is left is reset; `None` too for a time that never comes.
    pub(crate) deadline: Option<Instant>,
    pub(crate) code: CloseCode,
    pub(crate) reason: Cow<'static, str>,
}

impl Plan {
    /// The plan from `now` on. A drain that follows another hastens it: what clients are told
    /// stays as it was, the deadline is the earlier one.
    pub(crate) fn new(drain: Drain, before: Option<&Self>, now: Instant) -> Self {
        let Drain { over, deadline, code, reason } = drain;
        let deadline = deadline.and_then(|time| now.checked_add(time));
        let mut plan = Self { begun: now, over, deadline, code, reason };
        if let Some(before) = before {
            plan.deadline = before.deadline.into_iter().chain(deadline).min();
            plan.code = before.code;
            plan.reason.clone_from(&before.reason);
        }
        plan
    }

    /// When this client's time is up; `None` when it is at once.
    pub(crate) fn moment(&self, client: u64) -> Option<Instant> {
        if self.over.is_zero() {
            return None;
        }
        self.begun.checked_add(ticks::share(client, self.over)).or(self.deadline)
    }

    /// Until when a client whose time is up `now` may still be read from, and its resource may
    /// close it: there must be time left for its answer.
    pub(crate) fn last_call(&self, now: Instant, close_timeout: Duration) -> Instant {
        match self.deadline {
            Some(deadline) => deadline.checked_sub(close_timeout).map_or(now, |call| call.max(now)),
            None => now + close_timeout,
        }
    }
}
