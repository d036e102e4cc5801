//! One worker's part in a budget: what its clients hold, and which of them must give way.

use super::{Budget, Charge, Holding, Level};
use std::cmp::Reverse;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// How often the clients are looked at while memory is short.
const TICK: Duration = Duration::from_millis(50);
/// Who makes the server keep less, in bytes, is read from however short memory is.
const LEAST_MARK: usize = 4 * 1024;

/// What workers know of each other: by it each finds the largest holders of all, not its own.
pub(super) struct Member {
    wake: Box<dyn Fn() + Send + Sync>,
    /// The weight of its heaviest client when it looked last.
    heaviest: AtomicUsize,
    /// The most that waits for one client of it.
    longest: AtomicUsize,
}

impl Member {
    pub(super) fn wake(&self) {
        (self.wake)();
    }
}

impl fmt::Debug for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Member").field("heaviest", &self.heaviest).finish_non_exhaustive()
    }
}

/// One worker's account.
#[derive(Debug)]
pub(crate) struct Ledger {
    budget: Arc<Budget>,
    member: Arc<Member>,
    /// What its clients hold.
    held: usize,
    /// What of that is published.
    charge: Charge,
    /// From so much held on the budget is spent, by what others held at the end of the last turn.
    ceiling: usize,
    /// A client was not read from because of that.
    turned_away: bool,
    /// Although the budget was spent, nobody was found who could give way.
    fruitless: bool,
    /// When its clients are looked at again, while memory is short.
    review: Option<Instant>,
    mark: usize,
}

impl Ledger {
    /// `wake` makes the worker call [`Self::settle`] soon.
    pub(crate) fn new(budget: &Arc<Budget>, wake: impl Fn() + Send + Sync + 'static) -> Self {
        let member = Arc::new(Member {
            wake: Box::new(wake),
            heaviest: AtomicUsize::new(0),
            longest: AtomicUsize::new(0),
        });
        budget.members().push(Arc::clone(&member));
        Self {
            budget: Arc::clone(budget),
            member,
            held: 0,
            charge: Charge::new(budget.total(), 0),
            ceiling: budget.ceiling(0),
            turned_away: false,
            fruitless: false,
            review: None,
            mark: usize::MAX,
        }
    }

    /// A client that held `before` bytes holds `now` bytes.
    #[inline]
    pub(crate) fn replace(&mut self, before: usize, now: usize) {
        self.held = self.held - before + now;
    }

    /// A client for whom as much waits is not read from.
    #[inline]
    pub(crate) fn mark(&self) -> usize {
        self.mark
    }

    /// Whether a client must wait for the next review instead of being read from: what was served
    /// in this turn has used the budget up.
    #[inline]
    pub(crate) fn turns_away(&mut self) -> bool {
        let spent = self.held >= self.ceiling;
        self.turned_away |= spent;
        spent
    }

    /// Publishes what is held, at the end of a turn; says how short memory is when the clients are
    /// to be looked at: at once where some of them can give way or wait in vain, else in ticks, and
    /// once more when it suffices again.
    #[inline]
    pub(crate) fn settle(&mut self, now: Instant) -> Option<Level> {
        self.charge.set(self.held);
        let level = self.budget.judge(now);
        self.ceiling = self.budget.ceiling(self.held);
        let urgent = if level < Level::Over { self.turned_away } else { !self.fruitless };
        let due = self.review.map_or(level > Level::Ease, |at| now >= at);
        if !due && !urgent {
            return None;
        }
        self.turned_away = false;
        self.review = (level > Level::Ease).then(|| now + TICK);
        Some(level)
    }

    /// Until when [`Self::settle`] can wait, whatever happens.
    #[inline]
    pub(crate) fn alarm(&self) -> Option<Instant> {
        self.review
    }

    /// Sets the mark by all clients of this worker, puts them in order, the largest first, and
    /// names those that must go: as many as bring this worker's part of the total down again.
    pub(crate) fn review(&mut self, level: Level, clients: &mut [(u32, Holding)]) -> Vec<u32> {
        let most = |of: fn(&Holding) -> usize| clients.iter().map(|(_, one)| of(one)).max();
        let heaviest = most(Holding::weight).unwrap_or(0);
        let longest = most(|one| one.waiting).unwrap_or(0);
        self.member.heaviest.store(heaviest, Ordering::Relaxed);
        self.member.longest.store(longest, Ordering::Relaxed);
        let (heaviest, longest) = self.largest_of_all();
        self.mark = if level > Level::Ease { (longest / 2).max(LEAST_MARK) } else { usize::MAX };
        clients.sort_unstable_by_key(|(_, one)| Reverse(one.weight()));
        self.fruitless = false;
        if level < Level::Over {
            return Vec::new();
        }
        let part = self.part();
        let mut freed = 0;
        let goes = clients.iter().take_while(|(_, one)| {
            let goes = freed < part && one.weight() >= heaviest / 2;
            freed += one.own();
            goes
        });
        let shed: Vec<_> = goes.map(|(slot, _)| *slot).collect();
        if shed.is_empty() {
            self.fruitless = true;
            self.budget.await_room();
        }
        shed
    }

    /// The weight of the heaviest client of all workers, and the most that waits for one.
    fn largest_of_all(&self) -> (usize, usize) {
        self.budget.members().iter().fold((0, 0), |(heaviest, longest), member| {
            (
                heaviest.max(member.heaviest.load(Ordering::Relaxed)),
                longest.max(member.longest.load(Ordering::Relaxed)),
            )
        })
    }

    /// How many bytes this worker's clients must give up: of the excess as large a part as they
    /// have of the total.
    fn part(&self) -> usize {
        let total = self.budget.total().bytes().max(1);
        let excess = (total + 1).saturating_sub(self.budget.limit);
        let part = (excess as u128 * self.held as u128).div_ceil(total as u128);
        usize::try_from(part).unwrap_or(usize::MAX)
    }
}

impl Drop for Ledger {
    fn drop(&mut self) {
        self.budget.members().retain(|one| !Arc::ptr_eq(one, &self.member));
        debug_assert!(self.held == 0 || thread::panicking(), "all clients have left");
    }
}
