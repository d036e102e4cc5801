//! Messages through a session: order, backpressure, memory.

use super::{Call, Rig, frames, masked};
use crate::limits::Limits;
use crate::sending::{Dropped, Outcome};
use crate::session::Fate;
use clws_proto::frame::OpCode::{Binary, Close, Ping, Pong, Text};
use std::time::Duration;

fn limits(high: usize) -> Limits {
    Limits { send_queue_low: high / 4, send_queue_high: high, ..Limits::default() }
}

#[test]
fn the_answers_to_one_read_leave_in_one_write() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    let writes = rig.wire.writes;
    rig.receive(&masked(Text, b"echo").repeat(16));
    assert_eq!(rig.wire.writes - writes, 1);
    assert_eq!(frames(&rig.take_sent()).0, vec![(Text, b"echo".to_vec()); 16]);
}

#[test]
fn a_message_from_elsewhere_is_written_at_once_and_several_together() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    let client = rig.client();
    for count in [1, 3, 1] {
        let writes = rig.wire.writes;
        (0..count).for_each(|_| assert_eq!(client.send_text("news"), Outcome::Sent));
        rig.collect_mail();
        assert_eq!(rig.wire.writes - writes, 1, "{count} messages");
        assert_eq!(frames(&rig.take_sent()).0, vec![(Text, b"news".to_vec()); count]);
        assert_eq!(client.queued_bytes(), 0);
        assert!(!rig.owns_buffers());
    }
}

#[test]
fn what_a_socket_does_not_take_of_a_message_from_elsewhere_follows() {
    for size in [100, 2047, 2048, 5000, 70_000] {
        for step in [0, 1, 7, 1000, 4096] {
            let mut rig = Rig::open(Limits::default(), Rig::idle());
            let (client, payload) = (rig.client(), vec![7; size]);
            rig.wire.room = step;
            assert_eq!(client.send_binary(&payload), Outcome::Sent);
            rig.collect_mail();
            assert_eq!(crate::send_binary_to([&client], &payload).sent, 1);
            rig.collect_mail();
            assert_eq!(client.queued_bytes(), rig.queued(), "{size} bytes by {step}");
            while rig.session.wants_write() {
                rig.make_room(step.max(64));
            }
            let expected = vec![(Binary, payload); 2];
            assert_eq!(frames(&rig.take_sent()), (expected, 0), "{size} bytes by {step}");
            assert_eq!(client.queued_bytes(), 0);
        }
    }
}

/// No count that grows with a client's messages may end it (scenario B5).
#[test]
fn a_million_messages_are_a_healthy_client() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    let mut fragments = masked(Text, b"ec");
    fragments[0] = 0x01;
    for (first, piece) in [(0x00, &b"h"[..]), (0x80, b"o")] {
        let at = fragments.len();
        fragments.extend(masked(Text, piece));
        fragments[at] = first;
    }
    let batch = [masked(Text, b"echo"), fragments].concat().repeat(500);
    for _ in 0..1000 {
        rig.receive(&batch);
        let calls = rig.take_calls();
        assert!(calls.len() == 1000 && calls.iter().all(|call| *call == Call::Text("echo".into())));
        assert_eq!(rig.take_sent().len(), 6000);
    }
    assert_eq!(rig.fates, []);
    assert!(!rig.owns_buffers());
}

#[test]
fn an_idle_session_owns_no_buffer() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    for payload in [vec![7; 10], vec![7; 3000], vec![7; 50_000]] {
        rig.receive(&masked(Binary, &payload));
        assert!(!rig.owns_buffers());
    }
    for piece in masked(Binary, &vec![7; 300_000]).chunks(1000) {
        rig.receive(piece);
    }
    assert!(!rig.owns_buffers());
    assert!(rig.kit.pool.kept() >= 300_000, "the message's buffer waits for the next one");
}

#[test]
fn lent_payloads_survive_a_socket_that_takes_little() {
    for size in [100, 2047, 2048, 5000, 20_000] {
        for step in [1, 7, 1000, 4096] {
            let mut rig = Rig::open(Limits::default(), Rig::idle());
            let payloads: Vec<Vec<u8>> = (0..3).map(|n| vec![n + 1; size]).collect();
            let stream: Vec<u8> = payloads.iter().flat_map(|p| masked(Binary, p)).collect();
            (rig.wire.room, rig.wire.step) = (step, step);
            rig.receive(&stream);
            while rig.session.wants_write() {
                rig.make_room(step);
            }
            let expected: Vec<_> = payloads.into_iter().map(|p| (Binary, p)).collect();
            assert_eq!(frames(&rig.take_sent()), (expected, 0), "{size} bytes by {step}");
        }
    }
}

