//! `Sec-WebSocket-Extensions`, a client's offers and a server's answer (RFC 7692 §5, §7.1).
//!
//! Several headers are one list; what is agreed can be written and read again, and both ends can
//! then talk; an answer of any bytes gets a verdict.
#![no_main]

use arbitrary::Arbitrary;
use clws_proto::deflate::{
    Agreed, Codecs, Contexts, DeflateConfig, Side, accept_response, negotiate, offer,
};
use libfuzzer_sys::fuzz_target;

const KNOWN: [&str; 20] = [
    "permessage-deflate",
    "server_no_context_takeover",
    "client_no_context_takeover",
    "server_max_window_bits",
    "client_max_window_bits",
    "x-webkit-deflate-frame",
    "=",
    ";",
    ",",
    " ",
    "\t",
    "\"",
    "\\",
    "8",
    "9",
    "15",
    "16",
    "015",
    "0",
    "; server_max_window_bits=10",
];

#[derive(Arbitrary, Debug)]
struct Input {
    headers: Vec<Vec<Part>>,
    ours: Config,
    theirs: Config,
    message: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Part {
    Known(u8),
    Any(Vec<u8>),
}

#[derive(Arbitrary, Debug)]
struct Config {
    enabled: bool,
    flags: [bool; 2],
    bits: [u8; 2],
}

impl Config {
    fn config(&self) -> DeflateConfig {
        DeflateConfig {
            enabled: self.enabled,
            server_no_context_takeover: self.flags[0],
            client_no_context_takeover: self.flags[1],
            server_max_window_bits: self.bits[0],
            client_max_window_bits: self.bits[1],
            ..DeflateConfig::default()
        }
    }
}

fn value(parts: &[Part]) -> Vec<u8> {
    parts
        .iter()
        .flat_map(|part| match part {
            Part::Known(index) => KNOWN[usize::from(*index) % KNOWN.len()].as_bytes(),
            Part::Any(bytes) => bytes,
        })
        .copied()
        .collect()
}

fuzz_target!(|input: Input| {
    let values: Vec<Vec<u8>> = input.headers.iter().map(|parts| value(parts)).collect();
    let slices = || values.iter().map(Vec::as_slice);
    let (ours, theirs) = (input.ours.config(), input.theirs.config());

    let found = negotiate(slices(), &ours);
    let joined = values.join(&b", "[..]);
    if found.is_ok() {
        assert_eq!(negotiate([&joined[..]].into_iter(), &ours), found, "several headers");
    }
    if let Ok(Some(agreed)) = found {
        assert!(ours.enabled, "it is off");
        assert_written(&agreed);
        assert_usable(&agreed, &input.message);
    }
    if let Ok(Some(agreed)) = accept_response(slices(), &ours) {
        assert!(ours.enabled, "it was not offered");
        assert_usable(&agreed, &input.message);
    }

    // What this crate's client offers its server answers so that the client is content.
    let Some(text) = offer(&theirs) else { return assert!(!theirs.enabled) };
    let answer = negotiate([text.as_bytes()].into_iter(), &ours).expect("a legal offer");
    assert_eq!(answer.is_some(), ours.enabled, "{text}");
    let Some(answer) = answer else { return };
    let written = answer.to_string();
    let taken = accept_response([written.as_bytes()].into_iter(), &theirs);
    let taken = taken.expect("an answer to the offer").expect("not declined");
    let server = |one: &Agreed| (one.server_no_context_takeover(), one.server_max_window_bits());
    assert_eq!(server(&taken), server(&answer), "{text} was answered with {written}");
    // A client may keep to less than it has to, never to more.
    assert!(taken.client_max_window_bits() <= answer.client_max_window_bits());
    assert!(taken.client_no_context_takeover() >= answer.client_no_context_takeover());
});

/// The answer is legal for a client that asks for nothing special.
fn assert_written(agreed: &Agreed) {
    let written = agreed.to_string();
    let any = DeflateConfig {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        ..DeflateConfig::default()
    };
    let read = accept_response([written.as_bytes()].into_iter(), &any);
    assert_eq!(read, Ok(Some(*agreed)), "{written}");
}

/// Each end inflates what the other deflated, twice, so that a history counts.
fn assert_usable(agreed: &Agreed, message: &[u8]) {
    let server_bits = agreed.server_max_window_bits();
    assert!((8..=15).contains(&server_bits) && (8..=15).contains(&agreed.client_max_window_bits()));
    let mut codecs = Codecs::new(1, 1 << 20);
    for (from, to) in [(Side::Server, Side::Client), (Side::Client, Side::Server)] {
        let (mut from, mut to) = (Contexts::new(agreed, from), Contexts::new(agreed, to));
        for _ in 0..2 {
            let (mut wire, mut heard) = (Vec::new(), Vec::new());
            if !from.deflate(message, &mut codecs, &mut wire) {
                assert_eq!(wire, [], "a message to be sent as it is");
                continue;
            }
            let push = |chunk: &[u8]| {
                heard.extend_from_slice(chunk);
                Ok(())
            };
            to.inflate(&wire, true, message.len() as u64, &mut codecs, push).expect("our own");
            assert_eq!(heard, message);
        }
        from.release(&mut codecs);
        to.release(&mut codecs);
    }
}
