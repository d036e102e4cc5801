//! A worker: one thread, one event loop, many sessions.
//!
//! Each turn serves the sockets that are ready, those with small messages several at a time, then
//! the letters, then the sockets that had more than one turn's share, then the deadlines. Sockets
//! are registered once, edge-triggered, so a message costs one read and one write and no other
//! system call.

mod relief;

use super::lag::Lag;
use super::mailbox::{Letter, Mailbox};
use super::stream::Stream;
use super::timer::{Due, NEVER, Wheel};
use super::trouble::{Quiet, Reading};
use crate::budget::Ledger;
use crate::client::{self, Mail, SessionId};
use crate::drain::Plan;
use crate::hub::{Hub, Kit, Shift};
use crate::peer::Peer;
use crate::round::Round;
use crate::session::{Fate, Session, Transport};
use crate::turns::{Standing, Turns};
use mio::event::Event;
use mio::{Events, Interest, Poll, Token, Waker};
use relief::Returned;
use slab::Slab;
use std::io;
use std::iter;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

const MAX_EVENTS: usize = 1024;
const WAKE: Token = Token(usize::MAX);

#[derive(Debug)]
struct Seat {
    stream: Stream,
    session: Session,
    due: Due,
    /// The bytes it stands in the ledger with.
    held: usize,
    /// It was at rest when it was settled last.
    rested: bool,
    standing: Standing,
}

impl Seat {
    /// Has the socket read, ready or not, as often as it may hold more.
    fn begin_reading_out(&mut self, turn_bytes: usize) {
        self.standing.begin_reading_out(self.stream.receive_buffer() / turn_bytes.max(1) + 1);
        self.session.throttle(false);
    }

    /// Whether nothing is to be read for want of memory. A peer that is gone is read to its end,
    /// or it would not be noticed.
    fn must_wait(&self, waiting: usize, mark: usize) -> bool {
        waiting >= mark && !self.standing.is_ending()
    }
}

#[derive(Debug)]
pub(super) struct Worker {
    poll: Poll,
    mailbox: Arc<Mailbox>,
    seats: Slab<Seat>,
    wheel: Wheel,
    lag: Lag,
    kit: Kit,
    ledger: Ledger,
    /// What is received.
    buffer: Vec<u8>,
    round: Round,
    returned: Returned,
    turns: Turns,
    /// Whose memory is still to be looked through for what they have not needed for a while.
    retiring: Vec<u32>,
    stopping: bool,
    /// When the drain's deadline comes.
    deadline: Option<Instant>,
    quiet: Quiet,
    #[expect(dead_code, reason = "dropped last: only then nothing of the worker is left")]
    shift: Shift,
}

impl Worker {
    pub(super) fn new(hub: Arc<Hub>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let mailbox = Arc::new(Mailbox::new(waker, hub.budget.total()));
        let sleeper = Arc::clone(&mailbox);
        let ledger = Ledger::new(&hub.budget, move || sleeper.wake());
        let now = Instant::now();
        let (shift, turns) = (hub.shift(), Turns::new(MAX_EVENTS, hub.limits.turn_bytes));
        Ok(Self {
            poll,
            seats: Slab::new(),
            wheel: Wheel::new(now),
            lag: Lag::default(),
            kit: Kit::new(hub, mailbox.clone(), now),
            mailbox,
            ledger,
            buffer: turns.buffer(Round::ROOM),
            round: Round::new(),
            returned: Returned::default(),
            turns,
            retiring: Vec::new(),
            stopping: false,
            deadline: None,
            quiet: Quiet::default(),
            shift,
        })
    }

