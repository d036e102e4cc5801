//! The memory budget over sockets: what is held for clients is counted, however they make a server
//! hold it; who holds the most gives way, and nobody else.
//!
//! The count is the process's, so these tests run one after the other.

mod common;
#[path = "common/gate.rs"]
mod gate;

use clws::{
    Accept, Cause, Client, DeflateConfig, Limits, Listener, Origin, Pending, Receive, Resource,
    Server, ServerHandle, send_binary_to,
};
use common::packed::{Packed, TAKEOVER};
use common::raw::{BINARY, FIN, PATIENCE, PING, Raw, frame, header, request};
use common::{Events, Heard, Recorder, Running, await_that, echo, listen, narrow};
use gate::Gate;
use std::io::Write;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const BUDGET: usize = 8 * MIB;

/// Nothing is counted when a test begins.
fn alone(server: &Running) -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    await_that("nothing is held", || held(server) == 0);
    one
}

fn held(server: &Running) -> usize {
    server.handle.metrics().memory_held as usize
}

fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.memory_budget = Some(BUDGET);
    limits.send_timeout = Duration::from_mins(10);
    limits
}

/// An echo at `/echo`; at `/` a resource that listens and records.
fn server(workers: usize) -> (Running, Events) {
    let (recorder, events) = Recorder::new(listen);
    let server = Server::builder()
        .workers(workers)
        .limits(limits())
        .resource("/", Origin::any(), recorder)
        .resource("/echo", Origin::any(), Recorder::new(echo).0);
    (Running::start(server), events)
}

fn echoes(raw: &mut Raw, payload: &[u8]) {
    raw.send_frame(FIN | BINARY, payload);
    assert!(raw.frame().payload == payload);
}

/// D2: clients that do not read are sent twice as much as the budget. Some of them go; clients
/// that read notice nothing, and in the end nothing is counted.
fn clients_that_do_not_read(workers: usize) {
    const SLOW: usize = 16;
    let (server, events) = server(workers);
    let _one = alone(&server);
    let mut healthy: Vec<_> = (0..4).map(|_| server.raw("/echo")).collect();
    let mut raws: Vec<_> = (0..SLOW).map(|_| narrow(server.address)).collect();
    for raw in &mut raws {
        raw.upgrade("/", "");
    }
    for client in raws.iter().map(|_| events.connected()).collect::<Vec<_>>() {
        // Until its queue is full and the system takes no more, or it was closed meanwhile.
        while client.is_open() && client.queued_bytes() < MIB {
            client.send_binary(&vec![0; 256 * KIB]);
            for raw in &mut healthy {
                echoes(raw, &[7; 3000]);
            }
        }
    }
    let (_, closed) = events.skip_to_disconnected();
    assert_eq!((closed.cause, closed.code), (Cause::Memory, 1006));
    await_that("less is held than the budget", || held(&server) < BUDGET);
    for raw in &mut healthy {
        echoes(raw, &[7; 3000]);
    }
    let shed = server.handle.metrics().memory_shed as usize;
    assert!((1..SLOW - 2).contains(&shed), "{shed} were closed");
    assert!(server.handle.client_count() >= healthy.len() + SLOW - shed);
    drop((healthy, raws));
    await_that("nothing is held", || held(&server) == 0);
}

#[test]
fn who_does_not_read_gives_way_to_who_does() {
    clients_that_do_not_read(1);
}

#[test]
fn workers_judge_together() {
    clients_that_do_not_read(3);
}

