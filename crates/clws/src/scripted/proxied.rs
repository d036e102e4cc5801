//! The header of the PROXY protocol ahead of the opening handshake, at every cut and against the
//! clock.

use super::{Call, REQUEST, Rig, frames, masked};
use crate::hub::Settings;
use crate::limits::Limits;
use crate::session::{Fate, Transport};
use clws_proto::frame::OpCode;
use std::sync::Arc;
use std::time::Duration;

const LINE: &[u8] = b"PROXY TCP4 203.0.113.5 192.0.2.1 4711 80\r\n";

/// 203.0.113.5:4711 to 192.0.2.1:80, and a value that means nothing.
const BLOCK: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\
    \xcb\0\x71\x05\xc0\0\x02\x01\x12\x67\0\x50\x04\0\x01\0";

const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// Of the five seconds that an opening handshake has.
const NEARLY: Duration = Duration::from_millis(4999);

fn proxied() -> Transport {
    Transport::Proxied(Arc::new(Transport::Tcp))
}

fn rig_of(peer: &str, trusted: &[&str], limits: Limits) -> Rig {
    let mut settings = Settings { limits, ..Settings::default() };
    for proxy in trusted {
        settings.proxies.add(proxy).unwrap();
    }
    Rig::with(settings, peer, &proxied(), Rig::idle())
}

fn rig() -> Rig {
    rig_of("10.0.0.1:5000", &["10.0.0.0/8"], Limits::default())
}

fn address(rig: &Rig) -> String {
    let client = rig.client();
    format!("{:?} {:?}", client.host().unwrap(), client.port())
}

/// The handshake is done and an echo comes back.
#[track_caller]
fn is_served(rig: &mut Rig, expected: &str) {
    let sent = rig.take_sent();
    let head = sent.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    assert!(sent.starts_with(b"HTTP/1.1 101 "));
    assert_eq!(frames(&sent[head..]), (vec![(OpCode::Text, b"echo".to_vec())], 0));
    assert_eq!(rig.take_calls(), [Call::Connected, Call::Text("echo".to_owned())]);
    assert_eq!(address(rig), expected);
    assert_eq!(rig.fates, []);
}

#[test]
fn the_header_tells_whose_the_connection_is_at_every_cut() {
    for (header, expected) in [
        (LINE, "203.0.113.5 Some(4711)"),
        (BLOCK, "203.0.113.5 Some(4711)"),
        (LOCAL, "10.0.0.1 Some(5000)"),
        (b"PROXY UNKNOWN\r\n", "10.0.0.1 Some(5000)"),
    ] {
        let stream = [header, REQUEST, &masked(OpCode::Text, b"echo")].concat();
        for cut in 0..=stream.len() {
            let mut rig = rig();
            rig.receive(&stream[..cut]);
            rig.receive(&stream[cut..]);
            is_served(&mut rig, expected);
        }
        let mut rig = rig();
        for byte in stream.chunks(1) {
            rig.receive(byte);
        }
        is_served(&mut rig, expected);
    }
}

#[track_caller]
fn is_turned_away(rig: &mut Rig) {
    assert_eq!((rig.take_sent(), rig.take_calls()), (vec![], vec![]));
    assert_eq!(rig.fates, [Fate::Close]);
    assert_eq!(rig.kit.hub.counters.snapshot().proxy_errors, 1);
}

#[test]
fn whoever_says_something_else_is_told_nothing() {
    for stream in [REQUEST, b"PROXY TCP4 nonsense\r\n", b"\x16\x03\x01\0\xc8\x01", &[b'P'; 200]] {
        let mut rig = rig();
        rig.receive(stream);
        is_turned_away(&mut rig);
        // What comes behind is not listened to.
        rig.receive(LINE);
        rig.receive(REQUEST);
        is_turned_away(&mut rig);
    }
}

#[test]
fn only_trusted_proxies_are_heard_where_there_are_any() {
    for stream in [LINE, LOCAL, REQUEST] {
        let mut rig = rig_of("192.0.2.9:80", &["10.0.0.0/8"], Limits::default());
        rig.receive(stream);
        is_turned_away(&mut rig);
    }
    let mut rig = rig_of("192.0.2.9:80", &[], Limits::default());
    rig.receive(&[LINE, REQUEST, &masked(OpCode::Text, b"echo")].concat());
    is_served(&mut rig, "203.0.113.5 Some(4711)");
}

/// Header and request share the deadline of the opening handshake.
#[test]
fn the_header_has_no_time_of_its_own() {
    let limits = Limits::default();
    for begun in [0, 1, 20] {
        let mut rig = rig();
        rig.receive(&LINE[..begun]);
        rig.pass(NEARLY);
        assert_eq!(rig.fates, []);
        rig.pass(Duration::from_millis(2));
        rig.pass(limits.linger_timeout);
        assert_eq!(rig.fates.last(), Some(&Fate::Close), "{begun} bytes came");
    }
    let mut rig = rig();
    rig.pass(NEARLY);
    rig.receive(&[LINE, b"GET /test HTTP/1.1\r\n"].concat());
    assert_eq!(rig.fates, []);
    rig.pass(Duration::from_millis(2));
    assert!(rig.take_sent().starts_with(b"HTTP/1.1 408 "));
}

/// The address in the header has its places, and the one of the proxy needs none.
#[test]
fn the_client_s_address_is_counted() {
    let limits = Limits { max_connections_per_address: Some(1), ..Limits::default() };
    let mut rig = rig_of("10.0.0.1:5000", &["10.0.0.0/8"], limits);
    let place = rig.kit.hub.addresses.enter(Some([203, 0, 113, 5].into())).unwrap();
    rig.receive(&[LINE, REQUEST].concat());
    assert_eq!((rig.take_sent(), &*rig.fates), (vec![], &[Fate::Close][..]));
    drop(place);
    assert_eq!(rig.kit.hub.counters.snapshot().crowded, 1);
}

/// Behind the header a request may come from a proxy again, which says whose it is.
#[test]
fn a_forwarded_request_behind_a_header() {
    let mut rig = rig_of("10.0.0.1:5000", &["10.0.0.0/8", "203.0.113.5"], Limits::default());
    let head = REQUEST.strip_suffix(b"\r\n").unwrap();
    let forwarded = b"X-Forwarded-For: 192.0.2.77\r\n\r\n";
    let text = masked(OpCode::Text, b"echo");
    rig.receive(&[LINE, head, forwarded, &text].concat());
    is_served(&mut rig, "192.0.2.77 None");
}
