//! The second engine: drives one session by script, with virtual time and a wire that takes as
//! much as the script says. What the worker does with sockets, this does with vectors.

mod deferred;
mod departure;
mod drain;
#[cfg(feature = "tls")]
mod ends;
mod fairness;
mod faults;
mod flow;
mod handshakes;
mod keepalive;
mod leaving;
mod life;
mod long;
mod places;
mod proxied;
#[cfg(feature = "tls")]
mod records;
mod relief;
mod rest;
#[cfg(feature = "tls")]
mod secure;
mod slow;
mod stops;
mod world;

use super::{Fate, Output, Session, Transport};
use crate::client::{Circular, Client, Courier, Letter, Mail};
use crate::hub::{Hub, Kit, Settings};
use crate::limits::Limits;
use crate::origin::Origin;
use crate::peer::Peer;
use crate::pending::Pending;
use crate::resource::{Closed, Reject, Resource};
use crate::round::Round;
use crate::routes::{Route, Routes};
use clws_proto::close::CloseCode;
use clws_proto::frame::{FrameHeader, OpCode};
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub(super) const REQUEST: &[u8] = b"GET /test?q=1 HTTP/1.1\r\nHost: localhost\r\n\
    Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// A socket that takes `room` bytes, at most `step` at a time, and then would block.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) room: usize,
    pub(super) step: usize,
    pub(super) broken: bool,
    pub(super) sent: Vec<u8>,
    pub(super) writes: usize,
}

impl Output for Wire {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writes += 1;
        if self.broken {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        let limit = self.room.min(self.step);
        if limit == 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let bytes = slices.iter().flat_map(|slice| slice.iter().copied());
        let before = self.sent.len();
        self.sent.extend(bytes.take(limit));
        let taken = self.sent.len() - before;
        self.room -= taken;
        Ok(taken)
    }
}

/// What user code saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Connected,
    Text(String),
    Binary(usize),
    Pong(Vec<u8>),
    Drained,
    Closing(u16, String),
    Disconnected(Closed),
}

type Act = Box<dyn Fn(&Client, &Call) + Send + Sync>;

/// Records every call and lets the test answer it.
struct Script {
    calls: Arc<Mutex<Vec<Call>>>,
    client: Arc<Mutex<Option<Client>>>,
    act: Act,
    keeps: Arc<AtomicBool>,
    pendings: Pendings,
}

/// Handshakes that wait for the test to decide them, if they do.
type Pendings = Arc<Mutex<Option<Vec<Pending>>>>;

impl Script {
    fn call(&self, client: &Client, call: Call) {
        self.client.lock().unwrap().get_or_insert_with(|| client.clone());
        (self.act)(client, &call);
        self.calls.lock().unwrap().push(call);
    }
}

impl Resource for Script {
    fn accept_later(&self, pending: Pending) -> Option<Pending> {
        match &mut *self.pendings.lock().unwrap() {
            Some(waiting) => {
                waiting.push(pending);
                None
            }
            None => Some(pending),
        }
    }
    fn connected(&self, client: &Client) -> Result<(), Reject> {
        self.call(client, Call::Connected);
        Ok(())
    }
    fn text(&self, client: &Client, message: &str) {
        self.call(client, Call::Text(message.to_owned()));
        if message == "echo" {
            client.send_text(message);
        }
    }
    fn binary(&self, client: &Client, message: &[u8]) {
        self.call(client, Call::Binary(message.len()));
        client.send_binary(message);
    }
    fn pong(&self, client: &Client, payload: &[u8]) {
        self.call(client, Call::Pong(payload.to_vec()));
    }
    fn drained(&self, client: &Client) {
        self.call(client, Call::Drained);
    }
    fn closing(&self, client: &Client, code: CloseCode, reason: &str) -> bool {
        self.call(client, Call::Closing(code.get(), reason.to_owned()));
        self.keeps.load(Ordering::Relaxed)
    }
    fn disconnected(&self, client: &Client, closed: &Closed) {
        self.call(client, Call::Disconnected(closed.clone()));
    }
}

/// Letters on their way to the session.
#[derive(Default)]
struct Post(Mutex<Vec<Mail>>);

impl Courier for Post {
    fn deliver(&self, letter: Letter) {
        self.0.lock().unwrap().push(letter.mail);
    }

    fn deliver_all(&self, circular: Circular) {
        self.0.lock().unwrap().extend(circular.rounds().flat_map(|(_, mails)| mails));
    }
}

