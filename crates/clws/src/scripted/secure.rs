//! A session over TLS: the same wire, with a real TLS client at its other end.

use super::faults::{Random, assert_answers, small, stream};
use super::{Act, Call, REQUEST, Rig, frames, masked};
use crate::limits::Limits;
use crate::resource::{Cause, Closed};
use crate::session::{Fate, Transport};
use crate::tls::{Keeper, Tls, certs};
use clws_proto::frame::OpCode::{Binary, Close, Text};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion, version};
use std::io::{Read, Write};
use std::sync::{Arc, LazyLock};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);
pub(super) const VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

/// A listener's side, and the authority a client has to trust.
static SETUP: LazyLock<(Arc<Keeper>, Vec<u8>)> = LazyLock::new(|| {
    let (folder, authority) = (certs::Folder::new(), certs::Authority::new("Tests"));
    let (certificate, key) = authority.server(&["localhost"]).write(&folder, "server");
    let tls = Tls::from_files(certificate, key).unwrap();
    (Arc::new(Keeper::new(tls).unwrap()), authority.der())
});

/// A session and a TLS client that talk by way of the script.
pub(super) struct Pair {
    pub(super) rig: Rig,
    pub(super) tls: ClientConnection,
    /// What the client has read.
    pub(super) read: Vec<u8>,
}

impl Pair {
    pub(super) fn client(version: &'static SupportedProtocolVersion) -> ClientConnection {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(&*SETUP.1)).unwrap();
        let mut config =
            ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
        config.enable_secret_extraction = true;
        let name = "localhost".try_into().unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        client.set_buffer_limit(None);
        client
    }

    pub(super) fn new(version: &'static SupportedProtocolVersion, limits: Limits) -> Self {
        Self::with(version, limits, Rig::idle())
    }

    pub(super) fn with(
        version: &'static SupportedProtocolVersion,
        limits: Limits,
        act: Act,
    ) -> Self {
        let transport = Transport::Tls(Arc::clone(&SETUP.0));
        let rig = Rig::over(&transport, limits, act);
        Self { rig, tls: Self::client(version), read: Vec::new() }
    }

    /// A session whose handshakes are done.
    pub(super) fn open(version: &'static SupportedProtocolVersion, limits: Limits) -> Self {
        let mut pair = Self::new(version, limits);
        pair.shake_hands(REQUEST);
        pair
    }

    pub(super) fn shake_hands(&mut self, request: &[u8]) {
        self.say(request);
        self.talk(|len| len);
        assert!(self.answered());
        assert_eq!(self.rig.take_calls(), [Call::Connected]);
    }

    pub(super) fn say(&mut self, plain: &[u8]) {
        self.tls.writer().write_all(plain).unwrap();
    }

    /// What the client would send now.
    pub(super) fn flight(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        while self.tls.wants_write() {
            self.tls.write_tls(&mut bytes).unwrap();
        }
        bytes
    }

    /// The client takes what was sent to it.
    pub(super) fn hear(&mut self) {
        let sent = self.rig.take_sent();
        let mut rest = &sent[..];
        while !rest.is_empty() {
            self.tls.read_tls(&mut rest).unwrap();
            self.tls.process_new_packets().unwrap();
            // Its end, or that there is none yet, are both fine.
            let _ = self.tls.reader().read_to_end(&mut self.read);
        }
    }

    /// Carries bytes both ways until nothing more comes; `cut` says how many of those left go at
    /// once.
    pub(super) fn talk(&mut self, mut cut: impl FnMut(usize) -> usize) {
        loop {
            let bytes = self.flight();
            let mut rest = &bytes[..];
            if rest.is_empty() && self.rig.wire.sent.is_empty() {
                return;
            }
            while !rest.is_empty() {
                let (now, later) = rest.split_at(cut(rest.len()).clamp(1, rest.len()));
                self.rig.receive(now);
                rest = later;
            }
            self.hear();
        }
    }

    /// Takes the 101 off what was read.
    pub(super) fn answered(&mut self) -> bool {
        let end = self.read.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4);
        end.is_some_and(|end| self.read.drain(..end).as_slice().starts_with(b"HTTP/1.1 101 "))
    }

    pub(super) fn unsent(&self) -> usize {
        self.rig.session.tls.as_ref().map_or(0, |tls| tls.held())
    }
}

fn closed(rig: &mut Rig) -> Closed {
    let mut calls = rig.take_calls();
    match calls.pop() {
        Some(Call::Disconnected(closed)) => closed,
        other => panic!("{calls:?}, {other:?}"),
    }
}

