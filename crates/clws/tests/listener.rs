//! A listener seen as a resource: order, blocking, the opening handshake, rejections and panics.

mod common;
#[path = "common/gate.rs"]
mod gate;

use clws::{Accept, Cause, Client, CloseCode, Closed, Limits, Listener, Origin, Reject, Request};
use clws::{Resource, Response, Server};
use common::raw::{BINARY, End, FIN, PONG, Raw, request};
use common::{Event, Events, Heard, Recorder, Running, await_that, echo, millis};
use gate::{Gate, quiet};
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;

fn listening(
    threads: usize,
    act: impl Fn(&Client, Heard<'_>) + Send + Sync + 'static,
) -> (Running, Events) {
    let (recorder, events) = Recorder::new(act);
    let listener = Listener::new(recorder).threads(threads);
    let (echo, _) = Recorder::new(echo);
    let server = Server::builder().workers(1).resource("/", Origin::any(), listener).resource(
        "/echo",
        Origin::any(),
        echo,
    );
    (Running::start(server), events)
}

#[test]
fn every_event_comes_and_answers_go_back() {
    let (server, events) = listening(1, |client, heard| {
        echo(client, heard);
        if let Heard::Connected = heard {
            client.ping(b"there?");
        }
    });
    let mut raw = server.raw("/");
    assert_eq!(raw.frame().payload, b"there?");
    let client = events.connected();
    raw.send_frame(FIN | PONG, b"there?");
    assert!(matches!(events.next(), Event::Pong(_, payload) if payload == b"there?"));
    raw.text("one");
    assert_eq!((raw.frame().text(), &*events.text()), ("one", "one"));
    for size in [0, 2, 100_000, 500_000] {
        let bytes = vec![7; size];
        raw.send_frame(FIN | BINARY, &bytes);
        assert!(raw.frame().payload == bytes);
        let Event::Binary(told, found) = events.next() else { panic!("a binary message") };
        assert!(told == client && found == bytes);
    }
    raw.close(4000, "enough");
    assert_eq!(raw.closed().0, 4000);
    let (gone, closed) = events.disconnected();
    assert_eq!(gone, client);
    assert_eq!((closed.code, &*closed.reason, closed.cause), (4000, "enough", Cause::Peer));
    assert_eq!(events.so_far().len(), 0);
}

/// Checks that each client's messages come in order and never two at a time.
#[derive(Default)]
struct Orderly(Mutex<HashMap<u64, usize>>);

const BUSY: usize = usize::MAX;

impl Resource for Orderly {
    fn connected(&self, client: &Client) -> Result<(), Reject> {
        assert!(self.0.lock().unwrap().insert(client.id(), 0).is_none());
        Ok(())
    }

    fn text(&self, client: &Client, message: &str) {
        let found = self.0.lock().unwrap().insert(client.id(), BUSY).expect("it is connected");
        assert_eq!(found.to_string(), message);
        thread::yield_now();
        client.send_text(message);
        let was = self.0.lock().unwrap().insert(client.id(), found + 1);
        assert_eq!(was, Some(BUSY));
    }

    fn disconnected(&self, client: &Client, _: &Closed) {
        assert_ne!(self.0.lock().unwrap().remove(&client.id()), Some(BUSY));
    }
}

#[test]
fn the_events_of_a_client_keep_their_order_on_many_threads() {
    const CLIENTS: usize = 8;
    const COUNT: usize = 1000;
    let listener = Listener::new(Orderly::default()).threads(4);
    let handle = listener.handle();
    let server = Server::builder().workers(2).resource("/", Origin::any(), listener);
    let server = Running::start(server);
    let talkers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let mut raw = server.raw("/");
            let mut speaker = Raw::over(raw.stream.try_clone().unwrap());
            let speaking = thread::spawn(move || {
                (0..COUNT).for_each(|count| speaker.text(&count.to_string()));
            });
            let hearing = thread::spawn(move || {
                (0..COUNT).for_each(|count| assert_eq!(raw.frame().text(), count.to_string()));
            });
            [speaking, hearing]
        })
        .collect();
    talkers.into_iter().flatten().for_each(|talker| talker.join().unwrap());
    await_that("all have left", || handle.resource().0.lock().unwrap().is_empty());
    assert_eq!(server.handle.metrics().panics, 0);
    assert_eq!((handle.queued_bytes(), handle.queued_events()), (0, 0));
}

/// Two callbacks that wait for each other: only threads that run at the same time get on.
#[test]
fn different_clients_run_in_parallel() {
    let both = Barrier::new(2);
    let (server, _events) = listening(2, move |client, heard| {
        if let Heard::Text(text) = heard {
            both.wait();
            client.send_text(text);
        }
    });
    let (mut one, mut two) = (server.raw("/"), server.raw("/"));
    for _ in 0..50 {
        one.text("one");
        two.text("two");
        assert_eq!((one.frame().text(), two.frame().text()), ("one", "two"));
    }
}

