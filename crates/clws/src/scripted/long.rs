//! Long messages that have come whole: read whole, in a buffer that is the worker's, a few in each
//! round; and what is read as ever.

use super::{Call, Rig, masked};
use crate::limits::Limits;
use crate::turns::{Standing, Turns};
use clws_proto::frame::OpCode::{Binary, Text};

const TURN: usize = 64 * 1024;
/// What may be read of long messages in one round.
const ROOM: usize = 1024 * 1024;

/// One session's socket, and its engine's notes.
struct Socket {
    rig: Rig,
    standing: Standing,
    holds: Vec<u8>,
}

impl Socket {
    fn new(rig: Rig, holds: Vec<u8>) -> Self {
        Self { rig, standing: Standing::default(), holds }
    }

    /// A read, and what comes of it; how many bytes that was, or `None` where it is put off.
    fn serve(&mut self, turns: &mut Turns) -> Option<usize> {
        let Self { rig, standing, holds } = self;
        let peek = |buffer: &mut [u8]| Ok((look(holds, buffer), holds.len()));
        if turns.puts_off(&rig.session, standing, peek) {
            return None;
        }
        let mut buffer = turns.buffer(0);
        let mut read = |buffer: &mut [u8]| {
            let count = look(holds, buffer);
            holds.drain(..count);
            count
        };
        let budget = turns.budget(&rig.session, standing, &rig.kit);
        let got = (read(&mut buffer[..budget]), budget);
        let read = |rest: &mut [u8]| Ok(read(rest));
        let count = turns.go_on(&rig.session, standing, &mut buffer, got, read);
        rig.receive(&buffer[..count]);
        Some(count)
    }

    fn calls(&mut self) -> Vec<Call> {
        self.rig.take_calls()
    }
}

/// Copies as much as there is and goes in.
fn look(holds: &[u8], buffer: &mut [u8]) -> usize {
    let count = buffer.len().min(holds.len());
    buffer[..count].copy_from_slice(&holds[..count]);
    count
}

fn live() -> Rig {
    Rig::open(Limits::default(), Rig::idle())
}

fn turns() -> Turns {
    Turns::new(0, TURN)
}

#[test]
fn one_that_has_come_whole_is_read_whole_and_lent() {
    for len in [TURN, 300_000, ROOM - 100] {
        let (message, mut turns) = (masked(Binary, &vec![7; len]), turns());
        let whole = message.len();
        let mut socket = Socket::new(live(), [message.clone(), message].concat());
        for _ in 0..2 {
            turns.begin();
            assert_eq!(socket.serve(&mut turns), Some(whole));
            assert_eq!(socket.calls(), [Call::Binary(len)]);
            assert!(!socket.rig.owns_buffers(), "it was copied");
            assert!(socket.standing.readable, "there may be more");
        }
        turns.begin();
        assert_eq!(socket.serve(&mut turns), Some(0));
    }
}

#[test]
fn one_that_has_not_come_whole_is_put_together() {
    let mut message = masked(Binary, &vec![7; 500_000]);
    let rest = message.split_off(400_000);
    let (mut socket, mut turns) = (Socket::new(live(), message), turns());
    assert_eq!(socket.serve(&mut turns), Some(400_000));
    assert_eq!(socket.calls(), []);
    socket.holds = rest;
    // The frame is known to be long, and was begun: nothing puts it off.
    Socket::new(live(), masked(Binary, &vec![7; ROOM])).serve(&mut turns);
    assert_eq!(socket.serve(&mut turns), Some(100_014));
    assert_eq!(socket.calls(), [Call::Binary(500_000)]);
}

/// One that a session sends behind another long one, which is what its engine knows it by.
fn second(rig: Rig, turns: &mut Turns) -> (Socket, Vec<u8>) {
    let message = masked(Binary, &vec![7; 500_000]);
    let mut socket = Socket::new(rig, message.clone());
    turns.begin();
    assert_eq!(socket.serve(turns), Some(message.len()));
    socket.calls();
    turns.begin();
    (socket, message)
}

#[test]
fn one_that_comes_from_round_to_round_is_waited_for_and_lent() {
    let mut turns = turns();
    let (mut socket, message) = second(live(), &mut turns);
    for piece in message[..7 * TURN].chunks(TURN) {
        socket.holds.extend(piece);
        assert_eq!(socket.serve(&mut turns), None, "{} bytes have come", socket.holds.len());
        assert!(socket.standing.readable, "it comes again");
    }
    socket.holds.extend(&message[7 * TURN..]);
    assert_eq!(socket.serve(&mut turns), Some(message.len()));
    assert_eq!(socket.calls(), [Call::Binary(500_000)]);
    assert!(!socket.rig.owns_buffers(), "it was copied");
}