/// One step after the other: nothing more is read from the largest, new clients are refused, and
/// when there is memory again both go on as if nothing had been.
#[test]
fn near_the_budget_new_clients_are_refused_and_nobody_is_closed() {
    const SIZE: usize = 150 * KIB;
    let (server, _events) = server(1);
    let _one = alone(&server);
    let mut begun = Vec::new();
    let refused = loop {
        let mut raw = Raw::connect(server.address);
        raw.send(request(&raw.host(), "/echo", "").as_bytes());
        let answer = raw.answer();
        if answer.status != 101 {
            break answer;
        }
        raw.send(&header(FIN | BINARY, SIZE as u64));
        raw.send(&vec![0x37; SIZE - 1]);
        begun.push(raw);
        assert!(begun.len() < 200, "{} bytes are held", held(&server));
    };
    assert_eq!((refused.status, &*refused.body), (503, "the server is short of memory\n"));
    let metrics = server.handle.metrics();
    assert_eq!((metrics.memory_refused, metrics.memory_shed), (1, 0));
    assert!((BUDGET / 8 * 7..BUDGET).contains(&held(&server)), "{}", held(&server));
    begun.truncate(begun.len() / 2);
    await_that("memory suffices", || held(&server) < BUDGET / 8 * 5);
    let mut late = server.raw("/echo");
    echoes(&mut late, b"in again");
    for mut raw in begun {
        raw.send(&[0x37]);
        assert_eq!(raw.frame().payload.len(), SIZE);
    }
    drop(late);
    await_that("nothing is held", || held(&server) == 0);
}

/// Clients that read keep far below a budget that would not hold one answer for each.
#[test]
fn healthy_clients_give_way_to_nothing() {
    const CLIENTS: usize = 64;
    let (server, _events) = server(1);
    let _one = alone(&server);
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| server.raw("/echo")).collect();
    let payload = vec![1; 200 * KIB];
    for _ in 0..3 {
        for raw in &mut clients {
            echoes(raw, &payload);
            assert!(held(&server) < BUDGET / 8 * 5);
        }
    }
    let metrics = server.handle.metrics();
    assert_eq!((metrics.memory_refused, metrics.memory_shed), (0, 0));
    drop(clients);
    await_that("nothing is held", || held(&server) == 0);
}

/// Each of many that do not read asks for as much as the budget would allow a few, all in the same
/// turn of their worker: no more is held than the budget and what one of them asked for last.
#[test]
fn who_asks_at_the_same_time_does_not_get_past_the_budget() {
    const ASKING: usize = 30;
    let (gate, most) = (Gate::shut(), Arc::new(AtomicUsize::new(0)));
    let (passes, seen) = (gate.clone(), Arc::clone(&most));
    let [held_up, asked] = [(); 2].map(|()| Arc::new(AtomicBool::new(false)));
    let (stands, asks) = (Arc::clone(&held_up), Arc::clone(&asked));
    let handle = Arc::new(OnceLock::<ServerHandle>::new());
    let looks = Arc::clone(&handle);
    let (recorder, events) = Recorder::new(move |client, heard| {
        // What was held at the end of the turn before.
        let held = looks.get().map_or(0, |handle| handle.metrics().memory_held);
        seen.fetch_max(held as usize, Ordering::Relaxed);
        match heard {
            Heard::Text("hold") => {
                stands.store(true, Ordering::Release);
                passes.pass();
            }
            Heard::Text(text) => _ = client.send_text(text),
            Heard::Binary(_) => {
                asks.store(true, Ordering::Release);
                client.send_binary(&vec![0; MIB]);
            }
            _ => {}
        }
    });
    let server = Server::builder().workers(1).limits(limits());
    let server = Running::start(server.resource("/", Origin::any(), recorder));
    let _one = alone(&server);
    assert!(handle.set(server.handle.clone()).is_ok());
    let mut healthy = server.raw("/");
    let mut small = [server.raw("/"), server.raw("/")];
    let mut raws: Vec<_> = (0..ASKING).map(|_| narrow(server.address)).collect();
    for raw in &mut raws {
        raw.upgrade("/", "");
        events.skip_to_connected();
    }
    healthy.text("hold");
    await_that("the worker is held up", || held_up.load(Ordering::Acquire));
    for raw in &mut raws {
        raw.send_frame(FIN | BINARY, b"much");
    }
    // Read with the others, and worked on when there is nothing left.
    for raw in &mut small {
        raw.text("first");
    }
    gate.open();
    await_that("all were read", || asked.load(Ordering::Acquire));
    small[0].text("second");
    for raw in &mut raws {
        // Some have been closed already.
        let _ = raw.stream.write_all(&frame(FIN | BINARY, b"more"));
    }
    await_that("some are closed", || server.handle.metrics().memory_shed > 0);
    for _ in 0..20 {
        healthy.text("still there");
        assert_eq!(healthy.frame().text(), "still there");
    }
    let most = most.load(Ordering::Relaxed);
    assert!((BUDGET..BUDGET + 3 * MIB).contains(&most), "{most} bytes were held");
    for (raw, texts) in small.iter_mut().zip([&["first", "second"][..], &["first"]]) {
        for text in texts {
            assert_eq!(raw.frame().text(), *text);
        }
    }
    // Once they read, nobody waits for ever.
    assert!(raws.iter_mut().map(answered).filter(|whole| *whole).count() > 0);
    drop((healthy, small, raws));
    await_that("nothing is held", || held(&server) == 0);
}

