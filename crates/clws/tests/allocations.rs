//! An echo allocates nothing: not for the message, not for the answer, not for the bookkeeping.
//!
//! The counting allocator sees the whole process, so this file holds a single test, and its client
//! reads and writes from buffers that it had before.

mod common;

use clws::{Limits, Origin, Server};
use common::raw::{BINARY, FIN, Raw, TEXT, frame};
use common::{Echo, Relay, Running};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::io::{Read, Write};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 10_000;
const WARM_UP: usize = 500;

/// Sends `question` again and again, and reads as many answers.
fn echoes(raw: &mut Raw, question: &[u8], answer: &mut [u8], rounds: usize) {
    for _ in 0..rounds {
        raw.stream.write_all(question).expect("the server takes bytes");
        raw.stream.read_exact(answer).expect("an answer");
    }
}

#[test]
fn an_echo_allocates_nothing() {
    let mut limits = Limits::default();
    // The timer looks at an idle client now and then, and may keep its new place in new memory.
    limits.ping_interval = None;
    let server = Server::builder().workers(1).limits(limits);
    let server = server.resource("/", Origin::any(), Echo);
    let server = Running::start(server.resource("/relay", Origin::any(), Relay));
    let mut clients = ["/", "/relay"].map(|path| server.raw(path));
    for (client, kind, len, header_len) in
        [(0, TEXT, 64, 2), (1, TEXT, 16 * 1024, 4), (0, BINARY, 16 * 1024, 4), (0, TEXT, 0, 2)]
    {
        let (raw, payload) = (&mut clients[client], vec![b'x'; len]);
        let question = frame(FIN | kind, &payload);
        let mut answer = vec![0; header_len + len];
        echoes(raw, &question, &mut answer, WARM_UP);
        let region = Region::new(GLOBAL);
        echoes(raw, &question, &mut answer, ROUNDS);
        let change = region.change();
        assert_eq!(answer[header_len..], payload);
        assert_eq!(
            (change.allocations, change.reallocations, change.deallocations),
            (0, 0, 0),
            "in {ROUNDS} echoes of {len} bytes: {change:?}"
        );
    }
    // The counter counts.
    let region = Region::new(GLOBAL);
    drop(std::hint::black_box(vec![0_u8; 100]));
    assert_eq!((region.change().allocations, region.change().deallocations), (1, 1));
}
