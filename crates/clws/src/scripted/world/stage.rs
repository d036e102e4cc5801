//! User code: a resource that does whatever its ledger's dice say, and the program around it,
//! which sends, closes and pauses from elsewhere.

use super::ledger::{Ledger, State};
use crate::client::Client;
use crate::pending::Pending;
use crate::request::Request;
use crate::resource::{Accept, Closed, Reject, Resource};
use crate::sending::{Outcome, SendOptions, send_binary_to_with, send_text_to_with};
use clws_proto::close::CloseCode;
use clws_proto::frame::OpCode::{self, Binary, Ping, Text};
use std::panic::resume_unwind;
use std::sync::{Arc, Mutex, MutexGuard};

pub(super) type Book = Arc<Mutex<Ledger>>;

/// The largest message user code sends.
pub(super) const LARGEST: usize = 9000;

pub(super) struct Stage {
    pub(super) book: Book,
    /// Decisions about handshakes are made elsewhere.
    pub(super) later: bool,
    /// Texts are passed on unread.
    pub(super) relays: bool,
}

/// The peer's number, which stands in its request.
fn number(request: &Request) -> usize {
    request.query_string().and_then(|query| query.parse().ok()).unwrap_or(usize::MAX)
}

impl Stage {
    /// Runs one callback's code; `true` from it is a panic of user code.
    fn call(&self, client: &Client, code: impl FnOnce(&mut Ledger, usize) -> bool) {
        let number = number(client.request());
        let mut ledger = self.lock();
        if let Some(other) = ledger.running.replace(number) {
            ledger.fault(number, format!("called while a callback of {other} runs"));
        }
        let panics = code(&mut ledger, number);
        ledger.running = None;
        if panics {
            ledger.panics += 1;
            ledger.pages[number].panicked = true;
            drop(ledger);
            resume_unwind(Box::new("user code failed"));
        }
    }

    fn text_of(&self, client: &Client, message: &[u8], echo: impl Fn(&Client) -> Outcome) {
        self.call(client, |ledger, number| {
            ledger.heard(number, Text, message);
            ledger.echo(number, (Text, message.to_vec()), echo);
            ledger.act(number)
        });
    }

    fn lock(&self) -> MutexGuard<'_, Ledger> {
        self.book.lock().unwrap()
    }
}

impl Resource for Stage {
    fn accept(&self, _request: &Request) -> Result<Accept, Reject> {
        if self.lock().random.one_in(20) {
            return Err(Reject::forbidden("not today"));
        }
        Ok(Accept::new())
    }

    fn accept_later(&self, pending: Pending) -> Option<Pending> {
        if !self.later {
            return Some(pending);
        }
        self.lock().pendings.push(pending);
        None
    }

    fn connected(&self, client: &Client) -> Result<(), Reject> {
        let mut rejected = false;
        self.call(client, |ledger, number| {
            ledger.connected(number, client);
            rejected = !ledger.calm && ledger.random.one_in(20);
            ledger.pages[number].rejected = rejected;
            if ledger.random.one_in(3) {
                ledger.send(number, Text, 20);
            }
            !rejected && ledger.misbehaves(40)
        });
        if rejected { Err(Reject::new(403, "unwelcome")) } else { Ok(()) }
    }

    fn reads_text(&self) -> bool {
        !self.relays
    }

    fn text(&self, client: &Client, message: &str) {
        assert!(!self.relays, "nobody wants to read it");
        self.text_of(client, message.as_bytes(), |client| client.send_text(message));
    }

    fn unread_text(&self, client: &Client, message: clws_proto::text::Text<'_>) {
        assert!(self.relays, "somebody wants to read it");
        self.text_of(client, message.as_bytes(), |client| client.send_unread(message));
    }

    fn binary(&self, client: &Client, message: &[u8]) {
        self.call(client, |ledger, number| {
            ledger.heard(number, Binary, message);
            let echo = |client: &Client| client.send_binary(message);
            ledger.echo(number, (Binary, message.to_vec()), echo);
            ledger.act(number)
        });
    }

    fn pong(&self, client: &Client, payload: &[u8]) {
        self.call(client, |ledger, number| {
            ledger.pong(number, payload);
            ledger.misbehaves(100)
        });
    }

    fn drained(&self, client: &Client) {
        self.call(client, |ledger, number| {
            let live = ledger.pages[number].state == State::Connected;
            ledger.check(number, live, "drained out of its life");
            ledger.pages[number].pressed = false;
            if ledger.random.one_in(2) {
                ledger.send(number, Binary, 3000);
            }
            ledger.misbehaves(40)
        });
    }

