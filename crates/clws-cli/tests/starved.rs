//! A server without file descriptors, in a process of its own.

#![cfg(target_os = "linux")]

#[path = "../../clws/tests/common/raw.rs"]
#[allow(dead_code, unreachable_pub, reason = "the library's tests use it too, and more of it")]
mod raw;
mod serving;

use raw::{PATIENCE, Raw, request};
use serving::Serving;
use std::fs;
use std::process::Stdio;
use std::time::Duration;

const CLIENTS: usize = 400;
/// So many fit into 256 descriptors beside the server's own.
const FIT: usize = 200;

/// The time a process has had of all processors.
fn processor_time(process: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("a process");
    let (_, fields) = stat.rsplit_once(") ").expect("a name");
    // Its own and the system's, in hundredths of a second (proc(5): fields 14 and 15).
    let ticks =
        fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().expect("ticks"));
    Duration::from_millis(10 * ticks.sum::<u64>())
}

/// Seconds since midnight, as a line of the log begins with date and time.
fn told_at(line: &str) -> f64 {
    let (_, rest) = line.split_once('T').expect("a time");
    let (time, _) = rest.split_once('Z').expect("a time");
    time.split(':').fold(0.0, |sum, part| sum * 60.0 + part.parse::<f64>().expect("a number"))
}

/// Scenario F1: with 256 descriptors and 400 clients the rest wait, at no cost, and are served
/// when there is room again.
#[test]
fn scenario_f1_without_descriptors_the_rest_wait() {
    let arguments = ["serve", "--listen", "127.0.0.1:0", "--ping-interval", "off"];
    let serving = Serving::start_by_shell(1, "ulimit -n 256;", Stdio::null(), &arguments);
    let open = || {
        let mut raw = Raw::connect(serving.addresses[0]);
        raw.send(request(&raw.host(), "/echo", "").as_bytes());
        raw
    };
    let mut served: Vec<_> = (0..CLIENTS).map(|_| open()).collect();
    let mut waiting = served.split_off(FIT);
    for raw in &mut served {
        raw.upgraded();
    }
    let warning = || serving.errors.recv_timeout(PATIENCE).expect("a warning");
    let mut told = vec![told_at(&warning())];
    let before = processor_time(serving.child.id());
    while told.len() < 4 {
        let line = warning();
        assert!(line.contains("cannot accept connections"), "{line}");
        told.push(told_at(&line));
    }
    let used = processor_time(serving.child.id()).saturating_sub(before);
    // Four lines take three seconds, less what the first one was late; a line for each try would
    // take 0.6.
    let span = (told[3] - told[0]).rem_euclid(86_400.0);
    assert!(span > 2.0, "more than a line a second: {told:?}");
    // A loop that spins would have used all of them.
    assert!(used <= Duration::from_millis(150), "{used:?} in three seconds: above 5 %");
    served[0].text("still served");
    assert_eq!(served[0].frame().text(), "still served");
    drop(served);
    for raw in &mut waiting {
        raw.upgraded();
    }
    waiting[FIT - 1].text("served at last");
    assert_eq!(waiting[FIT - 1].frame().text(), "served at last");
}