#[test]
fn handshakes_and_first_message_may_be_cut_at_any_byte() {
    for version in VERSIONS {
        let mut cuts = 0..;
        let mut longest = 1;
        while let Some(cut) = cuts.next().filter(|cut| *cut < longest) {
            let mut pair = Pair::new(version, Limits::default());
            pair.say(&[REQUEST, &masked(Text, b"echo")].concat());
            let mut first = true;
            pair.talk(|len| {
                longest = longest.max(len);
                if std::mem::take(&mut first) || len > cut { cut } else { len }
            });
            assert!(pair.answered(), "{version:?} cut at {cut}");
            assert_eq!(frames(&pair.read), (vec![(Text, b"echo".to_vec())], 0), "cut at {cut}");
            assert!(!pair.rig.owns_buffers());
        }
    }
}

#[test]
fn one_byte_at_a_time_either_way() {
    for version in VERSIONS {
        let mut pair = Pair::new(version, Limits::default());
        pair.rig.wire.step = 1;
        pair.say(&[REQUEST, &masked(Binary, &[7; 3000])].concat());
        loop {
            let bytes = pair.flight();
            if bytes.is_empty() && pair.rig.wire.sent.is_empty() {
                break;
            }
            for byte in bytes {
                pair.rig.receive(&[byte]);
            }
            while pair.rig.session.wants_write() {
                pair.rig.writable();
            }
            pair.hear();
        }
        assert!(pair.answered());
        assert_eq!(frames(&pair.read), (vec![(Binary, vec![7; 3000])], 0));
    }
}

#[test]
fn whatever_the_cuts_and_stalls_every_answer_arrives_once_and_in_order() {
    for seed in 0..400 {
        let mut random = Random(seed ^ 0x715);
        let mut pair = Pair::open(VERSIONS[random.below(2)], small());
        let (bytes, expected) = stream(&mut random);
        pair.rig.wire.room = random.below(5000);
        for piece in bytes.chunks(1 + random.below(30_000)) {
            pair.say(piece);
        }
        let records = pair.flight();
        let mut rest = &records[..];
        while !rest.is_empty() || pair.rig.session.wants_write() {
            pair.rig.wire.step = 1 + random.below(6000);
            if pair.rig.session.wants_read() && !rest.is_empty() {
                let cut = (1 + random.below(40_000)).min(rest.len());
                pair.rig.receive(&rest[..cut]);
                rest = &rest[cut..];
            }
            assert!(pair.rig.queued() < 8000 + 9100, "seed {seed}: {}", pair.rig.queued());
            assert!(pair.unsent() <= 128 * 1024, "seed {seed}: {}", pair.unsent());
            if random.one_in(2) {
                pair.rig.make_room(random.below(6000));
            }
            pair.hear();
            pair.rig.pass(Duration::from_millis(random.below(1000) as u64));
        }
        pair.hear();
        assert_eq!(pair.rig.fates, [], "seed {seed}");
        let (got, left) = frames(&pair.read);
        assert_eq!(left, 0, "seed {seed}");
        assert_answers(seed, &got, &expected);
        assert!(!pair.rig.owns_buffers(), "seed {seed}");
    }
}

#[test]
fn large_messages_pass_whole() {
    for version in VERSIONS {
        for size in [16 * 1024_usize, 65_536, 1 << 20] {
            let mut pair = Pair::open(version, Limits::default());
            let payload: Vec<u8> = (0..size).map(|i| (i * 31 + (i >> 8)) as u8).collect();
            pair.say(&masked(Binary, &payload));
            pair.talk(|len| len.min(256 * 1024));
            assert_eq!(frames(&pair.read), (vec![(Binary, payload)], 0));
            assert!(!pair.rig.owns_buffers());
        }
    }
}

#[test]
fn a_peer_that_does_not_read_is_not_read_from_and_loses_nothing() {
    let limits = Limits { send_queue_low: 2500, send_queue_high: 10_000, ..Limits::default() };
    let mut pair = Pair::open(&version::TLS13, limits);
    pair.rig.wire.room = 0;
    let payloads: Vec<Vec<u8>> = (0..200).map(|n| vec![n; 1000]).collect();
    for payload in &payloads {
        pair.say(&masked(Binary, payload));
    }
    let records = pair.flight();
    pair.rig.receive(&records);
    assert!(!pair.rig.session.wants_read());
    assert!(pair.rig.queued() < 12_000, "{}", pair.rig.queued());
    assert!(pair.unsent() < 70_000, "{}", pair.unsent());
    while pair.rig.session.wants_write() {
        pair.rig.make_room(1500);
    }
    pair.hear();
    assert!(pair.rig.session.wants_read());
    let expected: Vec<_> = payloads.into_iter().map(|p| (Binary, p)).collect();
    assert_eq!(frames(&pair.read), (expected, 0));
    assert_eq!(pair.rig.client().queued_bytes(), 0);
    assert!(pair.rig.take_calls().contains(&Call::Drained));
}

