//! Two ends that talk to each other (RFC 6455 §5.5, §7): messages, pings, closes and time, with
//! the stream between them cut anywhere.
//!
//! Neither may accuse the other; what arrives is what was sent, in order; once all has arrived,
//! both ends agree on whether they are open; a deadline that was served is not due again.
#![no_main]

use arbitrary::Arbitrary;
use clws_fuzz::common::{End, Seen};
use clws_fuzz::frames::Payload;
use clws_proto::close::CloseCode;
use clws_proto::connection::{Config, Expired};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

#[derive(Arbitrary, Debug)]
struct Input {
    ops: Vec<(bool, Op)>,
}

#[derive(Arbitrary, Debug)]
enum Op {
    Text(String),
    Binary(Payload),
    Ping(Vec<u8>),
    Close(u16, String),
    /// So many bytes that are on their way to this end arrive.
    Deliver(u16),
    Settle,
    /// Tenths of a second pass for both.
    Pass(u16),
    Excuse,
}

/// One end, what is on its way to it, and what it sent itself.
struct Side {
    end: End,
    arriving: Vec<u8>,
    sent: Vec<Seen>,
    closed: Option<(Option<u16>, String)>,
    /// It waited in vain: nothing more is done with it.
    gone: bool,
    /// A message took too long: it hears no more, and said so.
    failed: bool,
}

impl Side {
    fn new(end: End) -> Self {
        Self {
            end,
            arriving: Vec::new(),
            sent: Vec::new(),
            closed: None,
            gone: false,
            failed: false,
        }
    }

    fn act(&mut self, op: &Op) {
        let End { connection, out, now, .. } = &mut self.end;
        let open = connection.is_open();
        let (accepted, event) = match op {
            Op::Text(text) => (connection.send_text(text, out), Seen::Text(text.clone())),
            Op::Binary(payload) => {
                let bytes = payload.bytes();
                (connection.send_binary(&bytes, out), Seen::Binary(bytes))
            }
            Op::Ping(payload) => {
                let short = payload.len() <= 125;
                let sent = connection.send_ping(payload, out);
                assert_eq!(sent, open && short);
                (sent || !short && open, Seen::Ping(payload.clone()))
            }
            Op::Close(code, reason) => {
                let code = CloseCode::new(*code);
                connection.close(code, reason, *now);
                if open {
                    let cut = reason.floor_char_boundary(123);
                    let reason = if code.is_some() { &reason[..cut] } else { "" };
                    self.closed = Some((code.map(CloseCode::get), reason.to_owned()));
                }
                return;
            }
            Op::Excuse => return connection.excuse(*now),
            Op::Deliver(_) | Op::Settle | Op::Pass(_) => return,
        };
        assert_eq!(accepted, open);
        let long_ping = matches!(op, Op::Ping(payload) if payload.len() > 125);
        if accepted && !long_ping {
            self.sent.push(event);
        }
    }

    /// Takes so many of the bytes on their way; what it has to say goes out at once.
    fn receive(&mut self, count: usize) {
        let piece: Vec<u8> = self.arriving.drain(..count.min(self.arriving.len())).collect();
        self.end.receive(&piece);
        self.flush();
    }

    fn flush(&mut self) {
        self.end.connection.poll_output(&mut self.end.out);
        assert!(!self.end.connection.has_output());
    }

    fn pass(&mut self, time: Duration) {
        self.end.now += time;
        let now = self.end.now;
        for _ in 0..3 {
            let due = |side: &Self| side.end.connection.poll_timeout().is_some_and(|at| at <= now);
            if self.gone || !due(self) {
                return;
            }
            let expired = self.end.connection.handle_timeout(now);
            self.gone = matches!(expired, Some(Expired::Pong | Expired::Close));
            self.failed |= expired == Some(Expired::Message);
            self.flush();
        }
        panic!("a deadline is due for ever");
    }
}

fn carry(sides: &mut [Side; 2]) {
    let [one, other] = sides;
    other.arriving.extend(one.end.take_out());
    one.arriving.extend(other.end.take_out());
}

