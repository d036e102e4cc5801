//! The load generator: one thread, one epoll, frames encoded once, replies counted by bytes.
//!
//! Every client writes its batch (the frames it keeps in flight) in one piece and writes it again
//! when all replies are in. Replies are compared with what must come: the first and the last batch
//! of each client and run whole, the others by their first header and their exact length.

use std::io::{Error, ErrorKind, Result};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, recv, send};

use crate::scenario::Scenario;
use crate::wire;

/// Bytes read at once.
const BUFFER: usize = 256 * 1024;
/// A server from which nothing comes for this long has failed.
const STALL: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// What a run brought.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Count {
    /// Messages sent and answered.
    pub messages: u64,
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
    /// The replies to one batch; none where the client's own bytes come back.
    replies: Option<Vec<u8>>,
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    batch: Vec<u8>,
    sent: usize,
    received: usize,
    /// Compare this batch's replies byte for byte.
    compare: bool,
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
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mut clients = Vec::with_capacity(scenario.clients);
        for token in 0..scenario.clients {
            let stream = open(address, bare)?;
            let mask = Some(wire::random_mask()?);
            let batch = encode(scenario, &payload, mask);
            let interest = EventFlags::IN | EventFlags::OUT | EventFlags::ET;
            epoll::add(&epoll, &stream, EventData::new_u64(token as u64), interest)?;
            clients.push(Client { stream, batch, sent: 0, received: 0, compare: true });
        }
        let replies = (!bare).then(|| encode(scenario, &payload, None));
        let in_flight = scenario.in_flight as u64;
        Ok(Self { epoll, clients, buffer: vec![0; BUFFER], in_flight, replies })
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
                self.clients.iter_mut().for_each(|client| client.compare = true);
            }
            for event in events.drain(..) {
                let client = &mut self.clients[event.data.u64() as usize];
                let done = client.advance(phase, &mut self.buffer, self.replies.as_deref())?;
                batches += done;
                if phase == Phase::Drain && done > 0 {
                    open -= 1;
                }
            }
        }
        Ok(Count { messages: batches * self.in_flight, elapsed: began.elapsed() })
    }
}

impl Client {
    fn begin(&mut self, compare: bool) -> Result<()> {
        (self.sent, self.received, self.compare) = (0, 0, compare);
        self.write()
    }

    fn write(&mut self) -> Result<()> {
        while self.sent < self.batch.len() {
            match send(&self.stream, &self.batch[self.sent..], SendFlags::NOSIGNAL) {
                Ok(count) => self.sent += count,
                Err(Errno::AGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    /// Writes and reads what the socket allows; says how many batches were completed.
    fn advance(&mut self, phase: Phase, buffer: &mut [u8], replies: Option<&[u8]>) -> Result<u64> {
        self.write()?;
        let mut done = 0;
        loop {
            let count = match recv(&self.stream, &mut *buffer, RecvFlags::empty()) {
                Ok((0, _)) => {
                    let what = "the server ended the connection";
                    return Err(Error::new(ErrorKind::UnexpectedEof, what));
                }
                Ok((count, _)) => count,
                Err(Errno::AGAIN) => return Ok(done),
                Err(error) => return Err(error.into()),
            };
            if self.take(&buffer[..count], replies)? {
                done += 1;
                if phase == Phase::Keep {
                    self.begin(false)?;
                }
            }
            // A short read emptied the socket; more bytes are a new edge.
            if count < buffer.len() {
                return Ok(done);
            }
        }
    }

    /// Counts and checks received bytes; true when they complete the batch.
    fn take(&mut self, bytes: &[u8], replies: Option<&[u8]>) -> Result<bool> {
        const HEADER: usize = 2;
        let replies = replies.unwrap_or(&self.batch);
        let end = self.received + bytes.len();
        let Some(expected) = replies.get(self.received..end) else {
            return Err(Error::new(ErrorKind::InvalidData, "more bytes came than were due"));
        };
        let checked = match (self.compare, self.received) {
            (true, _) => bytes.len(),
            (false, 0) => bytes.len().min(HEADER),
            (false, _) => 0,
        };
        if bytes[..checked] != expected[..checked] {
            let text = format!("a reply differs from what was sent, at {}..{end}", self.received);
            return Err(Error::new(ErrorKind::InvalidData, text));
        }
        self.received = end;
        Ok(end == replies.len())
    }
}

fn open(address: SocketAddr, bare: bool) -> Result<TcpStream> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    if bare {
        wire::open_bare(&mut stream, "/echo")?;
    } else {
        wire::open(&mut stream, "/echo")?;
    }
    stream.set_nonblocking(true)?;
    Ok(stream)
}

fn encode(scenario: &Scenario, payload: &[u8], mask: Option<[u8; 4]>) -> Vec<u8> {
    let mut batch = Vec::with_capacity((payload.len() + 14) * scenario.in_flight);
    for _ in 0..scenario.in_flight {
        wire::push_frame(&mut batch, scenario.kind, payload, mask);
    }
    batch
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
