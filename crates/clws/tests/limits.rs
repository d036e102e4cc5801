//! The protocol's rules and the server's limits as a peer meets them: the close code, at once, and
//! nothing for those who keep within them (RFC 6455 §5, §8.1, §10.4).

mod common;

use clws::{Cause, Limits};
use common::raw::{BINARY, CONTINUATION, End, FIN, PING, PONG, Raw, TEXT, frame, header};
use common::{echo, listen, millis};
use std::time::Duration;

const RSV1: u8 = 0x40;

/// Each of these bytes, sent on a connection of its own, ends it with this code.
#[track_caller]
fn all_end_with(limits: &Limits, code: u16, cases: &[(&str, Vec<u8>)]) {
    let (server, events) = common::recording(limits.clone(), listen);
    for (what, bytes) in cases {
        let mut raw = server.raw("/");
        raw.send(bytes);
        assert_eq!(raw.closed().0, code, "{what}");
        let (_, closed) = events.skip_to_disconnected();
        assert_eq!((closed.code, closed.clean), (1006, false), "{what}");
        let Cause::Protocol(error) = closed.cause else { panic!("{what}: {closed:?}") };
        assert_eq!(error.close_code().get(), code, "{what}");
    }
    assert_eq!(server.handle.client_count(), 0);
}

/// Each of these messages comes back on one connection.
#[track_caller]
fn all_come_back(limits: &Limits, cases: &[(&str, Vec<u8>, &[u8])]) {
    let (server, _events) = common::recording(limits.clone(), echo);
    let mut raw = server.raw("/");
    for (what, bytes, expected) in cases {
        raw.send(bytes);
        assert!(raw.frame().payload == *expected, "{what}");
    }
}

/// B7.
#[test]
fn frames_that_break_the_rules() {
    let mut cases = vec![
        ("not masked", vec![FIN | TEXT, 1, b'x']),
        ("RSV1", frame(FIN | RSV1 | TEXT, b"x")),
        ("RSV2", frame(FIN | 0x20 | TEXT, b"x")),
        ("RSV3", frame(FIN | 0x10 | TEXT, b"x")),
        ("RSV1 on a ping", frame(FIN | RSV1 | PING, b"")),
        ("a ping in fragments", frame(PING, b"x")),
        ("a long ping", frame(FIN | PING, &[0; 126])),
        ("a long close", frame(FIN | 8, &[0; 126])),
        ("a continuation of nothing", frame(FIN | CONTINUATION, b"x")),
        ("a message in a message", [frame(TEXT, b"x"), frame(FIN | TEXT, b"y")].concat()),
        ("126 for what fits 7 bits", vec![FIN | BINARY, 0xfe, 0, 125, 0, 0, 0, 0]),
        ("127 for what fits 16 bits", [&[FIN | BINARY, 0xff][..], &[0; 6], &[0xff; 2]].concat()),
        ("the top bit", [&[FIN | BINARY, 0xff, 0x80][..], &[0; 7]].concat()),
    ];
    let reserved = (3..=7).chain(11..=15);
    cases.extend(reserved.map(|opcode| ("a reserved opcode", frame(FIN | opcode, b""))));
    all_end_with(&Limits::default(), 1002, &cases);
}

#[test]
fn frames_that_only_look_odd() {
    let zero_mask = [&[FIN | TEXT, 0x82, 0, 0, 0, 0][..], b"hi"].concat();
    let with_control =
        [frame(TEXT, b"h"), frame(FIN | PONG, b"?"), frame(FIN | CONTINUATION, b"i")];
    all_come_back(
        &Limits::default(),
        &[
            ("a mask of zero", zero_mask, b"hi"),
            ("a pong in a message", with_control.concat(), b"hi"),
            ("nothing", frame(FIN | TEXT, b""), b""),
        ],
    );
}

/// B2: what is declared is judged before it is there.
#[test]
fn a_declared_length_above_the_limit() {
    let limits = Limits::default();
    let cases: Vec<_> = [limits.max_frame_size as u64 + 1, 1 << 32, i64::MAX as u64]
        .map(|len| ("a long frame", header(FIN | BINARY, len)))
        .into();
    all_end_with(&limits, 1009, &cases);
}

/// B6: exactly the limit, and one more, in one frame and in fragments.
#[test]
fn a_message_of_exactly_the_limit_and_one_more() {
    const LIMIT: usize = 1000;
    let mut limits = Limits::default();
    limits.max_message_size = LIMIT;
    let in_two = |len: usize| {
        [frame(BINARY, &vec![1; len / 2]), frame(FIN | CONTINUATION, &vec![1; len - len / 2])]
            .concat()
    };
    let whole = |len: usize| frame(FIN | BINARY, &vec![1; len]);
    let text = |len: usize| frame(FIN | TEXT, &vec![b'x'; len]);
    all_come_back(
        &limits,
        &[
            ("one frame", whole(LIMIT), &[1; LIMIT]),
            ("fragments", in_two(LIMIT), &[1; LIMIT]),
            ("text", text(LIMIT), &[b'x'; LIMIT]),
        ],
    );
    let above = LIMIT + 1;
    let cases = [("one frame", whole(above)), ("fragments", in_two(above)), ("text", text(above))];
    all_end_with(&limits, 1009, &cases);
    // A frame may be bounded more tightly than a message.
    limits.max_frame_size = 600;
    all_come_back(&limits, &[("fragments", in_two(LIMIT), &[1; LIMIT])]);
    all_end_with(&limits, 1009, &[("one frame", whole(601))]);
}

