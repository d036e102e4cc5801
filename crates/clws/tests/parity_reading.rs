//! Reading that user code pauses and resumes: the peer feels it as backpressure, nothing is lost,
//! and nobody is dropped for a silence that was not listened to.

mod common;

use clws::{Cause, Client, CloseCode, DeflateConfig, Limits, Origin, Server};
use common::packed::{Packed, TAKEOVER};
use common::raw::{CONTINUATION, End, FIN, PING, PONG, Raw, TEXT, frame, request};
use common::{Event, Events, Heard, Recorder, Running, echo, millis};
use std::io::{ErrorKind, Write};
use std::thread;

/// One worker, an echo at `/echo`, and at `/` a recorder that pauses clients: those of `/?at-once`
/// when they connect, others when they say `pause`.
fn server(limits: Limits) -> (Running, Events) {
    let (recorder, events) = Recorder::new(|client, heard| match heard {
        Heard::Connected if client.query_string() == Some("at-once") => client.pause_reading(),
        Heard::Text("pause") => client.pause_reading(),
        _ => {}
    });
    let server = Server::builder()
        .workers(1)
        .limits(limits)
        .resource("/", Origin::any(), recorder)
        .resource("/echo", Origin::any(), Recorder::new(echo).0);
    (Running::start(server), events)
}

fn nothing_is_heard(server: &Running, events: &Events) {
    server.turns();
    let heard = events.so_far();
    assert!(heard.is_empty(), "{heard:?}");
}

#[test]
fn a_paused_client_is_not_heard_until_it_is_resumed() {
    let (server, events) = server(Limits::default());
    let mut raw = server.raw("/?at-once");
    let client = events.connected();
    for round in 0..3 {
        raw.text(&format!("{round} a"));
        raw.text(&format!("{round} b"));
        nothing_is_heard(&server, &events);
        assert!(client.send_text("sending goes on").is_sent());
        assert_eq!(raw.frame().text(), "sending goes on");
        client.resume_reading();
        assert_eq!(events.text(), format!("{round} a"));
        assert_eq!(events.text(), format!("{round} b"));
        client.pause_reading();
        // What was on its way to be read when it was paused may still be.
        server.turns();
    }
    // Neither call counts how often it was made.
    client.pause_reading();
    client.resume_reading();
    client.resume_reading();
    raw.text("heard");
    assert_eq!(events.text(), "heard");
}

/// A pause by the client's own callback holds from the next event on, even for what stood in the
/// same segment, wherever that was cut.
#[test]
fn a_callback_pauses_from_the_next_event_on() {
    let (server, events) = server(Limits::default());
    let first = frame(FIN | TEXT, b"pause");
    let stream = [
        &*first,
        &frame(FIN | TEXT, b"second"),
        &frame(FIN | TEXT, b"pause"),
        &frame(FIN | TEXT, b"last"),
    ];
    let stream = stream.concat();
    for cut in [stream.len(), first.len(), first.len() + 3] {
        let mut raw = server.raw("/");
        let client = events.skip_to_connected();
        raw.send(&stream[..cut]);
        assert_eq!(events.text(), "pause");
        raw.send(&stream[cut..]);
        nothing_is_heard(&server, &events);
        client.resume_reading();
        assert_eq!(events.text(), "second");
        assert_eq!(events.text(), "pause");
        nothing_is_heard(&server, &events);
        client.resume_reading();
        assert_eq!(events.text(), "last");
    }
}

/// Frames that stand right behind the handshake wait too.
#[test]
fn a_client_paused_when_it_connects_is_not_heard() {
    let (server, events) = server(Limits::default());
    let mut raw = Raw::connect(server.address);
    let early = frame(FIN | TEXT, b"early");
    raw.send(&[request("localhost", "/?at-once", "").as_bytes(), &early].concat());
    raw.upgraded();
    let client = events.connected();
    nothing_is_heard(&server, &events);
    client.resume_reading();
    assert_eq!(events.text(), "early");
}