#[test]
fn a_peer_that_takes_nothing_of_what_waits_is_reset_after_ten_seconds() {
    let mut pair = Pair::open(&version::TLS13, Limits::default());
    pair.rig.wire.room = 0;
    pair.say(&masked(Text, b"echo"));
    pair.talk(|len| len);
    assert!(pair.rig.session.wants_write());
    pair.rig.pass(9 * SECOND);
    assert_eq!(pair.rig.fates, []);
    pair.rig.pass(SECOND);
    assert_eq!(pair.rig.fates, [Fate::Abort]);
    assert_eq!(closed(&mut pair.rig).cause, Cause::Timeout);
}

#[test]
fn a_peer_that_takes_a_little_now_and_then_stays() {
    let limits = Limits { ping_interval: None, min_drain_rate: None, ..Limits::default() };
    let mut pair = Pair::open(&version::TLS13, limits);
    pair.rig.wire.room = 0;
    pair.say(&masked(Binary, &[0; 20]));
    pair.talk(|len| len);
    for _ in 0..20 {
        pair.rig.pass(9 * SECOND);
        pair.rig.make_room(1);
    }
    assert_eq!(pair.rig.fates, []);
}

/// Bytes count as they leave, not when they are sealed, for which 66 KiB need not have left.
#[test]
fn a_peer_that_takes_less_than_the_rate_is_reset_and_one_that_takes_as_much_is_not() {
    const RATE: usize = 32 * 1024;
    for (rate, fates) in [(RATE - 1000, &[Fate::Abort][..]), (RATE + 1000, &[])] {
        let limits = Limits { min_drain_rate: Some(RATE as u32), ..Limits::default() };
        let mut pair = Pair::open(&version::TLS13, limits);
        pair.rig.wire.room = 0;
        pair.say(&masked(Binary, &vec![0; 1 << 20]));
        pair.talk(|len| len);
        for _ in 0..250 {
            pair.rig.pass(SECOND / 10);
            if pair.rig.fates.is_empty() {
                pair.rig.make_room(rate / 10);
            }
        }
        assert_eq!(pair.rig.fates, fates, "{rate} bytes a second");
        let calls = pair.rig.take_calls();
        let timed_out =
            |call: &Call| matches!(call, Call::Disconnected(end) if end.cause == Cause::Timeout);
        assert_eq!(calls.iter().any(timed_out), !fates.is_empty());
    }
}

#[test]
fn a_close_ends_with_close_notify() {
    for version in VERSIONS {
        let mut pair = Pair::open(version, Limits::default());
        pair.say(&masked(Close, b"\x03\xe8bye"));
        pair.talk(|len| len);
        assert_eq!(frames(&pair.read), (vec![(Close, b"\x03\xe8".to_vec())], 0));
        assert!(closed(&mut pair.rig).clean);
        assert!(pair.tls.process_new_packets().unwrap().peer_has_closed());
        assert_eq!(pair.rig.fates, [Fate::HalfClose]);
        pair.rig.session.handle_eof(&mut pair.rig.kit);
        pair.rig.writable();
        assert_eq!(pair.rig.fates, [Fate::HalfClose, Fate::Close]);
    }
}

#[test]
fn a_stream_cut_short_delivers_no_part_of_a_message() {
    for version in VERSIONS {
        for notify in [false, true] {
            let mut pair = Pair::open(version, Limits::default());
            let message = masked(Binary, &vec![7; 40_000]);
            pair.say(&message[..39_000]);
            if notify {
                pair.tls.send_close_notify();
            }
            pair.talk(|len| len);
            if !notify {
                pair.rig.session.handle_eof(&mut pair.rig.kit);
                pair.rig.writable();
            }
            let calls = pair.rig.take_calls();
            let [Call::Disconnected(closed)] = &calls[..] else { panic!("{calls:?}") };
            assert_eq!((closed.code, closed.clean), (1006, false));
            assert_eq!(pair.rig.fates, [Fate::Close]);
            pair.hear();
            let answered = pair.tls.process_new_packets().unwrap().peer_has_closed();
            assert_eq!(answered, notify);
        }
    }
}

