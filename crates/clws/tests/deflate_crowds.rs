//! Compressed messages among many: crowds that make the server inflate, and queues that overflow.

mod common;

use clws::{Client, DeflateConfig, Limits, Origin, SendOptions, SendPolicy, Server};
use common::packed::{ALONE, Packed, RSV1, TAKEOVER};
use common::raw::{BINARY, CONTINUATION, FIN, PING, TEXT, frame};
use common::{Heard, Recorder, Running, await_that, echo, listen, narrow};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

const KIB: usize = 1024;
const MAX: usize = 64 * KIB;

/// Messages that inflate to all that one may have, and then one to far more, in fragments.
fn swell(server: &Running) {
    let mut packed = Packed::open(server.address, "/sink", ALONE);
    let largest = packed.deflated(&vec![0; MAX]);
    for _ in 0..20 {
        packed.raw.send_frame(RSV1 | BINARY, &largest[..largest.len() / 2]);
        packed.raw.send_frame(FIN | CONTINUATION, &largest[largest.len() / 2..]);
    }
    let bomb = packed.deflated(&vec![0; 100 * MAX]);
    for (at, piece) in bomb.chunks(bomb.len() / 50).enumerate() {
        let first = if at == 0 { RSV1 | BINARY } else { CONTINUATION };
        // By now it may be closed, for good reason.
        if packed.raw.stream.write_all(&frame(first, piece)).is_err() {
            break;
        }
    }
    assert_eq!(packed.raw.frame().close().0, 1009);
}

/// C2: a hundred clients make the server inflate as fast as they can; those beside them lose
/// nothing, and hear nothing that is another's.
#[test]
fn clients_whose_messages_swell_are_nobody_elses_trouble() {
    let mut limits = Limits::default();
    limits.max_message_size = MAX;
    let (sink, _) = Recorder::new(listen);
    let (echoing, _) = Recorder::new(echo);
    let server = Server::builder().workers(2).limits(limits).resource("/sink", Origin::any(), sink);
    let server = Running::start(server.resource("/echo", Origin::any(), echoing));
    let (over, echoed) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for name in 0..10 {
            let (server, over, echoed) = (&server, &over, &echoed);
            scope.spawn(move || {
                let mut packed = Packed::open(server.address, "/echo", ALONE);
                for number in 0.. {
                    let last = over.load(Ordering::Acquire);
                    let message = format!("client {name}, message {number}; ").repeat(100);
                    packed.say(TEXT, message.as_bytes());
                    packed.hears(TEXT, message.as_bytes());
                    echoed.fetch_add(1, Ordering::Relaxed);
                    if last {
                        return;
                    }
                }
            });
        }
        let attack = |_| scope.spawn(|| (0..20).for_each(|_| swell(&server)));
        let attackers: Vec<_> = (0..5).map(attack).collect();
        let fates: Vec<_> = attackers.into_iter().map(thread::ScopedJoinHandle::join).collect();
        over.store(true, Ordering::Release);
        assert!(fates.iter().all(Result::is_ok));
    });
    // Each said something while it went on, and something when it was over.
    assert!(echoed.into_inner() >= 20);
    await_that("all are gone", || server.handle.client_count() == 0);
    assert_eq!(server.handle.metrics().disconnected, 110);
}

const COUNT: u32 = 1500;
const HALF: usize = 8 * KIB;

/// A numbered message of 16 KiB: chance, so that it stays large, and then that of the one before,
/// so that it is compressed by what the peer has to remember.
fn numbered(number: u32) -> Vec<u8> {
    let chance = |number: u32| {
        let words = (0..HALF as u32).map(move |at| (at ^ (number << 16)).wrapping_mul(0x9e37_79b9));
        words.map(|word| (word ^ (word >> 15)).wrapping_mul(0x85eb_ca6b).to_be_bytes()[0])
    };
    let both = chance(number).chain(chance(number.wrapping_sub(1)));
    number.to_be_bytes().into_iter().chain(both).collect()
}

