//! A listener that is slower than its clients: memory stays bounded, nothing is lost, and nobody
//! is disconnected for it.

mod common;
#[path = "common/gate.rs"]
mod gate;

use clws::{Client, Closed, Limits, Listener, ListenerHandle, Origin, Reject, Resource, Server};
use common::raw::{FIN, PING, PONG, Raw, TEXT, frame};
use common::{Running, await_that, millis};
use gate::Gate;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::Instant;

const THREADS: usize = 4;
const WORKERS: usize = 2;
const TOTAL: usize = 64 * 1024;
const SHARE: usize = 4 * 1024;
const LARGEST: usize = 6000;

/// Slow: it passes a gate and then dawdles. Messages are a number, a space and filling.
#[derive(Default)]
struct Slow {
    gate: Gate,
    handle: OnceLock<ListenerHandle<Slow>>,
    next: Mutex<HashMap<u64, usize>>,
    most: AtomicUsize,
    left: AtomicUsize,
}

impl Slow {
    fn look(&self) {
        let queued = self.handle.get().unwrap().queued_bytes();
        self.most.fetch_max(queued, Ordering::SeqCst);
    }
}

impl Resource for Slow {
    fn connected(&self, client: &Client) -> Result<(), Reject> {
        self.next.lock().unwrap().insert(client.id(), 0);
        Ok(())
    }

    fn text(&self, client: &Client, message: &str) {
        self.gate.pass();
        self.look();
        (0..20).for_each(|_| thread::yield_now());
        let (number, _) = message.split_once(' ').unwrap();
        let mut all = self.next.lock().unwrap();
        let next = all.get_mut(&client.id()).unwrap();
        assert_eq!(number, next.to_string());
        *next += 1;
        drop(all);
        client.send_text(number);
    }

    fn disconnected(&self, _: &Client, _: &Closed) {
        self.left.fetch_add(1, Ordering::SeqCst);
    }
}

fn slow(limits: Limits) -> (Running, ListenerHandle<Slow>) {
    let listener = Listener::new(Slow::default())
        .threads(THREADS)
        .max_queued_bytes(TOTAL)
        .max_client_bytes(SHARE)
        .max_client_events(8);
    let handle = listener.handle();
    assert!(handle.resource().handle.set(handle.clone()).is_ok());
    let server = Server::builder().workers(WORKERS).limits(limits);
    (Running::start(server.resource("/", Origin::any(), listener)), handle)
}

/// The lengths go round through small ones, some of a share, and one larger than a share.
fn message(number: usize) -> String {
    let filling = match number % 7 {
        0 => LARGEST - 10,
        1..4 => 900,
        _ => 10,
    };
    format!("{number} {}", "x".repeat(filling))
}

#[test]
fn many_clients_of_a_slow_listener_lose_nothing() {
    const CLIENTS: usize = 200;
    const COUNT: usize = 50;
    let (server, handle) = slow(Limits::default());
    let resource = handle.resource();
    let raws: Vec<Raw> = (0..CLIENTS).map(|_| server.raw("/")).collect();
    let mut hearers = Vec::new();
    let mut speakers: Vec<Vec<Raw>> = (0..4).map(|_| Vec::new()).collect();
    for (index, raw) in raws.into_iter().enumerate() {
        speakers[index % 4].push(Raw::over(raw.stream.try_clone().unwrap()));
        hearers.push(raw);
    }
    let speaking: Vec<_> = speakers
        .into_iter()
        .map(|mut raws| {
            thread::spawn(move || {
                for number in 0..COUNT {
                    let bytes = frame(FIN | TEXT, message(number).as_bytes());
                    for raw in &mut raws {
                        raw.send(&bytes);
                    }
                }
            })
        })
        .collect();
    await_that("the mailbox is full", || handle.queued_bytes() >= TOTAL);
    resource.gate.open();
    for raw in &mut hearers {
        (0..COUNT).for_each(|number| assert_eq!(raw.frame().text(), number.to_string()));
    }
    for speaker in speaking {
        speaker.join().unwrap();
    }
    let most = resource.most.load(Ordering::SeqCst);
    assert!((TOTAL / 2..TOTAL + WORKERS * LARGEST).contains(&most), "{most}");
    assert_eq!((server.handle.client_count(), resource.left.load(Ordering::SeqCst)), (CLIENTS, 0));
    await_that("all is done", || handle.queued_events() == 0);
    assert_eq!((handle.queued_bytes(), server.handle.metrics().panics), (0, 0));
    drop(hearers);
    await_that("all have left", || resource.left.load(Ordering::SeqCst) == CLIENTS);
}