    fn disconnected(&self, client: &Client, closed: &Closed) {
        self.call(client, |ledger, number| {
            ledger.disconnected(number, closed);
            ledger.send(number, Text, 10);
            ledger.misbehaves(40)
        });
    }
}

impl Ledger {
    fn misbehaves(&mut self, chance: usize) -> bool {
        !self.calm && self.random.one_in(chance)
    }

    fn echo(
        &mut self,
        number: usize,
        message: super::ledger::Said,
        echo: impl FnOnce(&Client) -> Outcome,
    ) {
        if self.random.one_in(3) {
            return;
        }
        if let Some(client) = self.pages[number].client.clone() {
            let direct = client.no_letters_under_way();
            let outcome = echo(&client);
            self.sent(number, message, outcome, direct);
        }
    }

    /// What else a callback does; whether it panics.
    fn act(&mut self, number: usize) -> bool {
        if self.calm {
            return false;
        }
        match self.random.below(40) {
            0..4 => (0..4).for_each(|_| self.send(number, Text, 30)),
            4..6 => self.send(number, Binary, LARGEST),
            6..9 => self.anything(),
            9 => self.close(number),
            10 => _ = self.pages[number].client.as_ref().map(Client::pause_reading),
            11 => return true,
            _ => {}
        }
        false
    }

    /// Something that any thread may do, to any client.
    pub(super) fn anything(&mut self) {
        let number = self.random.below(self.pages.len());
        match self.random.below(20) {
            0..8 => self.send(number, Text, 100),
            8..12 => self.broadcast(),
            12..14 => self.send(number, Ping, 20),
            14..16 => self.send(number, Binary, LARGEST),
            16 => self.close(number),
            17 => _ = self.pages[number].client.as_ref().map(Client::pause_reading),
            _ => self.resume(number),
        }
    }

    fn options(&mut self) -> SendOptions {
        match self.random.below(4) {
            0 => SendOptions::new().frame_size(1 + self.random.below(2000)),
            1 => SendOptions::new().uncompressed(),
            _ => SendOptions::new(),
        }
    }

    /// Sends a message of up to `most` bytes.
    pub(super) fn send(&mut self, number: usize, opcode: OpCode, most: usize) {
        let Some(client) = self.pages[number].client.clone() else { return };
        let size = self.random.below(most);
        let payload = self.payload(size);
        let options = self.options();
        let direct = self.running == Some(number) && client.no_letters_under_way();
        let outcome = match opcode {
            Ping => client.ping(&payload),
            Binary => client.send_binary_with(&payload, options),
            _ => client.send_text_with(std::str::from_utf8(&payload).unwrap(), options),
        };
        self.sent(number, (opcode, payload), outcome, direct);
    }

    fn broadcast(&mut self) {
        let mut crowd: Vec<usize> = (0..self.pages.len()).collect();
        crowd.retain(|number| self.pages[*number].client.is_some() && !self.random.one_in(3));
        let size = self.random.below(3000);
        let (payload, options) = (self.payload(size), self.options());
        let clients: Vec<Client> =
            crowd.iter().filter_map(|number| self.pages[*number].client.clone()).collect();
        let (opcode, report) = if self.random.one_in(2) {
            (Binary, send_binary_to_with(&clients, &payload, options))
        } else {
            let text = std::str::from_utf8(&payload).unwrap();
            (Text, send_text_to_with(&clients, text, options))
        };
        if report.sent + report.dropped.len() != crowd.len() {
            self.faults.push(format!("a broadcast to {}: {report:?}", crowd.len()));
        }
        for (number, client) in crowd.into_iter().zip(clients) {
            let dropped = report.dropped.iter().find(|(other, _)| *other == client);
            let outcome = match dropped {
                Some((_, why)) => Outcome::Dropped(*why),
                None => Outcome::Sent,
            };
            self.sent(number, (opcode, payload.clone()), outcome, false);
        }
    }

    fn close(&mut self, number: usize) {
        let page = &mut self.pages[number];
        let Some(client) = &page.client else { return };
        let code = 4000 + number as u16;
        page.closed.get_or_insert((code, page.accepted.len()));
        client.close(CloseCode::new(code).unwrap(), "enough");
    }

    /// Decides about a handshake that waits, or lets it go undecided.
    pub(super) fn decide(&mut self) {
        if let Some(pending) = self.pendings.pop() {
            match self.random.below(10) {
                0 if !self.calm => drop(pending),
                1 if !self.calm => pending.decide(Err(Reject::new(503, "busy"))),
                _ => pending.decide(Ok(Accept::new())),
            }
        }
    }
}
