//! The load generator: one thread, one epoll, messages encoded once.
//!
//! Every client writes its batch in one piece and the next one when all replies are in; `talk` says
//! what they are. Without compression the replies of the first and the last batch of each client
//! and run are compared byte for byte, the others by their first header and their exact length.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustls::ClientConfig;

use crate::channel::Channel;
use crate::scenario::{Layer, Scenario};
use crate::talk::Talk;
use crate::{secure, wire};

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;
/// A server from which nothing comes for this long has failed.
const STALL: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// What a run brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    /// Messages sent and answered.
    pub messages: u64,
    /// Bytes of the answers, without TLS.
    pub bytes: u64,
    /// From the first write to the last reply.
    pub elapsed: Duration,
}

/// Connected clients with their frames; quiet between runs.
#[derive(Debug)]
pub(crate) struct Load {
    epoll: OwnedFd,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    in_flight: u64,
}

#[derive(Debug)]
struct Client {
    channel: Channel,
    talk: Talk,
    sent: usize,
    received: u64,
}

/// Whether a client that has all its replies begins again.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Keep,
    Drain,
}

impl Load {
    /// Connects all clients of a scenario and opens their `WebSockets`; with `bare` there is no
    /// protocol and the client's own bytes are expected back.
    pub(crate) fn connect(address: SocketAddr, scenario: &Scenario, bare: bool) -> Result<Self> {
        let payload = wire::payload(scenario.kind, scenario.payload)?;
        let tls = match scenario.layer {
            Layer::Tls => Some(secure::client()?),
            Layer::Plain | Layer::Deflate { .. } => None,
        };
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut clients = Vec::with_capacity(scenario.clients);
        for token in 0..scenario.clients {
            let channel = open(address, scenario.layer, tls.as_ref(), bare)?;
            let talk = Talk::new(scenario, token, &payload, bare)?;
            let interest = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            let data = EventData::new_u64(token as u64);
            epoll::add(&epoll, channel.stream(), data, interest)?;
            clients.push(Client { channel, talk, sent: 0, received: 0 });
        }
        let in_flight = scenario.in_flight as u64;
        Ok(Self { epoll, clients, buffer: vec![0; BUFFER], in_flight })
    }

    /// Keeps every client's messages in flight for `time`, then waits for the last replies.
    ///
    /// # Errors
    /// When the server ends a connection, stalls, or a reply is not what was sent.
    pub(crate) fn run(&mut self, time: Duration) -> Result<Count> {
        let began = Instant::now();
        let mut batches = 0;
        let mut open = self.clients.len();
        for client in &mut self.clients {
            client.received = 0;
            client.begin(true)?;
        }
        let mut phase = Phase::Keep;
        let mut events: Vec<Event> = Vec::with_capacity(256);
        while open > 0 {
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&STALL))?;
            if events.is_empty() {
                return Err(Error::new(ErrorKind::TimedOut, "no reply for 10 s"));
            }
            if phase == Phase::Keep && began.elapsed() >= time {
                phase = Phase::Drain;
                self.clients.iter_mut().for_each(|client| client.talk.compare());
            }
            for event in events.drain(..) {
                let client = &mut self.clients[event.data.u64() as usize];
                let done = client.advance(phase, &mut self.buffer)?;
                batches += done;
                if phase == Phase::Drain && done > 0 {
                    open -= 1;
                }
            }
        }
        let bytes = self.clients.iter().map(|client| client.received).sum();
        Ok(Count { messages: batches * self.in_flight, bytes, elapsed: began.elapsed() })
    }
}

impl Client {
    fn begin(&mut self, compare: bool) -> Result<()> {
        self.sent = 0;
        self.talk.begin(compare);
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        loop {
            let rest = &self.talk.batch()[self.sent..];
            let done = if rest.is_empty() {
                self.channel.flush().map(|()| 0)
            } else {
                self.channel.write(rest)
            };
            match done {
                Ok(0) => return Ok(()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
    }

    /// Writes and reads what the socket allows; says how many batches were completed.
    fn advance(&mut self, phase: Phase, buffer: &mut [u8]) -> Result<u64> {
        self.write()?;
        let mut done = 0;
        loop {
            let count = match self.channel.read(buffer) {
                Ok(0) => {
                    let what = "the server ended the connection";
                    return Err(Error::new(ErrorKind::UnexpectedEof, what));
                }
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(done),
                Err(error) => return Err(error),
            };
            self.received += count as u64;
            if self.talk.take(&buffer[..count])? {
                done += 1;
                if phase == Phase::Keep {
                    self.begin(false)?;
                }
            }
            if self.channel.is_emptied(count, buffer.len()) {
                return Ok(done);
            }
        }
    }
}

fn open(
    address: SocketAddr,
    layer: Layer,
    tls: Option<&Arc<ClientConfig>>,
    bare: bool,
) -> Result<Channel> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let mut channel = Channel::new(stream, tls)?;
    wire::open_for(&mut channel, address.port(), layer, bare)?;
    channel.stream().set_nonblocking(true)?;
    Ok(channel)
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::thread;

    use super::*;
    use crate::scenario::ScenarioId;
    use crate::wire::Kind;

    const SCENARIO: Scenario = Scenario {
        id: ScenarioId::Small,
        title: "",
        clients: 1,
        kind: Kind::Binary,
        payload: 100,
        in_flight: 3,
        layer: Layer::Plain,
        target: 1.0,
    };

    /// Gives one client's bytes back, the handshake untouched and the rest through `change`.
    fn echo_once(change: fn(&mut Vec<u8>)) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("bound");
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().expect("a client");
            let mut buffer = [0; 4096];
            let mut opened = false;
            while let Ok(count @ 1..) = stream.read(&mut buffer) {
                let mut bytes = buffer[..count].to_vec();
                if opened {
                    change(&mut bytes);
                }
                opened = opened || bytes.ends_with(b"\r\n\r\n");
                if stream.write_all(&bytes).is_err() {
                    break;
                }
            }
        });
        address
    }

    fn run(change: fn(&mut Vec<u8>)) -> Result<Count> {
        Load::connect(echo_once(change), &SCENARIO, true)?.run(Duration::from_millis(20))
    }

    #[test]
    fn whole_batches_are_counted() {
        let count = run(|_| ()).expect("an honest echo");
        assert!(count.messages >= 3 && count.messages.is_multiple_of(3));
    }

    #[test]
    fn a_changed_byte_is_found() {
        let error = run(|bytes| *bytes.last_mut().expect("not empty") ^= 1).expect_err("changed");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_surplus_byte_is_found() {
        let error = run(|bytes| bytes.push(0)).expect_err("one too many");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }

    #[test]
    fn a_handshake_without_its_answer_is_refused() {
        let address = echo_once(|_| ());
        let error = Load::connect(address, &SCENARIO, false).expect_err("no protocol there");
        assert_eq!(error.kind(), ErrorKind::InvalidData);
    }
}
