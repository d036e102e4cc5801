//! A peer: a client that keeps the rules, as far as its manners go.
//!
//! It shakes hands, says what its plan makes it say, reads what comes and holds it against the
//! ledger. What goes wrong with its link, and when, was drawn when it was made.

use super::super::faults::Random;
use super::ledger::Ledger;
use super::link::{Found, Link};
use super::plan::{Farewell, Manners, Opening};
use super::speech::Speech;
use std::time::Instant;

/// What may happen to a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accident {
    Reset,
    /// The peer ends its side amid whatever it was saying.
    End,
    /// Nothing passes any more, and nobody is told.
    Silence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Opening,
    Talking,
    /// The server's close frame came, or the connection is no WebSocket.
    Over,
    Gone,
}

pub(super) struct Peer {
    pub(super) number: usize,
    pub(super) manners: Manners,
    random: Random,
    stage: Stage,
    speech: Speech,
    /// What it wants to send, and what came of the answer to its request.
    outbox: Vec<u8>,
    answer: Vec<u8>,
    written: usize,
    left: usize,
    silent: bool,
    ended: bool,
}

impl Peer {
    pub(super) fn new(number: usize, mut random: Random, now: Instant) -> Self {
        let manners = Manners::draw(&mut random);
        let left = random.below(30);
        let speech = Speech::new(&manners, Random(random.below(1 << 30) as u64), now);
        let outbox = manners.request(number);
        Self {
            number,
            manners,
            random,
            stage: Stage::Opening,
            speech,
            outbox,
            answer: Vec::new(),
            written: 0,
            left,
            silent: false,
            ended: false,
        }
    }

    /// Whether everything it does from now on is to read, write and answer.
    pub(super) fn calm_down(&mut self) {
        self.manners.reads = usize::MAX;
        self.manners.accident = None;
        self.left = self.left.min(3);
    }

    /// Whether it takes part: its connection is open, and neither end has said goodbye.
    pub(super) fn is_well(&self, ledger: &Ledger) -> bool {
        let page = &ledger.pages[self.number];
        let going = page.bye.is_none() && page.verdict.is_none() && page.closed.is_none();
        self.stage == Stage::Talking && going && !self.silent && !self.ended
    }

    /// Says, writes and reads a little; whether anything moved.
    pub(super) fn step(&mut self, ledger: &mut Ledger, link: &mut Link, now: Instant) -> bool {
        if self.silent || self.stage == Stage::Gone {
            return false;
        }
        let before = (self.written, self.left, self.ended);
        if self.outbox.len() < 500 {
            self.speak(ledger, link);
        }
        self.write(link);
        let read = self.read(ledger, link, now);
        read || before != (self.written, self.left, self.ended)
    }

    fn speak(&mut self, ledger: &mut Ledger, link: &mut Link) {
        let may = self.stage == Stage::Talking
            || (self.stage == Stage::Opening && self.manners.is_eager());
        if !may || self.ended {
            return;
        }
        let page = &ledger.pages[self.number];
        if page.bye.is_some() || page.verdict.is_some() || !self.speech.is_open() {
            return;
        }
        if self.left > 0 {
            self.left -= 1;
            self.speech.say(self.number, ledger, &mut self.outbox);
        } else if self.stage == Stage::Talking {
            self.part(ledger, link);
        }
    }

    /// It has said all it had to say.
    fn part(&mut self, ledger: &mut Ledger, link: &mut Link) {
        match self.manners.farewell {
            Farewell::Close => self.speech.close(self.number, ledger, &mut self.outbox),
            Farewell::Break => self.speech.break_rules(self.number, ledger, &mut self.outbox),
            Farewell::End if self.outbox.is_empty() => self.end(link),
            Farewell::End | Farewell::Stay => {}
        }
    }

    fn end(&mut self, link: &mut Link) {
        if !self.ended {
            self.ended = true;
            link.end();
        }
    }

    fn write(&mut self, link: &mut Link) {
        if self.ended {
            return;
        }
        let most = if self.random.one_in(3) { 1 + self.random.below(10) } else { 8000 };
        let until = self.manners.accident.map_or(usize::MAX, |(at, _)| at - self.written);
        let count = self.outbox.len().min(most).min(until);
        let count = link.say(&self.outbox[..count]);
        self.outbox.drain(..count);
        self.written += count;
        match self.manners.accident {
            Some((at, accident)) if at == self.written => {
                self.manners.accident = None;
                match accident {
                    Accident::Reset => {
                        link.reset();
                        self.stage = Stage::Gone;
                    }
                    Accident::End => self.end(link),
                    Accident::Silence => self.silent = true,
                }
            }
            _ => {}
        }
    }

    fn read(&mut self, ledger: &mut Ledger, link: &mut Link, now: Instant) -> bool {
        let most = self.manners.reads.min(1 + self.random.below(5000));
        if most == 0 || self.stage == Stage::Gone {
            return false;
        }
        match link.hear(most) {
            Found::Nothing => false,
            Found::Bytes(bytes) => {
                self.take(bytes, ledger, now);
                true
            }
            Found::End => {
                let whole = self.stage != Stage::Opening || self.is_refused(ledger);
                let cut = self.ended || self.manners.opening == Opening::Cut;
                // It may have taken too little to get even its 101.
                let slow = ledger.pages[self.number].client.is_some();
                ledger.check(self.number, whole || cut || slow, "left without an answer");
                let told = self.stage != Stage::Talking || !ledger.owes_close(self.number);
                ledger.check(self.number, told, "left without a close frame");
                // One who hangs on leaves it to the server to close the connection.
                if !self.manners.hangs {
                    self.end(link);
                }
                let was = std::mem::replace(&mut self.stage, Stage::Over);
                was != Stage::Over
            }
            Found::Reset => {
                self.stage = Stage::Gone;
                true
            }
        }
    }

    fn take(&mut self, mut bytes: Vec<u8>, ledger: &mut Ledger, now: Instant) {
        if self.stage == Stage::Opening {
            self.answer.append(&mut bytes);
            let Some(rest) = self.speech.shake_hands(self.number, &self.answer, ledger) else {
                return;
            };
            bytes = rest;
            self.stage = Stage::Talking;
        }
        if self.stage == Stage::Over {
            ledger.check(self.number, bytes.is_empty(), "something follows the close frame");
            return;
        }
        if self.speech.hear(self.number, &mut bytes, ledger, &mut self.outbox, now) {
            self.stage = Stage::Over;
        }
    }

    /// Whether the answer is one HTTP response that refuses, of a kind that was to be expected.
    fn is_refused(&self, ledger: &Ledger) -> bool {
        let text = String::from_utf8_lossy(&self.answer);
        let status = text.get(9..12).and_then(|status| status.parse::<u16>().ok());
        let single = text.matches("HTTP/1.1").count() == 1;
        let unknown = ledger.pages[self.number].client.is_none();
        single && unknown && status.is_some_and(|status| self.manners.may_get(status))
    }
}
