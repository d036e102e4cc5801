//! What is served where, changed while the server runs; what differs between the resources of one
//! server; and what a client tells of its request.

mod common;

use clws::{
    Client, Connected, DeflateConfig, Error, Hosts, Limits, Origin, Resource, ResourceOptions,
};
use clws::{Server, ServerHandle};
use common::packed::{ALONE, Packed};
use common::raw::{BINARY, CONTINUATION, FIN, PING, PONG, Raw, TEXT, request};
use common::{Event, Recorder, Running, echo, listen, millis};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts what it hears.
#[derive(Default)]
struct Counter(AtomicUsize);

impl Resource for Counter {
    fn text(&self, client: &Client, _: &str) {
        let count = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        client.send_text(&count.to_string());
    }
}

struct Other;
impl Resource for Other {}

fn status(server: &Running, path: &str) -> u16 {
    let mut raw = Raw::connect(server.address);
    raw.send(request("localhost", path, "").as_bytes());
    raw.answer().status
}

#[test]
fn a_resource_is_found_by_its_path_and_type() {
    let server = Server::builder().resource("/count", Origin::any(), Counter::default()).resource(
        "/other/*",
        Origin::any(),
        Other,
    );
    let server = Running::start(server);
    let found: Arc<Counter> = server.handle.find("/count").expect("a counter");
    let mut raw = server.raw("/count?x");
    raw.text("one");
    assert_eq!(raw.frame().text(), "1");
    assert_eq!(found.0.load(Ordering::Relaxed), 1, "it is the one that is served");
    assert!(server.handle.find::<Other>("/count").is_none(), "another type");
    assert!(server.handle.find::<Counter>("/nothing").is_none());
    assert!(server.handle.find::<Other>("/other/*").is_some(), "a pattern as it was given");
    assert!(server.handle.find::<Other>("/other/x").is_none(), "no request is matched here");
    assert!(server.handle.unregister("/count", Connected::Stay));
    assert!(server.handle.find::<Counter>("/count").is_none());
    assert_eq!(found.0.load(Ordering::Relaxed), 1, "what was found is kept");
}

#[test]
fn clients_stay_when_their_resource_is_unregistered() {
    let server = Server::builder().resource("/count", Origin::any(), Counter::default());
    let server = Running::start(server);
    let mut stays = server.raw("/count");
    stays.text("x");
    assert_eq!(stays.frame().text(), "1");
    assert!(server.handle.unregister("/count", Connected::Stay));
    assert!(!server.handle.unregister("/count", Connected::Stay), "nothing is there any more");
    assert_eq!(status(&server, "/count"), 404);
    stays.text("x");
    assert_eq!(stays.frame().text(), "2");
    assert_eq!(server.handle.client_count(), 1);
    // The path is free, and a new resource there is another one.
    server.handle.register("/count", Origin::any(), Counter::default()).unwrap();
    let mut new = server.raw("/count");
    new.text("x");
    assert_eq!(new.frame().text(), "1");
    stays.text("x");
    assert_eq!(stays.frame().text(), "3");
}

#[test]
fn clients_are_closed_when_their_resource_is_unregistered() {
    let (prefix, events) = Recorder::new(listen);
    let (exact, exact_events) = Recorder::new(listen);
    let server = Server::builder().resource("/room/*", Origin::any(), prefix).resource(
        "/room/lobby",
        Origin::any(),
        exact,
    );
    let server = Running::start(server);
    let mut raws = [server.raw("/room/1"), server.raw("/room/2?x")];
    let mut lobby = server.raw("/room/lobby");
    let lobby_client = exact_events.connected();
    (0..2).for_each(|_| _ = events.connected());
    assert!(server.handle.unregister("/room/*", Connected::Close));
    for raw in &mut raws {
        assert_eq!(raw.frame().close().0, 1001);
        raw.close(1001, "");
        assert!(events.disconnected().1.clean);
    }
    assert_eq!(status(&server, "/room/1"), 404);
    // Only its own clients are meant.
    assert!(lobby_client.send_text("still here").is_sent());
    assert_eq!(lobby.frame().text(), "still here");
    assert_eq!(server.handle.clients(), [lobby_client]);
}

