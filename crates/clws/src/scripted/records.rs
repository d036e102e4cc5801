//! TLS records that no TLS client would send: damaged, out of order, made by hand.

use super::faults::{Random, stream};
use super::secure::{Pair, VERSIONS};
use super::{Call, REQUEST, frames, masked};
use crate::limits::Limits;
use crate::session::Fate;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use clws_proto::frame::OpCode::{Pong, Text};
use rustls::{ConnectionTrafficSecrets, ExtractedSecrets, version};
use std::time::Duration;

const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;

/// A TLS 1.3 client that is done with its handshakes and seals its records by hand.
struct Hand {
    pair: Pair,
    key: LessSafeKey,
    iv: [u8; 12],
    sequence: u64,
}

impl Hand {
    fn new() -> Self {
        let mut pair = Pair::open(&version::TLS13, Limits::default());
        let tls = std::mem::replace(&mut pair.tls, Pair::client(&version::TLS13));
        let ExtractedSecrets { tx: (sequence, secrets), .. } =
            tls.dangerous_extract_secrets().unwrap();
        let ConnectionTrafficSecrets::Aes256Gcm { key, iv } = secrets else { panic!() };
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key.as_ref()).unwrap());
        Self { pair, key, iv: iv.as_ref().try_into().unwrap(), sequence }
    }

    /// A record (RFC 8446 §5.2, §5.3).
    fn record(&mut self, kind: u8, content: &[u8]) -> Vec<u8> {
        let mut sealed = [content, &[kind]].concat();
        let length = u16::try_from(sealed.len() + 16).unwrap().to_be_bytes();
        let header = [DATA, 3, 3, length[0], length[1]];
        let mut nonce = self.iv;
        for (byte, sequence) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= sequence;
        }
        self.sequence += 1;
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.key.seal_in_place_append_tag(nonce, Aad::from(header), &mut sealed).unwrap();
        [&header[..], &sealed].concat()
    }
}

/// A key update, asking for one in return.
const KEY_UPDATE: &[u8] = &[24, 0, 0, 1, 1];

#[test]
fn a_begun_handshake_message_waits_while_answers_go_out() {
    for cut in 1..KEY_UPDATE.len() {
        let mut hand = Hand::new();
        let data = hand.record(DATA, &masked(Text, b"echo"));
        let begun = hand.record(HANDSHAKE, &KEY_UPDATE[..cut]);
        hand.pair.rig.receive(&[data, begun].concat());
        assert_eq!(hand.pair.rig.take_calls(), [Call::Text("echo".into())]);
        assert!(!hand.pair.rig.take_sent().is_empty());
        // More goes out while it is not whole.
        hand.pair.rig.client().send_text("pushed");
        hand.pair.rig.collect_mail();
        assert!(!hand.pair.rig.take_sent().is_empty());
        let rest = hand.record(HANDSHAKE, &KEY_UPDATE[cut..]);
        for byte in rest {
            hand.pair.rig.receive(&[byte]);
        }
        assert_eq!(hand.pair.rig.fates, []);
        hand.pair.rig.client().send_text("pushed");
        hand.pair.rig.collect_mail();
        assert!(!hand.pair.rig.take_sent().is_empty());
    }
}

#[test]
fn data_amid_a_handshake_message_is_refused() {
    let mut hand = Hand::new();
    let records = [
        hand.record(DATA, &masked(Text, b"echo")),
        hand.record(HANDSHAKE, &KEY_UPDATE[..2]),
        hand.record(DATA, &masked(Text, b"echo")),
        hand.record(DATA, &masked(Text, b"echo")),
    ];
    hand.pair.rig.receive(&records.concat());
    let calls = hand.pair.rig.take_calls();
    let [Call::Text(_), Call::Disconnected(closed)] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!((closed.code, closed.clean), (1006, false));
    assert_eq!(hand.pair.rig.fates, [Fate::HalfClose]);
}

#[test]
fn endless_nothing_is_refused() {
    let update = KEY_UPDATE.repeat(1000);
    for (kind, content) in [(DATA, &b""[..]), (HANDSHAKE, &update), (ALERT, &[1, 90])] {
        let mut hand = Hand::new();
        for _ in 0..1000 {
            let record = hand.record(kind, content);
            hand.pair.rig.receive(&record);
            assert!(hand.pair.unsent() < 16 * 1024);
        }
        assert_eq!(hand.pair.rig.fates, [Fate::HalfClose]);
    }
}

