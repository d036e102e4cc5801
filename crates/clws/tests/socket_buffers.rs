//! What the system keeps of a connection beside the server: bounded where that was asked for, or
//! where the memory budget is small.

mod common;

use clws::{Limits, Origin, Server};
use common::raw::{BINARY, FIN};
use common::{Events, Recorder, Running, echo, listen, narrow};

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn limits(buffers: usize) -> Limits {
    let mut limits = Limits::default();
    limits.socket_buffers = Some(buffers);
    limits
}

fn server(limits: Limits) -> (Running, Events) {
    let (recorder, events) = Recorder::new(listen);
    let server = Server::builder().workers(1).limits(limits);
    let server = server.resource("/", Origin::any(), recorder);
    let server = server.resource("/echo", Origin::any(), Recorder::new(echo).0);
    (Running::start(server), events)
}

/// How many of 900 KiB the system takes for a client that does not read.
#[cfg(target_os = "linux")]
fn taken_for_a_client(limits: Limits) -> usize {
    let (server, events) = server(limits);
    let mut raw = narrow(server.address);
    raw.upgrade("/", "");
    let client = events.connected();
    client.send_binary(&vec![0; 900 * KIB]);
    server.turns();
    900 * KIB - client.queued_bytes()
}

#[cfg(target_os = "linux")]
#[test]
fn little_is_taken_for_who_does_not_read() {
    let taken = taken_for_a_client(limits(16 * KIB));
    assert!((16 * KIB..128 * KIB).contains(&taken), "{taken} bytes");
    let mut small = Limits::default();
    small.memory_budget = Some(64 * MIB);
    let taken = taken_for_a_client(small);
    assert!((64 * KIB..256 * KIB).contains(&taken), "{taken} bytes with a small budget");
    let mut large = Limits::default();
    large.memory_budget = Some(128 * MIB);
    let taken = taken_for_a_client(large);
    assert!(taken >= 256 * KIB, "{taken} bytes with a large one");
}

#[test]
fn long_messages_pass_through_small_buffers() {
    let (server, _events) = server(limits(4 * KIB));
    let mut raw = server.raw("/echo");
    let payload: Vec<u8> = (0..MIB).map(|index| (index / 7) as u8).collect();
    for _ in 0..3 {
        raw.send_frame(FIN | BINARY, &payload);
        assert!(raw.frame().payload == payload);
    }
}

#[test]
fn buffers_have_a_least_size() {
    let server = Server::builder().limits(limits(4 * KIB - 1));
    let server = server.resource("/", Origin::any(), Recorder::new(listen).0);
    assert!(server.bind("127.0.0.1:0").unwrap().start().is_err());
}