#[test]
fn a_blocking_callback_is_nothing_to_the_clients_of_other_resources() {
    let gate = Gate::shut();
    let blocking = gate.clone();
    let (server, events) = listening(1, move |client, heard| {
        if let Heard::Text(text) = heard {
            blocking.pass();
            client.send_text(text);
        }
    });
    let mut raw = server.raw("/");
    events.connected();
    raw.text("blocked");
    assert_eq!(events.text(), "blocked");
    // There is one worker: it has time for these.
    server.turns();
    raw.text("waits");
    server.turns();
    assert_eq!(events.so_far().len(), 0);
    gate.open();
    assert_eq!((raw.frame().text(), raw.frame().text()), ("blocked", "waits"));
}

/// Looks something up before it accepts: behind its gate, where the query asks for that.
struct Lookup {
    gate: Gate,
    asked: Arc<AtomicUsize>,
    recorder: Recorder,
}

impl Resource for Lookup {
    fn accept(&self, request: &Request) -> Result<Accept, Reject> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match request.query_string() {
            Some("slow") => self.gate.pass(),
            Some("panic") => panic!("on purpose"),
            Some("no") => return Err(Reject::forbidden("not you")),
            _ => {}
        }
        Ok(Accept::new().subprotocol("chat").data(7_u8))
    }

    fn get(&self, _: &Request) -> Option<Response> {
        Response::new(200).with_body("text/plain", "a page").ok()
    }

    fn connected(&self, client: &Client) -> Result<(), Reject> {
        assert_eq!(client.data::<u8>(), Some(&7));
        self.recorder.connected(client)
    }

    fn text(&self, client: &Client, message: &str) {
        self.recorder.text(client, message);
    }

    fn disconnected(&self, client: &Client, closed: &Closed) {
        self.recorder.disconnected(client, closed);
    }
}

const CHAT: &str = "Sec-WebSocket-Protocol: chat\r\n";

fn lookup(
    limits: Limits,
    threads: usize,
    room: usize,
) -> (Running, Events, Gate, Arc<AtomicUsize>) {
    quiet();
    let (recorder, events) = Recorder::new(echo);
    let (gate, asked) = (Gate::shut(), Arc::new(AtomicUsize::new(0)));
    let lookup = Lookup { gate: gate.clone(), asked: asked.clone(), recorder };
    let listener = Listener::new(lookup).threads(threads).max_handshakes(room);
    let server = Server::builder().workers(1).limits(limits).resource("/", Origin::any(), listener);
    (Running::start(server), events, gate, asked)
}

/// Sends an opening handshake whose answer will wait.
fn ask(server: &Running, path: &str) -> Raw {
    let mut raw = Raw::connect(server.address);
    let request = request(&raw.host(), path, CHAT);
    raw.send(request.as_bytes());
    raw
}

#[test]
fn accept_may_block_while_other_clients_go_on() {
    let (server, events, gate, asked) = lookup(Limits::default(), 2, 9);
    let mut slow = ask(&server, "/?slow");
    await_that("the lookup begins", || asked.load(Ordering::SeqCst) == 1);
    // It may already send: that waits too.
    slow.text("early");
    for _ in 0..3 {
        let mut other = ask(&server, "/");
        assert_eq!(other.upgraded().header("Sec-WebSocket-Protocol"), Some("chat"));
        other.text("hello");
        assert_eq!(other.frame().text(), "hello");
    }
    assert_eq!(ask(&server, "/?no").answer().status, 403);
    assert_eq!(ask(&server, "/?panic").answer().status, 500);
    assert_eq!(server.handle.metrics().panics, 1);
    gate.open();
    assert_eq!(slow.upgraded().header("Sec-WebSocket-Protocol"), Some("chat"));
    assert_eq!(slow.frame().text(), "early");
    drop(events);
}

#[test]
fn pages_are_answered() {
    let (server, ..) = lookup(Limits::default(), 1, 9);
    let mut raw = Raw::connect(server.address);
    raw.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let answer = raw.answer();
    assert_eq!((answer.status, &*answer.body), (200, "a page"));
}

/// A decision that comes too late decides nothing, and a handshake whose time is up before its
/// turn is not even looked at.
#[test]
fn an_accept_slower_than_the_handshakes_deadline_is_a_408() {
    let mut limits = Limits::default();
    limits.handshake_timeout = millis(100);
    let (server, events, gate, asked) = lookup(limits, 1, 9);
    let mut slow = ask(&server, "/?slow");
    await_that("the lookup begins", || asked.load(Ordering::SeqCst) == 1);
    let mut behind = ask(&server, "/");
    assert_eq!((slow.answer().status, behind.answer().status), (408, 408));
    assert_eq!((slow.end(), behind.end()), (End::Fin, End::Fin));
    gate.open();
    let mut next = ask(&server, "/");
    next.upgraded();
    next.text("hello");
    assert_eq!(next.frame().text(), "hello");
    events.connected();
    assert_eq!(events.text(), "hello");
    assert_eq!(asked.load(Ordering::SeqCst), 2);
    assert_eq!(server.handle.metrics().connected, 1);
}

