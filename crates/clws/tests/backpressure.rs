//! Peers that do not read, and user code that sends more than a peer takes: bounded queues, the
//! outcomes that tell of them, and `drained`.

mod common;

use clws::{Cause, Dropped, Limits, Origin, Outcome, SendPolicy, Server};
use common::raw::{BINARY, FIN, PING, PONG, Raw, TEXT, frame};
use common::{Event, Heard, Recorder, Running, await_that, echo, listen, millis, narrow};
use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// The longest header of a server's frame.
const HEADER: usize = 10;

fn open_narrow(server: &Running, path: &str) -> Raw {
    let mut raw = narrow(server.address);
    raw.upgrade(path, "");
    raw
}

/// Limits of a test that is not about the time a peer has to take something.
fn patient() -> Limits {
    let mut limits = Limits::default();
    limits.send_timeout = Duration::from_mins(10);
    limits
}

fn small_queue() -> Limits {
    let mut limits = patient();
    limits.send_queue_low = 4 * KIB;
    limits.send_queue_high = 16 * KIB;
    limits
}

/// D5: tiny questions, answers of 1 MiB, and a client that doesn't read them for now.
#[test]
fn a_client_that_asks_and_does_not_read_costs_little_and_loses_nothing() {
    const QUESTIONS: usize = 32;
    let (recorder, events) = Recorder::new(|client, heard| {
        if let Heard::Text(text) = heard {
            let mut answer = vec![b'.'; MIB];
            answer[..text.len()].copy_from_slice(text.as_bytes());
            let outcome = client.send_binary(&answer);
            assert!(!matches!(outcome, Outcome::Dropped(_)), "{outcome:?}");
        }
    });
    let server = Server::builder()
        .workers(1)
        .limits(patient())
        .resource("/big", Origin::any(), recorder)
        .resource("/echo", Origin::any(), Recorder::new(echo).0);
    let server = Running::start(server);
    let mut raw = open_narrow(&server, "/big");
    let client = events.connected();
    let questions: Vec<u8> =
        (0..QUESTIONS).flat_map(|n| frame(FIN | TEXT, format!("{n:04}").as_bytes())).collect();
    raw.send(&questions);
    await_that("the queue is full", || client.queued_bytes() >= MIB);
    server.turns();
    let queued = client.queued_bytes();
    assert!(queued <= 2 * MIB + HEADER, "{queued} bytes wait");
    assert!(client.is_open());
    let heard = events.so_far().len();
    assert!(heard < QUESTIONS, "questions are not read while answers wait");
    for number in 0..QUESTIONS {
        let answer = raw.frame();
        assert_eq!((answer.opcode, answer.payload.len()), (BINARY, MIB));
        assert_eq!(answer.payload[..4], *format!("{number:04}").as_bytes());
        assert!(client.queued_bytes() <= 2 * MIB + HEADER);
    }
    assert_eq!(server.handle.metrics().panics, 0);
    await_that("the queue is empty", || client.queued_bytes() == 0);
}

/// What arrived while the queue was full is served later, small frames and cut ones alike, and
/// answers that could not be written at once don't change while they wait.
#[test]
fn what_waits_unread_is_served_in_order() {
    const COUNT: usize = 2000;
    let size = |number: usize| [10, 3000, 20_000, 130][number % 4] + number % 100;
    let content = move |number: usize| vec![number as u8; size(number)];
    let (server, events) = common::recording(small_queue(), echo);
    let mut raw = open_narrow(&server, "/");
    let client = events.connected();
    let mut sender = Raw::over(raw.stream.try_clone().unwrap());
    let sending = thread::spawn(move || {
        for number in 0..COUNT {
            sender.send_frame(FIN | BINARY, &content(number));
        }
    });
    await_that("the queue is full", || client.queued_bytes() >= 16 * KIB);
    for number in 0..COUNT {
        assert!(raw.frame().payload == content(number), "message {number}");
    }
    sending.join().unwrap();
}