#[test]
fn one_that_hardly_comes_further_is_not_waited_for() {
    let mut turns = turns();
    for (begun, more) in [(10, 0), (200_000, 0), (200_000, 100), (TURN + 1, TURN - 2)] {
        let (mut socket, message) = second(live(), &mut turns);
        socket.holds.extend(&message[..begun]);
        // What the header does not tell of is not waited for either.
        let waits = begun > 14;
        assert_eq!(socket.serve(&mut turns).is_none(), waits, "{begun} bytes");
        socket.holds.extend(&message[begun..begun + more]);
        if waits {
            assert_eq!(socket.serve(&mut turns), Some(begun + more));
        }
        socket.holds.extend(&message[begun + more..]);
        while socket.serve(&mut turns).is_none_or(|read| read > 0) {}
        assert_eq!(socket.calls(), [Call::Binary(500_000)]);
    }
}

#[test]
fn one_that_would_not_be_lent_is_not_waited_for() {
    let large = Limits { max_message_size: 1 << 24, max_frame_size: 1 << 24, ..Limits::default() };
    let mut turns = turns();
    let (mut socket, _) = second(Rig::open(large, Rig::idle()), &mut turns);
    socket.holds = masked(Binary, &vec![7; 2 * ROOM]);
    socket.holds.truncate(ROOM);
    assert!(socket.serve(&mut turns).is_some());
}

#[test]
fn a_round_has_room_for_a_few() {
    let message = masked(Text, &vec![b'x'; 700_000]);
    let whole = Some(message.len());
    let mut sockets: Vec<_> = (0..3).map(|_| Socket::new(live(), message.repeat(4))).collect();
    let mut turns = turns();
    // A session's first long message may come in a round without room: it is read by turns.
    let first: Vec<_> = sockets.iter_mut().map(|socket| socket.serve(&mut turns)).collect();
    assert_eq!(first, [whole, whole, Some(TURN)]);
    while sockets[2].calls().is_empty() {
        assert!(sockets[2].serve(&mut turns).is_some_and(|read| read <= 2 * TURN));
    }
    // From then on it waits for a round with room.
    for _ in 0..2 {
        turns.begin();
        let round: Vec<_> = sockets.iter_mut().map(|socket| socket.serve(&mut turns)).collect();
        assert_eq!(round, [whole, whole, None]);
        assert!(sockets[2].standing.readable, "it comes again");
    }
}

/// However many come with a first long message, or with a short one between long ones.
#[test]
fn who_was_put_off_comes_before_who_comes_by_surprise() {
    let message = masked(Binary, &vec![7; ROOM - 10]);
    let whole = Some(message.len());
    let new = || Socket::new(live(), message.repeat(3));
    let (mut greedy, mut patient, mut turns) = (new(), new(), turns());
    for socket in [&mut greedy, &mut patient] {
        turns.begin();
        assert_eq!(socket.serve(&mut turns), whole);
    }
    turns.begin();
    assert_eq!((greedy.serve(&mut turns), patient.serve(&mut turns)), (whole, None));
    turns.begin();
    assert_eq!((new().serve(&mut turns), patient.serve(&mut turns)), (Some(TURN), whole));
    turns.begin();
    assert_eq!(new().serve(&mut turns), whole, "nobody waits");
}

#[test]
fn a_short_one_ends_the_waiting() {
    let mut holds = masked(Binary, &vec![7; 100_000]);
    holds.extend(masked(Text, b"short"));
    let (mut socket, mut turns) = (Socket::new(live(), holds), turns());
    socket.serve(&mut turns);
    assert!(socket.standing.is_for_the_list());
    socket.serve(&mut turns);
    assert!(!socket.standing.is_for_the_list());
    assert_eq!(socket.calls(), [Call::Binary(100_000), Call::Text("short".to_owned())]);
}

/// What is not lent however it is read, and what a buffer has no room for.
#[test]
fn all_else_is_read_by_turns() {
    let long = || masked(Binary, &vec![7; 300_000]);
    let mut fragment = long();
    fragment[0] &= 0x7F;
    let before = [masked(Text, b"first"), long()].concat();
    let large = Limits { max_message_size: 1 << 24, max_frame_size: 1 << 24, ..Limits::default() };
    let huge = masked(Binary, &vec![7; 2 * ROOM]);
    for (limits, holds) in
        [(Limits::default(), fragment), (Limits::default(), before), (large, huge)]
    {
        let mut socket = Socket::new(Rig::open(limits, Rig::idle()), holds);
        assert_eq!(socket.serve(&mut turns()), Some(TURN));
        assert!(!socket.standing.is_for_the_list());
    }
}