#[test]
fn an_end_at_any_byte_of_a_record_delivers_no_part_of_it() {
    let length = {
        let mut pair = Pair::open(&version::TLS13, Limits::default());
        pair.say(&masked(Text, b"hello"));
        pair.flight().len()
    };
    for end in 0..length {
        let mut pair = Pair::open(&version::TLS13, Limits::default());
        pair.say(&masked(Text, b"hello"));
        let record = pair.flight();
        pair.rig.receive(&record[..end]);
        pair.rig.session.handle_eof(&mut pair.rig.kit);
        let calls = pair.rig.take_calls();
        let [Call::Disconnected(closed)] = &calls[..] else { panic!("{end}: {calls:?}") };
        assert_eq!((closed.code, closed.cause, closed.clean), (1006, Cause::Lost, false));
    }
}

#[test]
fn a_record_that_was_tampered_with_ends_the_client() {
    for version in VERSIONS {
        let mut pair = Pair::open(version, Limits::default());
        pair.say(&masked(Text, b"one"));
        let mut bytes = pair.flight();
        pair.say(&masked(Text, b"two"));
        let mut second = pair.flight();
        *second.last_mut().unwrap() ^= 1;
        bytes.extend(second);
        pair.rig.receive(&bytes);
        let calls = pair.rig.take_calls();
        let [Call::Text(one), Call::Disconnected(closed)] = &calls[..] else { panic!("{calls:?}") };
        assert_eq!((&**one, closed.code, closed.clean), ("one", 1006, false));
        let sent = pair.rig.take_sent();
        let told = pair.tls.read_tls(&mut &sent[..]).map(|_| pair.tls.process_new_packets());
        assert!(matches!(told, Ok(Err(rustls::Error::AlertReceived(_)))), "{told:?}");
        assert_eq!(pair.rig.fates, [Fate::HalfClose]);
    }
}

/// The answer may leave no room for the alert to wait beside it, and the socket may refuse a part
/// of the answer, or of both.
#[test]
fn what_was_answered_before_a_record_that_was_tampered_with_is_written_before_the_alert() {
    let cases = [10, 2010].map(|len| [0, 9, 1000, 2055, usize::MAX].map(|room| (len, room)));
    for (version, (len, room)) in
        VERSIONS.iter().flat_map(|version| cases.iter().flatten().map(move |case| (version, *case)))
    {
        let mut pair = Pair::open(version, Limits::default());
        let payload = vec![7; len];
        pair.say(&masked(Binary, &payload));
        let first = pair.flight();
        pair.say(&masked(Text, b"two"));
        let mut second = pair.flight();
        *second.last_mut().unwrap() ^= 1;
        let (begin, end) = first.split_at(9);
        pair.rig.receive(begin);
        pair.rig.wire.room = room;
        pair.rig.receive(&[end, &second].concat());
        pair.rig.make_room(usize::MAX);
        let sent = pair.rig.take_sent();
        let mut rest = &sent[..];
        let told = loop {
            pair.tls.read_tls(&mut rest).unwrap();
            if let Err(error) = pair.tls.process_new_packets() {
                break error;
            }
        };
        assert!(matches!(told, rustls::Error::AlertReceived(_)), "{told:?}");
        let _ = pair.tls.reader().read_to_end(&mut pair.read);
        assert_eq!(frames(&pair.read), (vec![(Binary, payload)], 0), "{len} {room}");
    }
}

#[test]
fn what_is_no_tls_is_closed_and_costs_nothing() {
    let zeros = vec![0; 256 * 1024];
    let endless = [&[0x16, 3, 1, 0x40, 0, 1, 0, 0xff, 0xff][..], &[1; 16_380]].concat();
    // One byte of a message in each record.
    let tiny = [&[0x16, 3, 1, 0, 4, 1, 0, 0xff, 0xff][..], &b"\x16\x03\x01\0\x01\0".repeat(40_000)];
    let tiny = tiny.concat();
    let all: [(&[u8], usize); 5] =
        [(REQUEST, 1), (&zeros, 40), (&endless, 40), (&tiny, 40), (b"\x16\x03", 0)];
    for (bytes, times) in all {
        let mut pair = Pair::new(&version::TLS13, Limits::default());
        for _ in 0..times {
            pair.rig.receive(bytes);
            assert!(pair.unsent() < 128 * 1024);
        }
        if times > 0 {
            assert_eq!(pair.rig.fates, [Fate::HalfClose], "{:?}", &bytes[..5]);
            assert_eq!(pair.rig.kit.hub.counters.snapshot().tls_errors, 1);
            let sent = pair.rig.take_sent();
            assert!(matches!(&sent[..], [] | [0x15, 3, _, 0, 2, 2, _]), "an alert: {sent:?}");
        }
        pair.rig.pass(SECOND * 5);
        assert_eq!(pair.rig.fates.last(), Some(&Fate::Close));
        assert_eq!(pair.rig.take_calls(), []);
        assert!(!pair.rig.owns_buffers());
    }
}