#[test]
fn handshakes_that_find_no_room_get_503() {
    let (server, _events, gate, asked) = lookup(Limits::default(), 1, 2);
    let mut slow = ask(&server, "/?slow");
    await_that("the lookup begins", || asked.load(Ordering::SeqCst) == 1);
    // The one that is looked up counts.
    let (one, two) = (ask(&server, "/"), ask(&server, "/"));
    await_that("one is refused", || server.handle.metrics().refused == 1);
    gate.open();
    slow.upgraded();
    let answers = [one, two].map(|mut raw| raw.answer().status);
    assert!(answers == [101, 503] || answers == [503, 101], "{answers:?}");
}

/// Rejects every client once its gate is open.
struct Strict {
    gate: Gate,
    recorder: Recorder,
}

impl Resource for Strict {
    fn connected(&self, client: &Client) -> Result<(), Reject> {
        self.recorder.connected(client)?;
        self.gate.pass();
        Err(Reject::new(403, "not here").close_code(CloseCode::new(4001).unwrap()))
    }

    fn text(&self, client: &Client, message: &str) {
        self.recorder.text(client, message);
    }

    fn disconnected(&self, client: &Client, closed: &Closed) {
        self.recorder.disconnected(client, closed);
    }
}

#[test]
fn what_a_rejected_client_sent_is_dropped() {
    let (recorder, events) = Recorder::new(common::listen);
    let gate = Gate::shut();
    let listener = Listener::new(Strict { gate: gate.clone(), recorder }).max_client_events(3);
    let handle = listener.handle();
    let server = Running::start(Server::builder().resource("/", Origin::any(), listener));
    let mut raw = server.raw("/");
    events.connected();
    (0..10).for_each(|_| raw.text("let me in"));
    await_that("its share is full", || handle.queued_events() == 3);
    gate.open();
    assert_eq!(raw.frame().close(), (4001, "not here"));
    raw.text("please");
    raw.close(4001, "");
    assert_eq!(raw.end(), End::Fin);
    let (_, closed) = events.disconnected();
    assert_eq!((closed.cause, closed.code, closed.clean), (Cause::Rejected, 4001, true));
    await_that("nothing is left", || handle.queued_events() == 0);
    // The next one leaves before it is decided about.
    let gate = Gate::shut();
    let (recorder, events) = Recorder::new(common::listen);
    let listener = Listener::new(Strict { gate: gate.clone(), recorder });
    server.handle.register("/late", Origin::any(), listener).unwrap();
    let mut raw = server.raw("/late");
    let client = events.connected();
    raw.text("hello?");
    raw.close(1000, "");
    raw.closed();
    await_that("it has left", || !client.is_open());
    gate.open();
    assert_eq!(events.disconnected().1.cause, Cause::Rejected);
}

/// Panics in the callback that the query names; otherwise an echo.
struct Fragile(Recorder);

fn panic_if(client: &Client, callback: &str) {
    assert!(client.query_string() != Some(callback), "on purpose");
}

impl Resource for Fragile {
    fn connected(&self, client: &Client) -> Result<(), Reject> {
        panic_if(client, "connected");
        Ok(())
    }

    fn text(&self, client: &Client, message: &str) {
        self.0.text(client, message);
        panic_if(client, "text");
    }

    fn disconnected(&self, client: &Client, closed: &Closed) {
        self.0.disconnected(client, closed);
        panic_if(client, "disconnected");
    }
}

#[test]
fn a_panic_closes_its_client_with_1011_and_the_listener_goes_on() {
    quiet();
    let (recorder, events) = Recorder::new(echo);
    let listener = Listener::new(Fragile(recorder));
    let server = Running::start(Server::builder().resource("/", Origin::any(), listener));
    let mut innocent = server.raw("/");
    for (count, callback) in [(1, "connected"), (2, "text"), (3, "text")] {
        let mut raw = server.raw(&format!("/?{callback}"));
        raw.send(&[raw_text("first"), raw_text("second")].concat());
        if callback == "text" {
            assert_eq!(raw.frame().text(), "first", "what was sent before the panic");
            assert_eq!(events.text(), "first");
        }
        assert_eq!(raw.frame().close().0, 1011);
        raw.close(1011, "");
        assert_eq!(raw.end(), End::Fin);
        let (_, closed) = events.disconnected();
        assert_eq!((closed.cause, closed.clean), (Cause::Panic, true), "{callback}");
        assert_eq!(server.handle.metrics().panics, count);
        innocent.text("still here");
        assert_eq!(innocent.frame().text(), "still here");
        assert_eq!(events.text(), "still here");
    }
    let mut raw = server.raw("/?disconnected");
    raw.close(1000, "");
    assert_eq!(raw.closed().0, 1000);
    events.disconnected();
    await_that("the panic is counted", || server.handle.metrics().panics == 4);
    innocent.text("still here");
    assert_eq!(innocent.frame().text(), "still here");
}

fn raw_text(text: &str) -> Vec<u8> {
    common::raw::frame(FIN | common::raw::TEXT, text.as_bytes())
}