/// Reads two answers of a MiB, or the end that came instead; whether it was the answers.
fn answered(raw: &mut Raw) -> bool {
    let answers = (0..2).map_while(|_| raw.try_frame().ok());
    let whole = answers.filter(|frame| frame.payload.len() == MIB).count() == 2;
    if !whole {
        raw.skip_to_end();
    }
    whole
}

/// A server whose only worker is held up in a callback until the gate is opened, and clients.
fn held_up() -> (Running, Gate, MutexGuard<'static, ()>, Vec<Client>, Vec<Raw>) {
    let (gate, stands) = (Gate::shut(), Arc::new(AtomicBool::new(false)));
    let (passes, stood) = (gate.clone(), Arc::clone(&stands));
    let (recorder, events) = Recorder::new(move |_, heard| {
        if let Heard::Text("hold") = heard {
            stood.store(true, Ordering::Release);
            passes.pass();
        }
    });
    let server = Server::builder().workers(1).resource("/", Origin::any(), recorder);
    let server = Running::start(server);
    let one = alone(&server);
    let mut raws: Vec<_> = (0..10).map(|_| server.raw("/")).collect();
    let clients = raws.iter().map(|_| events.connected()).collect();
    raws[0].text("hold");
    await_that("the worker is held up", || stands.load(Ordering::Acquire));
    (server, gate, one, clients, raws)
}

#[test]
fn letters_on_their_way_count_and_those_to_many_count_once() {
    let (server, gate, _one, clients, mut raws) = held_up();
    let before = held(&server);
    for _ in 0..5 {
        assert!(clients[1].send_binary(&vec![1; 100 * KIB]).is_sent());
    }
    let letters = held(&server) - before;
    assert!((500 * KIB..520 * KIB).contains(&letters), "{letters} bytes in letters");
    assert_eq!(send_binary_to(&clients, &vec![2; 100 * KIB]).sent, 10);
    let shared = held(&server) - before - letters;
    assert!((100 * KIB..120 * KIB).contains(&shared), "{shared} bytes for all");
    gate.open();
    for _ in 0..5 {
        assert_eq!(raws[1].frame().payload.len(), 100 * KIB);
    }
    for raw in &mut raws {
        assert!(raw.frame().payload == vec![2; 100 * KIB]);
    }
    drop(raws);
    await_that("nothing is held", || held(&server) == 0);
}

#[test]
fn what_waits_for_a_listener_counts() {
    let gate = Gate::shut();
    let passes = gate.clone();
    let (recorder, events) = Recorder::new(move |_, heard| {
        if let Heard::Text(_) = heard {
            passes.pass();
        }
    });
    let listener = Listener::new(recorder);
    let server = Server::builder().workers(1).resource("/", Origin::any(), listener);
    let server = Running::start(server);
    let one = alone(&server);
    let mut raw = server.raw("/");
    events.connected();
    raw.text("hold");
    raw.send_frame(FIN | BINARY, &vec![0; 50 * KIB]);
    await_that("it is counted", || held(&server) > 50 * KIB);
    gate.open();
    drop(raw);
    let (_, closed) = events.skip_to_disconnected();
    assert_eq!(closed.cause, Cause::Lost);
    await_that("nothing is held", || held(&server) == 0);
    drop(one);
}

