//! Handshakes that are decided later, from another thread, and those that nobody decides.

mod common;

use clws::{Accept, Cause, Client, Closed, Limits, Origin, Pending, Reject, Request, Resource};
use clws::{CloseCode, Server};
use common::raw::{End, FIN, PATIENCE, PONG, Raw, TEXT, frame, request};
use common::{Event, Events, Recorder, Running, await_that, echo, millis, ws};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

/// Passes every handshake on, but those whose query says otherwise.
struct Later {
    recorder: Recorder,
    pending: Sender<Pending>,
}

impl Resource for Later {
    fn accept(&self, request: &Request) -> Result<Accept, Reject> {
        assert_eq!(request.query_string(), Some("now"), "decided twice");
        Ok(Accept::new().data("decided at once"))
    }

    fn accept_later(&self, pending: Pending) -> Option<Pending> {
        match pending.request().query_string() {
            Some("now") => return Some(pending),
            Some("panic") => panic!("an accept_later that panics on purpose"),
            _ => {}
        }
        self.pending.send(pending).expect("the test listens");
        None
    }

    fn connected(&self, client: &Client) -> Result<(), Reject> {
        self.recorder.connected(client)
    }

    fn text(&self, client: &Client, message: &str) {
        self.recorder.text(client, message);
    }

    fn disconnected(&self, client: &Client, closed: &Closed) {
        self.recorder.disconnected(client, closed);
    }
}

/// One worker and one place, so that a place that is lost is missed.
struct Waiting {
    server: Running,
    pending: Receiver<Pending>,
    events: Events,
}

impl Waiting {
    fn start(mut limits: Limits) -> Self {
        limits.max_clients = Some(1);
        let (recorder, events) = Recorder::new(echo);
        let (sender, pending) = channel();
        let later = Later { recorder, pending: sender };
        let server =
            Server::builder().workers(1).limits(limits).resource("/", Origin::any(), later);
        Self { server: Running::start(server), pending, events }
    }

    #[track_caller]
    fn handshake(&self) -> Pending {
        self.pending.recv_timeout(PATIENCE).expect("a handshake")
    }

    /// Sends a handshake and gives what waits for a decision.
    fn ask(&self, query: &str, extra: &str) -> (Raw, Pending) {
        let mut raw = Raw::connect(self.server.address);
        raw.send(request("localhost", &format!("/?{query}"), extra).as_bytes());
        let pending = self.handshake();
        assert_eq!(pending.request().query_string(), Some(query));
        (raw, pending)
    }

    /// Whether the one place is free: a client gets it, is served, and leaves.
    #[track_caller]
    fn place_is_free(&self) {
        // The end of the one before may still be under way.
        await_that("the place is free", || {
            let mut raw = Raw::connect(self.server.address);
            raw.send(request("localhost", "/?now", "").as_bytes());
            let status = raw.answer().status;
            assert!(matches!(status, 101 | 503), "{status}");
            if status == 101 {
                raw.text("served");
                assert_eq!(raw.frame().text(), "served");
                raw.close(1000, "");
                raw.closed();
            }
            status == 101
        });
    }
}

/// The whole answer comes from the other thread: subprotocol, headers, data.
#[test]
fn a_handshake_is_decided_on_another_thread() {
    let waiting = Waiting::start(Limits::default());
    let address = waiting.server.address;
    let connecting = thread::spawn(move || {
        ws::open_with(address, "/?later", &[("Sec-WebSocket-Protocol", "a, b")])
    });
    let pending = waiting.handshake();
    assert_eq!(waiting.server.handle.client_count(), 0);
    let offers: Vec<_> = pending.request().subprotocols().map(str::to_owned).collect();
    assert_eq!(offers, ["a", "b"]);
    let accept = Accept::new().subprotocol("b").header("X-Decided", "later").unwrap();
    pending.decide(Ok(accept.data(42_u32)));
    let (mut ws, answer) = connecting.join().unwrap();
    assert_eq!(answer.headers()["sec-websocket-protocol"], "b");
    assert_eq!(answer.headers()["x-decided"], "later");
    let client = waiting.events.connected();
    assert_eq!((client.subprotocol(), client.data::<u32>()), (Some("b"), Some(&42)));
    ws.send("hello".into()).unwrap();
    assert_eq!(ws.read().unwrap().to_text().unwrap(), "hello");
}

/// Frames that come while the decision is awaited are heard after it, in order.
#[test]
fn what_is_sent_meanwhile_waits() {
    let waiting = Waiting::start(Limits::default());
    let mut raw = Raw::connect(waiting.server.address);
    let behind = frame(FIN | TEXT, b"in the same segment");
    raw.send(&[request("localhost", "/?later", "").as_bytes(), &behind].concat());
    let pending = waiting.handshake();
    raw.text("before the answer");
    pending.decide(Ok(Accept::new()));
    raw.upgraded();
    raw.text("after it");
    waiting.events.connected();
    for expected in ["in the same segment", "before the answer", "after it"] {
        assert_eq!(waiting.events.text(), expected);
        assert_eq!(raw.frame().text(), expected);
    }
}

/// While one handshake waits, others of the same worker are decided and served.
#[test]
fn nobody_else_waits() {
    let (sender, pending) = channel();
    let later = Later { recorder: Recorder::new(echo).0, pending: sender };
    let server = Server::builder().workers(1).resource("/", Origin::any(), later);
    let server = Running::start(server);
    let mut waits = Raw::connect(server.address);
    waits.send(request("localhost", "/?later", "").as_bytes());
    let undecided = pending.recv_timeout(PATIENCE).unwrap();
    let mut other = server.raw("/?now");
    other.text("served");
    assert_eq!(other.frame().text(), "served");
    undecided.decide(Ok(Accept::new()));
    waits.upgraded();
}

