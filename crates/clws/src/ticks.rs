//! Moments in four bytes, for what every idle client keeps: tenths of a second since the server
//! began. They last for thirteen years and end there.

use std::time::{Duration, Instant};

/// How exact they are.
const TICK: Duration = Duration::from_millis(100);

/// A moment, rounded to a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tick(u32);

impl Tick {
    pub(crate) const NEVER: Self = Self(u32::MAX);
}

/// When a server began: what its ticks count from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Epoch(Instant);

impl Epoch {
    pub(crate) fn new(now: Instant) -> Self {
        Self(now)
    }

    /// The first tick that is not before `time`.
    pub(crate) fn at_or_after(self, time: Instant) -> Tick {
        let since = time.saturating_duration_since(self.0).as_nanos();
        let ticks = since.div_ceil(TICK.as_nanos());
        u32::try_from(ticks).map_or(Tick::NEVER, Tick)
    }

    /// The moment of `tick`; `None` for one that never comes.
    pub(crate) fn instant(self, tick: Tick) -> Option<Instant> {
        (tick != Tick::NEVER).then(|| self.0 + TICK * tick.0)
    }
}

/// A part of `whole`, another for each client and the same each time: what clients that came
/// together do is spread by it.
pub(crate) fn share(client: u64, whole: Duration) -> Duration {
    // The finisher of `SplitMix64`: neighbouring numbers land far apart.
    let mut z = client.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let part = (z ^ (z >> 31)) >> 32;
    let nanos = (whole.as_nanos().saturating_mul(part.into())) >> 32;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tick_is_never_early_and_less_than_its_length_late() {
        let start = Instant::now();
        let epoch = Epoch::new(start);
        for micros in [0, 1, 99_999, 100_000, 100_001, 3_600_000_000, 86_400_000_001] {
            let time = start + Duration::from_micros(micros);
            let tick = epoch.instant(epoch.at_or_after(time)).unwrap();
            assert!(time <= tick && tick < time + TICK, "{micros} us");
        }
        let far = start + Duration::from_hours(20 * 365 * 24);
        assert_eq!(epoch.instant(epoch.at_or_after(far)), None);
    }

    #[test]
    fn shares_are_spread_evenly_and_stay_below_the_whole() {
        let whole = Duration::from_secs(10);
        let mut tenths = [0; 10];
        for client in 1..=1000 {
            let share = share(client, whole);
            assert!(share < whole);
            tenths[share.as_secs() as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (70..130).contains(count)), "{tenths:?}");
        assert_eq!(share(7, Duration::ZERO), Duration::ZERO);
    }
}