/// B4: fragments without content are charged for.
#[test]
fn fragments_without_end() {
    let endless = [frame(BINARY, b""), frame(CONTINUATION, b"").repeat(40_000)].concat();
    let (server, events) = common::recording(Limits::default(), listen);
    let mut raw = server.raw("/");
    // The server stops reading at its limit, so that the rest may not be taken.
    let _ = std::io::Write::write_all(&mut raw.stream, &endless);
    assert_eq!(raw.frame().close().0, 1009);
    let (_, closed) = events.skip_to_disconnected();
    assert!(matches!(closed.cause, Cause::Protocol(_)), "{closed:?}");
    let many = [frame(BINARY, b""), frame(CONTINUATION, b"x").repeat(999)].concat();
    let many = [many, frame(FIN | CONTINUATION, b"x")].concat();
    all_come_back(&Limits::default(), &[("a thousand fragments", many, &[b'x'; 1000])]);
}

/// B8: text that is not UTF-8 is refused no later than in the fragment where it goes wrong, that
/// is: nothing more needs to be sent.
#[test]
fn text_that_is_not_utf8() {
    let whole = |bytes: &[u8]| frame(FIN | TEXT, bytes);
    let begun = |bytes: &[u8]| frame(TEXT, bytes);
    let split = |a: &[u8], b: &[u8]| [frame(TEXT, a), frame(CONTINUATION, b)].concat();
    let ended = |a: &[u8], b: &[u8]| [frame(TEXT, a), frame(FIN | CONTINUATION, b)].concat();
    all_end_with(
        &Limits::default(),
        1007,
        &[
            ("a lone continuation byte", whole(b"ok\x80")),
            ("cut short", whole(b"\xe2\x82")),
            ("overlong", whole(b"\xc0\xaf")),
            ("a surrogate", whole(b"\xed\xa0\x80")),
            ("beyond Unicode", whole(b"\xf4\x90\x80\x80")),
            ("in the first fragment", begun(b"\xff")),
            ("across fragments", split(b"\xe2\x82", b"x")),
            ("in the second half of a character", split(b"\xf0\x9f", b"\x98\x41")),
            ("cut short at the end", ended(b"ok", b"\xe2\x82")),
            ("never finished", ended(b"\xe2\x82", b"")),
            ("a long text", whole(&[&[b'x'; 5000][..], b"\xff"].concat())),
        ],
    );
    all_come_back(
        &Limits::default(),
        &[
            ("a character in two fragments", ended(b"\xe2\x82", b"\xac"), "\u{20ac}".as_bytes()),
            ("the last character", whole(b"\xf4\x8f\xbf\xbf"), "\u{10ffff}".as_bytes()),
            ("a NUL", whole(b"\0"), b"\0"),
            ("binary may be anything", frame(FIN | BINARY, b"\xff\xfe"), b"\xff\xfe"),
        ],
    );
}

/// What came before the breach is still heard and answered, in order.
#[test]
fn what_came_before_a_breach_counts() {
    let (server, events) = common::recording(Limits::default(), echo);
    let mut raw = server.raw("/");
    raw.send(
        &[frame(FIN | TEXT, b"good"), frame(FIN | 3, b"bad"), frame(FIN | TEXT, b"x")].concat(),
    );
    assert_eq!(raw.frame().text(), "good");
    assert_eq!(raw.closed().0, 1002);
    events.connected();
    assert_eq!(events.text(), "good");
    events.disconnected();
}

fn watchful() -> Limits {
    let mut limits = Limits::default();
    limits.ping_interval = Some(millis(100));
    limits
}

/// E1: a peer that is gone without a word.
#[test]
fn a_mute_client_is_pinged_and_dropped() {
    let mut limits = watchful();
    limits.pong_timeout = millis(100);
    let (server, events) = common::recording(limits, listen);
    let mut raw = server.raw("/");
    let ping = raw.frame();
    assert_eq!((ping.fin, ping.opcode), (true, PING));
    assert!(ping.payload.len() <= 125);
    raw.end();
    let (_, closed) = events.skip_to_disconnected();
    assert_eq!((closed.cause, closed.code, closed.clean), (Cause::Timeout, 1006, false));
}

/// A client that is silent but answers stays, and user code hears nothing of it.
#[test]
fn a_silent_client_that_answers_pings_stays() {
    let mut limits = watchful();
    limits.pong_timeout = Duration::from_mins(1);
    let (server, events) = common::recording(limits, echo);
    let mut raw = server.raw("/");
    events.connected();
    for _ in 0..5 {
        let ping = raw.frame();
        assert_eq!(ping.opcode, PING);
        raw.send_frame(FIN | PONG, &ping.payload);
    }
    raw.text("still here");
    let next = std::iter::repeat_with(|| raw.frame()).find(|frame| frame.opcode != PING);
    assert_eq!(next.unwrap().text(), "still here");
    assert_eq!(events.text(), "still here");
}

/// A3: without pings an idle client stays; nothing is sent to it.
#[test]
fn without_an_interval_no_pings_are_sent() {
    let mut limits = Limits::default();
    limits.ping_interval = None;
    limits.handshake_timeout = millis(100);
    let (server, events) = common::recording(limits, echo);
    let mut raw = server.raw("/");
    events.connected();
    // The opening handshake's time passes for another connection, after it did for this one.
    assert_eq!(Raw::connect(server.address).end(), End::Fin);
    raw.text("still here");
    assert_eq!(raw.frame().text(), "still here");
}
