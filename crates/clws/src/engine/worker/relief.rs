//! What a worker does for memory: it has sessions free what they have not needed for a while, wait
//! and give way while memory for clients is short; how short it is, its ledger says.

use super::{Seat, Worker, seat_of};
use crate::budget::{Ledger, Level};
use crate::client::SessionId;
use std::collections::HashMap;
use std::ops::Range;

/// The most sessions that free what they have not needed in one turn: each may take some 10 µs.
const RETIRED: usize = 64;

/// What was read of sessions when there was memory left for what may come of it, and none any more
/// when it was to be worked on: as if it had not been read, it is read again when they are. Of each
/// session that is one small read at most.
#[derive(Debug, Default)]
pub(super) struct Returned(HashMap<SessionId, Vec<u8>>);

impl Returned {
    /// Reads what belongs to a session into `buffer`; how many bytes that is, if there are any.
    #[inline]
    pub(super) fn take(
        &mut self,
        entry: SessionId,
        buffer: &mut [u8],
        ledger: &mut Ledger,
    ) -> Option<usize> {
        if self.0.is_empty() { None } else { self.take_some(entry, buffer, ledger) }
    }

    #[cold]
    fn take_some(
        &mut self,
        entry: SessionId,
        buffer: &mut [u8],
        ledger: &mut Ledger,
    ) -> Option<usize> {
        let mut bytes = self.0.remove(&entry)?;
        ledger.replace(bytes.len(), 0);
        let rest = bytes.split_off(bytes.len().min(buffer.len()));
        let (into, _) = buffer.split_at_mut(bytes.len());
        into.copy_from_slice(&bytes);
        if !rest.is_empty() {
            self.keep(entry, rest, ledger);
        }
        Some(bytes.len())
    }

    /// Drops what belongs to a session.
    pub(super) fn forget(&mut self, entry: SessionId, ledger: &mut Ledger) {
        if let Some(bytes) = self.0.remove(&entry) {
            ledger.replace(bytes.len(), 0);
        }
    }

    fn keep(&mut self, entry: SessionId, bytes: Vec<u8>, ledger: &mut Ledger) {
        ledger.replace(0, bytes.len());
        self.0.insert(entry, bytes);
    }
}

impl Worker {
    /// Has what was received of a session wait until it is read from again.
    #[cold]
    pub(super) fn put_back(&mut self, entry: SessionId, range: Range<usize>) {
        let Some(seat) = seat_of(&mut self.seats, entry) else { return };
        let bytes = self.buffer.get(range).unwrap_or_default();
        self.returned.keep(entry, bytes.to_vec(), &mut self.ledger);
        seat.standing.readable = true;
        self.settle(entry.0);
    }

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

#[cfg(test)]
mod tests {
    use super::Returned;
    use crate::budget::{Budget, Ledger};
    use std::sync::Arc;

    #[test]
    fn what_is_returned_is_read_again_in_order_and_counts_until_then() {
        let budget = Arc::new(Budget::new(Arc::default(), Some(100)));
        let mut ledger = Ledger::new(&budget, || ());
        let (mut returned, mut buffer) = (Returned::default(), [0; 60]);
        let bytes: Vec<u8> = (0..100).collect();
        returned.keep((1, 1), bytes.clone(), &mut ledger);
        assert!(ledger.turns_away());
        assert_eq!(returned.take((1, 2), &mut buffer, &mut ledger), None, "another's");
        assert_eq!(returned.take((1, 1), &mut buffer, &mut ledger), Some(60));
        assert!(!ledger.turns_away());
        assert_eq!(buffer, bytes[..60]);
        assert_eq!(returned.take((1, 1), &mut buffer, &mut ledger), Some(40));
        assert_eq!(buffer[..40], bytes[60..]);
        assert_eq!(returned.take((1, 1), &mut buffer, &mut ledger), None);
        returned.keep((1, 1), bytes, &mut ledger);
        returned.forget((1, 1), &mut ledger);
        // The ledger is empty when it is dropped, or says so.
        assert!(!ledger.turns_away());
    }
}
