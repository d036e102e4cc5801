//! What must hold: at any time, when all is at rest, and at the end.

use super::ledger::State;
use super::stage::LARGEST;
use super::{HIGH, MAX_CLIENTS, MAX_MESSAGE, SendPolicy, TURN, World};
use crate::sending::{Dropped, Outcome};
use crate::session::Phase;

impl World {
    /// What must hold at any time.
    pub(super) fn check(&mut self) {
        let mut ledger = self.book.lock().unwrap();
        for (number, link) in self.links.iter_mut().enumerate() {
            ledger
                .faults
                .extend(link.faults.drain(..).map(|what| format!("link {number}: {what}")));
        }
        assert!(ledger.faults.is_empty(), "{:#?}", ledger.faults);
        // What is admitted by callbacks and what comes by mail may each reach the mark, the latter
        // twice where older messages are to give way.
        let longest = LARGEST.max(MAX_MESSAGE) + 100;
        for worker in &self.workers {
            for (_, seat) in &worker.seats {
                let (link, old) = (seat.link, ledger.is_old(seat.link));
                let excused = ledger.excused(link);
                let patience = &mut self.patience[link];
                let borne = patience.look(&seat.session, &self.links[link], excused, self.now);
                assert!(borne.is_none() || old, "peer {link} {borne:?}: {:?}", seat.session);
                let waiting = seat.session.waiting();
                assert!(waiting <= 3 * HIGH + 2 * longest + 70_000, "{waiting} bytes wait");
                let stash = seat.session.stash.as_ref().map_or(0, |stash| stash.bytes.len());
                assert!(stash <= 2 * TURN, "{stash} bytes are stashed");
            }
        }
        let connected = ledger.connected - ledger.disconnected;
        assert_eq!(self.hub.clients().len() as u64, connected);
        assert!(connected <= MAX_CLIENTS as u64);
    }

    /// Whoever is well has got everything, and keeps nothing of the server's.
    pub(super) fn check_rest(&self) {
        let ledger = self.ledger();
        for peer in self.peers.iter().filter(|peer| peer.is_well(&ledger)) {
            let page = &ledger.pages[peer.number];
            if page.state != State::Connected || page.overrun || page.panicked || page.rejected {
                continue;
            }
            let number = peer.number;
            let counts = (page.heard, page.received);
            assert_eq!(counts, (page.said.len(), page.accepted.len()), "peer {number}");
            let client = page.client.as_ref().unwrap();
            assert!(!page.pressed, "peer {number} waits for `drained`");
            assert!(client.no_letters_under_way(), "peer {number}");
            assert_eq!(client.queued_bytes(), 0, "peer {number}");
        }
        for (_, seat) in self.workers.iter().flat_map(|worker| &worker.seats) {
            let link = &self.links[seat.link];
            assert!(link.is_blocked() || seat.is_at_rest(), "{:?}", seat.session);
            let live = matches!(&seat.session.phase, Phase::Live(_));
            assert!(live || !link.is_closed());
        }
    }

    /// Nothing is left, and everything was counted.
    pub(super) fn check_end(&mut self) {
        self.check();
        let places: Vec<_> = std::iter::from_fn(|| self.hub.reserve()).take(100).collect();
        assert_eq!(places.len(), MAX_CLIENTS, "places that are not given back");
        let mut ledger = self.book.lock().unwrap();
        // User code may keep a handshake that it has not decided.
        ledger.pendings.clear();
        assert_eq!(self.hub.budget.total().bytes(), 0, "memory is counted that nobody holds");
        let counted = self.hub.counters.snapshot();
        assert_eq!(ledger.connected, ledger.disconnected);
        assert_eq!(counted.connected, ledger.connected);
        assert_eq!(counted.disconnected, ledger.connected);
        assert_eq!(counted.panics, ledger.panics);
        let drained = self.hub.tally.report();
        assert!(drained.clean + drained.forced <= drained.clients, "{drained:?}");
        let missed: usize = ledger.pages.iter().map(|page| page.missed).sum();
        let oldest = ledger.pages.iter().filter(|page| page.policy == SendPolicy::DropOldest);
        let lost: usize = oldest.map(|page| page.accepted.len() - page.received).sum();
        let least = ledger.refused + missed as u64;
        assert!((least..=least + lost as u64).contains(&counted.dropped), "{counted:?}, {least}");
        for number in 0..ledger.pages.len() {
            let Some(client) = ledger.pages[number].client.clone() else { continue };
            assert_eq!(client.send_text("late"), Outcome::Dropped(Dropped::Closed));
            assert_eq!((client.queued_bytes(), client.is_open()), (0, false));
            let over = ledger.pages[number].state == State::Disconnected;
            ledger.check(number, over, "never disconnected");
        }
        assert!(ledger.faults.is_empty(), "{:#?}", ledger.faults);
    }
}
