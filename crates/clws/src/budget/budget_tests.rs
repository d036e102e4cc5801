//! Levels, marks and who must go, by counts alone.

use super::ledger::Ledger;
use super::{Budget, Charge, Holding, Level, Total};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const KIB: usize = 1024;
const LIMIT: usize = 800 * KIB;
const TICK: Duration = Duration::from_millis(50);

/// A budget of its own, and what is held besides the workers.
fn budget() -> (Arc<Budget>, Charge) {
    let total = Arc::new(Total::default());
    (Arc::new(Budget::new(Arc::clone(&total), Some(LIMIT))), Charge::new(&total, 0))
}

/// A worker whose clients hold so much each.
fn worker(budget: &Arc<Budget>, clients: &[usize]) -> (Ledger, Vec<(u32, Holding)>) {
    let mut ledger = Ledger::new(budget, || {});
    ledger.replace(0, clients.iter().sum());
    let holding = |waiting: &usize| Holding { waiting: *waiting, ..Holding::default() };
    let clients = clients.iter().map(holding).enumerate();
    (ledger, clients.map(|(slot, holding)| (slot as u32, holding)).collect())
}

/// The clients leave.
fn leave(mut ledger: Ledger, clients: &[(u32, Holding)]) {
    ledger.replace(clients.iter().map(|(_, holding)| holding.own()).sum(), 0);
}

#[test]
fn levels_begin_at_eighths_and_the_first_ends_later() {
    let (budget, mut charge) = budget();
    let now = Instant::now();
    let mut level = |tenths_of_eighths: usize| {
        charge.set(tenths_of_eighths * 10 * KIB);
        (budget.judge(now), budget.is_full())
    };
    assert_eq!(level(59), (Level::Ease, false));
    assert_eq!(level(60), (Level::Near, false));
    assert_eq!(level(70), (Level::Full, true));
    assert_eq!(level(80), (Level::Over, true));
    assert_eq!(level(50), (Level::Near, false));
    assert_eq!(level(49), (Level::Ease, false));
    assert_eq!(level(59), (Level::Ease, false));
}

#[test]
fn what_is_charged_is_given_back_exactly() {
    let total = Arc::new(Total::default());
    let mut charges: Vec<_> = (0..100).map(|size| Charge::new(&total, size)).collect();
    assert_eq!(total.bytes(), 4950);
    charges[0].set(1000);
    charges[99].set(9);
    assert_eq!((total.bytes(), charges[99].bytes()), (4950 + 1000 - 90, 9));
    drop(charges);
    assert_eq!(total.bytes(), 0);
}

#[test]
fn a_worker_publishes_once_a_turn_and_gives_back_at_its_end() {
    let (budget, _) = budget();
    let now = Instant::now();
    let (mut ledger, clients) = worker(&budget, &[1000, 2000]);
    assert_eq!(budget.total().bytes(), 0);
    assert_eq!(ledger.settle(now), None);
    assert_eq!(budget.total().bytes(), 3000);
    ledger.replace(2000, 500);
    assert_eq!(ledger.settle(now), None);
    assert_eq!(budget.total().bytes(), 1500);
    ledger.replace(500, 2000);
    leave(ledger, &clients);
    assert_eq!(budget.total().bytes(), 0);
}

#[test]
fn clients_are_looked_at_in_ticks_and_only_while_memory_is_short() {
    let (budget, mut other) = budget();
    let (mut ledger, mut clients) = worker(&budget, &[30 * KIB, 100 * KIB]);
    let start = Instant::now();
    assert_eq!((ledger.settle(start), ledger.alarm()), (None, None));
    assert_eq!(ledger.mark(), usize::MAX);
    other.set(500 * KIB);
    assert_eq!(ledger.settle(start), Some(Level::Near));
    assert_eq!(ledger.review(Level::Near, &mut clients), []);
    assert_eq!(ledger.mark(), 50 * KIB, "half of what waits for the largest");
    assert_eq!((ledger.settle(start), ledger.alarm()), (None, Some(start + TICK)));
    assert_eq!(ledger.settle(start + TICK), Some(Level::Near));
    other.set(0);
    assert_eq!(ledger.settle(start + TICK), None, "a tick is not over");
    assert_eq!(ledger.settle(start + 2 * TICK), Some(Level::Ease));
    assert_eq!(ledger.review(Level::Ease, &mut clients), []);
    assert_eq!((ledger.mark(), ledger.alarm()), (usize::MAX, None));
    leave(ledger, &clients);
}

