//! Compressed messages to one end of a connection, whole and cut in pieces (RFC 7692).
//!
//! Events, answers and state must be the same however the stream is cut, in however small slices it
//! is inflated, and whenever either side is idle in between; what was compressed by this crate comes
//! out as it went in; and whatever comes, what is allocated stays within a bound that the limit of a
//! message sets.
#![no_main]

use arbitrary::Arbitrary;
use clws_fuzz::common::{End, Seen};
use clws_fuzz::cuts;
use clws_fuzz::frames::Payload;
use clws_proto::connection::Config;
use clws_proto::deflate::{
    Agreed, CHUNK, Codecs, Contexts, DeflateConfig, Inflater, Side, negotiate,
};
use clws_proto::frame::{FrameHeader, OpCode};
use clws_proto::mask;
use libfuzzer_sys::fuzz_target;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use std::alloc::System;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// The longest stream, in bytes: beyond the bytes that any message may take on the wire.
const MAX_STREAM: usize = 96 * 1024;
/// What a connection may keep besides its message and an inflater: a control frame and small
/// structures.
const BESIDES: usize = 2 * CHUNK;
const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

#[derive(Arbitrary, Debug)]
struct Input {
    client: bool,
    takeover: [bool; 2],
    bits: [u8; 2],
    max_message: u16,
    messages: Vec<Message>,
    spoil: Option<(u16, u8)>,
    pieces: Vec<u8>,
    slice: Option<u16>,
    /// For how many periods both sides are idle, before each message and after each piece.
    idle: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
struct Message {
    text: bool,
    form: Form,
    payload: Payload,
    /// The sizes of its fragments.
    fragments: Vec<u16>,
    ping: bool,
    times: u8,
}

#[derive(Arbitrary, Clone, Copy, Debug)]
enum Form {
    Plain,
    /// As this crate compresses it.
    Deflated,
    /// The payload is said to be compressed.
    Claimed,
    /// The payload follows on empty blocks, which inflate to nothing.
    Padded(u16),
}

/// A stream, and what must come of it where that is known.
struct Stream {
    bytes: Vec<u8>,
    expected: Option<Vec<Seen>>,
}

impl Input {
    fn agreed(&self) -> Agreed {
        let config = DeflateConfig {
            server_no_context_takeover: !self.takeover[0],
            client_no_context_takeover: !self.takeover[1],
            server_max_window_bits: self.bits[0],
            client_max_window_bits: self.bits[1],
            ..DeflateConfig::default()
        };
        let offer = &b"permessage-deflate; client_max_window_bits"[..];
        let agreed = negotiate([offer].into_iter(), &config);
        agreed.expect("a legal offer").expect("it is accepted")
    }

    fn limit(&self) -> usize {
        usize::from(self.max_message) + 1
    }

    fn end(&self) -> End {
        let limit = self.limit() as u64;
        let config = Config { max_frame_size: limit, max_message_size: limit, ..Config::default() };
        let (end, side) = if self.client {
            (End::client(config), Side::Client)
        } else {
            (End::server(config), Side::Server)
        };
        end.with_deflate(Contexts::new(&self.agreed(), side))
    }

    fn stream(&self) -> Stream {
        let side = if self.client { Side::Server } else { Side::Client };
        let mut writer = Contexts::new(&self.agreed(), side);
        let mut codecs = Codecs::new(1, 1 << 20);
        let mut stream = Stream { bytes: Vec::new(), expected: Some(Vec::new()) };
        let mut idle = self.idle.iter().cycle();
        for message in &self.messages {
            (0..idle.next().unwrap_or(&0) % 4).for_each(|_| writer.retire());
            for _ in 0..message.times % 40 + 1 {
                if stream.bytes.len() < MAX_STREAM {
                    self.write(message, &mut writer, &mut codecs, &mut stream);
                }
            }
        }
        writer.release(&mut codecs);
        if self.spoil.is_some() {
            cuts::spoil(&mut stream.bytes, self.spoil);
            stream.expected = None;
        }
        stream
    }

