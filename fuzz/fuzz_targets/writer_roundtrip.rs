//! Whatever this crate writes is read as it was meant, by its own reader and by `tungstenite`
//! (RFC 6455 §5): messages whole and in fragments, pings, and a close at the end, in both roles.
#![no_main]

use arbitrary::Arbitrary;
use clws_fuzz::common::{End, Seen};
use clws_fuzz::frames::Payload;
use clws_fuzz::{cuts, reference};
use clws_proto::close::CloseCode;
use clws_proto::connection::Config;
use clws_proto::frame::{self, FrameHeader, OpCode};
use clws_proto::mask::{self, MaskKey};
use libfuzzer_sys::fuzz_target;

/// The longest stream, in bytes; with it no limit is met.
const MAX_STREAM: usize = 512 * 1024;

#[derive(Arbitrary, Debug)]
struct Input {
    /// Whose writing it is.
    client: bool,
    acts: Vec<Act>,
    close: Option<(u16, String)>,
    pieces: Vec<u8>,
}

#[derive(Arbitrary, Debug)]
enum Act {
    Text(String, u8),
    Binary(Payload),
    /// By hand, as senders do: the sizes of the fragments, and the masks of a client.
    Fragments(Payload, Vec<u16>, MaskKey),
    /// The same payload many times over, for lengths of 64 bits.
    Large(u8, u32),
    Ping(Vec<u8>),
}

/// What writes, and what its peer should hear.
struct Writer {
    end: End,
    masked: bool,
    expected: Vec<Seen>,
}

impl Writer {
    fn new(client: bool) -> Self {
        let end =
            if client { End::client(Config::default()) } else { End::server(Config::default()) };
        Self { end, masked: client, expected: Vec::new() }
    }

    fn act(&mut self, act: &Act) {
        let End { connection, out, .. } = &mut self.end;
        let binary = |bytes: Vec<u8>| Seen::Binary(bytes);
        self.expected.push(match act {
            Act::Text(text, times) => {
                let text = text.repeat(usize::from(*times));
                assert!(connection.send_text(&text, out));
                Seen::Text(text)
            }
            Act::Binary(payload) => {
                let bytes = payload.bytes();
                assert!(connection.send_binary(&bytes, out));
                binary(bytes)
            }
            Act::Large(byte, len) => {
                let bytes = vec![*byte; *len as usize % (100 * 1024)];
                assert!(connection.send_binary(&bytes, out));
                binary(bytes)
            }
            Act::Fragments(payload, sizes, key) => {
                let bytes = payload.bytes();
                fragments(&bytes, sizes, self.masked.then_some(*key), out);
                binary(bytes)
            }
            Act::Ping(payload) => {
                if !connection.send_ping(payload, out) {
                    assert!(payload.len() > frame::MAX_CONTROL);
                    return;
                }
                Seen::Ping(payload.clone())
            }
        });
    }

    fn close(&mut self, code: u16, reason: &str) {
        self.end.close(code, reason);
        let code = CloseCode::new(code).map(CloseCode::get);
        // RFC 6455 §5.5: the reason is cut to fit a control frame; none goes without a code.
        let cut = reason.floor_char_boundary(123);
        let reason = if code.is_some() { &reason[..cut] } else { "" };
        self.expected.push(Seen::Close(code, reason.to_owned()));
        assert!(!self.end.connection.send_text("late", &mut self.end.out));
    }
}

fn fragments(bytes: &[u8], sizes: &[u16], key: Option<MaskKey>, out: &mut Vec<u8>) {
    let (mut rest, mut opcode) = (bytes, OpCode::Binary);
    for size in sizes.iter().map(Some).chain([None]) {
        let len = size.map_or(rest.len(), |size| rest.len().min(usize::from(*size)));
        let (piece, later) = rest.split_at(len);
        let fin = size.is_none();
        FrameHeader { fin, mask: key, ..FrameHeader::new(opcode, len) }.write(out);
        let start = out.len();
        out.extend_from_slice(piece);
        mask::apply(key.unwrap_or_default(), &mut out[start..]);
        (rest, opcode) = (later, OpCode::Continuation);
    }
}

fuzz_target!(|input: Input| {
    let mut writer = Writer::new(input.client);
    for act in &input.acts {
        if writer.end.out.len() < MAX_STREAM {
            writer.act(act);
        }
    }
    if let Some((code, reason)) = &input.close {
        writer.close(*code, reason);
    }
    let bytes = writer.end.take_out();
    let mut reader = Writer::new(!input.client).end;
    cuts::pieces(&bytes, &input.pieces).for_each(|piece| reader.receive(piece));
    assert_eq!(reader.seen, writer.expected);
    reference::compare(&bytes, !input.client, &Config::default());
});