/// Clients of an earlier resource at the same path are not those of the present one.
#[test]
fn a_path_used_twice_has_two_resources() {
    let server = Running::start(Server::builder().resource("/a", Origin::any(), Other));
    let _first = server.raw("/a");
    server.handle.unregister("/a", Connected::Stay);
    server.handle.register("/a", Origin::any(), Other).unwrap();
    let mut second = server.raw("/a");
    let clients = server.handle.clients();
    server.handle.unregister("/a", Connected::Close);
    assert_eq!(second.frame().close().0, 1001);
    assert_eq!([clients[0].is_open(), clients[1].is_open()], [true, false]);
}

/// Registered while it runs, with limits and compression of its own.
#[test]
fn a_resource_registered_late_may_differ_too() {
    let server = Running::start(Server::builder());
    let mut limits = Limits::default();
    limits.max_message_size = 5;
    let off = DeflateConfig { enabled: false, ..DeflateConfig::default() };
    let options = ResourceOptions::new().limits(limits).deflate(off);
    let handle: &ServerHandle = &server.handle;
    handle.register_with("/late", Origin::any(), Recorder::new(echo).0, options.clone()).unwrap();
    let mut raw = Raw::connect(server.address);
    let answer = raw.upgrade("/late", &format!("Sec-WebSocket-Extensions: {ALONE}\r\n"));
    assert_eq!(answer.header("Sec-WebSocket-Extensions"), None);
    raw.text("12345");
    assert_eq!(raw.frame().text(), "12345");
    raw.text("123456");
    assert_eq!(raw.closed().0, 1009);
    let again = handle.register_with("/late", Origin::any(), Other, options);
    assert!(matches!(again, Err(Error::PathTaken(_))));
}

#[test]
fn limits_of_one_resource_are_not_those_of_another() {
    let mut own = Limits::default();
    own.max_message_size = 2000;
    own.max_frame_size = 1000;
    let options = ResourceOptions::new().limits(own);
    let mut servers = Limits::default();
    servers.max_message_size = 100;
    let (recorder, events) = Recorder::new(echo);
    let server = Server::builder()
        .limits(servers)
        .resource("/small", Origin::any(), Recorder::new(echo).0)
        .resource_with("/large", Origin::any(), recorder, options);
    let server = Running::start(server);
    let fits = |path: &str, pieces: &[usize]| {
        let mut raw = server.raw(path);
        let (last, before) = pieces.split_last().expect("a size");
        for (index, len) in before.iter().enumerate() {
            raw.send_frame(if index == 0 { BINARY } else { CONTINUATION }, &vec![0; *len]);
        }
        let first = if before.is_empty() { BINARY } else { CONTINUATION };
        raw.send_frame(FIN | first, &vec![0; *last]);
        let answer = raw.frame();
        if answer.opcode != BINARY {
            assert_eq!(answer.close().0, 1009);
        }
        answer.opcode == BINARY
    };
    assert!(fits("/small", &[100]) && !fits("/small", &[101]));
    assert!(!fits("/small", &[50, 51]));
    assert!(fits("/large", &[1000]) && !fits("/large", &[1001]), "a frame");
    assert!(fits("/large", &[1000, 1000]) && !fits("/large", &[1000, 1000, 1]), "a message");
    events.connected();
}

/// Its times are its own too.
#[test]
fn one_resource_pings_and_another_does_not() {
    let mut own = Limits::default();
    own.ping_interval = Some(millis(100));
    let mut quiet = Limits::default();
    quiet.ping_interval = None;
    let server = Server::builder()
        .limits(quiet)
        .resource("/quiet", Origin::any(), Recorder::new(echo).0)
        .resource_with("/pings", Origin::any(), Other, ResourceOptions::new().limits(own));
    let server = Running::start(server);
    let mut quiet = server.raw("/quiet");
    let mut pinged = server.raw("/pings");
    for _ in 0..3 {
        let ping = pinged.frame();
        assert_eq!(ping.opcode, PING);
        pinged.send_frame(FIN | PONG, &ping.payload);
    }
    quiet.text("nothing came before this");
    assert_eq!(quiet.frame().text(), "nothing came before this");
}

