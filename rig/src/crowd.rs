//! Many clients on one thread: connected at once, written to and read from as their sockets allow.
//!
//! A crowd knows nothing of scenarios. Each turn hands over who heard something; what a member is
//! to say is queued with it. A *deaf* member's socket is not read.

use crate::wire::{self, Frame, Reader};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

/// How many handshakes of a crowd are under way.
const AT_ONCE: usize = 200;

/// One client of a crowd.
#[derive(Debug)]
pub(crate) struct Member {
    stream: Option<TcpStream>,
    waiting: Vec<u8>,
    sent: usize,
    pub(crate) reader: Reader,
    pub(crate) deaf: bool,
    /// Of the answer to its request.
    pub(crate) status: Option<u16>,
    /// Of the close frame that came.
    pub(crate) code: Option<u16>,
    pub(crate) begun: Instant,
    pub(crate) ended: Option<Instant>,
    /// The system told of a reset or another failure.
    pub(crate) failed: bool,
    /// Bytes the system took.
    pub(crate) written: u64,
    /// Bytes that were read while it was deaf.
    pub(crate) sipped: u64,
}

impl Member {
    pub(crate) fn is_open(&self) -> bool {
        self.stream.is_some()
    }

    /// Bytes that wait for the socket.
    pub(crate) fn pending(&self) -> usize {
        self.waiting.len() - self.sent
    }

    /// How long the connection lasted, in seconds.
    pub(crate) fn lasted(&self) -> Option<f64> {
        self.ended.map(|ended| (ended - self.begun).as_secs_f64())
    }

    /// Queues bytes and writes what the socket takes.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        if self.is_open() {
            self.waiting.extend_from_slice(bytes);
            self.write();
        }
    }

    /// The next frame; answers and close codes are noted on the way, and pings are answered.
    pub(crate) fn frame(&mut self) -> Option<Frame> {
        if self.status.is_none() {
            self.status = self.reader.status();
        }
        if self.status != Some(101) {
            return None;
        }
        loop {
            let frame = self.reader.frame()?;
            if frame.first != wire::PING {
                self.code = self.code.or(frame.close_code());
                return Some(frame);
            }
            self.send(&wire::frame(wire::PONG, &frame.payload));
        }
    }

    /// Ends the connection: by a reset, or in order.
    pub(crate) fn leave(&mut self, reset: bool) {
        if let Some(stream) = &self.stream
            && reset
        {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
        self.end(false);
    }

    /// Ends the sending side.
    pub(crate) fn finish(&self) {
        if let Some(stream) = &self.stream {
            let _ = stream.shutdown(Shutdown::Write);
        }
    }

    fn end(&mut self, failed: bool) {
        self.failed |= failed;
        self.ended = self.ended.or_else(|| Some(Instant::now()));
        self.stream = None;
    }

    fn write(&mut self) {
        while self.sent < self.waiting.len() {
            let Some(stream) = &mut self.stream else { return };
            match stream.write(&self.waiting[self.sent..]) {
                Ok(count) => {
                    self.sent += count;
                    self.written += count as u64;
                }
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => return,
                    ErrorKind::Interrupted => {}
                    // What the server said before it went is still to be read.
                    _ => break,
                },
            }
        }
        self.waiting.clear();
        self.sent = 0;
    }

    /// Lets one who is deaf read at most so many bytes.
    pub(crate) fn sip(&mut self, chunk: &mut [u8]) {
        let Some(stream) = &mut self.stream else { return };
        match stream.read(chunk) {
            Ok(0) => self.end(false),
            Ok(count) => self.sipped += count as u64,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(_) => self.end(true),
        }
    }

    /// Reads all there is; true if something came or the connection ended.
    fn read(&mut self, chunk: &mut [u8]) -> bool {
        let mut heard = false;
        while !self.deaf
            && let Some(stream) = &mut self.stream
        {
            match stream.read(chunk) {
                Ok(0) => self.end(false),
                Ok(count) => self.reader.feed(&chunk[..count]),
                Err(error) => match error.kind() {
                    ErrorKind::WouldBlock | ErrorKind::NotConnected => return heard,
                    ErrorKind::Interrupted => continue,
                    _ => self.end(true),
                },
            }
            heard = true;
        }
        heard
    }
}

#[derive(Debug)]
pub(crate) struct Crowd {
    poll: Poll,
    events: Events,
    chunk: Vec<u8>,
    /// How much the system is to keep of what is not read, in bytes, unless it decides.
    pub(crate) narrow: Option<usize>,
    pub(crate) members: Vec<Member>,
}

impl Crowd {
    pub(crate) fn new() -> io::Result<Self> {
        let events = Events::with_capacity(1024);
        let (chunk, members) = (vec![0; 64 * 1024], Vec::new());
        Ok(Self { poll: Poll::new()?, events, chunk, narrow: None, members })
    }

