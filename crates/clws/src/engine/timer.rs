//! Coarse deadlines for many sessions: a wheel of ticks.
//!
//! A session stands in the wheel at most once that counts. A deadline that moved later is found
//! out when the old one comes round, so a message costs no change to the wheel.

use std::time::{Duration, Instant};

/// How exact deadlines are: they are never early and at most this late.
const TICK: Duration = Duration::from_millis(50);
const TICK_NANOS: u64 = TICK.as_nanos() as u64;
/// How many ticks the wheel reaches ahead: 12.8 s. Later deadlines are looked at again then. It is
/// less than half of what a silent peer is given by default, so that most deadlines are later.
const SPOKES: u64 = 256;
/// The room that an empty spoke keeps, in sessions: after a crowd all of them would keep MiB.
const KEPT: usize = 16;

/// Which tick a session is due at; `NEVER` when it is in no spoke.
pub(super) type Due = u64;
pub(super) const NEVER: Due = u64::MAX;

#[derive(Debug)]
pub(super) struct Wheel {
    start: Instant,
    /// All ticks before this one are done.
    tick: u64,
    /// Who stands in the wheel comes up before this moment.
    horizon: Instant,
    /// No session is due before this one.
    next: u64,
    /// When that one begins; `None` for [`NEVER`].
    alarm: Option<Instant>,
    /// Until then [`Self::advance`] finds nothing new: the tick does not end, and nothing is due in
    /// it.
    calm: Instant,
    spokes: Vec<Vec<(u32, Due)>>,
}

impl Wheel {
    pub(super) fn new(now: Instant) -> Self {
        let horizon = now + Duration::from_nanos(SPOKES * TICK_NANOS);
        let spokes = vec![Vec::new(); SPOKES as usize];
        Self { start: now, tick: 0, horizon, next: NEVER, alarm: None, calm: now, spokes }
    }

    fn instant(&self, tick: u64) -> Instant {
        self.start + Duration::from_nanos(tick.saturating_mul(TICK_NANOS))
    }

    fn turn_to(&mut self, tick: u64) {
        if tick != self.tick {
            self.tick = tick;
            self.horizon = self.instant(tick + SPOKES);
        }
    }

    fn tick_at_or_after(&self, time: Instant) -> u64 {
        let since = time.saturating_duration_since(self.start).as_nanos();
        u64::try_from(since.div_ceil(TICK.as_nanos())).unwrap_or(NEVER - 1)
    }

    /// Makes the session in `slot` come up by `deadline`, if it does not come up earlier anyway;
    /// `due` is where the session keeps its place in the wheel.
    #[inline]
    pub(super) fn arm(&mut self, slot: u32, deadline: Instant, due: &mut Due) {
        // After almost every message it comes up earlier, and a comparison is all that is paid.
        if deadline < self.horizon || *due == NEVER {
            self.arm_exactly(slot, deadline, due);
        }
    }

    fn arm_exactly(&mut self, slot: u32, deadline: Instant, due: &mut Due) {
        let tick = self.tick_at_or_after(deadline);
        if tick >= *due {
            return;
        }
        let tick = tick.clamp(self.tick, self.tick + SPOKES - 1);
        *due = tick;
        if tick < self.next {
            self.set_next(tick);
        }
        if tick <= self.tick {
            self.calm = self.start;
        }
        if let Some(spoke) = self.spokes.get_mut((tick % SPOKES) as usize) {
            spoke.push((slot, tick));
        }
    }

    /// Whether a session that stands at `due` comes up in time for `deadline`.
    pub(super) fn is_before(&self, due: Due, deadline: Instant) -> bool {
        due <= self.tick_at_or_after(deadline).max(self.tick)
    }

    /// Until when nothing is due.
    #[inline]
    pub(super) fn alarm(&self) -> Option<Instant> {
        self.alarm
    }

    fn set_next(&mut self, next: u64) {
        self.next = next;
        self.alarm = (next != NEVER).then(|| self.instant(next));
    }

    /// Moves everything that is due at `now` to `up`, with the place it was due at: what a session
    /// has kept another place for is out of date.
    #[inline]
    pub(super) fn advance(&mut self, now: Instant, up: &mut Vec<(u32, Due)>) {
        // Nearly all turns end here: a clock's time takes long to divide into ticks.
        if now >= self.calm {
            self.advance_ticks(now, up);
        }
    }

