//! Clients that the server closes in its own time, over sockets: nothing they had sent is lost.

mod common;
#[path = "common/gate.rs"]
mod gate;

use clws::{Cause, Client, Limits, Listener, Origin, Server};
use common::raw::{CLOSE, FIN, TEXT, frame};
use common::{Events, Heard, Recorder, Running, await_that, echo, millis};
use gate::Gate;
use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const LIFE: Duration = millis(300);

fn short_life() -> Limits {
    let mut limits = Limits::default();
    limits.max_lifetime = Some(LIFE);
    limits
}

/// Echoes at `/`, but a client that says "wait" waits for the gate in its callback.
fn recorder(gate: &Gate) -> (Recorder, Events) {
    let gate = gate.clone();
    Recorder::new(move |client, heard| {
        if matches!(heard, Heard::Text("wait")) {
            gate.pass();
        }
        echo(client, heard);
    })
}

/// Until a client that came before `start` has to leave.
fn await_end_of_life(start: Instant) {
    await_that("the end of a short life", || start.elapsed() > LIFE);
}

#[test]
fn what_lies_in_the_socket_when_the_time_is_up_is_answered_first() {
    const COUNT: usize = 400;
    let gate = Gate::shut();
    let (recorder, events) = recorder(&gate);
    let server = Server::builder().workers(1).limits(short_life());
    let server = Running::start(server.resource("/", Origin::any(), recorder));
    let mut raw = server.raw("/");
    events.connected();
    // The worker is kept while more comes than it reads in one turn.
    raw.text("wait");
    assert_eq!(events.text(), "wait");
    let start = Instant::now();
    let messages: Vec<u8> =
        (0..COUNT).flat_map(|_| frame(FIN | TEXT, [b'x'; 512].as_slice())).collect();
    raw.send(&messages);
    await_end_of_life(start);
    gate.open();
    assert_eq!(raw.frame().text(), "wait");
    for _ in 0..COUNT {
        assert_eq!(raw.frame().text().len(), 512);
    }
    assert_eq!(raw.frame().close(), (1001, "connected for long enough"));
    raw.close(1001, "");
    assert_eq!(events.skip_to_disconnected().1.cause, Cause::Lifetime);
}

#[test]
fn what_waits_in_a_listener_is_answered_first() {
    const COUNT: usize = 200;
    let gate = Gate::shut();
    let (recorder, events) = recorder(&gate);
    let listener = Listener::new(recorder).max_client_events(8);
    let server = Server::builder().workers(1).limits(short_life());
    let server = Running::start(server.resource("/", Origin::any(), listener));
    let mut raw = server.raw("/");
    events.connected();
    raw.text("wait");
    assert_eq!(events.text(), "wait");
    let start = Instant::now();
    for number in 0..COUNT {
        raw.text(&number.to_string());
    }
    await_end_of_life(start);
    gate.open();
    assert_eq!(raw.frame().text(), "wait");
    for number in 0..COUNT {
        assert_eq!(raw.frame().text(), number.to_string());
    }
    assert_eq!(raw.frame().close(), (1001, "connected for long enough"));
    raw.close(1001, "");
    let (_, closed) = events.skip_to_disconnected();
    assert_eq!((closed.cause, closed.clean), (Cause::Lifetime, true));
}

/// Says numbers to the server without a pause, until the connection is gone.
fn talk_on(mut stream: TcpStream) {
    let texts = (0_u32..).map(|number| frame(FIN | TEXT, number.to_string().as_bytes()));
    for text in texts {
        if stream.write_all(&text).is_err() {
            return;
        }
    }
}

/// Says numbers to the client without a pause, but as fast as it takes them; how many were taken.
fn push_on(client: &Client) -> u32 {
    let mut number = 0;
    while client.send_text(&format!("push {number}")).is_sent() {
        number += 1;
        await_that("the client takes what there is", || client.queued_bytes() < 32 * 1024);
    }
    number
}

/// Answers, and other messages, that the server took to be sent arrive before the close. One that
/// meets the close, sent by another thread at that moment, may be too late and not know it.
#[test]
fn a_client_that_never_pauses_leaves_in_time_and_loses_nothing() {
    for on_a_listener in [false, true] {
        let accepted = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&accepted);
        let (recorder, events) = Recorder::new(move |client, heard| {
            if let Heard::Text(text) = heard {
                let taken = client.send_text(text).is_sent();
                counted.fetch_add(taken.into(), Ordering::Relaxed);
            }
        });
        let mut limits = short_life();
        // On a machine that does other things too the peer needs time to come to the close frame.
        limits.close_timeout = 4 * LIFE;
        let server = Server::builder().limits(limits);
        let server = Running::start(if on_a_listener {
            server.resource("/", Origin::any(), Listener::new(recorder))
        } else {
            server.resource("/", Origin::any(), recorder)
        });
        let mut raw = server.raw("/");
        let client = events.connected();
        let stream = raw.stream.try_clone().expect("a socket");
        let talking = thread::spawn(move || talk_on(stream));
        let pushing = thread::spawn(move || push_on(&client));
        let (mut answers, mut pushes) = (0_u32, 0_u32);
        let (code, reason) = loop {
            let frame = raw.frame();
            if frame.opcode == CLOSE {
                break (frame.close().0, frame.close().1.to_owned());
            }
            if let Some(number) = frame.text().strip_prefix("push ") {
                assert_eq!(number, pushes.to_string());
                pushes += 1;
            } else {
                assert_eq!(frame.text(), answers.to_string());
                answers += 1;
            }
        };
        assert_eq!((code, &*reason), (1001, "connected for long enough"));
        raw.stream.shutdown(Shutdown::Both).expect("a socket");
        talking.join().expect("no panic");
        let sent = pushing.join().expect("no panic");
        let (_, closed) = events.skip_to_disconnected();
        let accepted = accepted.load(Ordering::Relaxed);
        let met_the_close = u32::from(on_a_listener);
        assert!(accepted - answers <= met_the_close, "of {accepted} answers {answers} came");
        assert!(sent - pushes <= 1, "of {sent} messages {pushes} came");
        assert_eq!(closed.cause, Cause::Lifetime);
        assert!(answers > 100 && pushes > 100, "both were busy: {answers}, {pushes}");
    }
}

#[test]
fn an_idle_client_leaves_and_a_talking_one_stays() {
    let mut limits = Limits::default();
    limits.idle_timeout = Some(LIFE);
    let (server, events) = common::recording(limits, echo);
    let mut idle = server.raw("/");
    let idler = events.connected();
    let mut talking = server.raw("/");
    let start = Instant::now();
    while idler.is_open() || start.elapsed() < 3 * LIFE {
        talking.text("here");
        assert_eq!(talking.frame().text(), "here");
    }
    assert_eq!(idle.frame().close(), (1001, "idle for too long"));
    idle.close(1001, "");
    assert_eq!(events.skip_to_disconnected().1.cause, Cause::Idle);
    talking.text("still here");
    assert_eq!(talking.frame().text(), "still here");
}

#[test]
fn times_of_zero_are_refused() {
    let set: [fn(&mut Limits); 2] = [
        |limits| limits.idle_timeout = Some(Duration::ZERO),
        |limits| limits.max_lifetime = Some(Duration::ZERO),
    ];
    for set in set {
        let mut limits = Limits::default();
        set(&mut limits);
        let server = Server::builder().limits(limits).bind("127.0.0.1:0").unwrap();
        assert!(matches!(server.start(), Err(clws::Error::Limits(_))));
    }
}
