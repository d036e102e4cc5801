//! Draining a server over sockets: nothing that was accepted is lost, and the end comes in time.

mod common;
#[path = "common/gate.rs"]
mod gate;

use clws::{CloseCode, Drain, DrainReport, Limits, Listener, Origin, Server, ServerHandle};
use common::raw::{End, FIN, Raw, TEXT, frame};
use common::{Events, Heard, Recorder, Running, echo, listen, millis};
use gate::Gate;
use std::thread::{self, JoinHandle};
use std::time::Duration;

const CLIENTS: usize = 200;
const MESSAGES: usize = 50;
const REASON: &str = "a new version comes";

fn drain(over: Duration) -> Drain {
    let mut drain = Drain::default();
    drain.over = over;
    drain.deadline = Some(Duration::from_secs(15));
    drain.code = CloseCode::RESTART;
    drain.reason = REASON.into();
    drain
}

/// Sends messages that the server has not read when this returns, as its gate is shut.
fn send_many(raw: &mut Raw) {
    let all: Vec<u8> =
        (0..MESSAGES).flat_map(|number| frame(FIN | TEXT, number.to_string().as_bytes())).collect();
    raw.send(&all);
}

/// All answers must come, then the close, which is answered.
fn read_to_the_end(raw: &mut Raw) {
    for number in 0..MESSAGES {
        assert_eq!(raw.frame().text(), number.to_string());
    }
    assert_eq!(raw.frame().close(), (1012, REASON));
    raw.close(1012, "");
    assert_eq!(raw.end(), End::Fin);
}

/// Echoes once the gate is open.
fn gated(gate: &Gate) -> (Recorder, Events) {
    let gate = gate.clone();
    Recorder::new(move |client, heard| {
        if matches!(heard, Heard::Text(_)) {
            gate.pass();
        }
        echo(client, heard);
    })
}

/// Has the server drain on another thread: its workers are not free yet.
fn start_draining(handle: &ServerHandle, drain: Drain) -> JoinHandle<DrainReport> {
    let handle = handle.clone();
    thread::spawn(move || handle.drain(drain).wait())
}

fn assert_all_clean(report: DrainReport, clients: usize) {
    let counts = (report.clients, report.clean, report.forced, report.refused);
    assert_eq!(counts, (clients as u64, clients as u64, 0, 0), "{report:?}");
}

#[test]
fn nothing_that_was_accepted_is_lost() {
    for over in [Duration::ZERO, millis(400)] {
        let gate = Gate::shut();
        let (recorder, events) = gated(&gate);
        let server = Server::builder().workers(2).resource("/", Origin::any(), recorder);
        let server = Running::start(server);
        let mut clients: Vec<Raw> = (0..CLIENTS).map(|_| server.raw("/")).collect();
        (0..CLIENTS).for_each(|_| _ = events.skip_to_connected());
        clients.iter_mut().for_each(send_many);
        let report = start_draining(&server.handle, drain(over));
        gate.open();
        clients.iter_mut().for_each(read_to_the_end);
        assert_all_clean(report.join().expect("no panic"), CLIENTS);
    }
}

#[test]
fn a_listener_works_off_what_it_has_queued() {
    let gate = Gate::shut();
    let (recorder, events) = gated(&gate);
    let listener = Listener::new(recorder).threads(2).max_client_events(8);
    let server = Server::builder().workers(1).resource("/", Origin::any(), listener);
    let server = Running::start(server);
    let mut clients: Vec<Raw> = (0..20).map(|_| server.raw("/")).collect();
    (0..20).for_each(|_| _ = events.skip_to_connected());
    clients.iter_mut().for_each(send_many);
    let report = start_draining(&server.handle, drain(Duration::ZERO));
    gate.open();
    clients.iter_mut().for_each(read_to_the_end);
    assert_all_clean(report.join().expect("no panic"), 20);
}

/// The addresses are free when the call returns, long before the last client has left.
#[test]
fn a_successor_binds_at_once() {
    let (server, events) = common::recording(Limits::default(), echo);
    let mut raw = server.raw("/");
    events.connected();
    let draining = server.handle.drain(drain(Duration::from_hours(1)));
    let (recorder, _successors) = Recorder::new(echo);
    let next = Server::builder().resource("/", Origin::any(), recorder);
    let next = next.bind(server.address.to_string()).expect("a free address").start().unwrap();
    for text in ["to the successor", "and to the old one"] {
        let mut new = Raw::open(server.address, "/");
        new.text(text);
        assert_eq!(new.frame().text(), text);
        raw.text(text);
        assert_eq!(raw.frame().text(), text);
    }
    server.handle.shutdown();
    assert_eq!(raw.frame().close(), (1012, REASON));
    raw.close(1012, "");
    assert_all_clean(draining.wait(), 1);
    next.shutdown();
}

#[test]
fn who_is_left_at_the_deadline_is_reset() {
    let mut limits = Limits::default();
    limits.close_timeout = Duration::from_hours(1);
    let (server, events) = common::recording(limits, listen);
    let mut silent = server.raw("/");
    events.connected();
    let mut polite = server.raw("/");
    events.connected();
    let mut drain = drain(Duration::ZERO);
    drain.deadline = Some(millis(300));
    let draining = server.handle.drain(drain);
    assert_eq!(polite.frame().close(), (1012, REASON));
    polite.close(1012, "");
    let report = draining.wait();
    assert_eq!((report.clients, report.clean, report.forced), (2, 1, 1), "{report:?}");
    assert_eq!(silent.frame().close(), (1012, REASON));
    assert_eq!(silent.end(), End::Reset);
}

#[test]
fn unfinished_handshakes_are_counted() {
    let (server, events) = common::recording(Limits::default(), listen);
    let mut unfinished = Raw::connect(server.address);
    unfinished.send(b"GET / HTTP/1.1\r\n");
    let mut raw = server.raw("/");
    events.connected();
    common::await_that("two connections", || server.handle.metrics().accepted == 2);
    let draining = server.handle.drain(Drain::default());
    assert_eq!(unfinished.answer().status, 503);
    assert_eq!(raw.frame().close(), (1001, "shutting down"));
    raw.close(1001, "");
    drop((raw, unfinished));
    let report = draining.wait();
    assert_eq!((report.clients, report.clean, report.refused), (1, 1, 1), "{report:?}");
}
