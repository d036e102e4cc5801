//! Compressed messages leave no memory behind, whether their clients leave politely or not.
//!
//! The counting allocator sees the whole process, so this file holds a single test.

mod common;

use clws::{DeflateConfig, Limits, Origin, Server};
use common::packed::{ALONE, Packed, TAKEOVER};
use common::raw::TEXT;
use common::{Events, Recorder, Running, echo, reset};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const WARM_UP: usize = 20;
const CYCLES: usize = 300;
/// What the test's own harness may keep, in bytes; one lost deflater is more, and so are 50 bytes
/// lost with every client.
const SLACK: usize = 16 * 1024;

/// One client: connects, exchanges messages, leaves by a close, an end or a reset.
fn cycle(server: &Running, events: &Events, number: usize) {
    let offer = if number.is_multiple_of(2) { TAKEOVER } else { ALONE };
    let mut packed = Packed::open(server.address, "/", offer);
    let message = vec![b'a' + (number % 26) as u8; 20_000];
    for _ in 0..2 {
        packed.say(TEXT, &message);
        assert!(packed.hears(TEXT, &message).compressed);
    }
    match number % 3 {
        0 => {
            packed.raw.close(1000, "");
            packed.raw.closed();
        }
        // In the midst of a compressed message.
        1 => {
            packed.raw.send(&[0x41, 0xFE, 0x10, 0x00, 0, 0, 0, 0, 0x4a, 0x4c]);
            packed.raw.finish();
        }
        _ => reset(packed.raw.stream),
    }
    events.skip_to_disconnected();
}

#[test]
fn clients_that_come_compress_and_go_leave_nothing() {
    let deflate = DeflateConfig {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        ..DeflateConfig::default()
    };
    let (recorder, events) = Recorder::new(echo);
    let server = Server::builder().workers(1).limits(Limits::default()).deflate(deflate);
    let server = Running::start(server.resource("/", Origin::any(), recorder));
    for number in 0..WARM_UP {
        cycle(&server, &events, number);
    }
    let region = Region::new(GLOBAL);
    for number in 0..CYCLES {
        cycle(&server, &events, number);
    }
    let change = region.change();
    let grown = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
    assert!(grown <= SLACK, "{grown} bytes after {CYCLES} clients");
}
