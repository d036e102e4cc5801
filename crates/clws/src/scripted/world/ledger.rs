//! What was sent, heard and told, for each peer: the account that must add up.
//!
//! Callbacks and peers note here what they do and see. What does not fit is a fault; faults are
//! kept, since a panic in a callback would be taken for user code's.

use super::super::faults::Random;
use crate::client::Client;
use crate::limits::SendPolicy;
use crate::pending::Pending;
use crate::resource::{Cause, Closed};
use crate::sending::{Dropped, Outcome};
use clws_proto::error::ProtocolError;
use clws_proto::frame::OpCode;

pub(super) type Said = (OpCode, Vec<u8>);

/// A message that stayed unfinished: links stall.
const LATE: Cause = Cause::Protocol(ProtocolError::MessageTimeout);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    #[default]
    Unknown,
    Connected,
    Disconnected,
}

/// One peer's page.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is noted by itself")]
pub(super) struct Page {
    pub(super) client: Option<Client>,
    pub(super) state: State,
    pub(super) policy: SendPolicy,
    /// Whole messages the peer sent, within the rules and before its close frame.
    pub(super) said: Vec<Said>,
    pub(super) pongs_said: Vec<Vec<u8>>,
    /// The code of the peer's own close frame; 1005 for none.
    pub(super) bye: Option<u16>,
    /// How the server must judge what the peer sent behind all it said.
    pub(super) verdict: Option<u16>,
    pub(super) heard: usize,
    pub(super) pongs_heard: usize,
    /// What sends took, in order, and how much of it the peer has read or was dropped.
    pub(super) accepted: Vec<Said>,
    pub(super) received: usize,
    pub(super) missed: usize,
    /// Something was sent by mail: it may cross the client's end.
    pub(super) mailed: bool,
    /// User code closed the client with this code, behind so many sends.
    pub(super) closed: Option<(u16, usize)>,
    /// How much was taken when the server was told to stop.
    pub(super) stopped: Option<usize>,
    /// What user code was told had begun the end.
    pub(super) cause: Option<Cause>,
    /// The close frames were exchanged.
    clean: bool,
    /// A send said that the queue is full, and `drained` has not been called since.
    pub(super) pressed: bool,
    resumed: bool,
    pub(super) overrun: bool,
    pub(super) panicked: bool,
    pub(super) rejected: bool,
}

#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) random: Random,
    pub(super) pages: Vec<Page>,
    /// Whose callback runs.
    pub(super) running: Option<usize>,
    pub(super) pendings: Vec<Pending>,
    /// Nothing but echoes from now on.
    pub(super) calm: bool,
    pub(super) faults: Vec<String>,
    pub(super) connected: u64,
    pub(super) disconnected: u64,
    pub(super) panics: u64,
    /// Messages that sends refused by policy.
    pub(super) refused: u64,
    serial: u32,
}

impl Ledger {
    pub(super) fn new(random: Random) -> Self {
        Self {
            random,
            pages: Vec::new(),
            running: None,
            pendings: Vec::new(),
            calm: false,
            faults: Vec::new(),
            connected: 0,
            disconnected: 0,
            panics: 0,
            refused: 0,
            serial: 0,
        }
    }

    pub(super) fn fault(&mut self, number: usize, what: impl Into<String>) {
        let page = &self.pages[number];
        let about = format!("{:?} {:?}", page.policy, page.client);
        self.faults.push(format!("peer {number} ({about}): {}", what.into()));
    }

    pub(super) fn check(&mut self, number: usize, holds: bool, what: &str) {
        if !holds {
            self.fault(number, what);
        }
    }

    /// Whether it speaks draft 76, which has no pings.
    pub(super) fn is_old(&self, number: usize) -> bool {
        self.pages[number].client.as_ref().is_some_and(|client| client.version() == 0)
    }

    /// Whether user code resumed it since the last look, or the letter that says so may be under
    /// way still.
    pub(super) fn excused(&mut self, number: usize) -> bool {
        let page = &mut self.pages[number];
        let waits = page.client.as_ref().is_some_and(|client| !client.no_letters_under_way());
        let still = page.resumed && waits;
        std::mem::replace(&mut page.resumed, still)
    }

    /// Has the client read from again.
    pub(super) fn resume(&mut self, number: usize) {
        let page = &mut self.pages[number];
        if let Some(client) = &page.client {
            page.resumed = true;
            client.resume_reading();
        }
    }

    /// A payload that no other message has.
    pub(super) fn payload(&mut self, size: usize) -> Vec<u8> {
        self.serial += 1;
        let mut payload = format!("{}:", self.serial).into_bytes();
        let letter = b'a' + (self.serial % 26) as u8;
        payload.resize(size.max(payload.len()), letter);
        payload
    }

    /// Another, which compresses well, here better and there worse.
    pub(super) fn long_payload(&mut self, size: usize) -> Vec<u8> {
        let mut payload = self.payload(0);
        while payload.len() < size {
            let (word, times) = (self.random.below(1 << 40), 1 + self.random.below(300));
            payload.extend(format!("{word};").repeat(times).into_bytes());
            payload.truncate(size);
        }
        payload
    }

    pub(super) fn connected(&mut self, number: usize, client: &Client) {
        self.connected += 1;
        let page = &mut self.pages[number];
        let new = page.state == State::Unknown;
        page.state = State::Connected;
        page.policy = client.0.limits.send_policy;
        page.client = Some(client.clone());
        self.check(number, new, "connected twice");
    }