/// Sends without looking at the outcome, from another thread, to a client that doesn't read.
#[test]
fn a_send_to_a_full_queue_ends_the_client() {
    let mut limits = patient();
    limits.abort_timeout = millis(100);
    let (server, events) = common::recording(limits, listen);
    let mut raw = open_narrow(&server, "/");
    let client = events.connected();
    let message = vec![0; 64 * KIB];
    let mut outcomes = Vec::new();
    while !matches!(outcomes.last(), Some(Outcome::Dropped(_))) {
        outcomes.push(client.send_binary(&message));
        let queued = client.queued_bytes();
        assert!(queued <= MIB + message.len() + HEADER, "{queued} bytes wait");
    }
    assert_eq!(outcomes.first(), Some(&Outcome::Sent));
    assert_eq!(outcomes.last(), Some(&Outcome::Dropped(Dropped::Overrun)));
    assert_eq!(outcomes.get(outcomes.len() - 2), Some(&Outcome::Backpressure));
    assert!(!client.is_open());
    assert_eq!(client.send_text("x"), Outcome::Dropped(Dropped::Closed));
    let (_, closed) = events.skip_to_disconnected();
    assert_eq!((closed.cause, closed.code, closed.clean), (Cause::Overrun, 1006, false));
    // The socket is gone too, although the peer took nothing.
    while raw.stream.write_all(&frame(FIN | TEXT, b"hello?")).is_ok() {
        thread::yield_now();
    }
    raw.skip_to_end();
    assert_eq!(server.handle.client_count(), 0);
}

#[test]
fn a_callback_that_sends_to_a_full_queue_ends_the_client() {
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&outcomes);
    let (server, events) = common::recording(Limits::default(), move |client, heard| {
        if let Heard::Text(_) = heard {
            let mut told = told.lock().unwrap();
            told.extend([0; 4].map(|_| client.send_binary(&vec![0; MIB / 2])));
        }
    });
    let mut raw = server.raw("/");
    raw.text("a lot, please");
    let (client, closed) = events.skip_to_disconnected();
    assert_eq!((closed.cause, closed.clean), (Cause::Overrun, false));
    assert!(!client.is_open());
    let overrun = Outcome::Dropped(Dropped::Overrun);
    let closed = Outcome::Dropped(Dropped::Closed);
    let expected = [Outcome::Sent, Outcome::Backpressure, overrun, closed];
    assert_eq!(*outcomes.lock().unwrap(), expected);
    // A peer that reads all the same gets what was accepted and is told why.
    assert_eq!(raw.frame().payload.len(), MIB / 2);
    assert_eq!(raw.frame().payload.len(), MIB / 2);
    assert_eq!(raw.frame().close().0, 1008);
}

/// A callback that sends until it feels backpressure and goes on when it is told to: nothing is
/// lost, and it is told even if the system took everything at once.
#[test]
fn a_stream_driven_by_drained_arrives_whole() {
    const COUNT: usize = 500;
    for narrowly in [false, true] {
        let sent = AtomicUsize::new(0);
        let (server, _events) = common::recording(small_queue(), move |client, heard| {
            if !matches!(heard, Heard::Text(_) | Heard::Drained) {
                return;
            }
            while sent.load(Ordering::Relaxed) < COUNT {
                let number = sent.fetch_add(1, Ordering::Relaxed);
                let outcome = client.send_binary(&vec![number as u8; 3000]);
                assert!(!matches!(outcome, Outcome::Dropped(_)), "{outcome:?}");
                if outcome == Outcome::Backpressure {
                    return;
                }
            }
        });
        let mut raw = if narrowly { open_narrow(&server, "/") } else { server.raw("/") };
        raw.text("go");
        for number in 0..COUNT {
            assert!(raw.frame().payload == vec![number as u8; 3000], "message {number}");
        }
        assert_eq!(server.handle.metrics().panics, 0);
    }
}

/// The same from another thread, which waits for `drained`.
#[test]
fn a_thread_that_waits_for_drained_goes_on() {
    const COUNT: usize = 500;
    for narrowly in [false, true] {
        let (server, events) = common::recording(small_queue(), listen);
        let mut raw = if narrowly { open_narrow(&server, "/") } else { server.raw("/") };
        let client = events.connected();
        let sending = thread::spawn(move || {
            for number in 0..COUNT {
                match client.send_binary(&vec![number as u8; 3000]) {
                    Outcome::Sent => {}
                    Outcome::Backpressure => {
                        assert!(matches!(events.next(), Event::Drained(_)));
                    }
                    dropped @ Outcome::Dropped(_) => panic!("message {number}: {dropped:?}"),
                }
            }
        });
        for number in 0..COUNT {
            assert!(raw.frame().payload == vec![number as u8; 3000], "message {number}");
        }
        sending.join().unwrap();
    }
}

