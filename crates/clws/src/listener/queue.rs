//! What waits for a listener's threads, and which of it is next.
//!
//! One first-in-first-out queue for everything, so that a single thread works in the order of
//! arrival. What belongs to one client (or to nobody: posts and calls) is a lane, of which one
//! entry runs at a time: an entry whose lane is busy steps aside and follows it. Plain data that
//! changes in single steps; locks and threads are the mailbox's business.

use super::work::{
    Aftermath, Bounds, COMMON, Health, Key, Kind, Owner, Queued, Refusal, Taken, Ticket,
};
use std::collections::{BTreeMap, VecDeque};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Entry<T> {
    ticket: Ticket,
    item: T,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "four facts, each changing by itself")]
struct Lane<T, O> {
    owner: Option<O>,
    health: Health,
    bytes: usize,
    events: usize,
    /// Entries anywhere, the running one too.
    entries: usize,
    busy: bool,
    /// Entries whose turn came while the lane was busy.
    waiting: VecDeque<Entry<T>>,
    full: bool,
    /// A `drained` is queued.
    drained: bool,
    /// Its last event is queued.
    ended: bool,
}

impl<T, O> Lane<T, O> {
    fn new(owner: Option<O>) -> Self {
        Self {
            owner,
            health: Health::New,
            bytes: 0,
            events: 0,
            entries: 0,
            busy: false,
            waiting: VecDeque::new(),
            full: false,
            drained: false,
            ended: false,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Queue<T, O> {
    pub(super) bounds: Bounds,
    entries: VecDeque<Entry<T>>,
    lanes: BTreeMap<Key, Lane<T, O>>,
    bytes: usize,
    events: usize,
    handshakes: usize,
    posts: usize,
    full: bool,
    stop: Option<Queued>,
    sleeping: usize,
    /// How many of the sleeping threads were called and are on their way.
    called: usize,
}

impl<T, O: Owner + Clone> Queue<T, O> {
    pub(super) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            entries: VecDeque::new(),
            lanes: BTreeMap::from([(COMMON, Lane::new(None))]),
            bytes: 0,
            events: 0,
            handshakes: 0,
            posts: 0,
            full: false,
            stop: None,
            sleeping: 0,
            called: 0,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn events(&self) -> usize {
        self.events
    }

    pub(super) fn is_stopping(&self) -> bool {
        self.stop.is_some()
    }

    /// Whether there is nothing to do and never will be.
    pub(super) fn is_over(&self) -> bool {
        self.is_stopping() && self.entries.is_empty() && self.lanes.len() == 1
    }

    /// Makes a lane for a client.
    pub(super) fn enter(&mut self, key: Key, owner: O) -> Result<(), Refusal> {
        if self.is_stopping() {
            return Err(Refusal::Stopped);
        }
        if self.full {
            owner.hold();
        }
        self.lanes.insert(key, Lane::new(Some(owner)));
        Ok(())
    }

    /// Queues what `item` makes of `raw`, which is given back if it is refused; whether a sleeping
    /// thread must be notified.
    pub(super) fn push<M>(
        &mut self,
        lane: Option<Key>,
        kind: Kind,
        raw: M,
        item: impl FnOnce(M) -> T,
    ) -> Result<bool, (Refusal, M)> {
        if let Err(refusal) = self.admit(lane, kind) {
            return Err((refusal, raw));
        }
        match kind {
            Kind::Handshake => self.handshakes += 1,
            Kind::Post => self.posts += 1,
            _ => {}
        }
        let found = lane.and_then(|key| self.lanes.get_mut(&key));
        let starts = found.is_none_or(|lane| {
            lane.entries += 1;
            lane.ended |= kind == Kind::End;
            lane.drained |= kind == Kind::Drained;
            lane.entries == 1
        });
        if let (Some(key), Kind::Event(size)) = (lane, kind) {
            self.charge(key, size);
        }
        self.entries.push_back(Entry { ticket: Ticket { lane, kind }, item: item(raw) });
        // A lane that has entries has a thread, at work or on its way, which gets to this one.
        Ok(starts && self.call())
    }

    fn admit(&self, lane: Option<Key>, kind: Kind) -> Result<(), Refusal> {
        if self.is_stopping() && kind != Kind::End {
            return Err(Refusal::Stopped);
        }
        if let Some(key) = lane {
            let lane = self.lanes.get(&key).filter(|lane| !lane.ended).ok_or(Refusal::Gone)?;
            let lost = matches!(lane.health, Health::Rejected | Health::Failed);
            let again = kind == Kind::Drained && lane.drained;
            if again || (lost && kind != Kind::End) {
                return Err(Refusal::Gone);
            }
        }
        let full = match kind {
            Kind::Handshake => self.handshakes >= self.bounds.handshakes,
            Kind::Post => self.posts >= self.bounds.posts,
            _ => false,
        };
        if full { Err(Refusal::Full) } else { Ok(()) }
    }

    fn charge(&mut self, key: Key, size: usize) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let bounds = &self.bounds;
        lane.bytes += size;
        lane.events += 1;
        lane.full |= lane.bytes >= bounds.client_bytes || lane.events >= bounds.client_events;
        if lane.full {
            lane.hold();
        }
        self.bytes += size;
        self.events += 1;
        if !self.full && (self.bytes >= bounds.bytes || self.events >= bounds.events) {
            self.full = true;
            self.lanes.values().for_each(Lane::hold);
        }
    }

    fn discharge(&mut self, key: Key, size: usize, tell: &mut Vec<O>) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let bounds = &self.bounds;
        lane.bytes -= size;
        lane.events -= 1;
        let low = lane.bytes <= bounds.client_bytes / 2 && lane.events <= bounds.client_events / 2;
        let relieved = lane.full && low;
        lane.full &= !low;
        self.bytes -= size;
        self.events -= 1;
        if self.full && self.bytes <= bounds.bytes / 2 && self.events <= bounds.events / 2 {
            self.full = false;
            tell.extend(self.lanes.values().filter_map(Lane::unhold));
        } else if relieved && !self.full {
            tell.extend(lane.unhold());
        }
    }

    /// The next entry whose lane is free.
    pub(super) fn take(&mut self) -> Option<Taken<T, O>> {
        while let Some(entry) = self.entries.pop_front() {
            let Some(key) = entry.ticket.lane else {
                return Some(Self::taken(None, self.stop, entry));
            };
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            if !lane.busy {
                lane.busy = true;
                return Some(Self::taken(Some(lane), self.stop, entry));
            }
            lane.waiting.push_back(entry);
        }
        None
    }

    fn taken(
        lane: Option<&mut Lane<T, O>>,
        stop: Option<Queued>,
        Entry { ticket, item }: Entry<T>,
    ) -> Taken<T, O> {
        let (owner, health) = lane.map_or((None, Health::New), |lane| {
            lane.drained &= ticket.kind != Kind::Drained;
            (lane.owner.clone(), lane.health)
        });
        Taken { ticket, owner, health, stop, item }
    }

    /// Closes the books on an entry; gives the next one of its lane, if that has been waiting.
    pub(super) fn done(
        &mut self,
        ticket: Ticket,
        health: Option<Health>,
        after: &mut Aftermath<O>,
    ) -> Option<Taken<T, O>> {
        match ticket.kind {
            Kind::Handshake => self.handshakes -= 1,
            Kind::Post => self.posts -= 1,
            _ => {}
        }
        let key = ticket.lane?;
        if let Kind::Event(size) = ticket.kind {
            self.discharge(key, size, &mut after.tell);
        }
        if ticket.kind == Kind::End {
            after.gone = self.lanes.remove(&key).and_then(|lane| lane.owner);
            return None;
        }
        let lane = self.lanes.get_mut(&key)?;
        lane.health = health.unwrap_or(lane.health);
        lane.entries -= 1;
        let next = lane.waiting.pop_front();
        lane.busy = next.is_some();
        next.map(|entry| Self::taken(Some(lane), self.stop, entry))
    }

    /// Takes nothing more but the clients' last events; gives the clients that are to be closed
    /// now. With [`Queued::Finish`] each is closed by an `order` behind what it has queued.
    pub(super) fn stop(&mut self, queued: Queued, order: impl Fn() -> T) -> Vec<O> {
        let before = self.stop;
        if before.is_none() && queued == Queued::Finish {
            let live = self.lanes.iter().filter(|(_, lane)| lane.owner.is_some() && !lane.ended);
            let keys: Vec<_> = live.map(|(key, _)| *key).collect();
            for key in keys {
                // Refused for clients that are rejected or failed: these are being closed already.
                let _ = self.push(Some(key), Kind::Free, order(), |order| order);
            }
        }
        if before != Some(Queued::Drop) {
            self.stop = Some(queued);
        }
        if self.stop == Some(Queued::Drop) {
            return self.lanes.values().filter_map(|lane| lane.owner.clone()).collect();
        }
        Vec::new()
    }

    /// Chooses a sleeping thread to be notified, unless all are on their way already.
    fn call(&mut self) -> bool {
        let call = self.sleeping > self.called;
        self.called += usize::from(call);
        call
    }

    /// A thread found nothing to do and goes to sleep.
    pub(super) fn sleep(&mut self) {
        self.sleeping += 1;
    }

    /// A thread woke up, whether it was notified or not.
    pub(super) fn woke(&mut self) {
        self.sleeping -= 1;
        self.called = self.called.saturating_sub(1);
    }
}

impl<T, O: Owner + Clone> Lane<T, O> {
    fn hold(&self) {
        if let Some(owner) = &self.owner {
            owner.hold();
        }
    }

    /// Lets the owner go on, unless the lane's own share is full; the owner, if it is to be told.
    fn unhold(&self) -> Option<O> {
        let owner = self.owner.as_ref().filter(|_| !self.full)?;
        owner.unhold().then(|| owner.clone())
    }
}

#[cfg(test)]
#[path = "queue_tests.rs"]
mod tests;