/// One client fills its share alone; the others' messages still come.
#[test]
fn a_client_whose_share_is_full_is_not_read_from() {
    let (server, handle) = slow(Limits::default());
    let mut greedy = server.raw("/");
    (0..100).for_each(|number| greedy.text(&format!("{number} ")));
    await_that("its share is full", || handle.queued_events() == 8);
    let mut other = server.raw("/");
    other.text("0 ");
    await_that("the other's comes", || handle.queued_events() == 9);
    handle.resource().gate.open();
    assert_eq!(other.frame().text(), "0");
    (0..100).for_each(|number| assert_eq!(greedy.frame().text(), number.to_string()));
}

/// Paused for longer than the keepalive's patience, in the middle of a message too: their silence
/// is not theirs.
#[test]
fn paused_clients_are_not_given_up() {
    let mut limits = Limits::default();
    limits.ping_interval = Some(millis(100));
    // Long enough for clients of a busy machine to answer once they are asked.
    limits.pong_timeout = millis(2000);
    limits.message_timeout = millis(2000);
    let (server, handle) = slow(limits);
    let mut hearers = Vec::new();
    for _ in 0..4 {
        let mut raw = server.raw("/");
        let bytes: Vec<u8> =
            (0..40).flat_map(|number| frame(FIN | TEXT, message(number).as_bytes())).collect();
        raw.send(&bytes[..bytes.len() - 5]);
        hearers.push((raw, bytes[bytes.len() - 5..].to_vec()));
    }
    await_that("all are paused", || handle.queued_events() >= 4);
    let start = Instant::now();
    await_that("their time would be up", || start.elapsed() > millis(2500));
    handle.resource().gate.open();
    let hearing: Vec<_> = hearers
        .into_iter()
        .map(|(mut raw, rest)| {
            thread::spawn(move || {
                raw.send(&rest);
                let mut next = 0;
                while next < 40 {
                    let frame = raw.frame();
                    if frame.opcode == PING {
                        raw.send_frame(FIN | PONG, &frame.payload);
                    } else {
                        assert_eq!(frame.text(), next.to_string());
                        next += 1;
                    }
                }
                raw
            })
        })
        .collect();
    let raws: Vec<Raw> = hearing.into_iter().map(|hearer| hearer.join().unwrap()).collect();
    assert_eq!(handle.resource().left.load(Ordering::SeqCst), 0);
    drop(raws);
}

/// What a program paused itself stays paused when the listener has caught up.
#[test]
fn a_pause_of_the_programs_own_is_not_ended_by_the_listener() {
    struct Pausing(Arc<Mutex<Vec<String>>>);
    impl Resource for Pausing {
        fn text(&self, client: &Client, message: &str) {
            self.0.lock().unwrap().push(message.to_owned());
            if message == "pause" {
                client.pause_reading();
                client.send_text("paused");
            }
        }
    }
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Listener::new(Pausing(heard.clone())).max_client_events(1);
    let handle = listener.handle();
    let (echo, _) = common::Recorder::new(common::echo);
    let server = Server::builder().workers(1).resource("/", Origin::any(), listener).resource(
        "/echo",
        Origin::any(),
        echo,
    );
    let server = Running::start(server);
    let mut raw = server.raw("/");
    raw.text("pause");
    assert_eq!(raw.frame().text(), "paused");
    await_that("it is done", || handle.queued_events() == 0);
    raw.text("resumed");
    server.turns();
    assert_eq!(*heard.lock().unwrap(), ["pause"]);
    server.handle.clients()[0].resume_reading();
    await_that("it is read", || heard.lock().unwrap().len() == 2);
}
