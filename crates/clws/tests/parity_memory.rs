//! A message to many clients is there once, however many they are (draft 76 and compression aside).
//!
//! The counting allocator sees the whole process, so this file holds a single test.

mod common;

use clws::{Limits, send_binary_to};
use common::raw::BINARY;
use common::{listen, narrow};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::time::Duration;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CLIENTS: usize = 20;
const LEN: usize = 2 * 1024 * 1024;

#[test]
fn a_message_to_many_is_not_copied_for_each() {
    let mut limits = Limits::default();
    limits.send_timeout = Duration::from_mins(10);
    let (server, events) = common::recording(limits, listen);
    let mut raws = Vec::new();
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        // None of them takes the whole message at once.
        let mut raw = narrow(server.address);
        raw.upgrade("/", "");
        raws.push(raw);
        clients.push(events.connected());
    }
    let message: Vec<u8> = (0..LEN).map(|at| (at / 1000) as u8).collect();
    let region = Region::new(GLOBAL);
    let report = send_binary_to(&clients, &message);
    for raw in &raws {
        raw.stream.peek(&mut [0]).expect("its first byte");
    }
    let allocated = region.change().bytes_allocated;
    assert_eq!(report.sent, CLIENTS);
    // Once to build it, once to share it, and a little for the letters.
    assert!(allocated < 3 * LEN, "{allocated} bytes for {CLIENTS} clients and {LEN} bytes");
    for raw in &mut raws {
        let frame = raw.frame();
        assert!(frame.opcode == BINARY && frame.payload == message);
    }
}
