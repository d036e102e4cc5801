//! How `clws serve` starts, stops and goes on: signals, kills, stops of the whole process, and a
//! log that nobody takes.

#![cfg(unix)]

#[path = "../../clws/tests/common/raw.rs"]
#[allow(dead_code, unreachable_pub, reason = "the library's tests use it too, and more of it")]
mod raw;
mod serving;

use raw::{End, FIN, PING, PONG, Raw, TEXT, frame, request};
use serving::Serving;
use std::net::TcpStream;
use std::time::Duration;

/// Has all messages echoed that were sent.
fn read_echoes(raw: &mut Raw, count: usize) {
    for number in 0..count {
        assert_eq!(raw.frame().text(), number.to_string());
    }
}

/// What it logged, once it has ended with success.
fn log_of(mut serving: Serving) -> Vec<String> {
    assert_eq!(serving.child.wait().expect("it ends").code(), Some(0));
    serving.errors.iter().collect()
}

#[test]
fn a_signal_drains_and_nothing_that_was_sent_is_lost() {
    const CLIENTS: usize = 200;
    const MESSAGES: usize = 20;
    for over in ["0s", "400ms"] {
        let serving = Serving::start(&["--drain-over", over, "--drain-deadline", "15s"]);
        let mut clients: Vec<Raw> = (0..CLIENTS).map(|_| serving.raw("/echo")).collect();
        let messages: Vec<u8> =
            (0..MESSAGES).flat_map(|n| frame(FIN | TEXT, n.to_string().as_bytes())).collect();
        for raw in &mut clients {
            raw.send(&messages);
        }
        serving.signal("TERM");
        for raw in &mut clients {
            read_echoes(raw, MESSAGES);
            assert_eq!(raw.frame().close().0, 1001);
            raw.close(1001, "");
            assert_eq!(raw.end(), End::Fin);
        }
        let log = log_of(serving);
        let told = "clients=200 clean=200 forced=0 refused=0";
        assert!(log.iter().any(|line| line.contains(told)), "{log:?}");
    }
}

#[test]
fn who_does_not_answer_is_cut_off_at_the_deadline() {
    let serving = Serving::start(&["--drain-deadline", "500ms"]);
    let mut raw = serving.raw("/echo");
    serving.signal("INT");
    assert_eq!(raw.frame().close().0, 1001);
    let log = log_of(serving);
    assert!(log.iter().any(|line| line.contains("clients=1 clean=0 forced=1")), "{log:?}");
    assert_eq!(raw.end(), End::Reset);
}

/// A second signal cuts a drain short that has hours left.
#[test]
fn a_second_signal_ends_a_drain() {
    let serving = Serving::start(&["--drain-over", "10h"]);
    let mut raw = serving.raw("/echo");
    serving.signal("TERM");
    // It refuses new connections from the moment it was told.
    while TcpStream::connect(serving.addresses[0]).is_ok() {}
    raw.text("still served");
    assert_eq!(raw.frame().text(), "still served");
    serving.signal("TERM");
    assert_eq!(serving.wait().code(), Some(130));
}

#[test]
fn after_a_kill_its_address_can_be_bound_at_once() {
    let mut serving = Serving::start(&[]);
    let address = serving.addresses[0];
    // Connections that the kill leaves half closed.
    let mut clients: Vec<Raw> = (0..20).map(|_| serving.raw("/echo")).collect();
    clients[0].text("here");
    assert_eq!(clients[0].frame().text(), "here");
    serving.signal("KILL");
    serving.child.wait().expect("it ends");
    let again = Serving::start_on(1, &["serve", "--listen", &address.to_string()]);
    assert_eq!(again.addresses, [address]);
    let mut raw = again.raw("/echo");
    raw.text("here again");
    assert_eq!(raw.frame().text(), "here again");
}

/// While the process is stopped nobody's pong can be heard, so nobody is dropped for it.
#[test]
fn a_process_that_was_stopped_keeps_its_clients() {
    let serving = Serving::start(&["--ping-interval", "200ms", "--pong-timeout", "2s"]);
    let mut clients: Vec<Raw> = (0..50).map(|_| serving.raw("/echo")).collect();
    for raw in &mut clients {
        assert_eq!(raw.frame().opcode, PING);
    }
    // None has answered when it stops, and it stays away for longer than they have time.
    serving.signal("STOP");
    std::thread::sleep(Duration::from_millis(3500));
    serving.signal("CONT");
    for raw in &mut clients {
        raw.text("alive");
    }
    for raw in &mut clients {
        loop {
            let frame = raw.frame();
            if frame.opcode != PING {
                assert_eq!(frame.text(), "alive");
                break;
            }
            raw.send_frame(FIN | PONG, &frame.payload);
        }
    }
}

/// Stderr may have no reader from the start, lose it, or have one that does not read.
#[test]
fn a_log_that_nobody_takes_does_not_keep_it_from_stopping() {
    for reader_stays in [true, false] {
        let mut serving = Serving::start_unread(&["--log", "debug"]);
        let reader = serving.child.stderr.take().filter(|_| reader_stays);
        let mut echo = serving.raw("/echo");
        for _ in 0..2500 {
            let mut raw = Raw::connect(serving.addresses[0]);
            raw.send(request(&raw.host(), "/nothing", "").as_bytes());
            assert_eq!(raw.answer().status, 404);
        }
        serving.signal("TERM");
        assert_eq!(echo.frame().close().0, 1001);
        echo.close(1001, "");
        assert_eq!(serving.wait().code(), Some(0), "{reader_stays}");
        drop(reader);
    }
}

/// What peers say is not told, and nothing they say can forge a line or colour a terminal.
#[test]
fn peers_cannot_write_into_the_log() {
    let serving = Serving::start(&["--log", "debug"]);
    let evil = "\r\n\u{1b}[31mforged";
    let headers = "Origin: http://\u{1b}[31mforged\r\nCookie: id=forged\r\n";
    for path in ["/nothing?token=forged", "/%0d%0a%1b[31mforged", "/\u{1b}[31mforged"] {
        let mut raw = Raw::connect(serving.addresses[0]);
        raw.send(request("localhost", path, headers).as_bytes());
        assert!(raw.answer().status >= 400, "{path}");
    }
    let mut raw = serving.raw("/echo");
    raw.close(3000, evil);
    assert_eq!(raw.frame().close().0, 3000);
    let mut raw = serving.raw("/echo");
    raw.send_frame(FIN | 0x70 | TEXT, evil.as_bytes());
    raw.closed();
    serving.signal("TERM");
    let log = log_of(serving);
    assert!(log.iter().filter(|line| line.contains("handshake refused")).count() == 3, "{log:?}");
    for line in &log {
        assert!(!line.contains("forged") && !line.contains(char::is_control), "{line:?}");
        assert!(line.starts_with(|first: char| first.is_ascii_digit()), "a time: {line:?}");
    }
}
