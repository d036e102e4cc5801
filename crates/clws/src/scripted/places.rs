//! Places: how many clients there may be, altogether and from one address, to the last one.

use super::faults::Random;
use super::{Output, REQUEST, Rig, masked};
use crate::hub::Settings;
use crate::limits::Limits;
use crate::peer::Peer;
use crate::session::{Fate, Session, Transport};
use clws_proto::frame::OpCode;
use std::io::{self, IoSlice};
use std::net::SocketAddr;

fn rig(limits: Limits) -> Rig {
    let settings = Settings { limits, ..Settings::default() };
    Rig::with(settings, "127.0.0.1:9", &Transport::Tcp, Rig::idle())
}

fn join(rig: &mut Rig, peer: &str) -> Session {
    let peer = Peer::from(peer.parse::<SocketAddr>().unwrap());
    Session::new(&rig.kit, 0, peer, &Transport::Tcp)
}

/// Sends the request and gives the status of the answer.
fn upgrade(rig: &mut Rig, session: &mut Session, request: &[u8]) -> u16 {
    rig.kit.deal();
    session.handle_input(&mut rig.kit, &mut request.to_vec(), &mut rig.wire);
    let answer = String::from_utf8(rig.take_sent()).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

fn is_closed(rig: &mut Rig, session: &mut Session) -> bool {
    session.fate(&mut rig.kit, &mut rig.wire) == Fate::Close
}

/// Scenario A15: of 1,200 that try, 1,000 are let in; each place that is left is taken again.
#[test]
fn scenario_a15_so_many_clients_and_not_one_more() {
    let mut rig = rig(Limits { max_clients: Some(1000), ..Limits::default() });
    let mut inside = Vec::new();
    for number in 0..1200 {
        let mut session = join(&mut rig, "192.0.2.1:80");
        let expected = if number < 1000 { 101 } else { 503 };
        assert_eq!(upgrade(&mut rig, &mut session, REQUEST), expected, "client {number}");
        if expected == 101 {
            inside.push(session);
        }
    }
    assert_eq!(rig.kit.hub.clients().len(), 1000);
    let (seed, mut random) = (15, Random(15));
    for round in 0..2000 {
        let leaving = random.below(1000);
        inside[leaving].handle_eof(&mut rig.kit);
        inside.swap_remove(leaving);
        assert_eq!(rig.kit.hub.clients().len(), 999, "seed {seed}, round {round}");
        for expected in [101, 503] {
            let mut session = join(&mut rig, "192.0.2.1:80");
            let status = upgrade(&mut rig, &mut session, REQUEST);
            assert_eq!(status, expected, "seed {seed}, round {round}");
            if status == 101 {
                inside.push(session);
            }
        }
    }
    for mut session in inside {
        session.handle_eof(&mut rig.kit);
    }
    assert_eq!(rig.kit.hub.clients().len(), 0);
}

/// An address may have so many connections, whatever they do; others are not affected.
#[test]
fn an_address_has_so_many_places() {
    let limits = Limits { max_connections_per_address: Some(20), ..Limits::default() };
    let mut rig = rig(limits);
    for round in 1..=2 {
        let mut inside = Vec::new();
        for number in 0..20 {
            let mut session = join(&mut rig, &format!("192.0.2.1:{number}"));
            assert!(!is_closed(&mut rig, &mut session));
            // Some connect, others only hold their place.
            if number % 2 == 0 {
                assert_eq!(upgrade(&mut rig, &mut session, REQUEST), 101);
            }
            inside.push(session);
        }
        let mut one_more = join(&mut rig, "192.0.2.1:999");
        assert!(is_closed(&mut rig, &mut one_more));
        let mut other = join(&mut rig, "192.0.2.2:999");
        assert_eq!(upgrade(&mut rig, &mut other, REQUEST), 101);
        // A place is free when the connection is: the end of a client is not enough.
        inside[0].handle_eof(&mut rig.kit);
        let mut early = join(&mut rig, "192.0.2.1:1");
        assert!(is_closed(&mut rig, &mut early));
        inside.remove(0);
        let mut late = join(&mut rig, "192.0.2.1:1");
        assert_eq!(upgrade(&mut rig, &mut late, REQUEST), 101);
        assert_eq!(rig.kit.hub.counters.snapshot().crowded, 2 * round);
    }
}

/// Connections of this machine and of trusted proxies are not counted; a proxy's clients are.
#[test]
fn a_proxy_s_clients_have_places_and_it_needs_none() {
    let limits = Limits { max_connections_per_address: Some(2), ..Limits::default() };
    let mut settings = Settings { limits, ..Settings::default() };
    settings.proxies.add("10.0.0.0/8").unwrap();
    let mut rig = Rig::with(settings, "127.0.0.1:9", &Transport::Tcp, Rig::idle());
    let head = REQUEST.strip_suffix(b"\r\n").unwrap();
    let mut inside = Vec::new();
    for client in 0..50 {
        let forwarded = format!("X-Forwarded-For: 198.51.100.7, 203.0.113.{client}\r\n\r\n");
        let request = [head, forwarded.as_bytes()].concat();
        for expected in [101, 101, 503] {
            let mut session = join(&mut rig, "10.0.0.1:80");
            assert_eq!(upgrade(&mut rig, &mut session, &request), expected, "{client}");
            inside.push(session);
        }
    }
    for peer in ["10.0.0.1:80", "127.0.0.1:80"] {
        for _ in 0..5 {
            let mut session = join(&mut rig, peer);
            assert_eq!(upgrade(&mut rig, &mut session, REQUEST), 101);
            inside.push(session);
        }
    }
    assert_eq!(rig.kit.hub.counters.snapshot().crowded, 50);
}

/// A socket that fails once, and then would block.
struct Failing(Option<i32>);

impl Output for Failing {
    fn write(&mut self, _: &[IoSlice<'_>]) -> io::Result<usize> {
        Err(self.0.take().map_or(io::ErrorKind::WouldBlock.into(), io::Error::from_raw_os_error))
    }
}

/// Scenario F2: a write that fails with any errno costs that client, or is tried again; the next
/// client is served.
#[cfg(target_os = "linux")]
#[test]
fn scenario_f2_a_write_that_fails() {
    let mut rig = rig(Limits::default());
    for errno in 1..=133 {
        let mut session = join(&mut rig, "192.0.2.1:80");
        assert_eq!(upgrade(&mut rig, &mut session, REQUEST), 101);
        let (mut echo, mut socket) = (masked(OpCode::Text, b"echo"), Failing(Some(errno)));
        rig.kit.deal();
        session.handle_input(&mut rig.kit, &mut echo, &mut socket);
        let fate = session.fate(&mut rig.kit, &mut socket);
        let kind = io::Error::from_raw_os_error(errno).kind();
        let passes = [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock].contains(&kind);
        assert_eq!(fate, if passes { Fate::Keep } else { Fate::Close }, "errno {errno}");
        session.handle_error(&mut rig.kit);
        assert_eq!(rig.kit.hub.clients().len(), 0, "errno {errno}");
    }
}
