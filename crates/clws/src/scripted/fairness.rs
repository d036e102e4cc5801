//! One client's share of a turn: what is above it waits, in order, and costs no work meanwhile.

use super::{Call, REQUEST, Rig, Transport, frames, masked};
use crate::limits::Limits;
use crate::peer::Peer;
use clws_proto::frame::OpCode::{self, Binary, Close, Ping, Pong, Text};
use std::time::Duration;

/// The texts that were heard since the last look.
fn heard(rig: &mut Rig) -> Vec<String> {
    let text = |call| match call {
        Call::Text(text) => text,
        other => panic!("{other:?}"),
    };
    rig.take_calls().into_iter().map(text).collect()
}

fn numbered(count: usize) -> (Vec<u8>, Vec<String>) {
    let texts: Vec<String> = (0..count).map(|number| number.to_string()).collect();
    (texts.iter().flat_map(|text| masked(Text, text.as_bytes())).collect(), texts)
}

/// One read, as an engine hands it over, and none of the turns that follow.
fn receive_alone(rig: &mut Rig, mut bytes: Vec<u8>) {
    rig.kit.deal();
    rig.session.handle_input(&mut rig.kit, &mut bytes, &mut rig.wire);
}

#[test]
fn a_flood_of_messages_is_worked_off_in_turns() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    let (flood, texts) = numbered(1000);
    receive_alone(&mut rig, flood);
    for share in texts.chunks(32) {
        assert_eq!(heard(&mut rig), share);
        let more = share.last() != texts.last();
        assert_eq!((rig.session.wants_turn(), rig.session.wants_read()), (more, !more));
        rig.turn();
    }
    assert!(!rig.owns_buffers());
}

#[test]
fn the_answers_of_each_turn_leave_in_one_write() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    let writes = rig.wire.writes;
    rig.receive(&masked(Text, b"echo").repeat(100));
    assert_eq!(rig.wire.writes - writes, 4);
    assert_eq!(frames(&rig.take_sent()).0, vec![(Text, b"echo".to_vec()); 100]);
}

#[test]
fn what_one_read_brings_within_the_share_waits_for_nothing() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    let (burst, texts) = numbered(32);
    for _ in 0..100 {
        receive_alone(&mut rig, burst.clone());
        assert_eq!(heard(&mut rig), texts);
        assert!(!rig.session.wants_turn() && rig.session.wants_read() && !rig.owns_buffers());
    }
}

/// However long the frames are that are not finished, they are no messages yet.
#[test]
fn pings_count_and_pieces_of_messages_do_not() {
    let limits = Limits { turn_messages: 1, ..Limits::default() };
    let mut rig = Rig::open(limits, Rig::idle());
    for piece in masked(Binary, &vec![7; 200_000]).chunks(50_000) {
        receive_alone(&mut rig, piece.to_vec());
        assert!(!rig.session.wants_turn());
    }
    assert_eq!(rig.take_calls(), [Call::Binary(200_000)]);
    rig.take_sent();
    receive_alone(&mut rig, [masked(Ping, b"one"), masked(Ping, b"two")].concat());
    assert_eq!(frames(&rig.take_sent()).0, [(Pong, b"one".to_vec())]);
    rig.turn();
    assert_eq!(frames(&rig.take_sent()).0, [(Pong, b"two".to_vec())]);
}

/// A request that offers compression.
pub(super) fn offering() -> Vec<u8> {
    let (head, _) = REQUEST.split_at(REQUEST.len() - 2);
    [head, b"Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n"].concat()
}

/// A session whose messages may be compressed.
fn open_compressed() -> Rig {
    let mut rig = Rig::new(Limits::default(), Rig::idle());
    rig.receive(&offering());
    assert!(String::from_utf8(rig.take_sent()).unwrap().contains("permessage-deflate"));
    rig.take_calls();
    rig
}

/// How much one turn inflates: `turn_bytes` and what an inflater holds.
const SLICE: usize = 96 * 1024;

/// A KiB on the wire can be a MiB to inflate: it is not the work of one turn. All of it came, so
/// no socket says when to go on.
#[test]
fn a_message_that_swells_is_inflated_in_turns_and_heard_whole() {
    let text = "words that swell; ".repeat((1 << 20) / 18);
    let mut rig = open_compressed();
    receive_alone(&mut rig, packed(Text, text.as_bytes()));
    let mut turns = 1;
    while rig.session.wants_turn() {
        assert!(rig.take_calls().is_empty() && !rig.session.wants_read());
        // A buffer that grows by doubling has twice the room at most.
        assert!(rig.session.holding().waiting <= 2 * turns * SLICE, "{turns} turns");
        rig.turn();
        turns += 1;
    }
    assert!(turns >= text.len() / SLICE, "{turns} turns");
    assert!(turns <= text.len() / Limits::default().turn_bytes + 2, "{turns} turns");
    assert_eq!(heard(&mut rig), [text]);
    assert!(rig.session.wants_read() && rig.session.stash.is_none());
}

