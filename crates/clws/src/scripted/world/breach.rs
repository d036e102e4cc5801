//! What the rules forbid, and the close code each of it deserves.

use super::ledger::Ledger;
use super::speech::Speech;
use clws_proto::frame;
use clws_proto::frame::OpCode::{Binary, Close, Continuation, Text};

/// What draft 76 forbids.
const OLD: [(&[u8], u16); 3] =
    [(&[0, b'x', 0x80, 0xff], 1007), (&[0x80, 0x80, 1], 1002), (&[0x80, 0xff, 0xff, 0x7f], 1009)];

/// Headers that are wrong whatever follows them: a reserved opcode, a length that is too long for
/// what it says, a ping in fragments, a length beyond all bounds.
const HEADERS: [&[u8]; 4] = [
    &[0x83, 0x80, 1, 2, 3, 4],
    &[0x82, 0xfe, 0, 125, 1, 2, 3, 4],
    &[0x09, 0x80, 1, 2, 3, 4],
    &[0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0],
];

impl Speech {
    /// Appends something the rules forbid, and more that nobody must hear.
    pub(super) fn break_rules(&mut self, number: usize, ledger: &mut Ledger, out: &mut Vec<u8>) {
        let (bytes, code) = if self.is_old() {
            let (bytes, code) = OLD[self.random.below(OLD.len())];
            (bytes.to_vec(), code)
        } else {
            self.forbidden()
        };
        out.extend(bytes);
        ledger.pages[number].verdict = Some(code);
        self.frame(out, true, false, Text, b"not to be heard");
        self.frame(out, true, false, Close, &[]);
    }

    fn forbidden(&mut self) -> (Vec<u8>, u16) {
        let mut out = Vec::new();
        let code = match self.random.below(14) {
            0..4 => {
                out.extend_from_slice(HEADERS[self.random.below(HEADERS.len())]);
                1002
            }
            4 => {
                frame::write(&mut out, Text, b"unmasked", None);
                1002
            }
            5 => {
                self.frame(&mut out, false, false, Text, b"begun");
                self.frame(&mut out, true, false, Text, b"another");
                1002
            }
            6 => {
                self.frame(&mut out, true, false, Continuation, b"of nothing");
                1002
            }
            7 => {
                self.frame(&mut out, false, false, Text, b"\xe2\x82");
                self.frame(&mut out, false, false, Continuation, b"x");
                1007
            }
            8 => {
                self.frame(&mut out, true, false, Text, b"\xe2\x82");
                1007
            }
            9 => {
                // A reserved bit, or data that does not inflate.
                self.frame(&mut out, true, true, Binary, &[0xff; 10]);
                if self.packer.is_some() { 1007 } else { 1002 }
            }
            10 => {
                self.frame(&mut out, true, false, Close, &[3]);
                1002
            }
            11 => {
                self.frame(&mut out, true, false, Close, &1005_u16.to_be_bytes());
                1002
            }
            12 => {
                self.frame(&mut out, true, false, Close, &[3, 232, 0xff]);
                1007
            }
            _ => {
                out = self.too_much();
                1009
            }
        };
        (out, code)
    }
}
