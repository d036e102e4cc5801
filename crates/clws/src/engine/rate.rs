//! How many connections are accepted in a second: a bucket of tokens, one second's worth deep.

use std::time::{Duration, Instant};

/// How far ahead of time tokens may be spent.
const DEPTH: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Rate {
    /// What one connection costs; nothing where there is no limit.
    cost: Duration,
    /// The tokens are spent up to here.
    spent: Instant,
}

impl Rate {
    pub(super) fn new(per_second: Option<u32>, now: Instant) -> Self {
        Self { cost: per_second.map_or(Duration::ZERO, |count| DEPTH / count.max(1)), spent: now }
    }

    /// How long the next token is away; `None` where there is one.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let ahead = self.spent.saturating_duration_since(now) + self.cost;
        ahead.checked_sub(DEPTH).filter(|wait| !wait.is_zero())
    }

    /// Takes a token.
    pub(super) fn spend(&mut self, now: Instant) {
        self.spent = self.spent.max(now) + self.cost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of these connections are taken at once.
    fn taken(rate: &mut Rate, now: Instant, tries: usize) -> usize {
        (0..tries)
            .filter(|_| {
                rate.wait(now).is_none() && {
                    rate.spend(now);
                    true
                }
            })
            .count()
    }

    #[test]
    fn a_second_s_worth_comes_at_once_and_then_one_by_one() {
        for per_second in [1, 3, 7, 1000] {
            let start = Instant::now();
            let mut rate = Rate::new(Some(per_second), start);
            let count = per_second as usize;
            assert_eq!(taken(&mut rate, start, 5000), count, "{per_second} a second");
            let mut now = start;
            for _ in 0..10 {
                let wait = rate.wait(now).expect("none is left");
                assert!(wait <= DEPTH / per_second);
                let early = wait.saturating_sub(Duration::from_nanos(1));
                assert_eq!(taken(&mut rate, now + early, 1), 0);
                now += wait;
                assert_eq!(taken(&mut rate, now, 5), 1);
            }
            // However long nobody came, no more than a second's worth is there.
            assert_eq!(taken(&mut rate, now + 100 * DEPTH, 5000), count);
        }
    }

    #[test]
    fn who_keeps_below_the_rate_never_waits() {
        let start = Instant::now();
        let mut rate = Rate::new(Some(50), start);
        let gap = Duration::from_millis(20);
        assert!((0..10_000).all(|number| taken(&mut rate, start + gap * number, 1) == 1));
    }

    #[test]
    fn without_a_rate_nobody_waits() {
        let now = Instant::now();
        assert_eq!(taken(&mut Rate::new(None, now), now, 10_000), 10_000);
    }
}
