//! What compressed messages and clients that may send them hold of memory at most, in bytes.
//!
//! The counting allocator sees the whole process, so one test runs at a time, and clients read and
//! write by buffers that they had before.

mod common;

use clws::{DeflateConfig, Origin, Server};
use common::packed::{ALONE, Packed, RSV1, TAKEOVER};
use common::raw::{BINARY, FIN, TEXT, frame, request};
use common::{Echo, Running};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

#[global_allocator]
static GLOBAL: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
static ALONE_IN_PROCESS: Mutex<()> = Mutex::new(());

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

fn alone() -> MutexGuard<'static, ()> {
    ALONE_IN_PROCESS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One worker, so that what it keeps for all its clients is there once.
fn serving(keeping: bool) -> Running {
    let deflate = DeflateConfig {
        min_size: 1,
        server_no_context_takeover: !keeping,
        client_no_context_takeover: !keeping,
        ..DeflateConfig::default()
    };
    let server = Server::builder().workers(1).deflate(deflate);
    Running::start(server.resource("/", Origin::any(), Echo))
}

fn stop(server: &Running) {
    server.handle.shutdown();
    server.handle.join();
}

fn held(region: &Region<'_, System>) -> usize {
    let change = region.change();
    change.bytes_allocated.saturating_sub(change.bytes_deallocated)
}

/// C1: what inflates a thousandfold makes the server allocate what a message may have.
#[test]
fn a_message_that_swells_allocates_no_more_than_the_limit() {
    let _alone = alone();
    let server = serving(false);
    let mut packed = Packed::open(server.address, "/", ALONE);
    // Blocks that refer to nothing before them, so they may be repeated: 1 GiB in 1 MiB.
    let block = [packed.deflated(&vec![0; MIB]), vec![0, 0, 0xff, 0xff]].concat();
    let bomb = frame(FIN | RSV1 | BINARY, &block.repeat(1024));
    assert!(bomb.len() < 2 * MIB);
    let region = Region::new(GLOBAL);
    // The server need not take all of it.
    let _ = packed.raw.stream.write_all(&bomb);
    let mut close = [0; 4];
    packed.raw.stream.read_exact(&mut close).unwrap();
    let allocated = region.change().bytes_allocated;
    assert_eq!((close[0], &close[2..]), (0x88, &1009_u16.to_be_bytes()[..]));
    assert!(allocated < 3 * MIB, "{allocated}");
    drop(packed);
    stop(&server);
}

/// The bytes that each of `COUNT` idle clients holds of the server, by what they offered and said.
fn per_client(keeping: bool, offer: &str, speaks: bool) -> usize {
    const COUNT: usize = 200;
    let server = serving(keeping);
    // What the worker keeps for all is there before it is counted.
    let mut first = Packed::open(server.address, "/", ALONE);
    let wire = first.deflated(&[b'a'; 100]);
    first.say(TEXT, &[b'a'; 100]);
    first.hears(TEXT, &[b'a'; 100]);
    let message = frame(FIN | RSV1 | TEXT, &wire);
    let header = format!("Sec-WebSocket-Extensions: {offer}\r\n");
    let request = request(&server.address.to_string(), "/", &header);
    let mut clients: Vec<TcpStream> = Vec::with_capacity(COUNT);
    let mut buffer = [0; KIB];
    let region = Region::new(GLOBAL);
    for _ in 0..COUNT {
        let mut stream = TcpStream::connect(server.address).unwrap();
        stream.write_all(request.as_bytes()).unwrap();
        let mut len = 0;
        while !buffer[..len].ends_with(b"\r\n\r\n") {
            len += stream.read(&mut buffer[len..]).unwrap();
        }
        if speaks {
            stream.write_all(&message).unwrap();
            stream.read_exact(&mut buffer[..2]).unwrap();
            assert_eq!(buffer[0], FIN | RSV1 | TEXT);
            let len = usize::from(buffer[1]);
            stream.read_exact(&mut buffer[..len]).unwrap();
        }
        clients.push(stream);
    }
    let each = held(&region) / COUNT;
    drop((first, clients));
    stop(&server);
    each
}

/// C5: a client that may compress and is silent costs little more than one that may not.
#[test]
fn idle_clients_with_compression_hold_next_to_nothing() {
    let _alone = alone();
    let plain = per_client(false, "x-none", false);
    for (keeping, offer, speaks) in [(false, ALONE, true), (true, TAKEOVER, false)] {
        let each = per_client(keeping, offer, speaks);
        assert!(each < plain + KIB, "{offer}: {each} bytes, {plain} without");
    }
    // With a history it is there once it was used; the counter counts.
    let each = per_client(true, TAKEOVER, true);
    assert!(each > plain + 40 * KIB, "{each}");
}