/// In the end the peer can't send; once it is resumed everything arrives, in order.
#[test]
fn a_paused_peer_is_held_by_its_socket_and_loses_nothing() {
    let (server, events) = server(Limits::default());
    let mut raw = server.raw("/?at-once");
    let client = events.connected();
    let message = |number: u32| format!("{number:08} {}", "x".repeat(20_000));
    // Whole frames, as far as the sockets take them; the rest of the last one follows later.
    raw.stream.set_nonblocking(true).unwrap();
    let (mut sent, mut rest) = (0, Vec::new());
    let mut full = 0;
    while full < 100 {
        if rest.is_empty() {
            rest = frame(FIN | TEXT, message(sent).as_bytes());
            sent += 1;
        }
        match raw.stream.write(&rest) {
            Ok(count) => {
                rest.drain(..count);
                full = 0;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                full += 1;
                server.turns();
            }
            Err(error) => panic!("{error}"),
        }
    }
    nothing_is_heard(&server, &events);
    raw.stream.set_nonblocking(false).unwrap();
    client.resume_reading();
    let finishing = thread::spawn(move || {
        raw.send(&rest);
        raw
    });
    for number in 0..sent {
        assert!(events.text() == message(number), "message {number}");
    }
    finishing.join().unwrap();
}

/// Pings go unanswered while nothing is read, but a paused client is not dropped for that, nor for
/// a message that it could not finish: mute ones beside it are, several times over.
#[test]
fn a_paused_client_outlives_its_deadlines() {
    let mut limits = Limits::default();
    limits.ping_interval = Some(millis(100));
    limits.pong_timeout = millis(100);
    limits.message_timeout = millis(100);
    let (server, events) = server(limits);
    let mut raw = server.raw("/");
    let client = events.connected();
    raw.text("pause");
    assert_eq!(events.text(), "pause");
    raw.send_frame(TEXT, b"begun ");
    for _ in 0..5 {
        let _mute = server.raw("/");
        let (mute, closed) = events.skip_to_disconnected();
        assert_ne!(mute, client);
        assert_eq!(closed.cause, Cause::Timeout);
    }
    assert!(client.is_open());
    raw.send_frame(FIN | CONTINUATION, b"and finished");
    client.resume_reading();
    assert_eq!(events.text(), "begun and finished");
    // From now on its silence counts again.
    let (gone, closed) = events.skip_to_disconnected();
    assert_eq!((gone, closed.cause), (client, Cause::Timeout));
}

/// A pong that waited behind a long queue goes out when that is short, paused or not.
#[test]
fn a_pong_owed_to_a_paused_client_is_sent() {
    const LARGE: usize = 16 * 1024 * 1024;
    let mut limits = Limits::default();
    limits.send_queue_high = 2 * LARGE;
    let (server, events) = common::recording(limits, |client, heard| match heard {
        Heard::Text("large") => _ = client.send_binary(&vec![0; LARGE]),
        Heard::Text("pause") => client.pause_reading(),
        _ => {}
    });
    let mut raw = common::narrow(server.address);
    raw.upgrade("/", "");
    let client = events.connected();
    let [large, pause] = [b"large", b"pause"].map(|text| frame(FIN | TEXT, text));
    raw.send(&[large, frame(FIN | PING, b"?"), pause].concat());
    assert_eq!(events.text(), "large");
    assert_eq!(events.text(), "pause");
    assert_eq!(raw.frame().payload.len(), LARGE);
    let pong = raw.frame();
    assert_eq!((pong.opcode, &*pong.payload), (PONG, &b"?"[..]));
    raw.text("later");
    client.resume_reading();
    assert_eq!(events.text(), "later");
}