#[test]
fn compression_of_one_resource_is_not_that_of_another() {
    let eager = DeflateConfig {
        min_size: 0,
        server_no_context_takeover: false,
        ..DeflateConfig::default()
    };
    let server =
        Server::builder().resource("/usual", Origin::any(), Recorder::new(echo).0).resource_with(
            "/eager",
            Origin::any(),
            Recorder::new(echo).0,
            ResourceOptions::new().deflate(eager),
        );
    let server = Running::start(server);
    let short = "short ".repeat(10);
    for (path, compressed) in [("/usual", false), ("/eager", true)] {
        let offer = "permessage-deflate";
        let mut packed = Packed::open(server.address, path, offer);
        assert_eq!(packed.server_forgets(), path == "/usual");
        for _ in 0..3 {
            packed.say(TEXT, short.as_bytes());
            assert_eq!(packed.hears(TEXT, short.as_bytes()).compressed, compressed);
        }
    }
}

/// What can't work is an error at once, or where the server is started.
#[test]
fn limits_that_contradict_themselves_are_an_error() {
    let mut limits = Limits::default();
    limits.send_queue_low = limits.send_queue_high + 1;
    let options = ResourceOptions::new().limits(limits);
    let server = Server::builder().resource_with("/", Origin::any(), Other, options.clone());
    assert!(matches!(server.bind("127.0.0.1:0"), Err(Error::Limits(_))));
    let server = Running::start(Server::builder());
    let late = server.handle.register_with("/", Origin::any(), Other, options);
    assert!(matches!(late, Err(Error::Limits(_))));
    assert_eq!(status(&server, "/"), 404);
}

/// `ws://localhost/test?foo` is the resource `/test` with the query `foo`; the query takes no
/// part in the choice of the resource.
#[test]
fn the_name_and_the_query_are_apart() {
    let (recorder, events) = Recorder::new(listen);
    let server = Server::builder().hosts(Hosts::any()).resource("/test", Origin::any(), recorder);
    let server = Running::start(server);
    for (target, query) in [
        ("/test?foo", Some("foo")),
        ("/test", None),
        ("/test?", Some("")),
        ("/test?/other?a=b", Some("/other?a=b")),
        ("http://localhost/test?foo", Some("foo")),
    ] {
        let mut raw = Raw::connect(server.address);
        raw.send(request("localhost", target, "").as_bytes());
        raw.upgraded();
        let client = events.skip_to_connected();
        assert_eq!((client.resource_name(), client.query_string()), ("/test", query), "{target}");
    }
    assert_eq!(status(&server, "/other?/test"), 404);
}

/// Headers are looked up without case; repeated ones are all there, in their order.
#[test]
fn headers_are_kept_as_they_came() {
    let (server, events) = common::recording(Limits::default(), listen);
    let mut raw = Raw::connect(server.address);
    raw.upgrade("/", "X-Tag: one\r\nCookie: a=b\r\nx-tag:  two \r\nX-TAG: three\r\n");
    let Event::Connected(client) = events.next() else { panic!("a new client") };
    for name in ["Cookie", "cookie", "COOKIE"] {
        assert_eq!(client.request().header(name), Some("a=b"));
    }
    assert_eq!(client.request().header("x-Tag"), Some("one"), "the first");
    assert_eq!(client.request().header("x-none"), None);
    let tags = client.headers().filter(|(name, _)| name.eq_ignore_ascii_case("x-tag"));
    let tags: Vec<_> = tags.map(|(_, value)| value.to_vec()).collect();
    assert_eq!(tags, [&b"one"[..], b"two", b"three"]);
    let first = client.headers().next().expect("a header");
    assert!(first.0.eq_ignore_ascii_case("host"), "{first:?}");
    assert_eq!(client.headers().count(), 9);
}
