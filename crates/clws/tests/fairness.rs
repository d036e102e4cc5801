//! Clients that flood a worker, and others beside them: nobody has more than a share of each turn.
//!
//! The worker is held up in a callback until everything is there to be read, so that the order of
//! what it does then does not hang on time.

mod common;
#[path = "common/gate.rs"]
mod gate;

use clws::{Limits, Listener, Origin, Server};
use common::raw::{BINARY, FIN, PING, Raw, TEXT, frame};
use common::{Event, Heard, Recorder, Running, await_that, echo, narrow};
use gate::Gate;
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// More than one read brings, in frames as small as they come.
const FLOOD: usize = 100_000;
/// What one client may have done in one turn, and as much again for the turn that was under way.
const SHARES: usize = 2 * 32;

/// Fills the sockets with one client's flood and one question each of others, while the worker is
/// held up; gives the order in which it heard of them: `None` stands for the flood.
fn order_beside(flood: &[u8], others: usize) -> Vec<Option<usize>> {
    let (gate, held) = (Gate::shut(), Arc::new(AtomicBool::new(false)));
    let (passes, holds) = (gate.clone(), Arc::clone(&held));
    let (recorder, events) = Recorder::new(move |_, heard| {
        if let Heard::Text("hold") = heard {
            holds.store(true, Ordering::Release);
            passes.pass();
        }
    });
    let server = Server::builder().workers(1).resource("/", Origin::any(), recorder);
    let server = Running::start(server);
    let mut holder = server.raw("/");
    let mut flooder = server.raw("/");
    let mut askers: Vec<Raw> = (0..others).map(|_| server.raw("/")).collect();
    holder.text("hold");
    await_that("the worker is held up", || held.load(Ordering::Acquire));
    // What the sockets do not take in comes later; it is much more than a share.
    flooder.stream.set_nonblocking(true).unwrap();
    let mut taken = 0;
    while let Ok(count @ 1..) = flooder.stream.write(&flood[taken..]) {
        taken += count;
    }
    assert!(taken > 20_000, "{taken} bytes wait");
    for (number, asker) in askers.iter_mut().enumerate() {
        asker.text(&number.to_string());
    }
    gate.open();
    let mut order = Vec::new();
    while order.iter().flatten().count() < others {
        match events.next() {
            Event::Text(_, text) if text == "hold" => {}
            Event::Text(_, text) => order.push(text.parse().ok()),
            Event::Connected(_) => {}
            other => panic!("{other:?}"),
        }
    }
    order
}

/// D4: frames of one byte, as many as fit, and others who ask one question each.
#[test]
fn a_flood_of_tiny_frames_leaves_the_others_their_turns() {
    let order = order_beside(&frame(FIN | TEXT, b"x").repeat(FLOOD), 20);
    let of_flood = order.iter().filter(|from| from.is_none()).count();
    assert!(of_flood <= SHARES, "{of_flood} frames of the flood came before others' first");
}

/// The same with pings, of which user code hears nothing: a question behind more than a share of
/// them has to wait, one of another client has not.
#[test]
fn a_flood_of_pings_leaves_the_others_their_turns() {
    let pings = frame(FIN | PING, b"").repeat(SHARES + 1);
    let flood = [pings, frame(FIN | TEXT, b"x")].concat().repeat(FLOOD / SHARES);
    let order = order_beside(&flood, 20);
    assert_eq!(order.iter().filter(|from| from.is_none()).count(), 0);
}

/// One flood beside another: each goes on while the other does, and both arrive whole.
#[test]
fn two_floods_take_turns() {
    const EACH: usize = 5000;
    let (recorder, events) = Recorder::new(echo);
    let server = Server::builder().workers(1).resource("/", Origin::any(), recorder);
    let server = Running::start(server);
    let mut clients = [server.raw("/"), server.raw("/")];
    for raw in &clients {
        let mut sender = Raw::over(raw.stream.try_clone().unwrap());
        std::thread::spawn(move || {
            for number in 0..EACH {
                sender.text(&number.to_string());
            }
        });
    }
    for raw in &mut clients {
        for number in 0..EACH {
            assert_eq!(raw.frame().text(), number.to_string());
        }
    }
    drop(events);
}

/// Long messages of many clients at once: none of them waits for ever, and all arrive whole.
#[test]
fn floods_of_long_messages_take_turns() {
    const EACH: u8 = 10;
    const LEN: usize = 1024 * 1024 - 1;
    let server = Server::builder().workers(1).resource("/", Origin::any(), common::Echo);
    let server = Running::start(server);
    let clients = (0..8).map(|client| {
        let mut raw = server.raw("/");
        let mut sender = Raw::over(raw.stream.try_clone().unwrap());
        let of = move |number: u8| vec![client * EACH + number; LEN];
        let sending = std::thread::spawn(move || {
            (0..EACH).for_each(|number| sender.send(&frame(FIN | BINARY, &of(number))));
        });
        let receiving = std::thread::spawn(move || {
            (0..EACH).for_each(|number| assert!(raw.frame().payload == of(number), "{number}"));
        });
        [sending, receiving]
    });
    let clients: Vec<_> = clients.collect();
    clients.into_iter().flatten().for_each(|part| part.join().unwrap());
}

/// By a listener, whose own bounds hold the flood back, nothing of it is lost or out of order.
#[test]
fn a_flood_through_a_listener_arrives_whole() {
    let (recorder, _events) = Recorder::new(echo);
    let listener = Listener::new(recorder).max_client_events(5);
    let server = Server::builder().workers(1).resource("/", Origin::any(), listener);
    let server = Running::start(server);
    let mut raw = narrow(server.address);
    raw.upgrade("/", "");
    let mut sender = Raw::over(raw.stream.try_clone().unwrap());
    let sending = std::thread::spawn(move || {
        sender.send(
            &(0..5000)
                .flat_map(|n| frame(FIN | TEXT, n.to_string().as_bytes()))
                .collect::<Vec<_>>(),
        );
    });
    for number in 0..5000 {
        assert_eq!(raw.frame().text(), number.to_string());
    }
    sending.join().unwrap();
}

/// The share can be chosen, down to one message and to reads of a few bytes.
#[test]
fn a_share_of_one_message_and_one_byte_serves_everybody() {
    let mut limits = Limits::default();
    (limits.turn_messages, limits.turn_bytes) = (1, 1);
    let (server, _events) = common::recording(limits, echo);
    let mut raw = server.raw("/");
    let texts = ["", "a", "some more", &"x".repeat(3000)];
    for text in texts {
        raw.text(text);
    }
    for text in texts {
        assert_eq!(raw.frame().text(), text);
    }
}
