//! A server from the outside: what is served where, plain HTTP answers, addresses, start and end.

mod common;

use clws::{Client, Error, Limits, Origin, Request, Resource, ResourceOptions, Response, Server};
use common::raw::{End, Raw, request};
use common::{Recorder, Running, await_that, echo, listen};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

/// Tells each client where it is.
struct Named(&'static str);

impl Resource for Named {
    fn get(&self, request: &Request) -> Option<Response> {
        let body = format!("{} at {}", self.0, request.path());
        (self.0 != "mute").then(|| Response::new(200).with_body("text/plain", body).unwrap())
    }

    fn text(&self, client: &Client, _: &str) {
        client.send_text(self.0);
    }
}

fn named() -> Running {
    let any = Origin::any;
    Running::start(
        Server::builder()
            .resource("/a", any(), Named("exact"))
            .resource("/a/*", any(), Named("prefix"))
            .resource("/a/b/*", any(), Named("longer prefix"))
            .resource("/mute", any(), Named("mute")),
    )
}

fn plain(server: &Running, line: &str) -> Raw {
    let mut raw = Raw::connect(server.address);
    raw.send(format!("{line} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
    raw
}

fn who_serves(server: &Running, path: &str) -> String {
    let mut raw = server.raw(path);
    raw.text("who?");
    raw.frame().text().to_owned()
}

#[test]
fn the_most_special_path_wins() {
    let server = named();
    for (path, expected) in [
        ("/a", "exact"),
        ("/a?b=/a/c", "exact"),
        ("/a/c", "prefix"),
        ("/a/", "prefix"),
        ("/a/b/c/d", "longer prefix"),
    ] {
        assert_eq!(who_serves(&server, path), expected, "{path}");
    }
    assert_eq!(plain(&server, "GET /b").answer().status, 404);
}

#[test]
fn a_fallback_takes_the_rest() {
    let server = named();
    server.handle.register("*", Origin::any(), Named("fallback")).unwrap();
    assert_eq!(who_serves(&server, "/b"), "fallback");
    assert_eq!(who_serves(&server, "/"), "fallback");
    assert_eq!(who_serves(&server, "/a"), "exact");
}

/// Prefixes and the fallback are served with the name the client asked for.
#[test]
fn a_client_knows_the_path_it_asked_for() {
    let (recorder, events) = Recorder::new(listen);
    let server = Running::start(Server::builder().resource("*", Origin::any(), recorder));
    let _raw = server.raw("/some/where?x=%20y");
    let client = events.connected();
    assert_eq!(client.resource_name(), "/some/where");
    assert_eq!(client.query_string(), Some("x=%20y"));
}

#[test]
fn resources_can_be_registered_while_the_server_runs() {
    let server = named();
    assert_eq!(plain(&server, "GET /late").answer().status, 404);
    server.handle.register("/late", Origin::any(), Named("late")).unwrap();
    assert_eq!(who_serves(&server, "/late"), "late");
    let again = server.handle.register("/late", Origin::any(), Named("later"));
    assert!(matches!(again, Err(Error::PathTaken(path)) if path == "/late"));
    let crooked = server.handle.register("late", Origin::any(), Named("later"));
    assert!(matches!(crooked, Err(Error::Path(path)) if path == "late"));
    assert_eq!(who_serves(&server, "/late"), "late");
}

#[test]
fn a_plain_get_is_answered_once_and_closed() {
    let server = named();
    let mut raw = plain(&server, "GET /a/c");
    let answer = raw.answer();
    assert_eq!((answer.status, &*answer.body), (200, "prefix at /a/c"));
    assert_eq!(answer.header("Content-Type"), Some("text/plain"));
    assert_eq!(raw.end(), End::Fin);
    let mut raw = plain(&server, "GET /mute");
    let answer = raw.answer();
    assert_eq!((answer.status, answer.header("Upgrade")), (426, Some("websocket")));
    assert_eq!(raw.end(), End::Fin);
}

/// RFC 9110 §9.3.2: HEAD gets the head of what GET gets, and never a body.
#[test]
fn head_gets_no_body() {
    let server = named();
    for (path, status) in [("/a", " 200 "), ("/mute", " 426 "), ("/nothing", " 404 ")] {
        let mut raw = plain(&server, &format!("HEAD {path}"));
        let head = raw.head();
        assert!(head.contains(status) && head.contains("\r\nContent-Length: "), "{head}");
        assert_eq!(raw.end(), End::Fin, "{path}");
    }
}

#[test]
fn other_methods_get_405() {
    let server = named();
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let mut raw = plain(&server, &format!("{method} /a"));
        let answer = raw.answer();
        assert_eq!(answer.status, 405, "{method}");
        let allow = answer.header("Allow").unwrap_or_default();
        assert!(allow.contains("GET"), "{answer:?}");
        assert_eq!(raw.end(), End::Fin, "{method}");
    }
}

/// A large answer is written in pieces; a peer that has said all it has to say (FIN) gets all of
/// them.
#[test]
fn a_large_page_arrives_whole() {
    const LEN: usize = 16 * 1024 * 1024;
    struct Large;
    impl Resource for Large {
        fn get(&self, _: &Request) -> Option<Response> {
            let body: String = (0..LEN).map(|n| char::from(b'a' + (n % 23) as u8)).collect();
            Response::new(200).with_body("text/plain", body).ok()
        }
    }
    let server = Running::start(Server::builder().resource("/", Origin::any(), Large));
    for half_close in [false, true] {
        let mut raw = common::narrow(server.address);
        raw.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n");
        if half_close {
            raw.finish();
        }
        let body = raw.answer().body;
        assert_eq!(body.len(), LEN);
        assert!(body.bytes().enumerate().all(|(n, byte)| byte == b'a' + (n % 23) as u8));
        assert_eq!(raw.end(), End::Fin);
    }
}

#[test]
fn ipv6_and_several_addresses() {
    let (recorder, events) = Recorder::new(echo);
    let server = Server::builder()
        .resource("/", Origin::any(), recorder)
        .bind("[::1]:0")
        .and_then(|server| server.bind("127.0.0.1:0"));
    let handle = server.unwrap().start().unwrap();
    let [v6, v4] = *handle.local_addresses() else { panic!("two addresses") };
    assert!(v6.is_ipv6() && v4.is_ipv4() && v6.port() != 0 && v4.port() != 0);
    for address in [v6, v4] {
        let mut raw = Raw::open(address, "/");
        let client = events.connected();
        assert_eq!(client.host(), Some(address.ip()));
        assert_eq!(client.port(), Some(raw.stream.local_addr().unwrap().port()));
        raw.text("hello");
        assert_eq!(raw.frame().text(), "hello");
        drop(raw);
        events.skip_to_disconnected();
    }
    handle.shutdown();
    handle.join();
}

/// The socket may have been bound elsewhere, and be one that blocks.
#[test]
fn a_listener_that_was_bound_elsewhere() {
    let (recorder, events) = Recorder::new(echo);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = Server::builder().resource("/", Origin::any(), recorder).listener(listener);
    let handle = server.unwrap().start().unwrap();
    assert_eq!(handle.local_addresses(), [address]);
    for _ in 0..2 {
        let mut raw = Raw::open(address, "/");
        events.skip_to_connected();
        raw.text("hello");
        assert_eq!(raw.frame().text(), "hello");
    }
    handle.shutdown();
    handle.join();
}

/// Those above the rate wait for their turn; nobody is turned away.
#[test]
fn a_rate_of_connections_makes_the_rest_wait() {
    let mut limits = Limits::default();
    limits.max_accept_rate = Some(20);
    let (server, _events) = common::recording(limits, listen);
    let start = Instant::now();
    let mut clients: Vec<_> = (0..30).map(|_| Raw::connect(server.address)).collect();
    for raw in &mut clients {
        raw.upgrade("/", "");
    }
    // Ten of them had to wait for their twentieths of a second.
    assert!(start.elapsed() >= common::millis(490), "{:?}", start.elapsed());
    assert_eq!(server.handle.client_count(), 30);
}

#[test]
fn several_servers_in_one_process_are_apart() {
    let servers: Vec<_> = (0..3).map(|_| common::recording(Limits::default(), echo)).collect();
    let mut clients: Vec<_> = servers.iter().map(|(server, _)| server.raw("/")).collect();
    for (number, raw) in clients.iter_mut().enumerate() {
        raw.text(&format!("to {number}"));
        assert_eq!(raw.frame().text(), format!("to {number}"));
    }
    for (number, (server, events)) in servers.iter().enumerate() {
        events.connected();
        assert_eq!(events.text(), format!("to {number}"));
        assert_eq!(server.handle.client_count(), 1);
    }
    servers[0].0.handle.shutdown();
    assert_eq!(clients[0].frame().close().0, 1001);
    clients[1].text("still here");
    assert_eq!(clients[1].frame().text(), "still here");
}

/// What a callback sends to a client of another server arrives there, whatever their numbers.
#[test]
fn a_callback_may_send_to_a_client_of_another_server() {
    let (far, far_events) = common::recording(Limits::default(), listen);
    let mut far_raw = far.raw("/");
    let far_client = far_events.connected();
    let (near, near_events) = common::recording(Limits::default(), move |client, heard| {
        if let common::Heard::Text(text) = heard {
            assert!(*client != far_client, "another connection");
            far_client.send_text(text);
            client.send_text("passed on");
        }
    });
    let mut near_raw = near.raw("/");
    near_events.connected();
    near_raw.text("over there");
    assert_eq!(near_raw.frame().text(), "passed on");
    assert_eq!(far_raw.frame().text(), "over there");
}

#[test]
fn a_busy_port_is_an_error_that_names_it() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let error = Server::builder().bind(&address).unwrap_err();
    assert!(matches!(&error, Error::Bind { address: named, .. } if *named == address));
    let text = error.to_string();
    assert!(text.contains(&address) && text.to_lowercase().contains("in use"), "{text}");
}

#[test]
fn a_bad_address_is_an_error_that_names_it() {
    for address in ["nonsense", "127.0.0.1", "127.0.0.1:99999", "", ":", "[::1", "203.0.113.9:80"] {
        let error = Server::builder().bind(address).unwrap_err();
        let text = error.to_string();
        assert!(text.starts_with("cannot listen on ") && text.contains(address), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn what_can_not_work_is_an_error_at_the_start() {
    assert!(matches!(Server::builder().start(), Err(Error::NoListener)));
    let crooked = Server::builder().resource("echo", Origin::any(), Named("x"));
    assert!(matches!(crooked.bind("127.0.0.1:0"), Err(Error::Path(_))));
    let twice = Server::builder().resource("/x", Origin::any(), Named("x")).resource(
        "/x",
        Origin::any(),
        Named("y"),
    );
    assert!(matches!(twice.bind("127.0.0.1:0"), Err(Error::PathTaken(_))));
    let mut limits = Limits::default();
    limits.send_queue_low = limits.send_queue_high + 1;
    let server = Server::builder().limits(limits).bind("127.0.0.1:0").unwrap();
    assert!(matches!(server.start(), Err(Error::Limits(_))));
}

#[test]
fn a_time_that_is_too_long_for_any_clock_never_comes() {
    let mut never = Limits::default();
    never.handshake_timeout = Duration::MAX;
    never.message_timeout = Duration::MAX;
    never.send_timeout = Duration::MAX;
    never.abort_timeout = Duration::MAX;
    never.close_timeout = Duration::MAX;
    never.linger_timeout = Duration::MAX;
    never.pong_timeout = Duration::MAX;
    (never.ping_interval, never.idle_timeout) = (Some(Duration::MAX), Some(Duration::MAX));
    never.max_lifetime = Some(Duration::MAX);
    let own = ResourceOptions::new().limits(never.clone());
    let server = Server::builder().limits(never).resource("/", Origin::any(), common::Echo);
    let server = Running::start(server.resource_with("/own", Origin::any(), common::Echo, own));
    for path in ["/", "/own"] {
        let mut raw = server.raw(path);
        raw.send_frame(0x01, b"in two ");
        raw.send_frame(0x80, b"parts");
        assert_eq!(raw.frame().text(), "in two parts");
        raw.close(1000, "");
        assert_eq!(raw.closed().0, 1000);
        assert_eq!(raw.end(), End::Fin);
    }
}

#[test]
fn shutdown_closes_clients_with_1001_and_frees_the_port() {
    let (server, events) = common::recording(Limits::default(), echo);
    let address = server.address;
    let mut clients: Vec<Raw> = (0..20).map(|_| server.raw("/")).collect();
    // One that never got further than its connection must not keep the server.
    let mut unfinished = Raw::connect(address);
    unfinished.send(b"GET / HTTP/1.1\r\n");
    // Accepted are all of them once the last one is.
    await_that("21 connections", || server.handle.metrics().accepted == 21);
    server.handle.shutdown();
    for raw in &mut clients {
        let frame = raw.frame();
        assert_eq!(frame.close().0, 1001);
        raw.close(1001, "");
        assert_eq!(raw.end(), End::Fin);
    }
    drop((clients, unfinished));
    server.handle.join();
    for _ in 0..20 {
        let (_, closed) = events.skip_to_disconnected();
        assert_eq!((closed.cause, closed.clean), (clws::Cause::Shutdown, true));
        assert_eq!(closed.code, 1001);
    }
    assert_eq!(server.handle.client_count(), 0);
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
    let (recorder, _events) = Recorder::new(echo);
    let again = Server::builder().resource("/", Origin::any(), recorder);
    let handle = again.bind(address.to_string()).unwrap().start().unwrap();
    let mut raw = Raw::open(address, "/");
    raw.text("again");
    assert_eq!(raw.frame().text(), "again");
    handle.shutdown();
}

/// What was sent before the shutdown still arrives, before the close frame.
#[test]
fn shutdown_delivers_what_was_sent_before() {
    let (server, events) = common::recording(Limits::default(), listen);
    let mut raw = server.raw("/");
    let client = events.connected();
    let message = vec![7; 900_000];
    client.send_binary(&message);
    client.send_text("last");
    server.handle.shutdown();
    assert!(raw.frame().payload == message);
    assert_eq!(raw.frame().text(), "last");
    assert_eq!(raw.frame().close().0, 1001);
}

#[test]
fn a_client_that_does_not_answer_does_not_keep_the_server() {
    let mut limits = Limits::default();
    limits.close_timeout = common::millis(100);
    limits.linger_timeout = common::millis(100);
    let (server, events) = common::recording(limits, listen);
    let mut raw = server.raw("/");
    events.connected();
    server.handle.shutdown();
    server.handle.shutdown();
    server.handle.join();
    server.handle.join();
    assert_eq!(raw.frame().close().0, 1001);
    let (_, closed) = events.disconnected();
    assert_eq!((closed.code, closed.cause, closed.clean), (1006, clws::Cause::Shutdown, false));
}

#[test]
fn run_ends_with_the_shutdown_of_any_handle() {
    struct Stop(std::sync::mpsc::Sender<()>);
    impl Resource for Stop {
        fn text(&self, _: &Client, _: &str) {
            self.0.send(()).unwrap();
        }
    }
    let (ask, asked) = channel();
    let server = Server::builder().resource("/", Origin::any(), Stop(ask));
    let server = Running::start(server);
    let handle = server.handle.clone();
    let stopper = thread::spawn(move || {
        asked.recv().unwrap();
        handle.shutdown();
    });
    let mut raw = server.raw("/");
    raw.text("stop");
    assert_eq!(raw.frame().close().0, 1001);
    raw.close(1001, "");
    server.handle.join();
    stopper.join().unwrap();
}

/// A request that comes while the server stops is not left waiting.
#[test]
fn a_handshake_during_the_shutdown_is_refused() {
    let (server, events) = common::recording(Limits::default(), listen);
    let request = request("localhost", "/", "");
    let (begin, rest) = request.split_at(request.len() / 2);
    let mut early = Raw::connect(server.address);
    early.send(begin.as_bytes());
    let mut keeper = server.raw("/");
    events.connected();
    server.handle.shutdown();
    assert_eq!(keeper.frame().close().0, 1001);
    // The server may have closed already; then there is nobody to take the rest.
    let _ = early.stream.write_all(rest.as_bytes());
    assert_eq!(early.answer().status, 503);
}
