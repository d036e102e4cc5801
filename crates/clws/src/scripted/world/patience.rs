//! Whether a server's patience with a peer ends when it says: by what its link has seen, not by
//! what the session says of itself.

use super::link::Link;
use crate::session::{Phase, Session};
use std::time::{Duration, Instant};

pub(super) const SEND_TIMEOUT: Duration = Duration::from_secs(3);
pub(super) const PING_INTERVAL: Duration = Duration::from_secs(4);
pub(super) const PONG_TIMEOUT: Duration = Duration::from_secs(3);
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);
/// Deadlines may be served so much too late.
pub(super) const LATE: Duration = Duration::from_millis(200);

/// What was last seen of one link.
#[derive(Debug)]
pub(super) struct Patience {
    written: usize,
    blocked: bool,
    /// Since when nothing was taken of what waits.
    stalled: Instant,
    read: usize,
    held: bool,
    /// Since when nothing came from a peer that is listened to.
    silent: Instant,
}

impl Patience {
    pub(super) fn new(now: Instant) -> Self {
        Self { written: 0, blocked: false, stalled: now, read: 0, held: false, silent: now }
    }

    /// Looks at a session; what it has borne for too long. A client that user code has begun to
    /// listen to again is excused for what it did not say before.
    pub(super) fn look(
        &mut self,
        session: &Session,
        link: &Link,
        excused: bool,
        now: Instant,
    ) -> Option<&'static str> {
        let live = matches!(session.phase, Phase::Live(_));
        let blocked = live && link.is_blocked();
        if !blocked || !self.blocked || self.written != link.written() {
            self.stalled = now;
        }
        (self.blocked, self.written) = (blocked, link.written());
        let held = !session.wants_read();
        if !live || excused || held || self.held || self.read != link.read_count() {
            self.silent = now;
        }
        (self.held, self.read) = (held, link.read_count());
        if now > self.stalled + SEND_TIMEOUT + LATE {
            return Some("takes nothing and is kept");
        }
        // It may be closed just before its silence is too long.
        let patience = PING_INTERVAL + PONG_TIMEOUT + CLOSE_TIMEOUT + LATE;
        (now > self.silent + patience).then_some("says nothing and is kept")
    }
}
