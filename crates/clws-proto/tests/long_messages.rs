//! Long messages of many connections that share a pool: what stays of them when all are heard.

mod common;

use clws_proto::connection::{Config, Connection, Event};
use clws_proto::deflate::DeflateConfig;
use clws_proto::frame::{self, OpCode};
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

/// The rest of a message is worth reading at once where it is then lent.
#[test]
fn which_messages_would_be_lent() {
    let config = Config { max_frame_size: 100_000, max_message_size: 90_000, ..Config::default() };
    let fresh = || Connection::server(Arc::new(config.clone()), Instant::now());
    let [text, part, ping] = [(0x81, 90_000), (0x01, 300), (0x89, 100)].map(|(first, len)| {
        let mut bytes = Vec::new();
        frame::write(&mut bytes, OpCode::Text, &vec![b'x'; len], Some([1, 2, 3, 4]));
        bytes[0] = first;
        bytes
    });
    for cut in [0, 1, 13] {
        assert_eq!(fresh().lendable(&text[..cut]), None, "the header's {cut} first bytes");
    }
    for cut in [14, 15, text.len()] {
        assert_eq!(fresh().lendable(&text[..cut]), Some(text.len() as u64));
    }
    let mut long = Vec::new();
    frame::write(&mut long, OpCode::Text, &vec![b'x'; 90_001], Some([0; 4]));
    let compressed = [&[text[0] | 0x40], &text[1..]].concat();
    for other in [&long, &part, &ping, &compressed] {
        assert_eq!(fresh().lendable(other), None, "{:02x?}", &other[..14]);
    }
    let mut pool = Pool::new(0);
    for begun in [&text[..1], &text[..50], &part] {
        let mut connection = fresh();
        connection.handle_input(Instant::now(), &mut begun.to_vec(), &mut pool).unwrap();
        assert_eq!(connection.lendable(&text), None, "{} bytes before it", begun.len());
    }
    let mut closed = fresh();
    closed.close(None, "", Instant::now());
    assert_eq!(closed.lendable(&text), None);
}
