//! Opening handshakes with made-up `Host` and `Origin` headers, ten thousand of them: each gets one
//! answer of the few there are, however it was cut, and a 101 only who may have it.

use super::Rig;
use crate::hosts::Hosts;
use crate::limits::Limits;
use crate::origin::Origin;
use crate::session::Transport;
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};

const ALLOWED: &str = "https://good.example";

/// What hosts and origins are made of, and what they are made wrong with.
const PARTS: [&[u8]; 26] = [
    b"localhost",
    b"127.0.0.1",
    b"[::1]",
    b"[::1",
    b"::1]",
    b"good.example",
    b"evil.example",
    b"https://",
    b"http://",
    b"https://good.example",
    b"null",
    b":",
    b":80",
    b":99999",
    b":-1",
    b"@",
    b"/",
    b"?",
    b"#",
    b"\\",
    b"%00",
    b"%",
    b" ",
    b"\t",
    b"\0",
    b"\xff",
];

fn value() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        9 => prop::sample::select(&PARTS[..]).prop_map(<[u8]>::to_vec),
        1 => prop::collection::vec(any::<u8>(), 0..4),
    ];
    prop::collection::vec(part, 0..4).prop_map(|parts| parts.concat())
}

fn request(host: Option<&[u8]>, origin: Option<&[u8]>) -> Vec<u8> {
    let mut bytes = b"GET /test HTTP/1.1\r\n".to_vec();
    for (name, value) in [(&b"Host: "[..], host), (b"Origin: ", origin)] {
        if let Some(value) = value {
            bytes.extend_from_slice(&[name, value, b"\r\n"].concat());
        }
    }
    bytes.extend_from_slice(
        b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
          Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
    );
    bytes
}

/// The status of the one answer, with which the session has nothing more to say.
fn status(origin: &Origin, pieces: &[&[u8]]) -> u16 {
    let mut rig = Rig::serving(origin.clone(), &Transport::Tcp, Limits::default(), Rig::idle());
    for piece in pieces {
        rig.receive(piece);
    }
    let answer = String::from_utf8(rig.take_sent()).expect("text");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok()).expect("a status");
    assert_eq!(rig.take_calls().is_empty(), status != 101, "{answer}");
    assert_eq!(rig.kit.hub.counters.snapshot().panics, 0);
    status
}

fn trimmed(value: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_space(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_space(byte)).map_or(start, |last| last + 1);
    &value[start..end]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn scenario_a8_made_up_hosts_and_origins(
        host in prop_oneof![1 => Just(None), 1 => Just(Some(b"localhost".to_vec())),
            4 => value().prop_map(Some)],
        origin in prop_oneof![1 => Just(None), 1 => Just(Some(ALLOWED.into())),
            4 => value().prop_map(Some)],
        cut in any::<prop::sample::Index>(),
    ) {
        let rule = Origin::exact([ALLOWED]);
        let bytes = request(host.as_deref(), origin.as_deref());
        let found = status(&rule, &[&bytes]);
        let (first, second) = bytes.split_at(cut.index(bytes.len()));
        prop_assert_eq!(status(&rule, &[first, second]), found);
        prop_assert!(matches!(found, 101 | 400 | 403 | 421), "{}", found);
        if found == 101 {
            let origin = origin.as_deref().map(trimmed);
            prop_assert_eq!(origin, Some(ALLOWED.as_bytes()));
            let here = IpAddr::V4(Ipv4Addr::LOCALHOST);
            let host = str::from_utf8(trimmed(host.as_deref().unwrap_or_default()));
            prop_assert!(Hosts::default().allows(host.ok(), Some(here)));
        }
    }
}