#[test]
fn tls_on_a_plain_listener_gets_one_plain_answer() {
    let mut rig = Rig::new(Limits::default(), Rig::idle());
    rig.receive(&Pair::new(&version::TLS13, Limits::default()).flight());
    assert!(rig.take_sent().starts_with(b"HTTP/1.1 400 "));
    assert_eq!(rig.fates, [Fate::HalfClose]);
}

#[test]
fn a_handshake_that_trickles_is_closed_when_its_time_is_up() {
    for known in [0, 1, 100] {
        let mut pair = Pair::new(&version::TLS13, Limits::default());
        let hello = pair.flight();
        pair.rig.receive(&hello[..known]);
        pair.rig.pass(5 * SECOND);
        assert_eq!(pair.rig.fates, [Fate::Close]);
    }
    // The handshake's time counts on when TLS is done.
    let mut pair = Pair::new(&version::TLS13, Limits::default());
    pair.rig.pass(3 * SECOND);
    pair.say(&REQUEST[..20]);
    pair.talk(|len| len);
    pair.rig.pass(2 * SECOND);
    pair.hear();
    assert!(pair.read.starts_with(b"HTTP/1.1 408 "));
}

#[test]
fn shutdown_says_1001_to_clients_and_nothing_to_those_who_shake_hands() {
    let mut pair = Pair::open(&version::TLS13, Limits::default());
    pair.rig.drain(crate::Drain::default());
    pair.hear();
    assert_eq!(frames(&pair.read).0[0].1[..2], 1001_u16.to_be_bytes());

    let mut pair = Pair::new(&version::TLS13, Limits::default());
    let hello = pair.flight();
    pair.rig.receive(&hello);
    pair.rig.drain(crate::Drain::default());
    assert_eq!(pair.rig.fates, [Fate::Close]);
}

#[test]
fn keys_may_be_changed_while_messages_go() {
    let mut pair = Pair::open(&version::TLS13, Limits::default());
    for _ in 0..20 {
        pair.tls.refresh_traffic_keys().unwrap();
        pair.say(&masked(Text, b"echo"));
        pair.talk(|len| len / 2);
    }
    assert_eq!(frames(&pair.read).0, vec![(Text, b"echo".to_vec()); 20]);
}

#[test]
fn a_paused_client_keeps_the_order_of_what_came_in_one_read() {
    let mut pair = Pair::open(&version::TLS13, Limits::default());
    pair.rig.client().pause_reading();
    for number in 0..100_u8 {
        pair.say(&masked(Text, number.to_string().as_bytes()));
        pair.say(&masked(Binary, &[number; 1000]));
    }
    pair.talk(|len| len);
    assert_eq!(pair.rig.take_calls(), []);
    assert!(!pair.rig.session.wants_read());
    pair.rig.client().resume_reading();
    pair.rig.collect_mail();
    let expected: Vec<_> = (0..100_u8)
        .flat_map(|number| [Call::Text(number.to_string()), Call::Binary(1000)])
        .collect();
    assert_eq!(pair.rig.take_calls(), expected);
    assert!(pair.rig.session.wants_read());
}

#[test]
fn a_flood_of_messages_is_worked_off_in_turns() {
    for version in VERSIONS {
        let mut pair = Pair::open(version, Limits::default());
        let texts: Vec<_> = (0..1000).map(|number| Call::Text(number.to_string())).collect();
        for number in 0..1000 {
            pair.say(&masked(Text, number.to_string().as_bytes()));
        }
        let (mut flight, rig) = (pair.flight(), &mut pair.rig);
        rig.kit.deal();
        rig.session.handle_input(&mut rig.kit, &mut flight, &mut rig.wire);
        for share in texts.chunks(32) {
            assert_eq!(rig.take_calls(), share);
            let more = share.last() != texts.last();
            assert_eq!((rig.session.wants_turn(), rig.session.wants_read()), (more, !more));
            rig.turn();
        }
        assert!(!rig.owns_buffers());
    }
}
