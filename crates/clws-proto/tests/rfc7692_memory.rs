//! What permessage-deflate occupies: documented sizes, nothing per message, no growth.

use clws_proto::deflate::{
    Codecs, Contexts, DeflateConfig, Deflater, Inflater, MAX_WINDOW_BITS, MIN_WINDOW_BITS, Side,
    negotiate,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;
use std::sync::Mutex;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;
/// The counts are those of the process, so one test runs at a time, and what the harness allocates
/// meanwhile is allowed for.
static ALONE: Mutex<()> = Mutex::new(());

/// What the harness may allocate during a test, in bytes.
const HARNESS: usize = 4096;

fn alone() -> std::sync::MutexGuard<'static, ()> {
    ALONE.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

/// The bytes that stay allocated after `make`, and what it made.
fn measure<T>(make: impl FnOnce() -> T) -> (usize, T) {
    let region = Region::new(ALLOCATOR);
    let result = make();
    let change = region.change();
    (change.bytes_allocated.saturating_sub(change.bytes_deallocated), result)
}

fn close_to(stated: usize, measured: usize) -> bool {
    stated.abs_diff(measured) <= stated / 20
}

fn contexts(parameters: &str, config: &DeflateConfig) -> Contexts {
    let offered = format!("permessage-deflate{parameters}");
    let agreed = negotiate([offered.as_bytes()].into_iter(), config);
    Contexts::new(&agreed.expect("legal").expect("accepted"), Side::Server)
}

const TAKEOVER: DeflateConfig = DeflateConfig {
    enabled: true,
    level: 1,
    min_size: 0,
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};

#[test]
fn the_stated_sizes_are_the_measured_ones_and_stay() {
    let _alone = alone();
    let data: Vec<u8> =
        (0..300_000_u32).map(|index| (index.wrapping_mul(index) >> 7) as u8).collect();
    for bits in MIN_WINDOW_BITS..=MAX_WINDOW_BITS {
        let (new, mut deflater) = measure(|| Box::new(Deflater::new(1, bits)));
        assert!(close_to(deflater.memory(), new), "{bits}: {} {new}", deflater.memory());
        let mut out = Vec::with_capacity(2 * data.len());
        let (more, _) = measure(|| deflater.deflate(&data, true, &mut out));
        assert!(more <= HARNESS, "{more}");
    }
    let (new, mut inflater) = measure(|| Box::new(Inflater::new()));
    assert!(close_to(inflater.memory(), new), "{} {new}", inflater.memory());
    let mut out = Vec::new();
    Deflater::new(6, 15).deflate(&data, true, &mut out);
    let (more, result) = measure(|| inflater.inflate(&out, true, u64::MAX, |_| Ok(())));
    assert!(more <= HARNESS && result.is_ok(), "{more}, {result:?}");
}

#[test]
fn no_allocation_per_message() {
    let _alone = alone();
    for config in [DeflateConfig::default(), TAKEOVER] {
        let mut codecs = Codecs::new(1, 1 << 20);
        let mut server = contexts("; client_max_window_bits", &config);
        let message = b"{\"id\":1,\"user\":\"anna\",\"active\":true},".repeat(50);
        let mut out = Vec::with_capacity(10_000);
        let mut turn = |piece: &[u8]| {
            out.clear();
            assert!(server.deflate(&message, &mut codecs, &mut out));
            let half = piece.len() / 2;
            for (piece, fin) in [(&piece[..half], false), (&piece[half..], true)] {
                assert_eq!(server.inflate(piece, fin, 5, &mut codecs, |_| Ok(())), Ok(()));
            }
        };
        let hello = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];
        turn(&hello);
        let region = Region::new(ALLOCATOR);
        for _ in 0..1000 {
            turn(&hello);
        }
        let count = region.change().allocations + region.change().reallocations;
        assert!(count < 100, "{count} for 1000 messages, {config:?}");
    }
}

#[test]
fn scenario_c7_10_000_connections_leave_nothing() {
    let _alone = alone();
    let message = b"{\"id\":1,\"user\":\"anna\"},".repeat(100);
    let mut out = Vec::with_capacity(10_000);
    let mut codecs = Codecs::new(1, 1 << 20);
    let mut cycle = |index: usize| {
        let bits = 9 + index % 7;
        let config = if index.is_multiple_of(2) { DeflateConfig::default() } else { TAKEOVER };
        let mut server = contexts(&format!("; server_max_window_bits={bits}"), &config);
        out.clear();
        assert!(server.deflate(&message, &mut codecs, &mut out));
        let result = match index % 3 {
            0 => server.inflate(&[0xf2, 0x48], false, 5, &mut codecs, |_| Ok(())),
            1 => server.inflate(&out, true, 5, &mut codecs, |_| Ok(())),
            _ => server.inflate(&out, true, 10_000, &mut codecs, |_| Ok(())),
        };
        assert_eq!(result.is_err(), index % 3 == 1);
        if !index.is_multiple_of(5) {
            server.release(&mut codecs);
        }
        assert!(codecs.kept() <= 1 << 20);
    };
    (0..210).for_each(&mut cycle);
    let (grown, ()) = measure(|| (0..9_870).for_each(&mut cycle));
    let most = 512 * 1024;
    assert!(grown <= most, "{grown}, within what the pool may keep");
}