    pub(super) fn mailbox(&self) -> Arc<Mailbox> {
        Arc::clone(&self.mailbox)
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(MAX_EVENTS);
        // Room from the start, so that no first time costs an allocation.
        let mut letters = Vec::with_capacity(MAX_EVENTS);
        let (mut turn, mut up) = (Vec::with_capacity(MAX_EVENTS), Vec::with_capacity(MAX_EVENTS));
        while !(self.stopping && self.seats.is_empty()) {
            self.wait(&mut events);
            self.turns.begin();
            let mut ready = events.iter().filter(|event| event.token() != WAKE).peekable();
            while let Some(event) = ready.next() {
                self.round.expect_more(ready.peek().is_some());
                self.handle_event(event);
            }
            if !self.round.is_empty() {
                self.finish_round();
            }
            self.mailbox.collect(&mut letters);
            // Drained only where there is something: most turns have nothing but events.
            if !letters.is_empty() {
                letters.drain(..).for_each(|letter| self.handle_letter(letter));
            }
            if !self.turns.is_empty() {
                self.serve_listed(&mut turn);
                self.inflate();
            }
            self.wheel.advance(self.kit.now, &mut up);
            if !up.is_empty() {
                up.drain(..).for_each(|(slot, due)| self.handle_due(slot, due));
            }
            if self.deadline.is_some_and(|deadline| deadline <= self.kit.now) {
                self.cut_off();
            }
            if let Some(level) = self.ledger.settle(self.kit.now) {
                self.relieve(level);
            }
            if self.kit.retire() {
                self.retiring = self.slots();
            }
            if !self.retiring.is_empty() {
                self.retire();
            }
        }
        self.mailbox.shut();
    }