/// Every fifth is not to be compressed.
fn send_all(client: &Client) {
    for number in 0..COUNT {
        let plain = SendOptions::new().uncompressed();
        let options = if number % 5 == 4 { plain } else { SendOptions::new() };
        client.send_binary_with(&numbered(number), options);
    }
}

/// C6: they go to a client that keeps a history and does not read, from its own callback or from
/// elsewhere.
fn numbers_through(policy: SendPolicy, from_elsewhere: bool) {
    let done = Arc::new(AtomicBool::new(false));
    let of_callback = Arc::clone(&done);
    let (recorder, events) = Recorder::new(move |client, heard| {
        if matches!(heard, Heard::Text(_)) {
            send_all(client);
            of_callback.store(true, Ordering::Release);
        }
    });
    let mut limits = Limits::default();
    limits.send_queue_low = 64 * KIB;
    limits.send_queue_high = 256 * KIB;
    limits.send_timeout = Duration::from_mins(10);
    limits.send_policy = policy;
    let deflate = DeflateConfig { server_no_context_takeover: false, ..DeflateConfig::default() };
    let server = Server::builder().limits(limits).deflate(deflate);
    let server = Running::start(server.resource("/", Origin::any(), recorder));
    let mut packed = Packed::over(narrow(server.address), "/", TAKEOVER);
    let client = events.connected();
    if from_elsewhere {
        send_all(&client);
        done.store(true, Ordering::Release);
    } else {
        packed.raw.text("go");
    }
    await_that("all is sent or dropped", || done.load(Ordering::Acquire));
    let mut numbers = Vec::new();
    let (mut compressed, mut asked) = (0, false);
    loop {
        let said = packed.said();
        // There may not be room for a ping yet.
        asked = asked || client.ping(b"the end").is_sent();
        if said.opcode == PING {
            break;
        }
        compressed += u64::from(said.compressed);
        let number = u32::from_be_bytes(*said.content.first_chunk().unwrap());
        assert!(said.content == numbered(number), "{number}");
        numbers.push(number);
    }
    assert!(numbers.is_sorted() && compressed > 10, "{numbers:?}");
    let dropped = server.handle.metrics().dropped;
    assert!(dropped > 0);
    assert_eq!(numbers.len() as u64 + dropped, u64::from(COUNT));
    // What comes now is understood too.
    client.send_binary(&[b'z'; 2 * KIB]);
    assert!(packed.hears(BINARY, &[b'z'; 2 * KIB]).compressed);
}

#[test]
fn what_a_policy_drops_leaves_no_hole_in_the_history() {
    for policy in [SendPolicy::DropNewest, SendPolicy::DropOldest] {
        for from_elsewhere in [false, true] {
            numbers_through(policy, from_elsewhere);
        }
    }
}

/// RFC 7692 leaves it open; old versions of Safari fail on compressed messages in fragments.
#[test]
fn a_compressed_message_is_one_frame_unless_fragments_were_asked_for() {
    for keeping in [false, true] {
        let deflate =
            DeflateConfig { server_no_context_takeover: !keeping, ..DeflateConfig::default() };
        let (recorder, events) = Recorder::new(echo);
        let server = Server::builder().deflate(deflate);
        let server = Running::start(server.resource("/", Origin::any(), recorder));
        // It takes little at a time.
        let mut packed = Packed::over(narrow(server.address), "/", TAKEOVER);
        let client = events.connected();
        for len in [KIB, 70_000, 1000 * KIB] {
            let message: Vec<u8> = (0..len).map(|at| (at * at / 997) as u8 / 3).collect();
            packed.say_in(7, BINARY, &message);
            let answer = packed.hears(BINARY, &message);
            client.send_binary(&message);
            let unasked = packed.hears(BINARY, &message);
            for said in [answer, unasked] {
                assert_eq!((said.compressed, said.wire.len()), (true, 1), "{len}");
            }
        }
    }
}