#[test]
fn an_assembled_message_echoed_twice_is_sent_twice() {
    let twice = Box::new(|client: &crate::Client, call: &Call| {
        if let Call::Text(text) = call {
            client.send_text(text);
        }
    });
    let mut rig = Rig::open(Limits::default(), twice);
    rig.wire.room = 10;
    let text = "abc\u{20ac}".repeat(2000);
    for piece in masked(Text, text.as_bytes()).chunks(777) {
        rig.receive(piece);
    }
    rig.make_room(usize::MAX);
    assert_eq!(frames(&rig.take_sent()).0, [(Text, text.into_bytes())]);
}

#[test]
fn a_peer_that_does_not_read_is_not_read_from_and_loses_nothing() {
    let mut rig = Rig::open(limits(10_000), Rig::idle());
    rig.wire.room = 0;
    let payloads: Vec<Vec<u8>> = (0..50).map(|n| vec![n; 1000]).collect();
    let stream: Vec<u8> = payloads.iter().flat_map(|p| masked(Binary, p)).collect();
    rig.receive(&stream);
    assert!(!rig.session.wants_read());
    assert!((10_000..12_000).contains(&rig.queued()), "{}", rig.queued());
    assert_eq!(rig.client().queued_bytes(), rig.queued());
    while rig.session.wants_write() {
        rig.make_room(1500);
        assert!(rig.queued() < 12_000, "{}", rig.queued());
    }
    assert!(rig.session.wants_read());
    let expected: Vec<_> = payloads.into_iter().map(|p| (Binary, p)).collect();
    assert_eq!(frames(&rig.take_sent()), (expected, 0));
    assert_eq!(rig.client().queued_bytes(), 0);
    assert!(rig.take_calls().contains(&Call::Drained));
}

#[test]
fn pongs_wait_for_a_reader_and_only_the_latest_is_kept() {
    let mut rig = Rig::open(limits(4000), Rig::idle());
    rig.wire.room = 0;
    rig.receive(&masked(Binary, &[1; 2000]));
    for number in 0..1000_u32 {
        rig.receive(&masked(Ping, &number.to_be_bytes()));
    }
    assert!(rig.queued() < 2100, "{}", rig.queued());
    rig.make_room(usize::MAX);
    let (frames, _) = frames(&rig.take_sent());
    assert_eq!(frames[1..], [(Pong, 999_u32.to_be_bytes().to_vec())]);
}

#[test]
fn sends_from_elsewhere_keep_their_order_with_each_other_and_with_callbacks() {
    let answer = Box::new(|client: &crate::Client, call: &Call| {
        if let Call::Text(text) = call {
            client.send_text(&format!("answer {text}"));
        }
    });
    let mut rig = Rig::open(Limits::default(), answer);
    let client = rig.client();
    assert_eq!(client.send_text("one"), Outcome::Sent);
    assert_eq!(client.send_binary(&[2; 5000]), Outcome::Sent);
    assert!(client.queued_bytes() > 5000);
    rig.receive(&masked(Text, b"late"));
    rig.collect_mail();
    client.close(crate::CloseCode::NORMAL, "done");
    assert_eq!(client.send_text("too late"), Outcome::Dropped(Dropped::Closed));
    rig.collect_mail();
    let expected = [
        (Text, b"one".to_vec()),
        (Binary, vec![2; 5000]),
        (Text, b"answer late".to_vec()),
        (Close, b"\x03\xe8done".to_vec()),
    ];
    assert_eq!(frames(&rig.take_sent()).0, expected);
    assert_eq!(client.queued_bytes(), 0);
}

#[test]
fn an_overrun_queue_ends_the_client_and_the_count_is_right() {
    let mut rig = Rig::open(limits(1000), Rig::idle());
    rig.wire.room = 0;
    let client = rig.client();
    let outcomes: Vec<_> = (0..4).map(|_| client.send_binary(&[0; 496])).collect();
    let expected = [
        Outcome::Sent,
        Outcome::Backpressure,
        Outcome::Dropped(Dropped::Overrun),
        Outcome::Dropped(Dropped::Closed),
    ];
    assert_eq!(outcomes, expected);
    rig.collect_mail();
    let calls = rig.take_calls();
    let Some(Call::Disconnected(closed)) = calls.last() else { panic!("{calls:?}") };
    assert_eq!((closed.cause, closed.clean), (crate::Cause::Overrun, false));
    assert_eq!(rig.fates, []);
    rig.pass(Duration::from_secs(1));
    assert_eq!(rig.fates, [Fate::Abort]);
}

#[test]
fn healthy_bursts_below_the_high_mark_overrun_nothing() {
    let mut rig = Rig::open(limits(1000), Rig::idle());
    let client = rig.client();
    for _ in 0..10_000 {
        assert_eq!(client.send_binary(&[0; 496]), Outcome::Sent);
        assert_eq!(client.send_binary(&[0; 400]), Outcome::Sent);
        rig.collect_mail();
    }
    assert_eq!(frames(&rig.take_sent()).0.len(), 20_000);
}