    /// A crowd of so many clients of the resource at `path`, opened as by [`Self::open`].
    pub(crate) fn of(address: SocketAddr, path: &str, count: usize) -> io::Result<Self> {
        let mut crowd = Self::new()?;
        crowd.open(address, count, AT_ONCE, &wire::request(address, path, ""))?;
        Ok(crowd)
    }

    /// Begins a connection; `first` is sent as soon as it stands. Gives the member's index.
    pub(crate) fn connect(&mut self, address: SocketAddr, first: &[u8]) -> io::Result<usize> {
        let index = self.members.len();
        let member = self.member(index, address, first)?;
        self.members.push(member);
        Ok(index)
    }

    /// Has another client come in the place of one whose connection ended.
    pub(crate) fn replace(
        &mut self,
        index: usize,
        address: SocketAddr,
        first: &[u8],
    ) -> io::Result<()> {
        self.members[index] = self.member(index, address, first)?;
        Ok(())
    }

    /// Has everybody whose connection ended come again, and others until there are `count`; gives
    /// how many came.
    pub(crate) fn fill(
        &mut self,
        address: SocketAddr,
        count: usize,
        first: &[u8],
    ) -> io::Result<usize> {
        let mut came = 0;
        for index in 0..self.members.len() {
            if !self.members[index].is_open() {
                self.members[index] = self.member(index, address, first)?;
                came += 1;
            }
        }
        while self.members.len() < count {
            self.connect(address, first)?;
            came += 1;
        }
        Ok(came)
    }

    fn member(&self, index: usize, address: SocketAddr, first: &[u8]) -> io::Result<Member> {
        let mut stream = match self.narrow {
            None => TcpStream::connect(address)?,
            Some(bytes) => narrow(address, bytes)?,
        };
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(index), interest)?;
        let _ = stream.set_nodelay(true);
        Ok(Member {
            stream: Some(stream),
            waiting: first.to_vec(),
            sent: 0,
            reader: Reader::default(),
            deaf: false,
            status: None,
            code: None,
            begun: Instant::now(),
            ended: None,
            failed: false,
            written: 0,
            sipped: 0,
        })
    }

    /// Waits at most `patience` for sockets, and hands over each member that heard something.
    pub(crate) fn turn(
        &mut self,
        patience: Duration,
        mut hear: impl FnMut(usize, &mut Member),
    ) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(patience)) {
            Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
            _ => {}
        }
        for event in &self.events {
            let Token(index) = event.token();
            let member = &mut self.members[index];
            // All that one who is deaf learns of its end.
            member.failed |= event.is_error();
            if event.is_writable() {
                member.write();
            }
            if member.read(&mut self.chunk) {
                hear(index, member);
            }
        }
        Ok(())
    }

    /// Connects `count` members that ask for `request` and turns until each has its answer, or its
    /// connection ended. At most `at_once` handshakes are under way.
    pub(crate) fn open(
        &mut self,
        address: SocketAddr,
        count: usize,
        at_once: usize,
        request: &[u8],
    ) -> io::Result<()> {
        let (begin, mut answered) = (self.members.len(), 0);
        let give_up = Instant::now() + Duration::from_mins(1);
        while answered < count && Instant::now() < give_up {
            let missing = count - (self.members.len() - begin);
            let under_way = count - missing - answered;
            for _ in 0..missing.min(at_once.saturating_sub(under_way)) {
                self.connect(address, request)?;
            }
            self.turn(Duration::from_millis(100), |_, member| {
                if member.status.is_none() {
                    member.status = member.reader.status();
                    answered += usize::from(member.status.is_some() || !member.is_open());
                }
            })?;
        }
        Ok(())
    }

    /// Ends all deafness, and reads what waited meanwhile.
    pub(crate) fn listen(&mut self) {
        for member in &mut self.members {
            if std::mem::take(&mut member.deaf) {
                member.read(&mut self.chunk);
            }
        }
    }

    /// Turns until `deadline`, or until nobody is left.
    pub(crate) fn turn_until(
        &mut self,
        deadline: Instant,
        mut hear: impl FnMut(usize, &mut Member),
    ) -> io::Result<()> {
        while self.members.iter().any(Member::is_open) {
            let Some(left) = deadline.checked_duration_since(Instant::now()) else { break };
            self.turn(left.min(Duration::from_millis(100)), &mut hear)?;
        }
        Ok(())
    }

    pub(crate) fn count(&self, wanted: impl Fn(&Member) -> bool) -> usize {
        self.members.iter().filter(|member| wanted(member)).count()
    }

    /// The shortest and the longest life of those that ended, in seconds.
    pub(crate) fn lives(&self) -> (f64, f64) {
        let lives = self.members.iter().filter_map(Member::lasted);
        lives.fold((f64::MAX, 0.0), |(least, most), one| (one.min(least), one.max(most)))
    }
}

/// A connection whose window was small from its beginning.
fn narrow(address: SocketAddr, bytes: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_recv_buffer_size(bytes)?;
    socket.connect(&address.into())?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket.into()))
}