#[test]
fn a_refusal_may_come_later_too() {
    let waiting = Waiting::start(Limits::default());
    let (mut raw, pending) = waiting.ask("later", "");
    pending.decide(Err(Reject::new(418, "short and stout")));
    let answer = raw.answer();
    assert_eq!(answer.status, 418);
    assert!(answer.body.contains("short and stout"), "{answer:?}");
    assert_eq!(raw.end(), End::Fin);
    // A subprotocol that was not offered is the server's mistake, as ever.
    waiting.place_is_free();
    let (mut raw, pending) = waiting.ask("later", "");
    pending.decide(Ok(Accept::new().subprotocol("unoffered")));
    assert_eq!(raw.answer().status, 500);
    waiting.place_is_free();
}

#[test]
fn a_handshake_that_nobody_decides_gets_500() {
    let waiting = Waiting::start(Limits::default());
    let (mut raw, pending) = waiting.ask("later", "");
    drop(pending);
    assert_eq!(raw.answer().status, 500);
    assert_eq!(raw.end(), End::Fin);
    waiting.place_is_free();
    let mut raw = Raw::connect(waiting.server.address);
    raw.send(request("localhost", "/?panic", "").as_bytes());
    assert_eq!(raw.answer().status, 500);
    waiting.place_is_free();
    assert_eq!(waiting.server.handle.metrics().panics, 1);
}

/// The handshake's time counts on while it waits; a decision that comes later is for nobody.
#[test]
fn a_handshake_that_waits_too_long_gets_408() {
    let mut limits = Limits::default();
    limits.handshake_timeout = millis(200);
    let waiting = Waiting::start(limits);
    let (mut raw, pending) = waiting.ask("later", "");
    assert_eq!(raw.answer().status, 408);
    assert_eq!(raw.end(), End::Fin);
    waiting.place_is_free();
    pending.decide(Ok(Accept::new()));
    waiting.place_is_free();
    let connected = waiting.server.handle.metrics().connected;
    assert!(connected >= 2, "only those that found the place free: {connected}");
    for event in waiting.events.so_far() {
        let (Event::Connected(client) | Event::Text(client, _) | Event::Disconnected(client, _)) =
            event
        else {
            panic!("{event:?}")
        };
        assert_eq!(client.query_string(), Some("now"));
    }
}

/// The client is gone before it is decided about: whatever was decided, its place is free again
/// and what `connected` was told of, `disconnected` is told of too.
#[test]
fn a_client_that_left_before_the_decision_takes_no_place() {
    let waiting = Waiting::start(Limits::default());
    for by_reset in [false, true] {
        for accepted in [true, false] {
            let (raw, pending) = waiting.ask("later", "");
            if by_reset {
                common::reset(raw.stream);
            } else {
                drop(raw);
            }
            let no = || Reject::forbidden("too late");
            pending.decide(if accepted { Ok(Accept::new()) } else { Err(no()) });
            waiting.place_is_free();
        }
    }
    let metrics = || waiting.server.handle.metrics();
    await_that("all are gone", || metrics().connected == metrics().disconnected);
    assert_eq!(waiting.server.handle.client_count(), 0);
    let events = waiting.events.so_far();
    let count = |what: fn(&Event) -> bool| events.iter().filter(|event| what(event)).count();
    assert_eq!(
        count(|event| matches!(event, Event::Connected(_))),
        count(|event| matches!(event, Event::Disconnected(..)))
    );
}

/// A shutdown does not wait for a decision, and a decision does not mind that the server is gone.
#[test]
fn a_shutdown_ends_a_handshake_that_waits() {
    let waiting = Waiting::start(Limits::default());
    let (mut raw, pending) = waiting.ask("later", "");
    waiting.server.handle.shutdown();
    assert_eq!(raw.answer().status, 503);
    assert_eq!(raw.end(), End::Fin);
    drop(raw);
    waiting.server.handle.join();
    pending.decide(Ok(Accept::new()));
    assert_eq!(waiting.server.handle.metrics().connected, 0);
}

/// After a rejection by `connected` nothing that the client sent or sends is heard, and
/// `disconnected` says why it left.
#[test]
fn a_client_that_connected_rejects_is_not_heard() {
    struct Rejecting(Recorder);
    impl Resource for Rejecting {
        fn connected(&self, _: &Client) -> Result<(), Reject> {
            Err(Reject::forbidden("no").close_code(CloseCode::TRY_AGAIN))
        }
        fn text(&self, client: &Client, message: &str) {
            self.0.text(client, message);
        }
        fn pong(&self, client: &Client, payload: &[u8]) {
            self.0.pong(client, payload);
        }
        fn disconnected(&self, client: &Client, closed: &Closed) {
            self.0.disconnected(client, closed);
        }
    }
    let (recorder, events) = Recorder::new(echo);
    let server = Server::builder().resource("/", Origin::any(), Rejecting(recorder));
    let server = Running::start(server);
    let mut raw = Raw::connect(server.address);
    let sent = [frame(FIN | TEXT, b"already sent"), frame(FIN | PONG, b"a pong")].concat();
    raw.send(&[request("localhost", "/", "").as_bytes(), &sent].concat());
    raw.upgraded();
    assert_eq!(raw.frame().close(), (1013, "no"));
    raw.text("sent later");
    raw.close(1013, "");
    assert_eq!(raw.end(), End::Fin);
    let (client, closed) = events.disconnected();
    assert_eq!((closed.cause, closed.clean), (Cause::Rejected, true));
    assert!(!client.is_open());
    assert!(events.so_far().is_empty());
}
