//! Long messages of many connections that share a pool: what stays of them when all are heard.

mod common;

use clws_proto::connection::{Config, Connection, Event};
use clws_proto::deflate::DeflateConfig;
use clws_proto::frame::OpCode;
use clws_proto::message::Message;
use clws_proto::pool::Pool;
use common::{contexts, deflated, masked};
use std::sync::Arc;
use std::time::Instant;

const KIB: usize = 1024;
const MIB: usize = 1 << 20;
const COUNT: usize = 20;

/// One connection and what it has still to receive.
struct Sender {
    connection: Connection,
    bytes: Vec<u8>,
    compressed: bool,
}

impl Sender {
    fn new(opcode: OpCode, compressed: bool, payload: &[u8]) -> Self {
        let connection = Connection::server(Arc::new(Config::default()), Instant::now());
        let connection = connection.with_deflate(contexts(&DeflateConfig::default()));
        let bytes = if compressed {
            let mut frame = masked(true, opcode, &deflated(payload, 1));
            frame[0] |= 0x40;
            frame
        } else {
            masked(true, opcode, payload)
        };
        Self { connection, bytes, compressed }
    }

    /// Takes so many bytes of the message, about; its payload, once it is whole.
    fn go_on(&mut self, bytes: usize, pool: &mut Pool) -> Option<Vec<u8>> {
        pool.allow_inflating(bytes as u64);
        let most = if self.compressed { usize::MAX } else { bytes };
        let piece = self.bytes.len().min(most);
        let input = &mut self.bytes[..piece];
        let (used, event) =
            self.connection.handle_input(Instant::now(), input, pool).expect("healthy");
        let heard = event.map(|event| match event {
            Event::Message(Message::Text(text)) => text.into_owned().into_bytes(),
            Event::Message(Message::Binary(bytes)) => bytes.into_owned(),
            other => panic!("{other:?}"),
        });
        self.bytes.drain(..used);
        heard
    }
}

/// All have begun before the first goes on, and each goes on until it is heard.
#[test]
fn long_messages_that_are_finished_one_after_another_share_one_large_buffer() {
    let payload: Vec<u8> = (0..MIB).map(|at| b'a' + (at * at / 4096 % 26) as u8).collect();
    for opcode in [OpCode::Text, OpCode::Binary] {
        for compressed in [false, true] {
            let mut pool = Pool::new(usize::MAX);
            let mut crowd: Vec<_> =
                (0..COUNT).map(|_| Sender::new(opcode, compressed, &payload)).collect();
            pool.be_frugal(true);
            for sender in &mut crowd {
                assert_eq!(sender.go_on(16 * KIB, &mut pool), None);
            }
            for sender in &mut crowd {
                let heard = loop {
                    if let Some(heard) = sender.go_on(64 * KIB, &mut pool) {
                        break heard;
                    }
                };
                assert!(heard == payload);
                pool.give(heard);
            }
            // The first has grown by doubling.
            let most = 2 * MIB + COUNT * 64 * KIB;
            assert!(pool.kept() <= most, "{opcode:?}, {compressed}: {} bytes", pool.kept());
        }
    }
}