#[test]
fn small_holders_are_read_from_whatever_others_hold() {
    let (budget, mut other) = budget();
    let (mut ledger, mut clients) = worker(&budget, &[100, 1000]);
    other.set(LIMIT);
    ledger.review(Level::Near, &mut clients);
    assert_eq!(ledger.mark(), 4 * KIB);
    leave(ledger, &clients);
}

#[test]
fn the_largest_go_until_the_rest_is_below_the_budget() {
    let (budget, _) = budget();
    let (mut ledger, mut clients) = worker(&budget, &[300 * KIB, 5 * KIB, 200 * KIB, 301 * KIB]);
    assert_eq!(ledger.settle(Instant::now()), Some(Level::Over));
    assert_eq!(ledger.review(Level::Over, &mut clients), [3]);
    leave(ledger, &clients);

    let many = [[10 * KIB; 50], [20 * KIB; 50]].concat();
    let (mut ledger, mut clients) = worker(&budget, &many);
    ledger.settle(Instant::now());
    let shed = ledger.review(Level::Over, &mut clients);
    assert_eq!(shed.len(), 36, "36 * 20 KiB of an excess of 700 KiB");
    assert!(shed.iter().all(|slot| *slot >= 50));
    leave(ledger, &clients);
}

#[test]
fn each_worker_gives_up_its_part_and_none_its_small_ones() {
    let (budget, _) = budget();
    let now = Instant::now();
    let (mut heavy, mut large) = worker(&budget, &[100 * KIB; 8]);
    let (mut light, mut small) = worker(&budget, &[KIB; 100]);
    light.settle(now);
    assert_eq!(heavy.settle(now), Some(Level::Over));
    assert_eq!(heavy.review(Level::Over, &mut large).len(), 1);
    assert_eq!(light.review(Level::Over, &mut small), [], "others hold much more");
    leave(heavy, &large);
    leave(light, &small);
}

#[test]
fn a_turn_that_spends_the_budget_reads_no_more_and_is_reviewed_at_once() {
    let (budget, mut other) = budget();
    let (mut ledger, mut clients) = worker(&budget, &[100 * KIB]);
    let start = Instant::now();
    other.set(500 * KIB);
    assert_eq!(ledger.settle(start), Some(Level::Near));
    ledger.review(Level::Near, &mut clients);
    assert!(!ledger.turns_away());
    ledger.replace(0, 200 * KIB);
    assert!(ledger.turns_away());
    clients.push((1, Holding { waiting: 200 * KIB, ..Holding::default() }));
    assert_eq!(ledger.settle(start), Some(Level::Over), "no tick is over");
    assert_eq!(ledger.review(Level::Over, &mut clients), [1]);
    // What was too much is not there for others when it comes back.
    ledger.replace(200 * KIB, 199 * KIB);
    assert!(!ledger.turns_away());
    ledger.replace(199 * KIB, 300 * KIB);
    assert!(ledger.turns_away());
    ledger.settle(start);
    ledger.replace(300 * KIB, 200 * KIB);
    assert!(ledger.turns_away(), "the ceiling does not rise with what is above it");
    ledger.replace(200 * KIB, 0);
    ledger.settle(start);
    assert_eq!((ledger.settle(start), ledger.turns_away()), (None, false));
    ledger.replace(100 * KIB, 0);
}