    #[inline(never)]
    fn advance_ticks(&mut self, now: Instant, up: &mut Vec<(u32, Due)>) {
        let since = now.saturating_duration_since(self.start).as_nanos();
        let current = u64::try_from(since / TICK.as_nanos()).unwrap_or(0);
        if current < self.next {
            self.turn_to(self.tick.max(current));
            self.calm = self.instant(current + 1);
            return;
        }
        // After a long stop the wheel turns once at most.
        let first = self.next.max(self.tick);
        for tick in first..=current.min(first + SPOKES - 1) {
            if let Some(spoke) = self.spokes.get_mut((tick % SPOKES) as usize) {
                up.append(spoke);
                if spoke.capacity() > KEPT {
                    *spoke = Vec::new();
                }
            }
        }
        self.turn_to(current + 1);
        let next = (self.tick..self.tick + SPOKES)
            .find(|tick| self.spokes.get((tick % SPOKES) as usize).is_some_and(|s| !s.is_empty()));
        self.set_next(next.unwrap_or(NEVER));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn up(wheel: &mut Wheel, now: Instant) -> Vec<u32> {
        let mut up = Vec::new();
        wheel.advance(now, &mut up);
        up.into_iter().map(|(slot, _)| slot).collect()
    }

    #[test]
    fn an_empty_wheel_waits_for_ever() {
        let now = Instant::now();
        assert_eq!(Wheel::new(now).alarm(), None);
    }

    #[test]
    fn what_a_crowd_needed_is_freed_when_it_has_come_up() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for slot in 0..100_000 {
            wheel.arm(slot, start + SECOND * (slot % 10), &mut { NEVER });
        }
        assert_eq!(up(&mut wheel, start + 10 * SECOND).len(), 100_000);
        let kept: usize = wheel.spokes.iter().map(Vec::capacity).sum();
        assert!(kept <= wheel.spokes.len() * KEPT, "{kept}");
    }

    #[test]
    fn a_deadline_comes_up_never_early_and_at_most_a_tick_late() {
        let start = Instant::now();
        for millis in [0, 1, 49, 50, 51, 999, 5000, 12_700] {
            let deadline = start + Duration::from_millis(millis);
            let (mut wheel, mut due) = (Wheel::new(start), NEVER);
            wheel.arm(7, deadline, &mut due);
            let woken = wheel.alarm().unwrap();
            assert!(woken >= deadline && woken < deadline + TICK, "{millis} ms");
            if let Some(before) = woken.checked_sub(Duration::from_millis(1)).filter(|_| millis > 0)
            {
                assert_eq!(up(&mut wheel, before), []);
            }
            assert_eq!(up(&mut wheel, woken), [7]);
            assert_eq!(wheel.alarm(), None);
        }
    }

    #[test]
    fn an_earlier_deadline_moves_it_and_a_later_one_does_not() {
        let start = Instant::now();
        let (mut wheel, mut due) = (Wheel::new(start), NEVER);
        wheel.arm(1, start + 10 * SECOND, &mut due);
        let late = due;
        wheel.arm(1, start + SECOND, &mut due);
        assert!(due < late);
        wheel.arm(1, start + 20 * SECOND, &mut due);
        assert_eq!(wheel.alarm(), Some(start + SECOND));
    }

    #[test]
    fn a_stop_of_any_length_brings_everything_up_once() {
        let start = Instant::now();
        let mut wheel = Wheel::new(start);
        for slot in 0..100 {
            wheel.arm(slot, start + slot * SECOND / 5, &mut NEVER.clone());
        }
        let mut all = up(&mut wheel, start + 3600 * SECOND);
        all.sort_unstable();
        assert_eq!(all, (0..100).collect::<Vec<_>>());
        assert_eq!(up(&mut wheel, start + 7200 * SECOND), []);
    }

    proptest! {
        #[test]
        fn whatever_the_steps_nothing_is_early_late_or_lost(
            deadlines in prop::collection::vec(0_u64..60_000, 1..40),
            steps in prop::collection::vec(1_u64..3000, 1..200),
        ) {
            let start = Instant::now();
            let at = |millis| start + Duration::from_millis(millis);
            let mut wheel = Wheel::new(start);
            let mut dues = vec![NEVER; deadlines.len()];
            let mut fired = vec![None; deadlines.len()];
            for (slot, deadline) in deadlines.iter().enumerate() {
                wheel.arm(slot as u32, at(*deadline), &mut dues[slot]);
            }
            let (mut now, mut steps) = (0, steps.into_iter().cycle());
            while now < 70_000 {
                let before = now;
                now += steps.next().unwrap();
                let mut up = Vec::new();
                wheel.advance(at(now), &mut up);
                for (slot, due) in up {
                    let index = slot as usize;
                    if dues[index] != due { continue }
                    dues[index] = NEVER;
                    if at(now) < at(deadlines[index]) {
                        wheel.arm(slot, at(deadlines[index]), &mut dues[index]);
                    } else {
                        prop_assert!(fired[index].is_none());
                        prop_assert!(before < deadlines[index] + 50, "late");
                        fired[index] = Some(now);
                    }
                }
            }
            prop_assert!(fired.iter().all(Option::is_some));
        }
    }
}
