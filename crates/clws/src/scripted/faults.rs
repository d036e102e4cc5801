//! Random streams, cuts, stalls and resets; every seed replays.

use super::{Call, Rig, frames, masked};
use crate::limits::Limits;
use crate::session::Fate;
use clws_proto::frame::OpCode::{self, Binary, Ping, Pong, Text};
use std::time::Duration;

/// `SplitMix64`: small, and the same everywhere.
#[derive(Debug)]
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    pub(super) fn one_in(&mut self, chance: usize) -> bool {
        self.below(chance) == 0
    }
}

pub(super) fn small() -> Limits {
    Limits { send_queue_low: 2000, send_queue_high: 8000, ..Limits::default() }
}

pub(super) fn stream(random: &mut Random) -> (Vec<u8>, Vec<(OpCode, Vec<u8>)>) {
    let (mut bytes, mut answers) = (Vec::new(), Vec::new());
    for number in 0..=random.below(30) {
        let size = match random.below(4) {
            0 => random.below(10),
            1 => random.below(3000),
            2 => 2040 + random.below(20),
            _ => random.below(9000),
        };
        let (opcode, payload) = match random.below(5) {
            0 => (Ping, vec![number as u8; size.min(125)]),
            1 => (Text, b"echo".to_vec()),
            _ => (Binary, (0..size).map(|i| (i * 31 + number) as u8).collect()),
        };
        bytes.extend(masked(opcode, &payload));
        answers.push((if opcode == Ping { Pong } else { opcode }, payload));
    }
    (bytes, answers)
}

/// Pongs may be left out while the queue is long; everything else comes, whole and in order.
pub(super) fn assert_answers(seed: u64, got: &[(OpCode, Vec<u8>)], expected: &[(OpCode, Vec<u8>)]) {
    let data = |all: &[(OpCode, Vec<u8>)]| -> Vec<(OpCode, Vec<u8>)> {
        all.iter().filter(|(opcode, _)| *opcode != Pong).cloned().collect()
    };
    assert_eq!(data(got), data(expected), "seed {seed}");
    let mut pongs = expected.iter().filter(|(opcode, _)| *opcode == Pong);
    for pong in got.iter().filter(|(opcode, _)| *opcode == Pong) {
        assert!(pongs.any(|one| one == pong), "seed {seed}: a pong without its ping");
    }
}

#[test]
fn whatever_the_cuts_and_stalls_every_answer_arrives_once_and_in_order() {
    for seed in 0..2000 {
        let mut random = Random(seed);
        let mut rig = Rig::open(small(), Rig::idle());
        let (bytes, expected) = stream(&mut random);
        rig.wire.room = random.below(5000);
        let mut rest = &bytes[..];
        while !rest.is_empty() || rig.session.wants_write() {
            rig.wire.step = 1 + random.below(6000);
            if rig.session.wants_read() && !rest.is_empty() {
                let cut = (1 + random.below(20_000)).min(rest.len());
                rig.receive(&rest[..cut]);
                rest = &rest[cut..];
            }
            assert!(rig.queued() < 8000 + 9100, "seed {seed}: {} bytes wait", rig.queued());
            if random.one_in(2) {
                rig.make_room(random.below(6000));
            }
            rig.pass(Duration::from_millis(random.below(1000) as u64));
        }
        assert_eq!(rig.fates, [], "seed {seed}");
        let (got, left) = frames(&rig.take_sent());
        assert_eq!(left, 0, "seed {seed}");
        assert_answers(seed, &got, &expected);
        assert!(!rig.owns_buffers(), "seed {seed}");
        assert_eq!(rig.session.holding().waiting, 0, "seed {seed}");
        assert_eq!(rig.client().queued_bytes(), 0, "seed {seed}");
    }
}

#[test]
fn whenever_the_peer_goes_disconnected_comes_once_and_all_memory_is_back() {
    for seed in 0..2000 {
        let mut random = Random(seed ^ 0xFA11);
        let mut rig = Rig::open(small(), Rig::idle());
        let (bytes, _) = stream(&mut random);
        rig.wire.room = random.below(30_000);
        let end = random.below(bytes.len() + 1);
        let mut rest = &bytes[..end];
        while !rest.is_empty() && rig.session.wants_read() {
            let cut = (1 + random.below(20_000)).min(rest.len());
            rig.receive(&rest[..cut]);
            rest = &rest[cut..];
        }
        match random.below(4) {
            0 => rig.session.handle_eof(&mut rig.kit),
            1 => rig.session.handle_error(&mut rig.kit),
            2 => {
                rig.wire.broken = true;
                rig.receive(&masked(Text, b"echo"));
                rig.session.handle_eof(&mut rig.kit);
            }
            _ => rig.pass(Duration::from_mins(1)),
        }
        rig.look();
        assert!(matches!(rig.fates.last(), Some(Fate::Close | Fate::Abort)), "seed {seed}");
        let calls = rig.take_calls();
        let ends = calls.iter().filter(|call| matches!(call, Call::Disconnected(_))).count();
        assert_eq!(ends, 1, "seed {seed}");
        assert_eq!(rig.kit.hub.clients().len(), 0, "seed {seed}");
        assert_eq!(
            rig.client().send_text("x"),
            crate::Outcome::Dropped(crate::Dropped::Closed),
            "seed {seed}"
        );
    }
}
