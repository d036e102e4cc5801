//! A peer's side of the protocol: the client's codec, messages in every guise.

use super::super::faults::Random;
use super::ledger::Ledger;
use super::plan::{DIGEST, Manners, Opening};
use clws_proto::close::CloseCode;
use clws_proto::connection::{Config, Connection, Event};
use clws_proto::deflate::{Contexts, DeflateConfig, Side, accept_response};
use clws_proto::frame::FrameHeader;
use clws_proto::frame::OpCode::{self, Binary, Continuation, Ping, Pong, Text};
use clws_proto::message::Message;
use clws_proto::pool::Pool;
use std::sync::Arc;
use std::time::Instant;

/// No code in a close frame (RFC 6455 §7.1.5).
const NO_CODE: u16 = 1005;
/// The server's limit to a message.
pub(super) const MAX_MESSAGE: usize = 120_000;
/// The longest that is sent as it is.
const LONG: usize = 20_000;

pub(super) struct Speech {
    pub(super) random: Random,
    now: Instant,
    connection: Connection,
    /// Draft 76 has a codec of its own: what came and is no frame yet, if it is spoken.
    hixie: Option<Vec<u8>>,
    /// It has sent a close frame.
    over: bool,
    manners: Manners,
    pub(super) packer: Option<Contexts>,
    pool: Pool,
    pings: Vec<Vec<u8>>,
    ponged: usize,
}

fn connection(random: &mut Random, now: Instant) -> Connection {
    let mut keys = Random(random.below(1 << 30) as u64);
    let config = Config { ping_interval: None, ..Config::default() };
    let keys = Box::new(move || (keys.below(1 << 32) as u32).to_be_bytes());
    Connection::client(Arc::new(config), keys, now)
}

impl Speech {
    pub(super) fn new(manners: &Manners, mut random: Random, now: Instant) -> Self {
        Self {
            connection: connection(&mut random, now),
            random,
            now,
            hixie: (manners.version == 0).then(Vec::new),
            over: false,
            manners: manners.clone(),
            packer: None,
            pool: Pool::new(1 << 20),
            pings: Vec::new(),
            ponged: 0,
        }
    }

    /// Whether it speaks draft 76.
    pub(super) fn is_old(&self) -> bool {
        self.hixie.is_some()
    }

    /// Whether messages may be sent.
    pub(super) fn is_open(&self) -> bool {
        !self.over && self.connection.is_open()
    }

