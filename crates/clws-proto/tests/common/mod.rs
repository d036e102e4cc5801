//! Helpers of the protocol's tests: raw frames, a recording end, and a pair of ends.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]

use clws_proto::close::CloseCode;
use clws_proto::connection::{Config, Connection, Event, Expired};
use clws_proto::deflate::{Contexts, DeflateConfig, Side, negotiate};
use clws_proto::error::ProtocolError;
use clws_proto::frame::{FrameHeader, OpCode};
use clws_proto::message::Message;
use clws_proto::pool::Pool;
use flate2::{Compress, Compression, FlushCompress};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What an end saw, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Error(ProtocolError),
}

impl From<Event<'_>> for Seen {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message(Message::Text(text)) => Self::Text(text.into_owned()),
            Event::Message(Message::Unread(text)) => Self::Text(text.to_str().to_owned()),
            Event::Message(Message::Binary(bytes)) => Self::Binary(bytes.into_owned()),
            Event::Ping(payload) => Self::Ping(payload.into_owned()),
            Event::Pong(payload) => Self::Pong(payload.into_owned()),
            Event::Close(code, reason) => Self::Close(code.map(CloseCode::get), reason),
        }
    }
}

/// The payload of one compressed message, by flate2 itself.
pub fn deflated(data: &[u8], level: u32) -> Vec<u8> {
    let mut stream = Compress::new(Compression::new(level), false);
    let mut out = Vec::with_capacity(data.len() + data.len() / 8 + 1000);
    stream.compress_vec(data, &mut out, FlushCompress::Sync).expect("room");
    out.truncate(out.len() - 4);
    out
}

/// A server's contexts for a client that offers compression without parameters.
pub fn contexts(config: &DeflateConfig) -> Contexts {
    let agreed = negotiate([&b"permessage-deflate"[..]].into_iter(), config);
    Contexts::new(&agreed.expect("legal").expect("accepted"), Side::Server)
}

/// One end with its clock, what it saw and what it has to send.
pub struct End {
    pub connection: Connection,
    pub now: Instant,
    pub seen: Vec<Seen>,
    pub out: Vec<u8>,
    pub pool: Pool,
    /// What each call may inflate, in bytes; unbounded unless set.
    pub slice: Option<u64>,
    /// Whether whole messages are taken one behind another, as far as they may be.
    pub wholes: bool,
}

impl End {
    pub fn server(config: Config) -> Self {
        Self::new(Connection::server, config)
    }

    pub fn client(config: Config) -> Self {
        let mut key = 0x0102_0304_u32;
        let keys = move || {
            key = key.wrapping_mul(0x9e37_79b1).rotate_left(7);
            key.to_ne_bytes()
        };
        Self::new(|config, now| Connection::client(config, Box::new(keys), now), config)
    }

    fn new(make: impl FnOnce(Arc<Config>, Instant) -> Connection, config: Config) -> Self {
        let now = Instant::now();
        Self {
            connection: make(Arc::new(config), now),
            now,
            seen: Vec::new(),
            out: Vec::new(),
            pool: Pool::new(1 << 20),
            slice: None,
            wholes: true,
        }
    }

    /// The same end with compression agreed.
    pub fn with_deflate(self, contexts: Contexts) -> Self {
        Self { connection: self.connection.with_deflate(contexts), ..self }
    }

    /// Takes one piece of the stream, as one read would bring it.
    pub fn receive(&mut self, piece: &[u8]) {
        let mut piece = piece.to_vec();
        let mut rest = &mut piece[..];
        while !rest.is_empty() {
            let used = if self.wholes { self.receive_wholes(rest) } else { 0 };
            rest = &mut rest[used..];
            if used > 0 {
                continue;
            }
            self.slice.into_iter().for_each(|bytes| self.pool.allow_inflating(bytes));
            match self.connection.handle_input(self.now, rest, &mut self.pool) {
                Ok((used, event)) => {
                    let quiet = event.is_none();
                    self.seen.extend(event.map(Seen::from));
                    rest = &mut rest[used..];
                    let stopped = quiet && !rest.is_empty();
                    assert!(!stopped || self.pool.allowance() == 0, "stopped without need");
                }
                Err(error) => {
                    self.seen.push(Seen::Error(error));
                    rest = &mut [];
                }
            }
            self.connection.poll_output(&mut self.out);
        }
    }

    fn receive_wholes(&mut self, input: &mut [u8]) -> usize {
        let (mut used, all) = (0, input.len());
        if let Some(mut messages) = self.connection.whole_messages(self.now) {
            while let Some(taken) = messages.take(&mut input[used..]) {
                used = taken.as_ref().map_or(all, |(count, _)| used + count);
                let seen = taken.map(|(_, message)| Seen::from(Event::Message(message)));
                self.seen.push(seen.unwrap_or_else(Seen::Error));
            }
        }
        self.connection.poll_output(&mut self.out);
        used
    }

    pub fn close(&mut self, code: u16, reason: &str) {
        self.connection.close(CloseCode::new(code), reason, self.now);
        self.connection.poll_output(&mut self.out);
    }

    pub fn pass(&mut self, time: Duration) -> Option<Expired> {
        self.now += time;
        let expired = self.connection.handle_timeout(self.now);
        self.connection.poll_output(&mut self.out);
        expired
    }

    pub fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

/// Carries bytes both ways, `size` at a time, until both ends are silent.
pub fn settle(one: &mut End, other: &mut End, size: usize) {
    while !one.out.is_empty() || !other.out.is_empty() {
        for piece in one.take_out().chunks(size) {
            other.receive(piece);
        }
        for piece in other.take_out().chunks(size) {
            one.receive(piece);
        }
    }
}

/// A client's frame with a mask made from its length.
pub fn masked(fin: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let key = (payload.len() as u32).wrapping_mul(0x9e37_79b1).to_ne_bytes();
    let mut bytes = Vec::new();
    let header = FrameHeader { fin, mask: Some(key), ..FrameHeader::new(opcode, payload.len()) };
    header.write(&mut bytes);
    bytes.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// A server's frame.
pub fn plain(fin: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    FrameHeader { fin, ..FrameHeader::new(opcode, payload.len()) }.write(&mut bytes);
    bytes.extend_from_slice(payload);
    bytes
}
