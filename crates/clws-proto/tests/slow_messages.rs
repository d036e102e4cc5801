//! Messages that trickle in, and messages in crumbs: memory follows the bytes that came.

mod common;

use clws_proto::connection::{Config, Expired};
use clws_proto::error::ProtocolError;
use clws_proto::frame::OpCode::{Binary, Close, Continuation};
use common::{End, Seen, masked};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Mutex;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
/// The counts are those of the process, so one test runs at a time.
static ALONE: Mutex<()> = Mutex::new(());

const SECOND: Duration = Duration::from_secs(1);

/// The bytes that were allocated since and still are.
fn live(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

#[test]
fn scenario_b3_a_thousand_messages_that_trickle_cost_what_came_and_end_in_their_time() {
    const PEERS: usize = 1000;
    let _alone = ALONE.lock();
    let config = || Config { ping_interval: None, ..Config::default() };
    let mut peers: Vec<End> = (0..PEERS).map(|_| End::server(config())).collect();
    let message = masked(true, Binary, &vec![7; 1024 * 1024]);
    let (header, rest) = message.split_at(14);
    let region = Region::new(ALLOCATOR);
    for peer in &mut peers {
        peer.receive(header);
    }
    for second in 0..29 {
        for peer in &mut peers {
            peer.receive(&rest[second..=second]);
            assert_eq!(peer.pass(SECOND), None);
        }
    }
    let each = live(&region) / PEERS;
    assert!(each < 512, "{each} bytes for 43 that came");
    for peer in &mut peers {
        assert_eq!(peer.pass(2 * SECOND), Some(Expired::Message));
        let close = [&[0x80 | Close as u8][..], &peer.out[1..2], &1008_u16.to_be_bytes()].concat();
        assert_eq!(peer.out[..4], close);
        peer.out = Vec::new();
        peer.connection.discard(&mut peer.pool);
    }
}

/// The same peers, had they gone on at a decent pace.
#[test]
fn scenario_b3_a_message_that_is_whole_in_time_is_delivered() {
    let _alone = ALONE.lock();
    let mut peer = End::server(Config::default());
    let message = masked(true, Binary, &vec![7; 1024 * 1024]);
    for piece in message.chunks(message.len() / 29 + 1) {
        peer.receive(piece);
        assert_eq!(peer.pass(SECOND), None);
    }
    assert!(peer.seen == [Seen::Binary(vec![7; 1024 * 1024])]);
}

#[test]
fn scenario_b4_crumbs_without_end_cost_no_more_than_twice_what_came() {
    let _alone = ALONE.lock();
    let mut peer = End::server(Config::default());
    let crumb = masked(false, Continuation, b"x");
    peer.receive(&masked(false, Binary, b""));
    let region = Region::new(ALLOCATOR);
    let mut wire = 0;
    while peer.seen.is_empty() {
        peer.receive(&crumb);
        wire += crumb.len();
        assert!(live(&region) <= 2 * wire + 4096, "{} bytes for {wire}", live(&region));
    }
    assert_eq!(peer.seen, [Seen::Error(ProtocolError::MessageTooBig)]);
    assert!(wire < 1024 * 1024, "{wire} bytes were taken");
}
