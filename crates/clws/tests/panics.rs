//! User code that panics costs one client, is counted, and is nobody else's trouble.

mod common;

use clws::{Accept, Cause, Client, Closed, Limits, Origin, Reject, Request, Resource, Response};
use clws::{CloseCode, Server};
use common::raw::{End, FIN, PONG, Raw, TEXT, frame, request};
use common::{Heard, Recorder, Running, await_that, echo, ws};
use std::panic;
use std::sync::Once;
use std::thread;
use tokio_tungstenite::tungstenite::Message;

/// Keeps panics on purpose out of the tests' output.
fn quiet() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if info.payload_as_str().is_none_or(|text| !text.contains("on purpose")) {
                usual(info);
            }
        }));
    });
}

/// Panics in the callback that the query names; otherwise an echo.
struct Fragile(Recorder);

fn panic_if(client: &Client, callback: &str) {
    assert!(client.query_string() != Some(callback), "on purpose");
}

impl Resource for Fragile {
    fn accept(&self, request: &Request) -> Result<Accept, Reject> {
        assert!(request.query_string() != Some("accept"), "on purpose");
        Ok(Accept::new())
    }

    fn get(&self, _: &Request) -> Option<Response> {
        panic!("on purpose")
    }

    fn connected(&self, client: &Client) -> Result<(), Reject> {
        panic_if(client, "connected");
        Ok(())
    }

    fn text(&self, client: &Client, message: &str) {
        client.send_text("before");
        panic_if(client, "text");
        self.0.text(client, message);
    }

    fn binary(&self, client: &Client, message: &[u8]) {
        panic_if(client, "binary");
        self.0.binary(client, message);
    }

    fn pong(&self, client: &Client, _: &[u8]) {
        panic_if(client, "pong");
    }

    fn disconnected(&self, client: &Client, closed: &Closed) {
        self.0.disconnected(client, closed);
        panic_if(client, "disconnected");
    }
}

fn fragile() -> (Running, common::Events) {
    quiet();
    let (recorder, events) = Recorder::new(echo);
    let server = Server::builder().workers(1).resource("/", Origin::any(), Fragile(recorder));
    (Running::start(server), events)
}

#[test]
fn a_panic_in_a_callback_closes_its_client_with_1011() {
    let (server, events) = fragile();
    let long = frame(FIN | 2, &vec![1; 100_000]);
    for (count, (callback, bytes)) in [
        ("connected", Vec::new()),
        ("text", frame(FIN | TEXT, b"x")),
        ("binary", frame(FIN | 2, b"x")),
        ("binary", long),
        ("pong", frame(FIN | PONG, b"x")),
    ]
    .into_iter()
    .enumerate()
    {
        let mut raw = server.raw(&format!("/?{callback}"));
        raw.send(&bytes);
        if callback == "text" {
            assert_eq!(raw.frame().text(), "before", "what was sent before the panic");
        }
        assert_eq!(raw.frame().close().0, 1011, "{callback}");
        raw.close(1011, "");
        assert_eq!(raw.end(), End::Fin);
        let (_, closed) = events.disconnected();
        assert_eq!((closed.cause, closed.clean), (Cause::Panic, true), "{callback}");
        assert_eq!(server.handle.metrics().panics, count as u64 + 1);
    }
    assert_eq!(server.handle.client_count(), 0);
}

#[test]
fn a_panic_before_the_101_is_a_500() {
    let (server, _events) = fragile();
    let plain = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_owned();
    for request in [request("localhost", "/?accept", ""), plain] {
        let mut raw = Raw::connect(server.address);
        raw.send(request.as_bytes());
        let answer = raw.answer();
        assert_eq!(answer.status, 500);
        assert!(!answer.body.contains("purpose"), "{answer:?}");
        assert_eq!(raw.end(), End::Fin);
    }
    assert_eq!(server.handle.metrics().panics, 2);
}

#[test]
fn a_panic_in_disconnected_leaves_nothing_behind() {
    let (server, events) = fragile();
    for count in 1..=3 {
        let mut raw = server.raw("/?disconnected");
        raw.close(1000, "");
        assert_eq!(raw.closed().0, 1000);
        events.disconnected();
        await_that("the panic is counted", || server.handle.metrics().panics == count);
        assert_eq!(server.handle.client_count(), 0);
    }
    let metrics = server.handle.metrics();
    assert_eq!((metrics.connected, metrics.disconnected), (3, 3));
}

#[test]
fn a_panic_in_drained_closes_its_client() {
    quiet();
    let mut limits = Limits::default();
    limits.send_queue_high = 1024;
    limits.send_queue_low = 512;
    let (server, events) = common::recording(limits, |client, heard| match heard {
        Heard::Text(_) => _ = client.send_binary(&vec![0; 16 * 1024 * 1024]),
        Heard::Drained => panic!("on purpose"),
        _ => {}
    });
    let mut raw = common::narrow(server.address);
    raw.upgrade("/", "");
    raw.text("a lot, please");
    assert_eq!(raw.frame().payload.len(), 16 * 1024 * 1024);
    assert_eq!(raw.frame().close().0, 1011);
    raw.close(1011, "");
    let (_, closed) = events.skip_to_disconnected();
    assert_eq!(closed.cause, Cause::Panic);
    assert_eq!(server.handle.metrics().panics, 1);
}

/// G3: one callback in ten panics; the others' clients, on the same worker, notice nothing.
#[test]
fn panics_are_nobody_elses_trouble() {
    const CLIENTS: u64 = 100;
    let (server, _events) = fragile();
    let address = server.address;
    let innocents: Vec<_> = (0..4)
        .map(|number| {
            thread::spawn(move || {
                let mut ws = ws::open(address, "/");
                for round in 0..300 {
                    let message = Message::binary(format!("{number} {round}").into_bytes());
                    ws.send(message.clone()).unwrap();
                    assert_eq!(ws.read().unwrap(), message);
                }
            })
        })
        .collect();
    for number in 0..CLIENTS {
        let callback = if number % 10 == 0 { "binary" } else { "" };
        let mut raw = server.raw(&format!("/?{callback}"));
        raw.send_frame(FIN | 2, b"x");
        if callback.is_empty() {
            assert_eq!(raw.frame().payload, b"x");
        } else {
            assert_eq!(raw.frame().close().0, 1011);
        }
    }
    for innocent in innocents {
        innocent.join().unwrap();
    }
    assert_eq!(server.handle.metrics().panics, CLIENTS / 10);
}

/// The server's own handles work inside callbacks that then panic: no lock is held meanwhile.
#[test]
fn a_panic_after_closing_keeps_the_first_code() {
    quiet();
    let (server, _events) = common::recording(Limits::default(), |client, heard| {
        if let Heard::Text(_) = heard {
            client.close(CloseCode::NORMAL, "done");
            panic!("on purpose");
        }
    });
    let mut raw = server.raw("/");
    raw.text("x");
    let code = raw.frame().close().0;
    assert!(code == 1000 || code == 1011, "{code}");
    raw.close(code, "");
    assert_eq!(raw.end(), End::Fin);
    assert_eq!(server.handle.metrics().panics, 1);
}