/// Splits a stream into its records.
fn records(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let [_, _, _, high, low, ..] = bytes {
        let length = 5 + usize::from(u16::from_be_bytes([*high, *low]));
        let (record, rest) = bytes.split_at(length);
        all.push(record.to_vec());
        bytes = rest;
    }
    all
}

/// Damages one record, or the order of them.
fn spoil(random: &mut Random, all: &mut Vec<Vec<u8>>) {
    let at = random.below(all.len());
    let other = random.below(all.len());
    let byte = random.below(all[at].len().clamp(1, 64));
    match random.below(7) {
        0 => all[at].iter_mut().skip(byte).take(1).for_each(|byte| *byte ^= 4),
        1 => all[at].truncate(byte),
        2 => all.swap(at, other),
        3 => all.insert(at, all[other].clone()),
        4 => _ = all.remove(at),
        5 => all[at] = vec![random.below(256) as u8; random.below(2000)],
        _ => {
            let kind = 20 + random.below(5) as u8;
            let content = vec![random.below(30) as u8; 1 + random.below(300)];
            let length = u16::try_from(content.len()).unwrap().to_be_bytes();
            all.insert(at, [&[kind, 3, 3, length[0], length[1]][..], &content].concat());
        }
    }
}

/// Puts a handshake's first flight into records of at most `size` bytes.
fn fragmented(hello: &[u8], size: usize) -> Vec<u8> {
    let pieces = hello[5..].chunks(size);
    let record = |piece: &[u8]| [&[HANDSHAKE, 3, 1, 0, piece.len() as u8][..], piece].concat();
    pieces.flat_map(record).collect()
}

#[test]
fn a_first_flight_in_small_records_is_one() {
    for size in [1, 2, 3, 5, 50, 255] {
        let mut pair = Pair::new(&version::TLS13, Limits::default());
        let hello = pair.flight();
        let records = fragmented(&hello, size);
        for piece in records.chunks(7) {
            pair.rig.receive(piece);
        }
        pair.hear();
        pair.say(&[REQUEST, &masked(Text, b"echo")].concat());
        pair.talk(|len| len);
        assert!(pair.answered());
        assert_eq!(frames(&pair.read).0, [(Text, b"echo".to_vec())]);
    }
}

#[test]
fn whatever_is_damaged_nothing_foreign_is_delivered_and_all_memory_is_back() {
    for seed in 0..3000 {
        let mut random = Random(seed ^ 0xBAD);
        let mut pair = Pair::new(VERSIONS[random.below(2)], Limits::default());
        let early = random.one_in(3);
        if !early {
            pair.say(REQUEST);
            pair.talk(|len| len);
            pair.rig.take_calls();
        }
        let (bytes, answers) = stream(&mut random);
        for piece in bytes.chunks(1 + random.below(5000)) {
            pair.say(piece);
        }
        let mut all = records(&pair.flight());
        for _ in 0..=random.below(3) {
            if !all.is_empty() {
                spoil(&mut random, &mut all);
            }
        }
        let bytes = all.concat();
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            let cut = (1 + random.below(20_000)).min(rest.len());
            pair.rig.receive(&rest[..cut]);
            rest = &rest[cut..];
        }
        if early {
            assert_eq!(pair.rig.take_calls(), [], "seed {seed}");
        }
        pair.rig.session.handle_eof(&mut pair.rig.kit);
        pair.rig.writable();
        pair.rig.pass(Duration::from_mins(1));
        assert_eq!(pair.rig.fates.last(), Some(&Fate::Close), "seed {seed}");
        let calls = pair.rig.take_calls();
        let ends = calls.iter().filter(|call| matches!(call, Call::Disconnected(_))).count();
        assert_eq!(ends, usize::from(!early), "seed {seed}");
        let messages = answers.into_iter().filter_map(|(opcode, payload)| match opcode {
            Text => Some(Call::Text("echo".into())),
            Pong => None,
            _ => Some(Call::Binary(payload.len())),
        });
        let heard = calls.iter().filter(|call| matches!(call, Call::Text(_) | Call::Binary(_)));
        assert!(heard.zip(messages).all(|(heard, sent)| *heard == sent), "seed {seed}");
        assert_eq!(pair.rig.kit.hub.clients().len(), 0, "seed {seed}");
    }
}