    pub(super) fn heard(&mut self, number: usize, opcode: OpCode, payload: &[u8]) {
        let page = &mut self.pages[number];
        let known = page.said.get(page.heard).is_some_and(|(o, p)| *o == opcode && p == payload);
        let open = page.state == State::Connected && !page.rejected && !page.panicked;
        page.heard += 1;
        self.check(number, known, "another message than the next was heard");
        self.check(number, open, "heard out of its life");
    }

    pub(super) fn pong(&mut self, number: usize, payload: &[u8]) {
        let page = &mut self.pages[number];
        let known = page.pongs_said.get(page.pongs_heard).is_some_and(|pong| pong == payload);
        page.pongs_heard += 1;
        let open = page.state == State::Connected;
        self.check(number, known && open, "another pong than the next was heard");
    }

    pub(super) fn disconnected(&mut self, number: usize, closed: &Closed) {
        self.disconnected += 1;
        let page = &mut self.pages[number];
        let was = std::mem::replace(&mut page.state, State::Disconnected);
        (page.cause, page.clean) = (Some(closed.cause), closed.clean);
        let all_heard = page.heard == page.said.len();
        let fits = match closed.cause {
            Cause::Peer => page.bye == Some(closed.code) && all_heard,
            LATE => true,
            Cause::Protocol(error) => page.verdict == Some(error.close_code().get()) && all_heard,
            Cause::Server => page.closed.is_some(),
            Cause::Rejected => page.rejected,
            Cause::Shutdown => page.stopped.is_some(),
            // No limit of these worlds asks for them.
            Cause::Idle | Cause::Lifetime | Cause::Memory => false,
            Cause::Overrun => page.overrun && page.policy == SendPolicy::Disconnect,
            Cause::Panic => page.panicked,
            Cause::Timeout | Cause::Lost => !closed.clean,
        };
        let page = format!("{closed:?} of {} heard of {}", page.heard, page.said.len());
        self.check(number, was == State::Connected, "disconnected, but not connected");
        self.check(number, fits, &format!("does not fit: {page}"));
    }

    /// Whether a peer that reads to the end of the stream finds a close frame before it.
    pub(super) fn owes_close(&self, number: usize) -> bool {
        let page = &self.pages[number];
        let said = matches!(page.cause, Some(Cause::Peer | Cause::Protocol(_) | Cause::Overrun));
        said || page.clean
    }

    /// Notes what became of a send.
    pub(super) fn sent(&mut self, number: usize, message: Said, outcome: Outcome, direct: bool) {
        let page = &mut self.pages[number];
        let control = message.0.is_control();
        match outcome {
            Outcome::Sent | Outcome::Backpressure => {
                page.accepted.push(message);
                page.mailed |= !direct;
                page.pressed |= outcome == Outcome::Backpressure;
                let open = page.state == State::Connected;
                self.check(number, open, "taken for a client that is gone");
            }
            Outcome::Dropped(Dropped::Overrun) => {
                page.overrun = true;
                let may = page.policy == SendPolicy::Disconnect && !control;
                self.check(number, may, "overrun against the policy");
            }
            Outcome::Dropped(Dropped::QueueFull) => {
                let may = page.policy != SendPolicy::Disconnect || control;
                self.refused += u64::from(!control);
                self.check(number, may, "refused against the policy");
            }
            Outcome::Dropped(Dropped::Unsupported) => {
                let old = self.is_old(number);
                self.check(number, old && message.0 != OpCode::Text, "refused without a reason");
            }
            Outcome::Dropped(Dropped::Closed) => {}
            Outcome::Dropped(_) => self.fault(number, format!("{outcome:?}")),
        }
    }

    /// The peer has read a message or a ping.
    pub(super) fn received(&mut self, number: usize, opcode: OpCode, payload: &[u8]) {
        let page = &mut self.pages[number];
        let is_it = |(o, p): &Said| *o == opcode && p == payload;
        while let Some(next) = page.accepted.get(page.received) {
            page.received += 1;
            if is_it(next) {
                return;
            }
            if page.policy != SendPolicy::DropOldest || next.0.is_control() {
                break;
            }
            page.missed += 1;
        }
        let shown = String::from_utf8_lossy(payload.get(..20).unwrap_or(payload)).into_owned();
        self.fault(number, format!("read another message than the next: {opcode:?} {shown}"));
    }

    /// The peer has read the server's close frame: what had to come before it?
    pub(super) fn close_received(&mut self, number: usize, code: u16) {
        let page = &self.pages[number];
        let (taken, received) = (page.accepted.len(), page.received);
        let due = match page.closed {
            Some((own, count)) if own == code => count,
            _ if code == 1001 => page.stopped.unwrap_or(0),
            _ if page.cause == Some(Cause::Overrun) => taken,
            _ if page.mailed => 0,
            _ => taken,
        };
        let complete = received >= due;
        let legal = match code {
            // Draft 76 says no code.
            0 => true,
            1001 => page.stopped.is_some(),
            1008 => page.overrun || page.rejected || page.cause == Some(LATE),
            1011 => page.panicked,
            _ if page.closed.is_some_and(|(own, _)| own == code) => true,
            _ => page.bye == Some(code) || page.verdict == Some(code),
        };
        self.check(number, legal, &format!("closed with {code} for no reason"));
        let counts = format!("{received} of {due} came before the close frame {code}");
        self.check(number, complete, &counts);
    }
}