/// One session and everything around it.
pub(super) struct Rig {
    pub(super) kit: Kit,
    pub(super) session: Session,
    pub(super) wire: Wire,
    round: Round,
    pub(super) fates: Vec<Fate>,
    /// Whether nothing more lies in the socket.
    pub(super) reads_out: bool,
    /// Whether the resource wants to close clients itself.
    pub(super) keeps: Arc<AtomicBool>,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "tests of TLS decide later"))]
    pub(super) pendings: Pendings,
    calls: Arc<Mutex<Vec<Call>>>,
    client: Arc<Mutex<Option<Client>>>,
    post: Arc<Post>,
}

impl Rig {
    pub(super) fn new(limits: Limits, act: Act) -> Self {
        Self::over(&Transport::Tcp, limits, act)
    }

    /// A session whose handshake is done, behind so many other clients of the server.
    pub(super) fn open_behind(others: u64, limits: Limits, act: Act) -> Self {
        let mut rig = Self::new(limits, act);
        for _ in 0..others {
            rig.kit.hub.next_id();
        }
        rig.session = Session::new(&rig.kit, 0, Peer::NAMELESS, &Transport::Tcp);
        rig.shake_hands();
        rig
    }

    pub(super) fn over(transport: &Transport, limits: Limits, act: Act) -> Self {
        Self::serving(Origin::any(), transport, limits, act)
    }

    fn serving(origin: Origin, transport: &Transport, limits: Limits, act: Act) -> Self {
        let settings = Settings { limits, ..Settings::default() };
        Self::set_up(settings, origin, "127.0.0.1:9", transport, act)
    }

    /// A session of a client at `peer`.
    pub(super) fn with(settings: Settings, peer: &str, transport: &Transport, act: Act) -> Self {
        Self::set_up(settings, Origin::any(), peer, transport, act)
    }

    fn set_up(
        settings: Settings,
        origin: Origin,
        peer: &str,
        transport: &Transport,
        act: Act,
    ) -> Self {
        let (calls, client, keeps) = (Arc::default(), Arc::default(), Arc::default());
        let pendings = Pendings::default();
        let script = Script {
            calls: Arc::clone(&calls),
            client: Arc::clone(&client),
            act,
            keeps: Arc::clone(&keeps),
            pendings: Arc::clone(&pendings),
        };
        let routes = Routes::default();
        routes.register(Route::new("/test", origin, script)).unwrap();
        let post = Arc::new(Post::default());
        let hub = Arc::new(Hub::counting(settings, routes, Arc::default()));
        let kit = Kit::new(hub, post.clone(), Instant::now());
        let peer: SocketAddr = peer.parse().unwrap();
        let session = Session::new(&kit, 0, peer.into(), transport);
        let wire =
            Wire { room: usize::MAX, step: usize::MAX, broken: false, sent: vec![], writes: 0 };
        let (round, fates, reads_out) = (Round::new(), Vec::new(), true);
        Self { kit, session, wire, round, fates, reads_out, keeps, pendings, calls, client, post }
    }

    /// A session whose handshake is done.
    pub(super) fn open(limits: Limits, act: Act) -> Self {
        let mut rig = Self::new(limits, act);
        rig.shake_hands();
        rig
    }

    /// Another client takes the place of the one before.
    pub(super) fn again(&mut self) {
        self.session = Session::new(&self.kit, 0, Peer::NAMELESS, &Transport::Tcp);
        *self.client.lock().unwrap() = None;
        self.take_sent();
        self.receive(REQUEST);
        assert_eq!(self.take_calls(), [Call::Connected]);
    }

    fn shake_hands(&mut self) {
        self.receive(REQUEST);
        let answer = String::from_utf8(self.take_sent()).unwrap();
        assert!(answer.starts_with("HTTP/1.1 101 "), "{answer}");
        assert_eq!(self.take_calls(), [Call::Connected]);
    }

    pub(super) fn idle() -> Act {
        Box::new(|_, _| {})
    }

    pub(super) fn client(&self) -> Client {
        self.client.lock().unwrap().clone().unwrap()
    }

    pub(super) fn receive(&mut self, bytes: &[u8]) {
        if self.receive_deferring(bytes) {
            self.answer();
        }
        self.look();
    }

