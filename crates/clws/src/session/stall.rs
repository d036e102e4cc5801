//! A peer that does not take all that waits for it: how long it may take nothing, and how little
//! it may take.
//!
//! A session has such a record only while bytes wait that the socket refused. A peer that takes
//! what there is ends it each time, so nothing is ever held against it.

use super::{Output, Phase, Session};
use crate::hub::Kit;
use crate::limits::Limits;
use std::time::Instant;

/// How often the socket is tried in a `send_timeout`, though the system tells of no room: a peer
/// that takes nothing any more is found out this part of it late.
const TRIES: u32 = 10;

/// What a peer took while something waited for it all the time.
#[derive(Debug)]
pub(super) struct Stall {
    /// When it was last found to have taken something, or to take nothing.
    progress: Instant,
    /// When the socket was tried last.
    tried: Instant,
    /// Since when it is measured how much it takes.
    window: Instant,
    /// What it took since, and what it has to its credit.
    taken: usize,
}

impl Stall {
    pub(super) fn new(now: Instant) -> Self {
        Self { progress: now, tried: now, window: now, taken: 0 }
    }

    fn deadline(&self, limits: &Limits) -> Instant {
        let window = limits.min_drain_rate.map(|_| self.window);
        let judged = window.map_or(self.progress, |window| window.min(self.progress));
        (judged + limits.send_timeout).min(self.tried + limits.send_timeout / TRIES)
    }

    /// Whether it takes too little; if not, it is measured anew.
    fn is_over(&mut self, limits: &Limits, now: Instant) -> bool {
        if now >= self.progress + limits.send_timeout {
            return true;
        }
        if now < self.window + limits.send_timeout {
            return false;
        }
        let wanted = wanted(limits);
        let Some(more) = self.taken.checked_sub(wanted) else { return true };
        // A link that carried enough may stand still for nearly as long as that, and recover.
        (self.window, self.taken) = (now, more.min(wanted));
        false
    }
}

/// How many bytes it has to take within the time in which it may not take nothing.
fn wanted(limits: &Limits) -> usize {
    let rate = limits.min_drain_rate.map_or(0, u128::from);
    let bytes = rate * limits.send_timeout.as_millis() / 1000;
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

impl Session {
    /// Keeps account of what waits: the socket took `taken` bytes, and refused the rest.
    #[inline]
    pub(super) fn note_taken(&mut self, taken: usize, now: Instant) {
        let waits = self.has_unsent() || self.waiting() > 0;
        match &mut self.stall {
            stall if !waits => *stall = None,
            Some(stall) => {
                stall.tried = now;
                if taken > 0 {
                    stall.progress = now;
                    stall.taken += taken;
                }
            }
            // What it took until now filled the socket's buffer, and says nothing of the peer.
            none => *none = Some(Box::new(Stall::new(now))),
        }
    }

    /// When [`Self::takes_too_little`] is to be asked.
    pub(super) fn stall_deadline(&self, limits: &Limits) -> Option<Instant> {
        self.stall.as_ref().map(|stall| stall.deadline(limits))
    }

    /// Measures from now on, as nobody looked at the socket.
    pub(super) fn forgive_stall(&mut self, now: Instant) {
        if let Some(stall) = &mut self.stall {
            **stall = Stall::new(now);
        }
    }

    /// Whether the peer is to be given up, as it takes nothing, or too little. The socket is tried
    /// before and now and then: the system tells of room only once a good part of the buffer is
    /// free, and what is found free late would count as taken late.
    pub(super) fn takes_too_little(&mut self, kit: &mut Kit, out: &mut dyn Output) -> bool {
        let Phase::Live(live) = &self.phase else { return false };
        if self.stall_deadline(live.limits()).is_none_or(|deadline| kit.now < deadline) {
            return false;
        }
        self.flush(kit, &[], out);
        let (Phase::Live(live), Some(stall)) = (&self.phase, &mut self.stall) else { return false };
        stall.is_over(live.limits(), kit.now)
    }
}
