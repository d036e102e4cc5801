use super::*;
use crate::budget::{Counted, Total};
use clws_proto::frame::OpCode;
use proptest::prelude::*;
use std::sync::Arc;

/// What would be written, piece by piece.
fn drain(queue: &mut SendQueue, input: &[u8], step: usize, pool: &mut Pool) -> Vec<u8> {
    let mut out = Vec::new();
    while !queue.is_empty() {
        let one = queue.contiguous(input).map(<[u8]>::to_vec);
        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
        let used = queue.gather(input, &mut slices);
        let all: Vec<u8> = slices[..used].iter().flat_map(|s| s.iter().copied()).collect();
        assert!(!all.is_empty());
        assert!(one.is_none_or(|one| one == all));
        let taken = step.min(all.len());
        out.extend_from_slice(&all[..taken]);
        queue.advance(taken, pool);
    }
    out
}

fn push(queue: &mut SendQueue, payload: &[u8], lent: &Lent) {
    queue.push(&FrameHeader::new(OpCode::Binary, payload.len()), payload, lent);
}

#[test]
fn a_lent_payload_is_not_copied_and_its_header_joins_it() {
    let mut input: Vec<u8> = (0..5000_u32).map(|i| i as u8).collect();
    let lent = Lent { input: Lent::range_of(&input), message: 0..0 };
    let mut queue = SendQueue::default();
    push(&mut queue, &input[8..4008], &lent);
    assert_eq!((queue.bytes.capacity(), queue.len()), (0, 4004));
    assert!(queue.contiguous(&input).is_none(), "its header is still to be written");
    queue.join_input(&mut input);
    queue.join_input(&mut input);
    let one = queue.contiguous(&input).expect("one header, however often it is joined");
    assert_eq!(one[..4], [0x82, 126, 15, 160]);
    assert_eq!(one[4..], input[8..4008]);
    assert_eq!(one.as_ptr(), input[4..].as_ptr());
}

#[test]
fn a_lent_payload_that_no_header_fits_before_is_sent_all_the_same() {
    for start in 0..6 {
        let mut input: Vec<u8> = (0..5000_u32).map(|i| i as u8).collect();
        let mut expected = Vec::new();
        clws_proto::frame::write(&mut expected, OpCode::Binary, &input[start..], None);
        let lent = Lent { input: Lent::range_of(&input), message: 0..0 };
        let (mut queue, mut pool) = (SendQueue::default(), Pool::new(0));
        push(&mut queue, &input[start..], &lent);
        queue.join_input(&mut input);
        assert_eq!(queue.contiguous(&input).is_some(), start >= 4);
        assert_eq!(drain(&mut queue, &input, 999, &mut pool), expected);
    }
}

#[test]
fn headers_do_not_join_where_something_else_waits() {
    for (before, after) in [(true, false), (false, true)] {
        let mut input = vec![7; 6000];
        let whole = input.clone();
        let lent = Lent { input: Lent::range_of(&input), message: 0..0 };
        let (mut queue, mut pool) = (SendQueue::default(), Pool::new(0));
        if before {
            push(&mut queue, &input[10..2510], &lent);
        }
        push(&mut queue, &input[2520..5520], &lent);
        if after {
            push(&mut queue, b"small", &lent);
        }
        queue.join_input(&mut input);
        assert_eq!(input, whole);
        let expected = if before { 2504 + 3004 } else { 3004 + 7 };
        assert_eq!(drain(&mut queue, &input, 1000, &mut pool).len(), expected);
    }
}

#[test]
fn a_message_is_taken_over_once_and_copied_for_a_second_reference() {
    let message = vec![9; 4000];
    let lent = Lent { input: 0..0, message: Lent::range_of(&message) };
    let (mut queue, mut pool) = (SendQueue::default(), Pool::new(1 << 20));
    push(&mut queue, &message[1000..], &lent);
    push(&mut queue, &message, &lent);
    let address = message.as_ptr();
    queue.settle_message(message, &mut pool);
    let Some(Foreign { data: Data::Owned(taken), .. }) = queue.foreign.back() else { panic!() };
    assert_eq!(taken.as_ptr(), address);
    assert_eq!(drain(&mut queue, &[], 999, &mut pool).len(), 3004 + 4004);
    assert!(pool.kept() >= 4000, "the buffers are back");
}

#[test]
fn a_long_queue_that_is_slowly_taken_does_not_grow_without_end() {
    let (mut queue, mut pool) = (SendQueue::default(), Pool::new(0));
    for _ in 0..100_000 {
        push(&mut queue, &[0; 98], &Lent::default());
        if queue.len() > 10_000 {
            queue.advance(100, &mut pool);
        }
    }
    assert!(queue.bytes.capacity() < 400_000, "{}", queue.bytes.capacity());
}

#[test]
fn what_is_written_makes_room_before_the_buffer_grows() {
    let (mut queue, mut pool, mut all) = (SendQueue::default(), Pool::new(0), Vec::new());
    // The second time too little of it is written to be worth a move.
    for (byte, kept) in [(1, 0), (2, 0), (3, 200_000)] {
        let payload = vec![byte; 1_000_000];
        push(&mut queue, &payload, &Lent::default());
        clws_proto::frame::write(&mut all, OpCode::Binary, &payload, None);
        assert_eq!(queue.bytes.len(), queue.len() + kept);
        queue.advance(200_000, &mut pool);
    }
    assert!(drain(&mut queue, &[], 70_000, &mut pool) == all[600_000..]);
}