    fn write(&self, one: &Message, writer: &mut Contexts, codecs: &mut Codecs, to: &mut Stream) {
        let payload = one.payload.bytes();
        let mut packed = Vec::new();
        let rsv1 = match one.form {
            Form::Plain => false,
            Form::Deflated => writer.deflate(&payload, codecs, &mut packed),
            Form::Claimed => true,
            Form::Padded(blocks) => {
                packed = b"\0\0\0\xff\xff".repeat(usize::from(blocks) % 8192);
                packed.extend_from_slice(&payload);
                true
            }
        };
        let body = if packed.is_empty() { &payload } else { &packed };
        let event = expect(one, &payload, self.limit());
        to.expected = to.expected.take().zip(event).map(|(mut expected, event)| {
            expected.extend((one.ping && !one.fragments.is_empty()).then(|| Seen::Ping(vec![7])));
            expected.push(event);
            expected
        });
        self.write_frames(one, rsv1, body, &mut to.bytes);
    }

    fn write_frames(&self, one: &Message, rsv1: bool, body: &[u8], out: &mut Vec<u8>) {
        let mask = (!self.client).then_some(KEY);
        let mut frame = |header: FrameHeader, payload: &[u8]| {
            FrameHeader { mask, ..header }.write(out);
            let start = out.len();
            out.extend_from_slice(payload);
            mask::apply(mask.unwrap_or_default(), &mut out[start..]);
        };
        let mut opcode = if one.text { OpCode::Text } else { OpCode::Binary };
        let mut rest = body;
        for (index, size) in one.fragments.iter().enumerate() {
            let (piece, later) = rest.split_at(rest.len().min(usize::from(*size)));
            let header = FrameHeader::new(opcode, piece.len());
            frame(FrameHeader { fin: false, rsv1: rsv1 && index == 0, ..header }, piece);
            if one.ping && index == 0 {
                frame(FrameHeader::new(OpCode::Ping, 1), &[7]);
            }
            (rest, opcode) = (later, OpCode::Continuation);
        }
        let rsv1 = rsv1 && one.fragments.is_empty();
        frame(FrameHeader { rsv1, ..FrameHeader::new(opcode, rest.len()) }, rest);
    }
}

/// What a message is heard as, if nothing is wrong with it.
fn expect(one: &Message, payload: &[u8], limit: usize) -> Option<Seen> {
    let legal = matches!(one.form, Form::Plain | Form::Deflated) && payload.len() <= limit;
    let few = one.fragments.len() < 1000;
    let payload = payload.to_vec();
    let event =
        if one.text { Seen::Text(String::from_utf8(payload).ok()?) } else { Seen::Binary(payload) };
    (legal && few).then_some(event)
}

fuzz_target!(|input: Input| {
    let Stream { bytes, expected } = input.stream();
    let (mut whole, mut cut) = (input.end(), input.end());
    cut.now = whole.now;
    cut.slice = input.slice.map(|bytes| u64::from(bytes) + 1);
    whole.receive(&bytes);
    let mut idle = input.idle.iter().rev().cycle();
    for piece in cuts::pieces(&bytes, &input.pieces) {
        cut.receive(piece);
        (0..idle.next().unwrap_or(&0) % 4).for_each(|_| cut.connection.retire());
    }
    assert_eq!(whole.seen, cut.seen, "events");
    assert_eq!(whole.out, cut.out, "answers");
    assert_eq!(whole.connection.is_mid_message(), cut.connection.is_mid_message());
    if let Some(expected) = expected {
        assert_eq!(whole.seen, expected, "what was sent");
    }
    let slack = 4 * whole.seen.len() + 131;
    assert!(whole.out.len() <= bytes.len() + slack, "answered with {} bytes", whole.out.len());
    check_memory(&input, bytes);
});

/// Reads the stream once more, each message let go of at once, and counts what is kept.
fn check_memory(input: &Input, mut bytes: Vec<u8>) {
    let limit = input.limit();
    let most = 2 * limit + Inflater::new().memory() * 21 / 20 + BESIDES;
    let mut end = input.end();
    let mut rest = &mut bytes[..];
    let region = Region::new(ALLOCATOR);
    while !rest.is_empty() {
        let Ok((used, event)) = end.connection.handle_input(end.now, rest, &mut end.pool) else {
            break;
        };
        let change = region.change();
        let kept = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
        assert!(kept <= most, "{kept} bytes are kept, {most} allowed");
        drop(event);
        rest = &mut rest[used..];
    }
    let change = region.change();
    let kept = change.bytes_allocated.saturating_sub(change.bytes_deallocated);
    assert!(kept <= most, "{kept} bytes are kept at the end, {most} allowed");
}