    /// Takes `bytes` as an engine does that reads from others before it writes; whether the
    /// answers wait.
    fn receive_deferring(&mut self, bytes: &[u8]) -> bool {
        let mut buffer = bytes.to_vec();
        self.kit.deal();
        let Self { round, session, kit, wire, .. } = self;
        let waits = round.work((0, 0), session, kit, &mut buffer, wire);
        // Whatever still refers to the receive buffer would now send the wrong bytes.
        buffer.fill(0xEE);
        waits
    }

    /// Writes the answers that wait.
    fn answer(&mut self) {
        while let Some((_, answer)) = self.round.next_answer() {
            self.session.write_deferred(&mut self.kit, answer, &mut self.wire);
        }
    }

    /// The wire takes `room` more bytes.
    pub(super) fn make_room(&mut self, room: usize) {
        self.wire.room = self.wire.room.saturating_add(room);
        self.writable();
    }

    pub(super) fn writable(&mut self) {
        self.turn();
        self.look();
    }

    /// One turn without more input.
    pub(super) fn turn(&mut self) {
        self.kit.deal();
        self.session.handle_writable(&mut self.kit, &mut self.wire);
    }

    /// The server drains from now on.
    pub(super) fn drain(&mut self, drain: crate::Drain) {
        let kit = &mut self.kit;
        kit.hub.plan(drain, kit.now, |plan| kit.drain = Some(Arc::clone(plan)));
        self.session.handle_drain(&mut self.kit, &mut self.wire);
        self.look();
    }

    /// Nothing more lies in the socket.
    pub(super) fn read_out(&mut self) {
        self.reads_out = true;
        self.look();
    }

    pub(super) fn collect_mail(&mut self) {
        for mail in std::mem::take(&mut *self.post.0.lock().unwrap()) {
            self.session.handle_mail(&mut self.kit, mail, &mut self.wire);
        }
        self.writable();
    }

    pub(super) fn pass(&mut self, time: Duration) {
        let end = self.kit.now + time;
        while let Some(deadline) = self.session.deadline().filter(|d| *d <= end) {
            self.kit.now = deadline.max(self.kit.now);
            self.session.handle_timeout(&mut self.kit, &mut self.wire);
            self.look();
        }
        self.kit.now = end;
    }

    /// The process is stopped for so long and goes on: its engine is late.
    pub(super) fn stop(&mut self, time: Duration) {
        self.kit.now += time;
        if self.session.deadline().is_some_and(|deadline| deadline <= self.kit.now) {
            self.session.forgive(&self.kit);
            self.session.handle_timeout(&mut self.kit, &mut self.wire);
            self.look();
        }
    }

    fn look(&mut self) {
        if self.session.wants_turn() {
            self.turn();
        }
        while self.session.stash.is_some() && self.session.wants_turn() {
            self.turn();
        }
        if self.reads_out && self.session.is_reading_out() && self.session.wants_read() {
            self.session.handle_read_out(&mut self.kit, &mut self.wire);
        }
        let fate = self.session.fate(&mut self.kit, &mut self.wire);
        if fate != Fate::Keep && self.fates.last() != Some(&fate) {
            self.fates.push(fate);
        }
    }

    pub(super) fn take_sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.wire.sent)
    }

    pub(super) fn take_calls(&mut self) -> Vec<Call> {
        std::mem::take(&mut *self.calls.lock().unwrap())
    }

    pub(super) fn queued(&self) -> usize {
        self.session.waiting()
    }

    /// Whether the session holds memory of the worker's.
    pub(super) fn owns_buffers(&self) -> bool {
        let tls = self.session.tls.as_ref().is_some_and(|tls| tls.held() > 0);
        self.session.queue.is_some() || self.session.stash.is_some() || tls
    }
}

pub(super) fn masked(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    clws_proto::frame::write(&mut bytes, opcode, payload, Some([1, 2, 3, 4]));
    bytes
}

/// The frames a peer would read, and the bytes of an unfinished one at the end.
pub(super) fn frames(mut bytes: &[u8]) -> (Vec<(OpCode, Vec<u8>)>, usize) {
    let mut frames = Vec::new();
    while let Some((header, used)) = FrameHeader::parse(bytes).unwrap() {
        assert!(header.fin && header.mask.is_none() && !header.rsv1);
        let Some(payload) = bytes.get(used..used + header.len as usize) else { break };
        frames.push((header.opcode, payload.to_vec()));
        bytes = &bytes[used + payload.len()..];
    }
    (frames, bytes.len())
}
