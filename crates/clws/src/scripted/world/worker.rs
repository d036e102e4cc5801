//! A worker without a thread: what the engine's does in a turn, over links and with the time it is
//! given.

use super::super::faults::Random;
use super::link::Link;
use crate::client::{Circular, Courier, Letter, Mail, SessionId};
use crate::drain::Plan;
use crate::hub::{Hub, Kit};
use crate::peer::Peer;
use crate::round::Round;
use crate::session::{Fate, Phase, Session, Transport};
use crate::turns::{Standing, Turns};
use slab::Slab;
use std::io;
use std::iter;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// How often a client that has to leave is read from at most.
const LAST_READS: usize = 4;

#[derive(Debug)]
enum Parcel {
    Join(usize),
    Mail(Letter),
    Circular(Circular),
    Drain(Arc<Plan>),
}

/// Where letters wait; `None` once the worker has ended.
#[derive(Debug)]
pub(super) struct Post(Mutex<Option<Vec<Parcel>>>);

impl Post {
    fn send(&self, new: impl IntoIterator<Item = Parcel>) {
        if let Some(parcels) = &mut *self.0.lock().unwrap() {
            parcels.extend(new);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.lock().unwrap().as_ref().is_none_or(Vec::is_empty)
    }
}

impl Courier for Post {
    fn deliver(&self, letter: Letter) {
        self.send([Parcel::Mail(letter)]);
    }

    fn deliver_all(&self, circular: Circular) {
        let mut parcels = self.0.lock().unwrap();
        let Some(parcels) = &mut *parcels else { return };
        let rest = match parcels.last_mut() {
            Some(Parcel::Circular(last)) => last.join(circular),
            _ => Err(circular),
        };
        parcels.extend(rest.err().map(Parcel::Circular));
    }
}

#[derive(Debug)]
pub(super) struct Seat {
    pub(super) link: usize,
    pub(super) session: Session,
    standing: Standing,
    /// What it held, and its deadline, if it was at rest when it was settled last.
    rest: Option<(usize, Option<Instant>)>,
}

#[derive(Debug)]
pub(super) struct Worker {
    pub(super) kit: Kit,
    pub(super) seats: Slab<Seat>,
    post: Arc<Post>,
    buffer: Vec<u8>,
    round: Round,
    turns: Turns,
    stopping: bool,
    /// When a drain resets what is left.
    cut: Option<Instant>,
}

impl Worker {
    pub(super) fn new(hub: Arc<Hub>, now: Instant) -> Self {
        let post = Arc::new(Post(Mutex::new(Some(Vec::new()))));
        let turns = Turns::new(0, hub.limits.turn_bytes);
        Self {
            buffer: turns.buffer(Round::ROOM),
            kit: Kit::new(hub, post.clone(), now),
            seats: Slab::new(),
            post,
            round: Round::new(),
            turns,
            stopping: false,
            cut: None,
        }
    }

    pub(super) fn give(&self, link: usize) {
        self.post.send([Parcel::Join(link)]);
    }

    pub(super) fn stop(&self, plan: &Arc<Plan>) {
        self.post.send([Parcel::Drain(Arc::clone(plan))]);
    }

    /// Whether it has ended: it was stopped and its last session is gone.
    pub(super) fn has_ended(&self) -> bool {
        self.post.0.lock().unwrap().is_none()
    }

    /// Whether it would sleep.
    pub(super) fn is_idle(&self, links: &[Link]) -> bool {
        self.post.is_empty()
            && self.turns.is_empty()
            && self.seats.iter().all(|(_, seat)| !links[seat.link].ready.is_any())
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let sessions = self.seats.iter().filter_map(|(_, seat)| seat.session.deadline());
        sessions.chain(self.cut.filter(|_| !self.has_ended())).min()
    }

    /// One turn of the loop.
    pub(super) fn turn(&mut self, now: Instant, links: &mut [Link], random: &mut Random) {
        if self.has_ended() {
            return;
        }
        self.kit.now = now;
        self.turns.begin();
        let slots = self.slots();
        let first = random.below(slots.len().max(1));
        for (at, slot) in slots.iter().cycle().skip(first).take(slots.len()).enumerate() {
            self.round.expect_more(at + 1 < slots.len());
            // Some systems tell of one socket twice.
            for _ in 0..=random.below(2) {
                self.handle_event(*slot, links, random);
            }
        }
        self.finish_round(links);
        let parcels = self.post.0.lock().unwrap().as_mut().map(std::mem::take);
        for parcel in parcels.unwrap_or_default() {
            self.handle_parcel(parcel, links);
        }
        let mut listed = Vec::new();
        self.turns.take_listed(&mut listed);
        for entry @ (slot, _) in listed {
            if let Some(seat) = seat_of(&mut self.seats, entry) {
                seat.standing.unlist();
                self.serve(slot as usize, links, true, true);
            }
        }
        self.inflate(links);
        for slot in slots {
            self.handle_due(slot, links);
        }
        if self.cut.take_if(|cut| *cut <= now).is_some() {
            for slot in self.slots() {
                self.seats[slot].session.cut_off(&mut self.kit);
                self.settle(slot, links);
            }
        }
        if self.kit.retire() {
            for slot in self.slots() {
                if self.seats[slot].session.retire() {
                    self.settle(slot, links);
                }
            }
        }
        if self.stopping && self.seats.is_empty() {
            *self.post.0.lock().unwrap() = None;
        }
    }