    /// Takes the 101 off `answer` and gives what follows it.
    pub(super) fn shake_hands(
        &mut self,
        number: usize,
        answer: &[u8],
        ledger: &mut Ledger,
    ) -> Option<Vec<u8>> {
        let end = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&answer[..end]).into_owned();
        if !head.starts_with("HTTP/1.1 101 ") {
            return None;
        }
        let mut rest = answer.get(end..)?.to_vec();
        if self.hixie.is_some() {
            if rest.len() < DIGEST.len() {
                return None;
            }
            let digest: Vec<u8> = rest.drain(..DIGEST.len()).collect();
            ledger.check(number, digest == DIGEST, "another digest");
        }
        let known = ledger.pages[number].client.is_some();
        ledger.check(
            number,
            known && self.manners.opening == Opening::Good,
            "a 101 without `connected`",
        );
        let extension = "sec-websocket-extensions: ";
        let lines = head.lines().map(str::to_ascii_lowercase);
        let values: Vec<String> =
            lines.filter_map(|line| line.strip_prefix(extension).map(str::to_owned)).collect();
        let config = self
            .manners
            .deflate()
            .unwrap_or(DeflateConfig { enabled: false, ..Default::default() });
        match accept_response(values.iter().map(String::as_bytes), &config) {
            Ok(Some(agreed)) => {
                let contexts = || Contexts::new(&agreed, Side::Client);
                self.packer = Some(contexts());
                self.connection = connection(&mut self.random, self.now).with_deflate(contexts());
            }
            Ok(None) => {}
            Err(error) => ledger.fault(number, error.to_string()),
        }
        Some(rest)
    }

    /// Appends a message, or a control frame.
    pub(super) fn say(&mut self, number: usize, ledger: &mut Ledger, out: &mut Vec<u8>) {
        if self.hixie.is_some() {
            let size = self.random.below(3000);
            let text = ledger.payload(size);
            out.extend_from_slice(&[&[0], &text[..], &[0xff]].concat());
            return ledger.pages[number].said.push((Text, text));
        }
        let repeat = if self.manners.floods { 50 } else { 1 };
        match self.random.below(8) {
            0 => (0..repeat).for_each(|_| self.ping(out)),
            1 => {
                let payload = ledger.payload(10);
                self.frame(out, true, false, Pong, &payload);
                ledger.pages[number].pongs_said.push(payload);
            }
            _ => self.message(number, ledger, out),
        }
    }

    fn message(&mut self, number: usize, ledger: &mut Ledger, out: &mut Vec<u8>) {
        // More than is inflated in a few turns.
        let swells = self.packer.is_some() && self.random.one_in(4);
        let most = if swells { MAX_MESSAGE } else { [50, 3000, 9000, LONG][self.random.below(4)] };
        let size = self.random.below(most + 1);
        let payload = if swells { ledger.long_payload(size) } else { ledger.payload(size) };
        let opcode = if self.random.one_in(2) { Text } else { Binary };
        let mut packed = Vec::new();
        let compressed = match &mut self.packer {
            Some(contexts) if swells || !self.random.one_in(3) => {
                contexts.deflate(&payload, self.pool.codecs(), &mut packed)
            }
            _ => false,
        };
        let body = if compressed { &packed } else { &payload };
        let piece =
            if self.random.one_in(3) { 1 + self.random.below(body.len()) } else { usize::MAX };
        let count = body.len().div_ceil(piece).min(20);
        let mut rest = &body[..];
        for index in 0..count {
            let last = index + 1 == count;
            let (now, later) = rest.split_at(if last { rest.len() } else { piece });
            let kind = if index == 0 { opcode } else { Continuation };
            self.frame(out, last, compressed && index == 0, kind, now);
            if !last && self.random.one_in(4) {
                self.ping(out);
            }
            rest = later;
        }
        ledger.pages[number].said.push((opcode, payload));
    }

    /// One byte more than a message may have, on the wire or when it is inflated.
    pub(super) fn too_much(&mut self) -> Vec<u8> {
        let (mut out, mut packed) = (Vec::new(), Vec::new());
        let all = vec![1; MAX_MESSAGE + 1];
        if let Some(contexts) = &mut self.packer
            && self.random.one_in(2)
            && contexts.deflate(&all, self.pool.codecs(), &mut packed)
        {
            self.frame(&mut out, true, true, Binary, &packed);
            return out;
        }
        let mut pieces = all.chunks(MAX_MESSAGE / 2).peekable();
        let mut opcode = Binary;
        while let Some(piece) = pieces.next() {
            self.frame(&mut out, pieces.peek().is_none(), false, opcode, piece);
            opcode = Continuation;
        }
        out
    }

    fn ping(&mut self, out: &mut Vec<u8>) {
        let payload = format!("{}", self.pings.len()).into_bytes();
        self.frame(out, true, false, Ping, &payload);
        self.pings.push(payload);
    }

    pub(super) fn frame(
        &mut self,
        out: &mut Vec<u8>,
        fin: bool,
        rsv1: bool,
        opcode: OpCode,
        payload: &[u8],
    ) {
        let key = (self.random.below(1 << 32) as u32).to_be_bytes();
        let header = FrameHeader::new(opcode, payload.len());
        FrameHeader { fin, rsv1, mask: Some(key), ..header }.write(out);
        let masked = payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key);
        out.extend(masked);
    }

    pub(super) fn close(&mut self, number: usize, ledger: &mut Ledger, out: &mut Vec<u8>) {
        self.over = true;
        if self.hixie.is_some() {
            out.extend_from_slice(&[0xff, 0]);
            ledger.pages[number].bye = Some(NO_CODE);
            return;
        }
        // By hand, so that the codec goes on to deliver what comes before the answer.
        let code = [None, CloseCode::new(1000), CloseCode::new(3333)][self.random.below(3)];
        let payload = code.map_or(Vec::new(), |code| code.get().to_be_bytes().to_vec());
        self.frame(out, true, false, OpCode::Close, &payload);
        self.over = true;
        ledger.pages[number].bye = Some(code.map_or(NO_CODE, CloseCode::get));
    }

    /// Takes what came; `true` when the server's close frame was in it.
    pub(super) fn hear(
        &mut self,
        number: usize,
        bytes: &mut [u8],
        ledger: &mut Ledger,
        out: &mut Vec<u8>,
        now: Instant,
    ) -> bool {
        if self.hixie.is_some() {
            return self.hear_hixie(number, bytes, ledger, out);
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let (used, event) = match self.connection.handle_input(now, rest, &mut self.pool) {
                Ok(done) => done,
                Err(error) => {
                    ledger.fault(number, format!("the server broke the protocol: {error}"));
                    return true;
                }
            };
            let closed = event.is_some_and(|event| self.note(number, event, ledger));
            if self.manners.answers && !self.over {
                self.connection.poll_output(out);
            }
            rest = &mut rest[used..];
            if closed {
                ledger.check(number, rest.is_empty(), "something follows the close frame");
                return true;
            }
        }
        false
    }

    /// Notes what the server sent; `true` for its close frame.
    fn note(&mut self, number: usize, event: Event<'_>, ledger: &mut Ledger) -> bool {
        match event {
            Event::Message(Message::Text(text)) => ledger.received(number, Text, text.as_bytes()),
            Event::Message(Message::Unread(text)) => ledger.received(number, Text, text.as_bytes()),
            Event::Message(Message::Binary(bytes)) => ledger.received(number, Binary, &bytes),
            Event::Ping(payload) if is_keepalive(&payload) => {}
            Event::Ping(payload) => {
                ledger.received(number, Ping, &payload);
                if self.manners.answers && self.is_open() {
                    ledger.pages[number].pongs_said.push(payload.into_owned());
                }
            }
            Event::Pong(payload) => {
                let mut later = self.pings.iter().skip(self.ponged);
                let found = later.position(|ping| **ping == *payload);
                self.ponged += found.map_or(0, |at| at + 1);
                ledger.check(number, found.is_some(), "a pong without its ping");
            }
            Event::Close(code, _) => {
                ledger.close_received(number, code.map_or(NO_CODE, CloseCode::get));
                return true;
            }
        }
        false
    }

    fn hear_hixie(
        &mut self,
        number: usize,
        bytes: &[u8],
        ledger: &mut Ledger,
        out: &mut Vec<u8>,
    ) -> bool {
        let Some(buffer) = &mut self.hixie else { return false };
        buffer.extend_from_slice(bytes);
        while let Some(end) = buffer.iter().skip(1).position(|byte| matches!(byte, 0xff | 0)) {
            let frame: Vec<u8> = buffer.drain(..end + 2).collect();
            match &frame[..] {
                [0, text @ .., 0xff] => ledger.received(number, Text, text),
                [0xff, 0] => {
                    ledger.check(number, buffer.is_empty(), "something follows the close frame");
                    ledger.close_received(number, 0);
                    if self.manners.answers && !std::mem::replace(&mut self.over, true) {
                        out.extend_from_slice(&[0xff, 0]);
                    }
                    return true;
                }
                other => ledger.fault(number, format!("no frame of draft 76: {other:?}")),
            }
        }
        false
    }
}

fn is_keepalive(payload: &[u8]) -> bool {
    payload.len() == 8 && payload.starts_with(b"clws")
}