/// Posts are the program's, but they wait like clients' events.
#[test]
fn what_is_posted_to_a_listener_counts() {
    #[derive(Default)]
    struct Gated(Gate);
    impl Resource for Gated {}
    impl Receive<[u8; 10 * KIB]> for Gated {
        fn receive(&self, _: [u8; 10 * KIB]) {
            self.0.pass();
        }
    }
    let gate = Gate::shut();
    let listener = Listener::new(Gated(gate.clone()));
    let posts = listener.handle();
    let server = Server::builder().workers(1).resource("/", Origin::any(), listener);
    let server = Running::start(server);
    let one = alone(&server);
    let raw = server.raw("/");
    let client = server.handle.clients().pop().unwrap();
    for _ in 0..5 {
        posts.post([0; 10 * KIB]).unwrap();
        posts.post_for(&client, [0; 10 * KIB]).unwrap();
    }
    let posted = held(&server);
    assert!((100 * KIB..110 * KIB).contains(&posted), "{posted} bytes in posts");
    gate.open();
    await_that("they are worked off", || held(&server) < 10 * KIB);
    drop((raw, client));
    await_that("nothing is held", || held(&server) == 0);
    drop(one);
}

/// A request whose answer is decided elsewhere is no session's meanwhile.
#[test]
fn handshakes_that_wait_for_a_decision_count() {
    struct Later(Mutex<Sender<Pending>>);
    impl Resource for Later {
        fn accept_later(&self, pending: Pending) -> Option<Pending> {
            self.0.lock().unwrap().send(pending).unwrap();
            None
        }
    }
    let (waits, pendings) = channel();
    let later = Later(Mutex::new(waits));
    let server = Server::builder().workers(1).resource("/", Origin::any(), later);
    let server = Running::start(server);
    let one = alone(&server);
    let cookie = format!("Cookie: {}\r\n", "x".repeat(10 * KIB));
    let mut raws: Vec<_> = (0..4).map(|_| Raw::connect(server.address)).collect();
    for raw in &mut raws {
        raw.send(request(&raw.host(), "/", &cookie).as_bytes());
    }
    let waiting: Vec<_> = raws.iter().map(|_| pendings.recv_timeout(PATIENCE).unwrap()).collect();
    await_that("all are counted", || held(&server) > 40 * KIB);
    let mut waiting = waiting.into_iter();
    waiting.next().unwrap().decide(Ok(Accept::new()));
    let mut first = raws.remove(0);
    first.upgraded();
    await_that("it is its client's now", || (40 * KIB..60 * KIB).contains(&held(&server)));
    drop(waiting);
    for raw in &mut raws {
        assert_eq!(raw.answer().status, 500);
    }
    drop((first, raws));
    await_that("nothing is held", || held(&server) == 0);
    drop(one);
}

/// The history of compressed messages is the server's memory as long as the client is there.
#[test]
fn what_compression_remembers_counts() {
    let deflate = DeflateConfig {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        ..DeflateConfig::default()
    };
    let (recorder, _events) = Recorder::new(echo);
    let server = Server::builder().deflate(deflate).resource("/", Origin::any(), recorder);
    let server = Running::start(server);
    let one = alone(&server);
    let mut packed = Packed::open(server.address, "/", TAKEOVER);
    // What the handshake took is counted no more once something later is answered.
    packed.raw.send_frame(FIN | PING, b"");
    packed.raw.frame();
    let before = held(&server);
    assert!(before < 8 * KIB, "{before} bytes for a client that has not compressed anything");
    packed.say(BINARY, &vec![1; 5000]);
    packed.hears(BINARY, &vec![1; 5000]);
    // 96 KiB for what is sent and 64 for what comes.
    await_that("both histories count", || held(&server) > before + 150 * KIB);
    await_that("what it does not need while idle is freed", || held(&server) < before + 11 * KIB);
    assert!(held(&server) >= before + 10_000, "{} bytes for two histories", held(&server));
    packed.say(BINARY, &vec![1; 5000]);
    packed.hears(BINARY, &vec![1; 5000]);
    drop(packed);
    await_that("nothing is held", || held(&server) == 0);
    drop(one);
}

/// A budget that could not hold one message is refused when the server starts.
#[test]
fn a_budget_has_a_least_size() {
    let mut limits = Limits::default();
    limits.memory_budget = Some(MIB - 1);
    let (recorder, _) = Recorder::new(listen);
    let server = Server::builder().limits(limits).resource("/", Origin::any(), recorder);
    assert!(server.bind("127.0.0.1:0").unwrap().start().is_err());
}