/// The histories of compressed messages don't mind.
#[test]
fn compressed_messages_wait_like_others() {
    let keeping = DeflateConfig {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        ..DeflateConfig::default()
    };
    let (recorder, events) = Recorder::new(echo);
    let server = Server::builder().deflate(keeping).resource("/", Origin::any(), recorder);
    let server = Running::start(server);
    let mut packed = Packed::open(server.address, "/", TAKEOVER);
    let client = events.connected();
    let text = |number: u32| format!("{number} {}", "again and ".repeat(300));
    for number in 0..20 {
        client.pause_reading();
        packed.say(TEXT, text(number).as_bytes());
        client.resume_reading();
        packed.hears(TEXT, text(number).as_bytes());
        assert_eq!(events.text(), text(number));
    }
}

fn paused(server: &Running, events: &Events) -> (Raw, Client) {
    let raw = server.raw("/?at-once");
    let client = events.connected();
    (raw, client)
}

/// A peer that leaves while it is paused: what it sent is heard first, then its end is told.
#[test]
fn the_end_of_a_paused_client_is_told_after_what_it_sent() {
    let (server, events) = server(Limits::default());
    for cleanly in [true, false] {
        let (mut raw, client) = paused(&server, &events);
        raw.text("last words");
        if cleanly {
            raw.close(1000, "bye");
        }
        raw.finish();
        nothing_is_heard(&server, &events);
        client.resume_reading();
        assert_eq!(events.text(), "last words");
        let (_, closed) = events.disconnected();
        assert_eq!(closed.clean, cleanly, "{closed:?}");
        assert_eq!(closed.code, if cleanly { 1000 } else { 1006 });
        client.resume_reading();
        client.pause_reading();
    }
}

/// The same for a client that was not read from because its queue was full.
#[test]
fn the_end_of_a_client_with_a_full_queue_is_told() {
    const LARGE: usize = 16 * 1024 * 1024;
    let mut limits = Limits::default();
    limits.ping_interval = None;
    let (server, events) = common::recording(limits, |client, heard| {
        if let Heard::Text("go") = heard {
            client.send_binary(&vec![0; LARGE]);
        }
    });
    let mut raw = common::narrow(server.address);
    raw.upgrade("/", "");
    let client = events.connected();
    raw.text("go");
    assert_eq!(events.text(), "go");
    raw.text("last words");
    raw.finish();
    common::await_that("the queue is full", || client.queued_bytes() > 1024 * 1024);
    // It reads on, and what it said before its end is heard before its end.
    raw.skip_to_end();
    while !matches!(events.next(), Event::Text(_, text) if text == "last words") {}
    let (_, closed) = events.skip_to_disconnected();
    assert_eq!((closed.cause, closed.code), (Cause::Lost, 1006));
}

/// A server that closes a client it had paused must hear the answer: the close is clean, and as
/// quick as any.
#[test]
fn a_paused_client_is_closed_cleanly() {
    let mut limits = Limits::default();
    limits.close_timeout = millis(60_000);
    let (server, events) = server(limits);
    let (mut raw, client) = paused(&server, &events);
    raw.text("never heard");
    client.close(CloseCode::NORMAL, "enough");
    assert_eq!(raw.frame().close(), (1000, "enough"));
    raw.close(1000, "");
    assert_eq!(raw.end(), End::Fin);
    let (_, closed) = events.disconnected();
    assert_eq!((closed.cause, closed.clean), (Cause::Server, true));
}

/// The same for all of them when the server is shut down.
#[test]
fn a_shutdown_does_not_wait_for_paused_clients() {
    let mut limits = Limits::default();
    limits.close_timeout = millis(60_000);
    let (server, events) = server(limits);
    let (mut raw, _client) = paused(&server, &events);
    server.handle.shutdown();
    assert_eq!(raw.frame().close().0, 1001);
    raw.close(1001, "");
    assert_eq!(raw.end(), End::Fin);
    server.handle.join();
    let Event::Disconnected(_, closed) = events.next() else { panic!("the end of the client") };
    assert_eq!((closed.cause, closed.clean), (Cause::Shutdown, true));
}
