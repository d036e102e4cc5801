//! What a panic in a callback costs, where it was asked for: the process. The test runs itself
//! again as the program that panics.

#![cfg(unix)]

mod common;

use clws::{Client, OnPanic, Origin, Resource, Server};
use common::Running;
use common::raw::Raw;
use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Output};

/// Says which part the process plays; unset in the test itself.
const PART: &str = "CLWS_TEST_ON_PANIC";
const SIGABRT: i32 = 6;

struct Fragile;

impl Resource for Fragile {
    fn text(&self, client: &Client, message: &str) {
        assert!(message != "panic", "a callback that panics on purpose");
        client.send_text(message);
    }
}

/// Serves one client that makes its callback panic, and one that only looks on.
fn play(on_panic: OnPanic) {
    let server = Server::builder().on_panic(on_panic).resource("/", Origin::any(), Fragile);
    let server = Running::start(server);
    let mut looks_on = server.raw("/");
    let mut raw: Raw = server.raw("/");
    raw.text("panic");
    let (code, _) = raw.closed();
    looks_on.text("still served");
    assert_eq!(looks_on.frame().text(), "still served");
    println!("the client was closed with {code}");
    std::io::stdout().flush().expect("a stream");
}

fn run_as(part: &str) -> Output {
    Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "a_panic_may_end_the_process", "--nocapture"])
        .env(PART, part)
        .env("RUST_BACKTRACE", "1")
        .output()
        .expect("this test, again")
}

#[test]
fn a_panic_may_end_the_process() {
    match std::env::var(PART).as_deref() {
        Ok("abort") => return play(OnPanic::Abort),
        Ok("close") => return play(OnPanic::CloseClient),
        _ => {}
    }
    let done = run_as("abort");
    let stderr = String::from_utf8_lossy(&done.stderr);
    assert_eq!(done.status.signal(), Some(SIGABRT), "{:?} {stderr}", done.status);
    assert!(stderr.contains("a callback that panics on purpose"), "{stderr}");
    assert!(stderr.contains("stack backtrace"), "{stderr}");
    assert!(stderr.contains("Fragile"), "the backtrace names the callback: {stderr}");

    let done = run_as("close");
    assert!(done.status.success(), "{:?}", done.status);
    let stdout = String::from_utf8_lossy(&done.stdout);
    assert!(stdout.contains("the client was closed with 1011"), "{stdout}");
}