fn settle(sides: &mut [Side; 2]) {
    carry(sides);
    while sides.iter().any(|side| !side.arriving.is_empty() && !side.gone) {
        for side in sides.iter_mut() {
            if side.gone {
                side.arriving.clear();
            }
            side.receive(usize::MAX);
        }
        carry(sides);
    }
}

fuzz_target!(|input: Input| {
    let config = Config::default();
    let mut sides = [Side::new(End::server(config.clone())), Side::new(End::client(config))];
    sides[1].end.now = sides[0].end.now;
    for (first, op) in &input.ops {
        let index = usize::from(!first);
        match op {
            Op::Pass(tenths) => {
                let time = Duration::from_millis(100 * u64::from(*tenths));
                sides.iter_mut().for_each(|side| side.pass(time));
            }
            Op::Settle => settle(&mut sides),
            _ if sides[index].gone => {}
            Op::Deliver(count) => sides[index].receive(usize::from(*count)),
            _ => sides[index].act(op),
        }
        sides.iter_mut().for_each(Side::flush);
        carry(&mut sides);
    }
    settle(&mut sides);
    check(&sides[0], &sides[1]);
    check(&sides[1], &sides[0]);
    if sides.iter().all(|side| !side.gone) {
        check_agreement(&sides);
    }
});

/// This library's own pings and what looks like them: nobody sent those, or nobody hears of the
/// answer.
fn is_keepalive(seen: &Seen) -> bool {
    matches!(seen, Seen::Ping(payload) if payload.len() == 8 && payload.starts_with(b"clws"))
}

/// What `here` heard is what `there` said, in order, as far as it came.
fn check(here: &Side, there: &Side) {
    let errors = here.end.seen.iter().find(|seen| matches!(seen, Seen::Error(_)));
    assert_eq!(errors, None, "a legal peer is accused");
    let is_message = |seen: &&Seen| matches!(seen, Seen::Text(_) | Seen::Binary(_));
    let is_ping = |seen: &&Seen| matches!(seen, Seen::Ping(_)) && !is_keepalive(seen);
    assert_begins(there.sent.iter().filter(is_message), here.end.seen.iter().filter(is_message));
    assert_begins(there.sent.iter().filter(is_ping), here.end.seen.iter().filter(is_ping));
    // Only the latest of several pings need be answered (§5.5.3).
    let mut pings = here.sent.iter().filter(is_ping);
    for seen in &here.end.seen {
        if let Seen::Pong(payload) = seen {
            let asked = pings.any(|ping| *ping == Seen::Ping(payload.clone()));
            assert!(asked, "a pong that nobody asked for: {payload:?}");
        }
    }
    let closes = here.end.seen.iter().filter(|seen| matches!(seen, Seen::Close(..)));
    assert!(closes.count() <= 1);
}

fn assert_begins<'a>(
    mut sent: impl Iterator<Item = &'a Seen>,
    heard: impl Iterator<Item = &'a Seen>,
) {
    for one in heard {
        assert_eq!(sent.next(), Some(one), "not what was sent");
    }
}

/// Everything arrived: both are open and heard all, or both are finished and heard a close.
fn check_agreement(sides: &[Side; 2]) {
    let [one, other] = sides;
    let open = sides.each_ref().map(|side| side.end.connection.is_open());
    assert_eq!(open[0], open[1], "only one end is open");
    for (here, there) in [(one, other), (other, one)] {
        let data =
            |seen: &&Seen| !matches!(seen, Seen::Pong(_) | Seen::Close(..)) && !is_keepalive(seen);
        if open[0] {
            assert!(here.end.seen.iter().filter(data).eq(there.sent.iter().filter(data)));
            continue;
        }
        assert!(here.end.connection.is_finished() && here.end.connection.close_sent());
        if here.failed {
            continue;
        }
        let Some(Seen::Close(code, reason)) = here.end.seen.last() else {
            panic!("the last word is no close: {:?}", here.end.seen.last());
        };
        if there.failed {
            assert_eq!(*code, Some(1008), "{reason}");
        } else if let Some(said) = &there.closed {
            assert_eq!(said, &(*code, reason.clone()));
        }
    }
}