/// User code that goes on in `drained` for as long as the peer takes it: once each `drained` was
/// called from within the one before, until the stack was full.
#[test]
fn a_stream_driven_by_drained_does_not_nest() {
    use std::sync::atomic::{AtomicUsize, Ordering};
    let depth = AtomicUsize::new(0);
    let more = Box::new(move |client: &crate::Client, call: &Call| {
        if matches!(call, Call::Drained | Call::Text(_)) {
            assert_eq!(depth.fetch_add(1, Ordering::SeqCst), 0, "called from within itself");
            while client.send_binary(&[0; 500]) == Outcome::Sent {}
            depth.fetch_sub(1, Ordering::SeqCst);
        }
    });
    let mut rig = Rig::open(limits(1000), more);
    rig.receive(&masked(Text, b"go"));
    for _ in 0..1000 {
        rig.writable();
    }
    let drained = rig.take_calls().iter().filter(|call| **call == Call::Drained).count();
    assert!(drained >= 1000, "{drained}");
    assert_eq!(rig.kit.hub.counters.snapshot().panics, 0);
}

/// Sends numbered messages to a client that does not read, from its callback or from elsewhere;
/// the numbers that arrive once it reads, and how many were dropped by the policy.
fn numbers_through(policy: crate::SendPolicy, from_elsewhere: bool) -> (Vec<u32>, u64) {
    let limits = Limits { send_policy: policy, ..limits(10_000) };
    let message = |number: u32| [&number.to_be_bytes()[..], &[0; 96]].concat();
    let send = Box::new(move |client: &crate::Client, call: &Call| {
        if matches!(call, Call::Text(_)) {
            for number in 0..500 {
                client.send_binary(&message(number));
            }
        }
    });
    let mut rig = Rig::open(limits, send);
    rig.wire.room = 150;
    if from_elsewhere {
        for number in 0..500 {
            rig.client().send_binary(&message(number));
            if number % 10 == 0 {
                rig.collect_mail();
            }
        }
        rig.collect_mail();
    } else {
        rig.receive(&masked(Text, b"go"));
    }
    assert!(rig.queued() < 10_000 + 102, "{}", rig.queued());
    assert!(rig.client().is_open());
    assert!(rig.client().ping(b"control").is_sent());
    rig.collect_mail();
    rig.make_room(usize::MAX);
    let (frames, left) = frames(&rig.take_sent());
    assert_eq!((frames.last().unwrap().0, left), (Ping, 0), "control frames are exempt");
    let number = |bytes: &[u8]| u32::from_be_bytes(*bytes.first_chunk().unwrap());
    let numbers = frames.iter().filter(|(opcode, _)| *opcode == Binary);
    (numbers.map(|(_, bytes)| number(bytes)).collect(), rig.kit.hub.counters.snapshot().dropped)
}

#[test]
fn whatever_the_policy_what_is_sent_is_delivered_or_counted() {
    for from_elsewhere in [false, true] {
        let (newest, dropped) = numbers_through(crate::SendPolicy::DropNewest, from_elsewhere);
        assert_eq!(newest.len() as u64 + dropped, 500);
        assert!(newest.iter().copied().eq(0..newest.len() as u32), "{newest:?}");

        let (oldest, dropped) = numbers_through(crate::SendPolicy::DropOldest, from_elsewhere);
        assert_eq!(oldest.len() as u64 + dropped, 500);
        assert!(oldest.is_sorted() && oldest.last() == Some(&499), "{oldest:?}");
        assert_eq!(oldest[0], 0, "what is being written is not dropped");
        assert!(oldest.len() > 50 && dropped > 300);
    }
}

/// Queues go from client to client; what the last owner was counted for must not.
#[test]
fn a_queue_of_an_ended_client_says_nothing_of_the_next() {
    let mut rig = Rig::open(Limits::default(), Rig::idle());
    rig.wire.room = 3;
    rig.receive(&[&masked(Text, b"echo")[..], b"\x83\x80broken"].concat());
    assert!(matches!(rig.take_calls()[..], [Call::Text(_), Call::Disconnected(_)]));
    rig.make_room(usize::MAX);
    assert_eq!(rig.fates, [Fate::HalfClose]);
    rig.again();
    let client = rig.client();
    assert_eq!(client.queued_bytes(), 0);
    assert_eq!(client.send_text("hello"), Outcome::Sent);
    rig.collect_mail();
    assert_eq!(client.queued_bytes(), 0);
}

#[test]
fn pings_that_find_no_room_are_no_dropped_messages() {
    for policy in [crate::SendPolicy::Disconnect, crate::SendPolicy::DropNewest] {
        let mut rig = Rig::open(Limits { send_policy: policy, ..limits(1000) }, Rig::idle());
        rig.wire.room = 0;
        let full = Outcome::Dropped(Dropped::QueueFull);
        let ping = || rig.client().ping(&[1; 125]);
        let taken = std::iter::repeat_with(ping).take_while(|outcome| *outcome != full).count();
        assert!((500..600).contains(&taken), "{taken}");
        assert_eq!(rig.kit.hub.counters.snapshot().dropped, 0);
    }
}
