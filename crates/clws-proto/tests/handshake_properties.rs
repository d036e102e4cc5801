//! What holds for every input: no panic, and the same verdict however the bytes are cut.

use clws_proto::handshake::{
    ClientHandshake, ExtraHeaders, HandshakeLimits, RequestReader, check_upgrade,
};
use proptest::prelude::*;

const LEGAL: &[u8] = b"GET /chat?room=1 HTTP/1.1\r\nHost: server.example.com:8080\r\n\
    Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://example.com\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[derive(Debug, PartialEq)]
enum Verdict {
    Upgrade(String, usize),
    Plain(String, usize),
    Refused(u16, String),
    NeedMore,
}

/// The verdict when the bytes arrive in pieces that end at these places.
fn verdict(bytes: &[u8], ends: impl IntoIterator<Item = usize>) -> Verdict {
    let limits = HandshakeLimits { max_header_size: 600, max_headers: 12, max_request_line: 100 };
    let mut reader = RequestReader::new();
    for end in ends {
        match reader.handle_bytes(&bytes[..end], &limits) {
            Ok(None) => {}
            Err(refusal) => return Verdict::Refused(refusal.status(), refusal.to_string()),
            Ok(Some((request, consumed))) => {
                let text = format!("{request:?} {:?}", request.query());
                return match check_upgrade(&request) {
                    Ok(_) => Verdict::Upgrade(text, consumed),
                    Err(refusal) => Verdict::Plain(format!("{text} {refusal}"), consumed),
                };
            }
        }
    }
    Verdict::NeedMore
}

fn whole(bytes: &[u8]) -> Verdict {
    verdict(bytes, [bytes.len()])
}

#[test]
fn scenario_a12_every_cut_gives_the_same_request_and_consumes_only_it() {
    let bytes = [LEGAL, b"\x81\x85frames"].concat();
    let expected = whole(LEGAL);
    assert!(matches!(expected, Verdict::Upgrade(_, size) if size == LEGAL.len()));
    for cut in 0..=bytes.len() {
        assert_eq!(verdict(&bytes, [cut, bytes.len()]), expected, "cut at {cut}");
    }
}

#[test]
fn scenario_a5_a_request_in_single_bytes_is_complete_at_its_last_byte() {
    assert_eq!(verdict(LEGAL, 1..LEGAL.len()), Verdict::NeedMore);
    assert_eq!(verdict(LEGAL, 1..=LEGAL.len()), whole(LEGAL));
}

#[test]
fn a_reader_reads_one_request() {
    let bytes = [LEGAL, LEGAL].concat();
    let limits = HandshakeLimits::default();
    let mut reader = RequestReader::new();
    assert!(matches!(reader.handle_bytes(&bytes, &limits), Ok(Some(_))));
    assert!(matches!(reader.handle_bytes(&bytes, &limits), Ok(None)));
}

/// A change to a request: at a place, take some bytes away and put others in.
fn mutation() -> impl Strategy<Value = (prop::sample::Index, usize, Vec<u8>)> {
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..4),
        prop::sample::select(vec![
            &b"\r\n"[..],
            b"\n",
            b"\r",
            b" ",
            b"\t",
            b":",
            b",",
            b"\0",
            b"\xff",
            b"\r\n\r\n",
            b"\r\n ",
            b"HTTP/1.0",
            b"Host: a\r\n",
            b"Content-Length: 0\r\n",
            b"%00",
            b"http://",
        ])
        .prop_map(<[u8]>::to_vec),
    ];
    (any::<prop::sample::Index>(), 0_usize..6, piece)
}

fn mutated(changes: &[(prop::sample::Index, usize, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = LEGAL.to_vec();
    for (at, removed, added) in changes {
        let start = at.index(bytes.len() + 1);
        let end = bytes.len().min(start + removed);
        bytes.splice(start..end, added.iter().copied());
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn random_bytes_get_one_verdict_however_cut(
        bytes in prop::collection::vec(any::<u8>(), 0..800),
    ) {
        prop_assert_eq!(verdict(&bytes, 1..=bytes.len()), whole(&bytes));
    }

    #[test]
    fn mutated_requests_get_one_verdict_however_cut(
        changes in prop::collection::vec(mutation(), 0..4),
        mut cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let bytes = mutated(&changes);
        let expected = whole(&bytes);
        if let Verdict::Upgrade(_, size) | Verdict::Plain(_, size) = expected {
            prop_assert!(size <= bytes.len());
            prop_assert!(bytes[..size].ends_with(b"\r\n\r\n"));
        }
        prop_assert_eq!(verdict(&bytes, 1..=bytes.len()), expected);
        cuts.sort_by_key(|cut| cut.index(bytes.len() + 1));
        let ends = cuts.iter().map(|cut| cut.index(bytes.len() + 1)).chain([bytes.len()]);
        prop_assert_eq!(verdict(&bytes, ends), whole(&bytes));
    }

    #[test]
    fn scenario_a8_generated_hosts_and_origins_never_panic_and_are_judged_alike(
        host in prop::collection::vec(any::<u8>(), 0..24),
        origin in prop::collection::vec(any::<u8>(), 0..24),
    ) {
        let bytes = [
            &b"GET / HTTP/1.1\r\nHost: "[..], &host, b"\r\nOrigin: ", &origin, b"\r\n\r\n",
        ].concat();
        match whole(&bytes) {
            Verdict::Refused(status, _) => prop_assert_eq!(status, 400),
            Verdict::NeedMore => prop_assert!(false, "a whole request"),
            Verdict::Plain(..) | Verdict::Upgrade(..) => {}
        }
    }

    #[test]
    fn answers_of_any_bytes_never_panic_a_client(
        bytes in prop::collection::vec(any::<u8>(), 0..200),
        text in "(HTTP/1\\.[01] [0-9]{3} ?[a-z]{0,3}\r\n)?([A-Z-]{1,9}: ?[ -~]{0,9}\r\n){0,4}\r\n",
    ) {
        let limits = HandshakeLimits::default();
        for answer in [&bytes[..], text.as_bytes()] {
            let prepared = ClientHandshake::new("h", "/", [0; 16], &[], None, &ExtraHeaders::new());
            let mut at_once = prepared.expect("legal");
            let mut by_byte = at_once.clone();
            let expected = at_once.handle_bytes(answer, &limits).map(|found| found.is_some());
            let found = (1..=answer.len())
                .map(|end| by_byte.handle_bytes(&answer[..end], &limits))
                .find(|step| !matches!(step, Ok(None)))
                .unwrap_or(Ok(None));
            prop_assert_eq!(found.map(|found| found.is_some()), expected);
        }
    }
}
