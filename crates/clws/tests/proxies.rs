//! Behind proxies: whose a client is, who is believed, and what one address may have.

mod common;

use clws::{Error, Limits, Origin, Server};
use common::raw::{Answer, End, Raw, request};
use common::{Events, Recorder, Running, await_that, echo};
use std::net::SocketAddr;

const LINE: &str = "PROXY TCP4 203.0.113.5 192.0.2.1 4711 80\r\n";

fn server(limits: Limits) -> (Server, Events) {
    let (recorder, events) = Recorder::new(echo);
    (Server::builder().limits(limits).resource("/", Origin::any(), recorder), events)
}

/// Sends `before`, then an upgrade with `extra` header lines.
fn upgrade(address: SocketAddr, before: &str, extra: &str) -> (Raw, Answer) {
    let mut raw = Raw::connect(address);
    raw.send(format!("{before}{}", request(&raw.host(), "/", extra)).as_bytes());
    let answer = raw.answer();
    (raw, answer)
}

fn host(events: &Events) -> String {
    events.skip_to_connected().host().expect("an address").to_string()
}

#[test]
fn a_trusted_proxy_says_whose_a_request_is() {
    let (trusting, events) = server(Limits::default());
    let running = Running::start(trusting.trusted_proxies(["127.0.0.0/8", "10.0.0.1"]));
    for (extra, expected) in [
        ("X-Forwarded-For: 198.51.100.1, 203.0.113.5\r\n", "203.0.113.5"),
        ("X-Forwarded-For: 198.51.100.1\r\nX-Forwarded-For: 2001:db8::7\r\n", "2001:db8::7"),
        ("x-forwarded-for: 203.0.113.5, 10.0.0.1\r\n", "203.0.113.5"),
        ("X-Forwarded-For: 203.0.113.5, nonsense\r\n", "127.0.0.1"),
        ("", "127.0.0.1"),
    ] {
        let (mut raw, answer) = upgrade(running.address, "", extra);
        assert_eq!(answer.status, 101, "{extra}");
        assert_eq!(host(&events), expected, "{extra}");
        raw.text("hello");
        assert_eq!(raw.frame().text(), "hello");
    }
}

#[test]
fn nobody_is_trusted_by_default() {
    let (plain, events) = server(Limits::default());
    let running = Running::start(plain);
    let (_raw, _) = upgrade(running.address, "", "X-Forwarded-For: 203.0.113.5\r\n");
    assert_eq!(host(&events), "127.0.0.1");
    // A header of the PROXY protocol is no HTTP.
    assert_eq!(upgrade(running.address, LINE, "").1.status, 400);
}

#[test]
fn what_names_no_network_is_an_error() {
    for text in ["10.0.0.0/40", "proxy.example", ""] {
        let error = server(Limits::default()).0.trusted_proxies([text]).start().unwrap_err();
        assert!(matches!(&error, Error::Proxy(named) if named == text), "{error}");
    }
}

/// The header is expected where it was asked for, and nowhere else.
#[test]
fn the_proxy_protocol_is_a_listener_s_own() {
    let (server, events) = server(Limits::default());
    let server = server.proxy_protocol(true).bind("127.0.0.1:0").unwrap().proxy_protocol(false);
    let running = Running::start(server);
    let [proxied, plain] = *running.handle.local_addresses() else { panic!("two addresses") };
    let (mut raw, answer) = upgrade(proxied, LINE, "");
    assert_eq!(answer.status, 101);
    let client = events.connected();
    assert_eq!(client.host().map(|host| host.to_string()).as_deref(), Some("203.0.113.5"));
    assert_eq!(client.port(), Some(4711));
    raw.text("hello");
    assert_eq!(raw.frame().text(), "hello");
    assert_eq!(upgrade(plain, "", "").1.status, 101);
    assert_eq!(host(&events), "127.0.0.1");
    let mut raw = Raw::connect(proxied);
    raw.send(request(&raw.host(), "/", "").as_bytes());
    // What was not read makes the end a reset, on some systems.
    assert!(matches!(raw.end(), End::Fin | End::Reset));
    assert_eq!(running.handle.metrics().proxy_errors, 1);
}

/// Foreign pages stay out of a server on this machine, whatever a header says.
#[test]
fn a_forwarded_address_opens_no_host_names() {
    let (trusting, _events) = server(Limits::default());
    let running = Running::start(trusting.trusted_proxies(["127.0.0.1"]));
    let mut raw = Raw::connect(running.address);
    let extra = "X-Forwarded-For: 203.0.113.5\r\n";
    raw.send(request("evil.example", "/", extra).as_bytes());
    assert_eq!(raw.answer().status, 421);
}

/// One more gets 503, and a place is free when a connection is.
#[test]
fn an_address_has_so_many_places() {
    let mut limits = Limits::default();
    limits.max_connections_per_address = Some(3);
    let (trusting, _events) = server(limits);
    let running = Running::start(trusting.trusted_proxies(["127.0.0.1"]));
    let from = |host: &str| upgrade(running.address, "", &format!("X-Forwarded-For: {host}\r\n"));
    let mut inside: Vec<_> = (0..3).map(|_| from("203.0.113.5")).collect();
    assert!(inside.iter().all(|(_, answer)| answer.status == 101));
    assert_eq!(from("203.0.113.5").1.status, 503);
    assert_eq!(from("203.0.113.6").1.status, 101);
    assert_eq!(running.handle.metrics().crowded, 1);
    let (mut leaving, _) = inside.remove(0);
    leaving.close(1000, "");
    leaving.closed();
    drop(leaving);
    await_that("the place is free", || from("203.0.113.5").1.status == 101);
}

#[test]
fn a_limit_of_nobody_is_an_error() {
    let (mut none, mut never) = (Limits::default(), Limits::default());
    none.max_connections_per_address = Some(0);
    never.max_accept_rate = Some(0);
    for limits in [none, never] {
        let server = server(limits).0.bind("127.0.0.1:0").unwrap();
        assert!(matches!(server.start(), Err(Error::Limits(_))));
    }
}