    fn slots(&self) -> Vec<usize> {
        self.seats.iter().map(|(slot, _)| slot).collect()
    }

    fn handle_event(&mut self, slot: usize, links: &mut [Link], random: &mut Random) {
        if self.seats.get(slot).is_some_and(|seat| seat.standing.in_round) {
            self.finish_round(links);
        }
        let Some(seat) = self.seats.get_mut(slot) else { return };
        let ready = links[seat.link].tell(random.one_in(8));
        if ready.is_any() {
            seat.standing.note(ready.readable, ready.closed);
            if seat.standing.is_for_the_list() {
                let entry = (slot as u32, seat.session.id());
                return self.turns.list(entry, &mut seat.standing);
            }
            self.serve(slot, links, ready.writable, false);
        }
    }

    fn finish_round(&mut self, links: &mut [Link]) {
        while let Some((entry @ (slot, _), range)) = self.round.next_received() {
            let Some(seat) = seat_of(&mut self.seats, entry) else { continue };
            seat.standing.in_round = false;
            self.kit.deal();
            let Seat { link, session, .. } = seat;
            let (input, out) = (&mut self.buffer[range.clone()], &mut links[*link]);
            let waits = self.round.work(entry, session, &mut self.kit, input, out);
            // Whatever still refers to the receive buffer would now send the wrong bytes.
            self.buffer[range].fill(0xEE);
            if !waits {
                self.settle_served(slot as usize, links);
            }
        }
        while let Some((entry @ (slot, _), answer)) = self.round.next_answer() {
            if let Some(seat) = seat_of(&mut self.seats, entry) {
                seat.session.write_deferred(&mut self.kit, answer, &mut links[seat.link]);
                self.settle_served(slot as usize, links);
            }
        }
    }

    fn inflate(&mut self, links: &mut [Link]) {
        self.kit.crowded = false;
        let Self { turns, seats, kit, .. } = self;
        if let Some(first) = turns.first(|entry| swells(seats, kit, entry)) {
            self.serve(first.entry.0 as usize, links, true, true);
            let still = swells(&mut self.seats, &self.kit, first.entry);
            self.turns.served(first, still);
        }
        self.kit.crowded = self.turns.is_crowded();
    }

    fn serve(&mut self, slot: usize, links: &mut [Link], writable: bool, listed: bool) {
        let Some(seat) = self.seats.get_mut(slot) else { return };
        let link = &mut links[seat.link];
        self.kit.deal();
        let catches_up = listed || (writable && seat.session.wants_write());
        if catches_up {
            seat.session.handle_writable(&mut self.kit, link);
        }
        let reads = seat.standing.readable && seat.session.wants_read() && self.kit.share > 0;
        if reads
            && !self.turns.puts_off(&seat.session, &mut seat.standing, |first| link.peek(first))
        {
            seat.standing.readable = false;
            let Seat { session, standing, .. } = seat;
            let budget = self.turns.budget(session, standing, &self.kit);
            let buffer = &mut self.buffer[self.round.start()..];
            match link.read(&mut buffer[..budget]) {
                Ok(0) => session.handle_eof(&mut self.kit),
                Ok(count) => {
                    let read = |rest: &mut [u8]| link.read(rest);
                    let count = self.turns.go_on(session, standing, buffer, (count, budget), read);
                    if !catches_up && self.round.takes(standing, count) {
                        if self.round.put((slot as u32, session.id()), standing, count) {
                            self.finish_round(links);
                        }
                        return;
                    }
                    session.handle_input(&mut self.kit, &mut buffer[..count], link);
                    // Whatever still refers to the receive buffer would now send the wrong bytes.
                    buffer[..count].fill(0xEE);
                }
                Err(error) => match error.kind() {
                    io::ErrorKind::WouldBlock => {}
                    io::ErrorKind::Interrupted => seat.standing.readable = true,
                    _ => seat.session.handle_error(&mut self.kit),
                },
            }
            if seat.standing.has_read_out(&seat.session) {
                seat.session.handle_read_out(&mut self.kit, link);
            }
        }
        if listed {
            self.settle(slot, links);
        } else {
            self.settle_served(slot, links);
        }
    }

