use super::{MEMBERS, Round};
use crate::session::{Output, SMALL};
use crate::turns::Standing;
use std::io::{self, IoSlice};

/// Takes `room` bytes, and then none.
struct Wire {
    sent: Vec<u8>,
    room: usize,
}

impl Output for Wire {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let before = self.sent.len();
        for slice in slices {
            let count = slice.len().min(self.room);
            self.room -= count;
            self.sent.extend_from_slice(&slice[..count]);
        }
        match self.sent.len() - before {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

fn write(out: &mut dyn Output, bytes: &[u8]) -> Option<usize> {
    out.write(&[IoSlice::new(bytes)]).ok()
}

#[test]
fn what_came_waits_for_others_that_are_ready_and_behind_those_that_wait() {
    let (mut round, mut standing) = (Round::new(), Standing::default());
    assert!(!round.takes(&standing, 1), "alone");
    round.expect_more(true);
    assert!(round.takes(&standing, SMALL));
    assert!(!round.takes(&standing, SMALL + 1));
    round.put((1, 1), &mut standing, 5);
    assert!(standing.in_round);
    round.expect_more(false);
    assert!(round.takes(&standing, 1), "the last, behind another");
    assert_eq!((round.next_received(), round.next_received()), (Some(((1, 1), 0..5)), None));
    assert!(!round.takes(&standing, 1));
    round.expect_more(true);
    standing.note(true, true);
    assert!(!round.takes(&standing, 1), "its end has come");
}

#[test]
fn no_more_than_a_few_wait_side_by_side_in_the_receive_buffer() {
    let (mut round, mut standing) = (Round::new(), Standing::default());
    for _ in 0..2 {
        let slots = 0..MEMBERS as u32;
        let enough: Vec<_> = slots.map(|slot| round.put((slot, 1), &mut standing, SMALL)).collect();
        assert_eq!(enough.iter().position(|enough| *enough), Some(MEMBERS - 1));
        assert_eq!(round.start(), Round::ROOM);
        for slot in 0..MEMBERS {
            let (entry, range) = round.next_received().expect("all of them");
            assert_eq!((entry, range), ((slot as u32, 1), slot * SMALL..(slot + 1) * SMALL));
        }
        assert_eq!((round.next_received(), round.start()), (None, 0));
    }
}

#[test]
fn answers_are_kept_as_far_as_there_is_room_and_given_in_order() {
    let (mut round, mut wire) = (Round::new(), Wire { sent: vec![], room: 100 });
    for (slot, answers) in [(1, &["one", " two"][..]), (2, &[]), (3, &["three"])] {
        let mut out = round.defer(7, &mut wire);
        for answer in answers {
            assert_eq!(write(&mut out, answer.as_bytes()), Some(answer.len()));
        }
        let from = out.from;
        assert_eq!(round.note((slot, 9), from), slot != 2);
    }
    assert_eq!(wire.sent, b"");
    assert_eq!(round.next_answer(), Some(((1, 9), &b"one two"[..])));
    assert_eq!(round.next_answer(), Some(((3, 9), &b"three"[..])));
    assert_eq!(round.next_answer(), None);
    assert_eq!(round.answers, b"");
}

#[test]
fn what_there_is_no_room_for_is_written_behind_what_was_kept() {
    let (mut round, mut wire) = (Round::new(), Wire { sent: vec![], room: 100 });
    assert_eq!(write(&mut round.defer(0, &mut wire), b"other"), Some(5));
    let mut out = round.defer(6, &mut wire);
    assert_eq!(write(&mut out, b"one "), Some(4));
    assert_eq!(write(&mut out, b"more"), Some(4));
    // From then on nothing is kept.
    assert_eq!(write(&mut out, b"!"), Some(1));
    let from = out.from;
    assert!(!round.note((1, 1), from));
    assert_eq!(wire.sent, b"otherone more!");
}

#[test]
fn nothing_overtakes_what_the_socket_refuses() {
    let (mut round, mut wire) = (Round::new(), Wire { sent: vec![], room: 3 });
    let mut out = round.defer(8, &mut wire);
    assert_eq!(write(&mut out, b"kept"), Some(4));
    assert_eq!(write(&mut out, b"too long"), None);
    assert_eq!(write(&mut out, b"short"), None);
    let from = out.from;
    assert!(round.note((1, 1), from));
    assert_eq!(wire.sent, b"kep");
    assert_eq!(round.next_answer(), Some(((1, 1), &b"t"[..])));
}
