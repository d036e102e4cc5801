//! Whether the worker itself was away: the process was stopped, starved of time, or kept by user
//! code. Peers' silence during that time means nothing, as nobody listened.

use std::time::{Duration, Instant};

/// A worker that is late by more than this was away.
const AWAY: Duration = Duration::from_secs(1);
/// How long after that deadlines are excused: in this time what came meanwhile is read.
const GRACE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct Lag {
    excused_until: Option<Instant>,
}

impl Lag {
    /// Takes note of a turn that began at `before` and was to end, after a wait, `timeout` later at
    /// most; the next begins `now`. Without a timeout nothing was due.
    pub(super) fn note(&mut self, before: Instant, timeout: Option<Duration>, now: Instant) {
        // Nearly all turns end here.
        if before.checked_add(AWAY).is_some_and(|latest| now <= latest) {
            return;
        }
        let Some(timeout) = timeout else { return };
        let latest = timeout.checked_add(AWAY).and_then(|time| before.checked_add(time));
        if latest.is_some_and(|latest| now > latest) {
            self.excused_until = Some(now + GRACE);
        }
    }

    /// Whether a deadline that is looked at `now` may have passed for want of a listener.
    pub(super) fn excuses(&self, now: Instant) -> bool {
        self.excused_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn who_comes_back_late_was_away_and_is_excused_for_a_while() {
        let start = Instant::now();
        for timeout in [Duration::ZERO, 5 * SECOND] {
            let mut lag = Lag::default();
            let now = start + timeout + 30 * SECOND;
            lag.note(start, Some(timeout), now);
            assert!(lag.excuses(now) && lag.excuses(now + SECOND / 2));
            assert!(!lag.excuses(now + SECOND));
        }
    }

    #[test]
    fn who_comes_back_in_time_was_not() {
        let start = Instant::now();
        let mut lag = Lag::default();
        for (timeout, took) in [
            (Some(Duration::ZERO), SECOND),
            (Some(25 * SECOND), 25 * SECOND),
            (Some(25 * SECOND), 26 * SECOND),
            (None, 3600 * SECOND),
        ] {
            lag.note(start, timeout, start + took);
            assert!(!lag.excuses(start + took), "{timeout:?} {took:?}");
        }
    }
}