    /// The engine settles no session that is at rest as before; so nothing may be new about it.
    fn settle_served(&mut self, slot: usize, links: &mut [Link]) {
        if let Some(Seat { link, session, rest: Some(before), .. }) = self.seats.get_mut(slot)
            && let Some(now) = rest(session)
            && (now.0 != before.0 || now.1 < before.1 || session.wants_turn())
        {
            links[*link].faults.push(format!("rests, but not as before: {before:?}: {session:?}"));
        }
        self.settle(slot, links);
    }

    fn settle(&mut self, slot: usize, links: &mut [Link]) {
        let Some(seat) = self.seats.get_mut(slot) else { return };
        let link = &mut links[seat.link];
        match seat.session.fate(&mut self.kit, link) {
            Fate::Keep => {}
            Fate::HalfClose => link.half_close(),
            fate @ (Fate::Close | Fate::Abort) => {
                link.close(fate == Fate::Abort);
                self.seats.remove(slot);
                return;
            }
        }
        if seat.standing.begins_reading_out(&seat.session) {
            seat.standing.begin_reading_out(LAST_READS);
        }
        seat.rest = rest(&seat.session);
        self.turns.settle(slot as u32, &seat.session, &mut seat.standing, &mut self.kit);
    }

    fn handle_parcel(&mut self, parcel: Parcel, links: &mut [Link]) {
        match parcel {
            Parcel::Join(link) => self.join(link, links),
            Parcel::Mail(Letter { to, mail }) => self.handle_mails(to, iter::once(mail), links),
            Parcel::Circular(circular) => {
                for (to, mails) in circular.rounds() {
                    self.handle_mails(to, mails, links);
                }
            }
            Parcel::Drain(plan) => {
                if !self.stopping {
                    let live = self.seats.iter().filter(|(_, seat)| seat.session.is_live());
                    self.kit.hub.tally.clients.add(live.count() as u64);
                }
                self.stopping = true;
                self.cut = plan.deadline;
                self.kit.drain = Some(plan);
                for slot in self.slots() {
                    self.drain_one(slot, links);
                    self.settle(slot, links);
                }
            }
        }
    }

    fn handle_mails(
        &mut self,
        to: SessionId,
        mails: impl Iterator<Item = Mail>,
        links: &mut [Link],
    ) {
        let Some(seat) = seat_of(&mut self.seats, to) else { return };
        for mail in mails {
            if seat.session.handle_mail(&mut self.kit, mail, &mut links[seat.link]) {
                self.turns.list(to, &mut seat.standing);
            }
        }
    }

    fn join(&mut self, link: usize, links: &mut [Link]) {
        let entry = self.seats.vacant_entry();
        let slot = entry.key();
        let session = Session::new(&self.kit, slot as u32, Peer::NAMELESS, &Transport::Tcp);
        entry.insert(Seat { link, session, standing: Standing::default(), rest: None });
        if self.stopping {
            self.drain_one(slot, links);
        }
        self.settle(slot, links);
    }

    fn drain_one(&mut self, slot: usize, links: &mut [Link]) {
        if let Some(seat) = self.seats.get_mut(slot) {
            seat.session.handle_drain(&mut self.kit, &mut links[seat.link]);
        }
    }

    /// Calls a session whose deadline has come; after a few calls nothing may be due any more.
    fn handle_due(&mut self, slot: usize, links: &mut [Link]) {
        let now = self.kit.now;
        let is_due = |seat: &Seat| seat.session.deadline().is_some_and(|due| due <= now);
        for _ in 0..3 {
            let Some(seat) = self.seats.get_mut(slot).filter(|seat| is_due(seat)) else { return };
            seat.session.handle_timeout(&mut self.kit, &mut links[seat.link]);
            self.settle(slot, links);
        }
        if let Some(seat) = self.seats.get(slot).filter(|seat| is_due(seat)) {
            links[seat.link].faults.push(format!("outlives its deadline: {:?}", seat.session));
        }
    }
}

impl Seat {
    /// What must not be where nothing waits: a buffer of the worker's, or a turn to come.
    pub(super) fn is_at_rest(&self) -> bool {
        let Session { phase, queue, stash, .. } = &self.session;
        let keeps = queue.is_some() || stash.is_some() || self.session.wants_turn();
        !matches!(phase, Phase::Live(_)) || !keeps
    }
}

fn seat_of(seats: &mut Slab<Seat>, (slot, id): SessionId) -> Option<&mut Seat> {
    seats.get_mut(slot as usize).filter(|seat| seat.session.id() == id)
}

fn rest(session: &Session) -> Option<(usize, Option<Instant>)> {
    session.is_at_rest().then(|| (session.holding().own(), session.deadline()))
}

fn swells(seats: &mut Slab<Seat>, kit: &Kit, entry: SessionId) -> Option<Instant> {
    let seat = seat_of(seats, entry)?;
    seat.standing.swells(&seat.session, kit)
}