/// Without backpressure nothing is drained.
#[test]
fn a_healthy_client_is_never_drained() {
    let (server, events) = common::recording(Limits::default(), echo);
    let mut raw = server.raw("/");
    for _ in 0..100 {
        raw.send_frame(FIN | BINARY, &[1; 10_000]);
        raw.frame();
    }
    drop(raw);
    let (_, closed) = events.skip_to_disconnected();
    assert_eq!(closed.cause, Cause::Lost);
    assert!(!events.so_far().iter().any(|event| matches!(event, Event::Drained(_))));
}

/// A peer that takes nothing of what waits for it has its time.
#[test]
fn a_client_that_takes_nothing_is_dropped() {
    let mut limits = Limits::default();
    limits.send_timeout = millis(200);
    let (server, events) = common::recording(limits, |client, heard| {
        if let Heard::Text(_) = heard {
            client.send_binary(&vec![0; 16 * MIB]);
        }
    });
    let mut raw = open_narrow(&server, "/");
    raw.text("a lot, please");
    let (_, closed) = events.skip_to_disconnected();
    assert_eq!((closed.cause, closed.code, closed.clean), (Cause::Timeout, 1006, false));
    assert_eq!(raw.skip_to_end(), common::raw::End::Reset);
}

/// D3: pings without end from a peer that reads no pongs: one pong is kept, and read on.
#[test]
fn a_flood_of_pings_leaves_one_pong() {
    const BATCHES: u16 = 400;
    let (server, events) = common::recording(patient(), listen);
    let mut raw = open_narrow(&server, "/");
    let client = events.connected();
    let low = Limits::default().send_queue_low;
    for number in 0..BATCHES {
        let mut payload = [0; 125];
        payload[..2].copy_from_slice(&number.to_be_bytes());
        raw.send(&frame(FIN | PING, &payload).repeat(200));
        assert!(client.queued_bytes() <= low + 200, "{} bytes wait", client.queued_bytes());
    }
    raw.send_frame(FIN | PING, b"last");
    let mut pongs = 0;
    loop {
        let pong = raw.frame();
        assert_eq!(pong.opcode, PONG);
        pongs += 1;
        if pong.payload == b"last" {
            break;
        }
    }
    assert!(pongs < usize::from(BATCHES) * 200, "most were left out");
}

/// D6: numbered messages to a client that does not read, under a policy that drops; those that
/// arrive when it reads, and the count of the others.
fn numbers_under(policy: SendPolicy) -> (Vec<u32>, u64) {
    const LAST: u32 = 9_999;
    let (recorder, events) = Recorder::new(|client, heard| match heard {
        Heard::Text("go") => {
            for number in 0..=LAST {
                client.send_binary(&[&number.to_be_bytes()[..], &[0; KIB]].concat());
            }
        }
        Heard::Text(_) => assert!(client.ping(b"the end").is_sent()),
        _ => {}
    });
    let mut limits = small_queue();
    limits.send_policy = policy;
    let server = Server::builder().limits(limits).resource("/", Origin::any(), recorder);
    let server = Running::start(server);
    let mut raw = open_narrow(&server, "/");
    let client = events.connected();
    raw.text("go");
    raw.text("end");
    await_that("messages are dropped", || server.handle.metrics().dropped > 0);
    assert!(client.is_open(), "this policy costs messages, not the client");
    let mut numbers = Vec::new();
    loop {
        let frame = raw.frame();
        if frame.opcode == PING {
            return (numbers, server.handle.metrics().dropped);
        }
        numbers.push(u32::from_be_bytes(*frame.payload.first_chunk().unwrap()));
    }
}

#[test]
fn a_policy_may_cost_the_newest_messages() {
    let (numbers, dropped) = numbers_under(SendPolicy::DropNewest);
    assert_eq!(numbers.len() as u64 + dropped, 10_000);
    assert!(dropped > 0 && numbers[0] == 0 && numbers.is_sorted());
}

#[test]
fn a_policy_may_cost_the_oldest_messages() {
    let (numbers, dropped) = numbers_under(SendPolicy::DropOldest);
    assert_eq!(numbers.len() as u64 + dropped, 10_000);
    assert!(dropped > 0 && numbers.is_sorted());
    assert!(numbers.last() > Some(&9_900), "the newest come: {:?}", numbers.last());
}