/// Else it would be read again only when memory is short once more.
#[test]
fn who_was_turned_away_is_looked_at_even_if_memory_came_back() {
    let (budget, _) = budget();
    let mut ledger = Ledger::new(&budget, || {});
    ledger.replace(0, LIMIT);
    assert!(ledger.turns_away());
    ledger.replace(LIMIT, 0);
    assert_eq!(ledger.settle(Instant::now()), Some(Level::Ease));
    assert_eq!(ledger.settle(Instant::now()), None);
}

#[test]
fn a_worker_that_can_give_nothing_up_waits_for_the_others() {
    let (budget, mut other) = budget();
    let now = Instant::now();
    let woken = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&woken);
    let mut light = Ledger::new(&budget, move || _ = counts.fetch_add(1, Ordering::Relaxed));
    let (mut heavy, mut large) = worker(&budget, &[100 * KIB; 2]);
    other.set(LIMIT - 200 * KIB);
    heavy.settle(now);
    heavy.review(Level::Over, &mut large);
    let mut small = [(0, Holding { kept: KIB, ..Holding::default() })];
    light.replace(0, KIB);
    assert_eq!(light.settle(now), Some(Level::Over));
    assert_eq!(light.review(Level::Over, &mut small), []);
    assert!(light.turns_away());
    assert_eq!(light.settle(now), None, "it does not spin");
    let before = woken.load(Ordering::Relaxed);
    heavy.replace(100 * KIB, 0);
    heavy.settle(now);
    assert_eq!(woken.load(Ordering::Relaxed), before + 1);
    assert_eq!(light.settle(now), Some(Level::Full));
    light.replace(KIB, 0);
    heavy.replace(100 * KIB, 0);
}

/// What many clients wait for is held once, but it makes those large for whom it waits.
#[test]
fn what_is_shared_counts_for_the_order_alone() {
    let (budget, mut shared) = budget();
    shared.set(LIMIT);
    let mut ledger = Ledger::new(&budget, || {});
    let waits = Holding { kept: KIB, waiting: KIB, shared: 500 * KIB };
    let mut clients = vec![(0, Holding { kept: 3 * KIB, ..Holding::default() }), (1, waits)];
    ledger.replace(0, clients.iter().map(|(_, one)| one.own()).sum());
    ledger.settle(Instant::now());
    assert_eq!(ledger.review(Level::Over, &mut clients), [1]);
    leave(ledger, &clients);
}

#[test]
fn a_worker_that_sleeps_is_woken_when_memory_becomes_short() {
    let (budget, mut other) = budget();
    let woken = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&woken);
    let sleeper = Ledger::new(&budget, move || _ = counts.fetch_add(1, Ordering::Relaxed));
    let (mut ledger, clients) = worker(&budget, &[KIB]);
    let now = Instant::now();
    ledger.settle(now);
    assert_eq!(woken.load(Ordering::Relaxed), 0);
    other.set(LIMIT);
    ledger.settle(now);
    ledger.settle(now);
    assert_eq!(woken.load(Ordering::Relaxed), 1);
    drop(sleeper);
    assert_eq!(budget.members().len(), 1);
    leave(ledger, &clients);
}

#[test]
fn the_log_hears_of_it_once_a_second_at_most() {
    let (budget, mut other) = budget();
    let start = Instant::now();
    let told = || budget.told.load(Ordering::Relaxed);
    let second = Duration::from_secs(1);
    other.set(LIMIT);
    budget.judge(start);
    assert!(told());
    other.set(0);
    budget.judge(start + second / 2);
    assert!(told(), "too soon");
    other.set(LIMIT);
    budget.judge(start + second / 2);
    other.set(0);
    budget.judge(start + second);
    assert!(!told(), "it is told what is so now");
}

#[test]
fn without_a_limit_there_is_one_all_the_same() {
    let budget = Budget::new(Arc::default(), None);
    assert!((1 << 20..usize::MAX / 4).contains(&budget.limit), "{}", budget.limit);
}
