//! How much later an answer comes from a listener's thread than from the worker. Run it with
//! `cargo test --release --test listener_latency -- --ignored --nocapture`.

mod common;

use clws::{Listener, Origin, Server};
use common::{Echo, Running};
use std::time::{Duration, Instant};

const ROUNDS: usize = 20_000;

/// The median and the 99th percentile of the time from a message to its echo.
fn measure(server: &Running, path: &str) -> (Duration, Duration) {
    let mut raw = server.raw(path);
    let mut times: Vec<Duration> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            raw.text("hop");
            assert_eq!(raw.frame().text(), "hop");
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    (times[ROUNDS / 2], times[ROUNDS / 100 * 99])
}

#[test]
#[ignore = "a measurement, not a check"]
fn print_what_a_hop_costs() {
    let server = Server::builder().workers(1).resource("/inline", Origin::any(), Echo).resource(
        "/listener",
        Origin::any(),
        Listener::new(Echo),
    );
    let server = Running::start(server);
    for round in 1..=3 {
        let (inline, late_inline) = measure(&server, "/inline");
        let (listener, late_listener) = measure(&server, "/listener");
        println!(
            "{round}: median {inline:?} inline, {listener:?} by a listener, {:?} more; \
             99 % {late_inline:?} and {late_listener:?}",
            listener.saturating_sub(inline)
        );
    }
}