    fn wait(&mut self, events: &mut Events) {
        let at_rest = self.turns.is_empty() && self.retiring.is_empty();
        let idle = at_rest && self.mailbox.fall_asleep();
        let timeout = if idle { self.idle_time() } else { Some(Duration::ZERO) };
        if let Err(error) = self.poll.poll(events, timeout)
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, "a worker cannot poll");
            std::thread::sleep(Duration::from_millis(10));
        }
        if idle {
            self.mailbox.wake_up();
        }
        let before = std::mem::replace(&mut self.kit.now, Instant::now());
        self.lag.note(before, timeout, self.kit.now);
    }

    fn idle_time(&self) -> Option<Duration> {
        let (wheel, ledger) = (self.wheel.alarm(), self.ledger.alarm());
        let alarms = [wheel, ledger, self.deadline, self.kit.deadline()];
        let first = alarms.into_iter().flatten().min()?;
        Some(first.saturating_duration_since(self.kit.now))
    }

    fn handle_event(&mut self, event: &Event) {
        let Token(slot) = event.token();
        let Some(seat) = self.seats.get_mut(slot) else { return };
        if seat.standing.in_round {
            return self.handle_again(event);
        }
        seat.standing.note(event.is_readable(), event.is_read_closed() || event.is_error());
        if seat.standing.end_waits {
            seat.session.throttle(false);
        }
        if seat.standing.is_for_the_list() {
            let entry = (slot as u32, seat.session.id());
            return self.turns.list(entry, &mut seat.standing);
        }
        self.serve(slot as u32, event.is_writable(), false);
    }

    /// Some systems tell of one socket twice, that it can be read and that it can be written.
    #[cold]
    fn handle_again(&mut self, event: &Event) {
        self.finish_round();
        self.handle_event(event);
    }

    /// Serves the sessions that are listed; `listed` is empty before and after it.
    fn serve_listed(&mut self, listed: &mut Vec<SessionId>) {
        self.turns.take_listed(listed);
        for entry @ (slot, _) in listed.drain(..) {
            if let Some(seat) = seat_of(&mut self.seats, entry) {
                seat.standing.unlist();
                self.serve(slot, true, true);
            }
        }
    }

    /// Works on what was received of several, then writes the answers.
    #[inline(never)]
    fn finish_round(&mut self) {
        while let Some((entry @ (slot, _), range)) = self.round.next_received() {
            let Some(seat) = seat_of(&mut self.seats, entry) else { continue };
            seat.standing.in_round = false;
            if self.ledger.turns_away() {
                self.put_back(entry, range);
                continue;
            }
            self.kit.deal();
            let Seat { stream, session, .. } = seat;
            let input = self.buffer.get_mut(range).unwrap_or_default();
            // It is settled when its answers are written.
            if !self.round.work(entry, session, &mut self.kit, input, &mut &*stream) {
                let rests = seat.session.is_at_rest();
                self.settle_served(slot, rests);
            }
        }
        while let Some((entry @ (slot, _), answer)) = self.round.next_answer() {
            if let Some(seat) = seat_of(&mut self.seats, entry) {
                let rests = seat.session.write_deferred(&mut self.kit, answer, &mut &seat.stream);
                self.settle_served(slot, rests);
            }
        }
    }

    /// Lets the first of those that inflate long messages go on for one turn's share.
    fn inflate(&mut self) {
        self.kit.crowded = false;
        let Self { turns, seats, kit, .. } = self;
        if let Some(first) = turns.first(|entry| swells(seats, kit, entry)) {
            self.serve(first.entry.0, true, true);
            let still = swells(&mut self.seats, &self.kit, first.entry);
            self.turns.served(first, still);
        }
        self.kit.crowded = self.turns.is_crowded();
    }

    /// Writes and reads what one session may write and read in one turn.
    fn serve(&mut self, slot: u32, writable: bool, listed: bool) {
        let Some(seat) = self.seats.get_mut(slot as usize) else { return };
        self.kit.deal();
        let catches_up = listed || (writable && seat.session.wants_write());
        if catches_up {
            seat.session.handle_writable(&mut self.kit, &mut &seat.stream);
        }
        // What was left of the turn before comes first, and may have been all of this one's share.
        let reads = seat.standing.readable && seat.session.wants_read() && self.kit.share > 0;
        if reads && !seat.standing.is_ending() && self.ledger.turns_away() {
            seat.session.throttle(true);
        } else if reads
            && !self
                .turns
                .puts_off(&seat.session, &mut seat.standing, |first| seat.stream.peek(first))
        {
            seat.standing.readable = false;
            let Seat { stream, session, standing, .. } = seat;
            let budget = self.turns.budget(session, standing, &self.kit);
            let buffer = self.buffer.get_mut(self.round.start()..).unwrap_or_default();
            let into = buffer.get_mut(..budget).unwrap_or_default();
            let returned = self.returned.take((slot, session.id()), into, &mut self.ledger);
            let received = match returned {
                Some(count) => Ok(count),
                None => stream.read(into),
            };
            match received {
                Ok(0) => session.handle_eof(&mut self.kit),
                Ok(count) => {
                    let read = |rest: &mut [u8]| stream.read(rest);
                    let count = self.turns.go_on(session, standing, buffer, (count, budget), read);
                    standing.readable |= returned.is_some();
                    if !catches_up && self.round.takes(standing, count) {
                        if self.round.put((slot, session.id()), standing, count) {
                            self.finish_round();
                        }
                        return;
                    }
                    let input = buffer.get_mut(..count).unwrap_or_default();
                    session.handle_input(&mut self.kit, input, &mut &*stream);
                }
                Err(error) => match Reading::after(&error) {
                    Reading::Empty => {}
                    Reading::Again => standing.readable = true,
                    Reading::Lost => session.handle_error(&mut self.kit),
                },
            }
            if seat.standing.has_read_out(&seat.session) {
                seat.session.handle_read_out(&mut self.kit, &mut &seat.stream);
            }
        }
        if listed {
            self.settle(slot);
        } else {
            let rests = seat.session.is_at_rest();
            self.settle_served(slot, rests);
        }
    }

    /// As [`Self::settle`], for a session that got input and wrote; `rests` says whether it is at
    /// rest. If it was so before, which is nearly always the case, there is nothing to do.
    #[inline]
    fn settle_served(&mut self, slot: u32, rests: bool) {
        match self.seats.get(slot as usize) {
            Some(seat) if rests && seat.rested && !seat.standing.readable => {
                debug_assert!(self.is_settled(slot));
            }
            _ => self.settle(slot),
        }
    }

    /// Whether [`Self::settle`] would have nothing to do.
    fn is_settled(&self, slot: u32) -> bool {
        let Some(seat) = self.seats.get(slot as usize) else { return false };
        let is_later = |deadline| self.wheel.is_before(seat.due, deadline);
        seat.session.deadline().is_none_or(is_later)
            && seat.session.holding().own() == seat.held
            && !seat.session.wants_turn()
    }

    /// Does what a session wants after it was served.
    fn settle(&mut self, slot: u32) {
        let Some(seat) = self.seats.get_mut(slot as usize) else { return };
        match seat.session.fate(&mut self.kit, &mut &seat.stream) {
            Fate::Keep => {}
            Fate::HalfClose => {
                // It fails for a connection that is gone already; the next read finds that out.
                let _ = seat.stream.finish();
            }
            Fate::Close => return self.remove(slot, false),
            Fate::Abort => return self.remove(slot, true),
        }
        let holding = seat.session.holding();
        self.ledger.replace(std::mem::replace(&mut seat.held, holding.own()), holding.own());
        if seat.must_wait(holding.waiting, self.ledger.mark()) {
            seat.session.throttle(true);
        }
        seat.rested = seat.session.is_at_rest();
        if let Some(deadline) = seat.session.deadline() {
            self.wheel.arm(slot, deadline, &mut seat.due);
        }
        if seat.standing.begins_reading_out(&seat.session) {
            seat.begin_reading_out(self.kit.hub.limits.turn_bytes);
        }
        self.turns.settle(slot, &seat.session, &mut seat.standing, &mut self.kit);
    }

    fn remove(&mut self, slot: u32, reset: bool) {
        let seat = self.seats.remove(slot as usize);
        self.returned.forget((slot, seat.session.id()), &mut self.ledger);
        self.ledger.replace(seat.held, 0);
        if reset {
            seat.stream.reset();
        }
        self.mailbox.load.fetch_sub(1, Ordering::Relaxed);
    }

    fn handle_letter(&mut self, letter: Letter) {
        match letter {
            Letter::Join(stream, peer, transport) => self.join(stream, peer, &transport),
            Letter::Mail(client::Letter { to, mail }) => self.handle_mails(to, iter::once(mail)),
            Letter::Circular(circular) => {
                for (to, mails) in circular.rounds() {
                    self.handle_mails(to, mails);
                }
            }
            Letter::Drain(plan) => self.drain(plan),
        }
    }

    fn handle_mails(&mut self, to: SessionId, mails: impl Iterator<Item = Mail>) {
        let Some(seat) = seat_of(&mut self.seats, to) else { return };
        for mail in mails {
            if seat.session.handle_mail(&mut self.kit, mail, &mut &seat.stream) {
                self.turns.list(to, &mut seat.standing);
            }
        }
    }

    fn join(&mut self, mut stream: Stream, peer: Peer, transport: &Transport) {
        let entry = self.seats.vacant_entry();
        let slot = entry.key();
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.poll.registry().register(&mut stream, Token(slot), interest) {
            if self.quiet.tells(self.kit.now) {
                tracing::warn!(%error, "a connection cannot be watched");
            }
            self.mailbox.load.fetch_sub(1, Ordering::Relaxed);
            return;
        }
        let session = Session::new(&self.kit, slot as u32, peer, transport);
        entry.insert(Seat {
            stream,
            session,
            due: NEVER,
            held: 0,
            rested: false,
            standing: Standing::default(),
        });
        if self.stopping {
            self.drain_one(slot as u32);
        }
        self.settle(slot as u32);
    }

    fn slots(&self) -> Vec<u32> {
        self.seats.iter().map(|(slot, _)| slot as u32).collect()
    }

    fn drain(&mut self, plan: Arc<Plan>) {
        if !self.stopping {
            let live = self.seats.iter().filter(|(_, seat)| seat.session.is_live()).count();
            self.kit.hub.tally.clients.add(live as u64);
        }
        self.stopping = true;
        self.deadline = plan.deadline;
        self.kit.drain = Some(plan);
        for slot in self.slots() {
            self.drain_one(slot);
            self.settle(slot);
        }
    }

    fn drain_one(&mut self, slot: u32) {
        if let Some(seat) = self.seats.get_mut(slot as usize) {
            seat.session.handle_drain(&mut self.kit, &mut &seat.stream);
        }
    }

    /// Ends what the drain has left.
    fn cut_off(&mut self) {
        self.deadline = None;
        for slot in self.slots() {
            if let Some(seat) = self.seats.get_mut(slot as usize) {
                seat.session.cut_off(&mut self.kit);
            }
            self.settle(slot);
        }
    }

    fn handle_due(&mut self, slot: u32, due: Due) {
        let Some(seat) = self.seats.get_mut(slot as usize) else { return };
        if seat.due != due {
            return;
        }
        seat.due = NEVER;
        if seat.session.deadline().is_some_and(|deadline| deadline <= self.kit.now) {
            if self.lag.excuses(self.kit.now) {
                seat.session.forgive(&self.kit);
            }
            seat.session.handle_timeout(&mut self.kit, &mut &seat.stream);
        }
        self.settle(slot);
    }
}

fn seat_of(seats: &mut Slab<Seat>, (slot, id): SessionId) -> Option<&mut Seat> {
    seats.get_mut(slot as usize).filter(|seat| seat.session.id() == id)
}

/// See [`Standing::swells`]; a session that is gone does not.
fn swells(seats: &mut Slab<Seat>, kit: &Kit, entry: SessionId) -> Option<Instant> {
    let seat = seat_of(seats, entry)?;
    seat.standing.swells(&seat.session, kit)
}
