//! The queue by itself, over sessions that are numbers: who is the first, and for how long.

use super::{First, SessionId, Turns};
use proptest::prelude::*;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// What there is to inflate, by session: since when, and how many turns more for each message.
#[derive(Default)]
struct Crowd {
    turns: Option<Turns>,
    work: HashMap<SessionId, (Instant, Vec<u32>)>,
}

impl Crowd {
    fn new() -> Self {
        Self { turns: Some(Turns::new(0, 1)), work: HashMap::new() }
    }

    fn turns(&mut self) -> &mut Turns {
        self.turns.as_mut().unwrap()
    }

    fn join(&mut self, entry: SessionId, now: Instant, messages: &[u32]) {
        self.work.insert(entry, (now, messages.to_vec()));
        self.turns().swelling.push_back(entry);
    }

    /// One turn; who was served.
    fn turn(&mut self, now: Instant) -> Option<SessionId> {
        let mut turns = self.turns.take().unwrap();
        let since = |work: &HashMap<_, (Instant, Vec<u32>)>, entry| {
            work.get(&entry).filter(|(_, left)| !left.is_empty()).map(|(since, _)| *since)
        };
        let first = turns.first(|entry| since(&self.work, entry));
        if let Some(First { entry, .. }) = first {
            let (since, left) = self.work.get_mut(&entry).unwrap();
            left[0] -= 1;
            if left[0] == 0 {
                left.remove(0);
                *since = now;
            }
        }
        if let Some(first) = first {
            turns.served(first, since(&self.work, first.entry));
        }
        self.turns = Some(turns);
        first.map(|first| first.entry)
    }
}

fn clock() -> impl FnMut() -> Instant {
    let mut now = Instant::now();
    move || {
        now += Duration::from_micros(10);
        now
    }
}

#[test]
fn the_first_stays_until_its_message_is_whole_and_is_the_last_with_another() {
    let (mut crowd, mut now) = (Crowd::new(), clock());
    let (one, two, three) = ((1, 10), (2, 20), (3, 30));
    crowd.join(one, now(), &[3, 2]);
    crowd.join(two, now(), &[1]);
    crowd.join(three, now(), &[2]);
    let order: Vec<_> = std::iter::from_fn(|| crowd.turn(now())).collect();
    assert_eq!(order, [one, one, one, two, three, three, one, one]);
    assert!(!crowd.turns().is_crowded());
}

#[test]
fn one_that_is_gone_costs_no_turn_and_whoever_has_its_slot_none_either() {
    let (mut crowd, mut now) = (Crowd::new(), clock());
    let (gone, held, last) = ((1, 10), (2, 20), (3, 30));
    for entry in [gone, held, last] {
        crowd.join(entry, now(), &[5]);
    }
    assert_eq!(crowd.turn(now()), Some(gone));
    crowd.work.remove(&gone);
    // It inflates too, but has not come to the queue.
    crowd.work.insert((1, 11), (now(), vec![5]));
    crowd.work.get_mut(&held).unwrap().1.clear();
    assert_eq!(crowd.turn(now()), Some(last));
    assert_eq!(crowd.turns().swelling, [last]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whoever waits sees each of those before it finish one message, and no more.
    #[test]
    fn nobody_waits_for_more_than_one_message_of_each_other(
        sessions in prop::collection::vec(prop::collection::vec(1_u32..20, 1..5), 2..10),
    ) {
        let (mut crowd, mut now) = (Crowd::new(), clock());
        let longest: u32 = sessions.iter().filter_map(|messages| messages.iter().max()).sum();
        for (slot, messages) in (0..).zip(&sessions) {
            crowd.join((slot, 7), now(), messages);
        }
        let mut waited: HashMap<SessionId, u32> = HashMap::new();
        while let Some(served) = crowd.turn(now()) {
            waited.insert(served, 0);
            let waiting = crowd.work.iter().filter(|(_, (_, left))| !left.is_empty());
            for (entry, _) in waiting.filter(|(entry, _)| **entry != served) {
                let turns = waited.entry(*entry).or_default();
                *turns += 1;
                prop_assert!(*turns <= longest, "{entry:?} waits for {turns} turns");
            }
        }
        prop_assert!(crowd.work.values().all(|(_, left)| left.is_empty()));
    }
}
