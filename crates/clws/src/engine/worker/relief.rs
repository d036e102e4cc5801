//! What a worker does for memory: it has sessions free what they have not needed for a while, and
//! give way while memory for clients is short; how short it is, its ledger says.

use super::{Seat, Worker};
use crate::budget::Level;

/// The most sessions that free what they have not needed in one turn: each may take some 10 µs.
const RETIRED: usize = 64;

impl Worker {
    /// Has the next sessions free what they have not needed for a while.
    #[cold]
    pub(super) fn retire(&mut self) {
        for _ in 0..RETIRED {
            let Some(slot) = self.retiring.pop() else { break };
            if let Some(seat) = self.seats.get_mut(slot as usize)
                && seat.session.retire()
            {
                self.settle(slot);
            }
        }
    }

    /// Looks at all clients anew: who is not to be read from, who is again, and who must go.
    #[cold]
    pub(super) fn relieve(&mut self, level: Level) {
        let holding = |(slot, seat): (usize, &Seat)| (slot as u32, seat.session.holding());
        let mut clients: Vec<_> = self.seats.iter().map(holding).collect();
        for slot in self.ledger.review(level, &mut clients) {
            if let Some(seat) = self.seats.get_mut(slot as usize) {
                seat.session.shed(&mut self.kit, &mut &seat.stream);
                self.settle(slot);
            }
        }
        if level > Level::Ease {
            // What those that went leave behind is not kept for others.
            self.kit.pool.clear();
        }
        let mark = self.ledger.mark();
        // Those that hold little have the first turn of what memory there is.
        for (slot, holding) in clients.into_iter().rev() {
            if let Some(seat) = self.seats.get_mut(slot as usize) {
                let wait = seat.must_wait(holding.waiting, mark);
                if seat.session.throttle(wait) {
                    self.settle(slot);
                }
            }
        }
    }
}
