//! Peers that are gone before they were served, at every stage of the opening handshake.
//!
//! The counting allocator sees the whole process, so this file holds a single test.

mod common;

use clws::{Origin, Server};
use common::raw::{Raw, request};
use common::{Heard, Recorder, Running, await_that, echo, reset};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const CYCLES: usize = 1000;

/// Where a peer's reset comes.
#[derive(Clone, Copy, Debug)]
enum Stage {
    Connected,
    InTheRequest,
    BehindTheRequest,
    BehindTheAnswer,
}

const STAGES: [Stage; 4] =
    [Stage::Connected, Stage::InTheRequest, Stage::BehindTheRequest, Stage::BehindTheAnswer];

fn cycle(address: SocketAddr, stage: Stage) {
    let mut raw = Raw::connect(address);
    let request = request(&raw.host(), "/echo", "");
    match stage {
        Stage::Connected => {}
        Stage::InTheRequest => raw.send(&request.as_bytes()[..request.len() / 2]),
        Stage::BehindTheRequest => raw.send(request.as_bytes()),
        Stage::BehindTheAnswer => {
            raw.send(request.as_bytes());
            raw.upgraded();
        }
    }
    reset(raw.stream);
}

/// What was allocated and is not freed yet, since the region began.
fn growth(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

/// Scenario A16: counts come out exactly, and nothing is kept of those who left.
#[test]
fn scenario_a16_resets_at_every_stage_leave_nothing_behind() {
    let (told, gone) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (tell, leave) = (Arc::clone(&told), Arc::clone(&gone));
    let (recorder, events) = Recorder::new(move |client, heard| match heard {
        Heard::Connected => _ = tell.fetch_add(1, Ordering::Relaxed),
        Heard::Disconnected(_) => _ = leave.fetch_add(1, Ordering::Relaxed),
        other => echo(client, other),
    });
    let server = Server::builder().workers(1).resource("/echo", Origin::any(), recorder);
    let server = Running::start(server);
    let round = || {
        for stage in STAGES {
            (0..CYCLES).for_each(|_| cycle(server.address, stage));
        }
        server.turns();
        let counted = || (told.load(Ordering::Relaxed), gone.load(Ordering::Relaxed));
        await_that("all are gone", || counted().0 == counted().1);
        let seen = server.handle.metrics();
        assert_eq!((seen.connected, seen.disconnected), counted());
        assert_eq!(server.handle.client_count(), 0);
        drop(events.so_far());
    };
    round();
    let region = Region::new(GLOBAL);
    round();
    // Each had a place of 16 bytes in the wheel of deadlines, whose rows grow by doubling and keep
    // their memory, as the mailbox does that of its fullest batch. Kept sessions come to more.
    let growth = growth(&region);
    assert!(growth < 64 * 4 * CYCLES, "{growth} bytes");
    // Who was told of the 101 had connected.
    let connected = server.handle.metrics().connected;
    assert!(connected >= 2 * CYCLES as u64, "{connected}");
}