fn shared(frames: Vec<u8>) -> SharedFrames {
    let bytes = frames.len();
    Arc::new(Counted::new(frames.into(), bytes, &Total::of_process()))
}

#[test]
fn what_others_get_too_costs_a_slow_client_a_reference_and_no_copy() {
    let (mut slow, mut quick) = (SendQueue::default(), SendQueue::default());
    let mut pool = Pool::new(0);
    for number in 0..1000_u32 {
        let frames = shared(vec![number as u8; 1000]);
        slow.push_shared(Arc::clone(&frames));
        quick.push_shared(frames);
        assert!(quick.contiguous(&[]).is_some(), "it would be written in two pieces");
        quick.advance(1000, &mut pool);
    }
    assert_eq!(slow.len(), 1_000_000);
    assert!(slow.memory() < 10_000, "{}", slow.memory());
    let expected: Vec<u8> = (0..1000_u32).flat_map(|number| [number as u8; 1000]).collect();
    assert!(drain(&mut slow, &[], 777, &mut pool) == expected);
    assert_eq!((slow.shared(), slow.owned), (0, 0));
    assert!(!slow.is_reusable(6000) && quick.is_reusable(1000), "its room is kept");
}

#[derive(Clone, Debug)]
enum Step {
    Small(usize),
    Input(usize, usize),
    /// A message that is echoed, and so many bytes that are queued behind it by the same callback.
    Message(usize, usize),
    Encoded(usize),
    Shared(usize),
    PutBack(usize),
    /// Is written, as far as the socket takes it, in one piece if it is in one.
    Take(usize),
    Join,
    Settle,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        1 => (0_usize..3000).prop_map(Step::Small),
        1 => (0_usize..4000, 1_usize..4000).prop_map(|(start, len)| Step::Input(start, len)),
        1 => (2000_usize..5000, 0_usize..3000).prop_map(|(len, more)| Step::Message(len, more)),
        1 => (0_usize..4000).prop_map(Step::Encoded),
        3 => (0_usize..4000).prop_map(Step::Shared),
        1 => (0_usize..100).prop_map(Step::PutBack),
        2 => (0_usize..9000).prop_map(Step::Take),
        1 => Just(Step::Join),
        1 => Just(Step::Settle),
    ];
    prop::collection::vec(step, 0..60)
}

proptest! {
    #[test]
    fn a_queue_is_what_a_plain_vector_would_be(steps in steps(), last in 1_usize..5000) {
        let mut input: Vec<u8> = (0..8000_u32).map(|i| (i % 251) as u8).collect();
        let lent = Lent { input: Lent::range_of(&input), message: 0..0 };
        let (mut queue, mut pool) = (SendQueue::default(), Pool::new(1 << 20));
        let (mut naive, mut got) = (Vec::new(), Vec::new());
        let frame = |naive: &mut Vec<u8>, payload: &[u8]| {
            clws_proto::frame::write(naive, OpCode::Binary, payload, None);
        };
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Small(len) => {
                    let payload = vec![number as u8; len];
                    push(&mut queue, &payload, &lent);
                    frame(&mut naive, &payload);
                }
                Step::Input(start, len) => {
                    push(&mut queue, &input[start..start + len], &lent);
                    frame(&mut naive, &input[start..start + len]);
                }
                Step::Message(len, more) => {
                    let message = vec![number as u8; len];
                    let lent = Lent { message: Lent::range_of(&message), ..lent.clone() };
                    push(&mut queue, &message, &lent);
                    frame(&mut naive, &message);
                    queue.push_droppable(vec![number as u8; more]);
                    naive.extend(vec![number as u8; more]);
                    queue.settle_message(message, &mut pool);
                }
                Step::Encoded(len) => {
                    naive.extend(vec![number as u8; len]);
                    queue.push_encoded(vec![number as u8; len]);
                }
                Step::Shared(len) => {
                    naive.extend(vec![number as u8; len]);
                    queue.push_shared(shared(vec![number as u8; len]));
                }
                Step::PutBack(len) => {
                    let bytes = vec![number as u8; len];
                    queue.put_back(&bytes);
                    naive.splice(got.len()..got.len(), bytes);
                }
                Step::Take(count) => {
                    let before = got.len();
                    if let Some(one) = queue.contiguous(&input) {
                        prop_assert_eq!(one.len(), queue.len());
                        got.extend(one.iter().take(count));
                    } else {
                        let mut slices = [IoSlice::new(&[]); MAX_SLICES];
                        let used = queue.gather(&input, &mut slices);
                        let all = slices[..used].iter().flat_map(|s| s.iter().copied());
                        got.extend(all.take(count));
                    }
                    queue.advance(got.len() - before, &mut pool);
                }
                Step::Join => queue.join_input(&mut input),
                Step::Settle => queue.settle_input(&input, &mut pool),
            }
            prop_assert_eq!(queue.len(), naive.len() - got.len());
        }
        got.extend(drain(&mut queue, &input, last, &mut pool));
        prop_assert_eq!(got, naive);
        prop_assert_eq!(queue.bytes.len(), 0);
    }
}