#[test]
fn a_bomb_is_spread_over_turns_and_others_are_served_between_them() {
    let mut rig = open_compressed();
    let bomb = packed(Binary, &vec![0; 20 << 20]);
    receive_alone(&mut rig, bomb);
    let mut other = crate::session::Session::new(&rig.kit, 1, Peer::NAMELESS, &Transport::Tcp);
    let mut say = |rig: &mut Rig, bytes: &[u8]| {
        rig.kit.deal();
        other.handle_input(&mut rig.kit, &mut bytes.to_vec(), &mut rig.wire);
        rig.take_sent()
    };
    assert!(say(&mut rig, REQUEST).starts_with(b"HTTP/1.1 101 "));
    let mut served = 0;
    while rig.session.wants_turn() {
        let answer = say(&mut rig, &masked(Text, b"echo"));
        assert_eq!(frames(&answer).0, [(Text, b"echo".to_vec())]);
        served += 1;
        rig.turn();
    }
    assert!(served >= (1 << 20) / SLICE, "{served} between the turns");
    let (said, _) = frames(&rig.take_sent());
    assert!(matches!(&said[..], [(Close, payload)] if payload[..2] == 1009_u16.to_be_bytes()));
}

/// Small ones count like any other message, and by what they inflate to.
#[test]
fn a_turn_has_its_share_of_compressed_messages() {
    let mut rig = open_compressed();
    for (length, each_turn) in [(1024, 32..=32), (20 * 1024, 3..=5), (1 << 20, 0..=1)] {
        let message = packed(Binary, &vec![0; length]);
        receive_alone(&mut rig, message.repeat(65));
        let mut total = rig.take_calls().len();
        while rig.session.wants_turn() {
            rig.turn();
            let calls = rig.take_calls();
            total += calls.len();
            assert!(calls.iter().all(|call| *call == Call::Binary(length)));
            let last = total == 65;
            assert!(last || each_turn.contains(&calls.len()), "{} of {length}", calls.len());
        }
        assert_eq!(total, 65);
    }
}

/// A whole message, compressed without the history of others.
pub(super) fn packed(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut deflate = flate2::Compress::new(flate2::Compression::fast(), false);
    let mut packed = Vec::with_capacity(64 * 1024);
    deflate.compress_vec(payload, &mut packed, flate2::FlushCompress::Sync).unwrap();
    packed.truncate(packed.len() - 4);
    let mut frame = masked(opcode, &packed);
    frame[0] |= 0x40;
    frame
}

/// Turns do not excuse a message that is not finished: a peer could keep it so for ever.
#[test]
fn a_flood_does_not_stop_the_time_of_an_unfinished_message() {
    let limits = Limits { turn_messages: 1, ..Limits::default() };
    let mut rig = Rig::open(limits, Rig::idle());
    rig.receive(&[0x01, 0x81, 0, 0, 0, 0, b'x']);
    receive_alone(&mut rig, masked(Ping, b"").repeat(1000));
    for _ in 0..30 {
        rig.kit.now += Duration::from_secs(1);
        if rig.session.deadline().is_some_and(|deadline| deadline <= rig.kit.now) {
            rig.session.handle_timeout(&mut rig.kit, &mut rig.wire);
        }
        rig.turn();
    }
    let calls = rig.take_calls();
    let [Call::Disconnected(closed)] = &*calls else { panic!("{calls:?}") };
    let timeout = crate::Cause::Protocol(crate::ProtocolError::MessageTimeout);
    assert_eq!(closed.cause, timeout);
}

#[test]
fn a_client_that_is_paused_amid_its_share_goes_on_where_it_was() {
    let pauses = Box::new(|client: &crate::Client, call: &Call| {
        if *call == Call::Text("40".into()) {
            client.pause_reading();
        }
    });
    let mut rig = Rig::open(Limits::default(), pauses);
    let (flood, texts) = numbered(100);
    rig.receive(&flood);
    assert_eq!(heard(&mut rig), texts[..=40]);
    assert!(!rig.session.wants_turn() && !rig.session.wants_read());
    rig.client().resume_reading();
    rig.collect_mail();
    assert_eq!(heard(&mut rig), texts[41..]);
}

/// Work done for bytes that wait is a constant for each turn, not their number again.
#[test]
fn bytes_that_wait_are_not_moved_at_each_turn() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    let (flood, _) = numbered(1000);
    receive_alone(&mut rig, flood);
    let stash = |rig: &Rig| rig.session.stash.as_ref().map(|stash| stash.bytes.as_ptr());
    let place = stash(&rig).expect("bytes wait");
    rig.turn();
    rig.turn();
    assert_eq!(stash(&rig), Some(place));
}
