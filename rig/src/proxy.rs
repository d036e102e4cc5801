//! A proxy with faults: what passes through it is cut, delayed, stalled, reset or corrupted.
//!
//! Between a client and the server it holds what waits in each direction and decides by a seed when
//! how much of it goes on. What it is given it passes on in order, unless it is told to corrupt.

use crate::random::Random;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

/// How often the proxy decides.
const TICK: Duration = Duration::from_millis(2);
/// The most that waits in one direction; more stays in the sockets.
const HELD: usize = 64 * 1024;
/// Of how many pieces with bytes in them one is corrupted: rarely enough that most clients go on,
/// often enough that three seconds of a few innocents see it without fail.
const CORRUPTED: usize = 100;

/// What a network does to a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Delays, and pieces of any size.
    Split,
    /// A direction stands still for up to half a second now and then.
    Stall,
    /// Ends connections by a reset.
    Reset,
    /// Flips a bit of what clients send.
    Corrupt,
}

/// One direction of a connection.
#[derive(Debug, Default)]
struct Way {
    held: Vec<u8>,
    ended: bool,
    shut: bool,
    stalled: Option<Instant>,
}

#[derive(Debug)]
struct Pair {
    /// The client's and the server's.
    streams: [TcpStream; 2],
    /// From the client, and from the server.
    ways: [Way; 2],
}

#[derive(Debug)]
pub(crate) struct Proxy {
    poll: Poll,
    listener: TcpListener,
    server: SocketAddr,
    random: Random,
    pairs: Vec<Option<Pair>>,
    /// Resets or flipped bits.
    pub(crate) harm: usize,
}

impl Proxy {
    pub(crate) fn new(server: SocketAddr, seed: u64) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        poll.registry().register(&mut listener, Token(0), Interest::READABLE)?;
        let random = Random(seed);
        Ok(Self { poll, listener, server, random, pairs: Vec::new(), harm: 0 })
    }

    pub(crate) fn port(&self) -> io::Result<u16> {
        Ok(self.listener.local_addr()?.port())
    }

    /// Passes on with one fault until `end` says so.
    pub(crate) fn run(&mut self, fault: Fault, end: impl Fn() -> bool) -> io::Result<()> {
        let mut events = Events::with_capacity(256);
        while !end() {
            self.poll.poll(&mut events, Some(TICK))?;
            self.accept()?;
            for index in 0..self.pairs.len() {
                self.step(index, fault);
            }
        }
        Ok(())
    }

    fn accept(&mut self) -> io::Result<()> {
        while let Ok((mut client, _)) = self.listener.accept() {
            let mut server = TcpStream::connect(self.server)?;
            for stream in [&mut client, &mut server] {
                // Readiness only ends the wait early; every step tries both directions.
                let _ = stream.set_nodelay(true);
                self.poll.registry().register(stream, Token(1), Interest::READABLE)?;
            }
            let ways = [Way::default(), Way::default()];
            self.pairs.push(Some(Pair { streams: [client, server], ways }));
        }
        Ok(())
    }

    fn step(&mut self, index: usize, fault: Fault) {
        let random = &mut self.random;
        let Some(pair) = self.pairs.get_mut(index).and_then(Option::as_mut) else { return };
        if fault == Fault::Reset && random.once_in(1500) {
            for stream in &pair.streams {
                let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            }
            self.harm += 1;
            self.pairs[index] = None;
            return;
        }
        let lives = (0..2).all(|from| {
            let read = pair.ways[from].read(&mut pair.streams[from]);
            if from == 0 && fault == Fault::Corrupt {
                self.harm += usize::from(pair.ways[from].corrupt(random));
            }
            let (way, to) = (&mut pair.ways[from], &mut pair.streams[1 - from]);
            read && way.pass(to, fault, random)
        });
        if !lives || pair.ways.iter().all(|way| way.shut) {
            self.pairs[index] = None;
        }
    }
}

impl Way {
    /// Takes what there is; `false` when the connection failed.
    fn read(&mut self, stream: &mut TcpStream) -> bool {
        let mut chunk = [0; 4096];
        while self.held.len() < HELD && !self.ended {
            match stream.read(&mut chunk) {
                Ok(0) => self.ended = true,
                Ok(count) => self.held.extend_from_slice(&chunk[..count]),
                Err(error) => return is_patient(&error),
            }
        }
        true
    }

    /// Flips a bit of one piece in [`CORRUPTED`]; a turn that brought nothing doesn't count.
    fn corrupt(&mut self, random: &mut Random) -> bool {
        if self.held.is_empty() || !random.once_in(CORRUPTED) {
            return false;
        }
        let place = random.below(self.held.len());
        self.held[place] ^= 1 << random.below(8);
        true
    }

    /// Passes on as much as the fault lets through; `false` when the connection failed.
    fn pass(&mut self, to: &mut TcpStream, fault: Fault, random: &mut Random) -> bool {
        let now = Instant::now();
        if self.stalled.is_some_and(|until| now < until) {
            return true;
        }
        if fault == Fault::Stall && random.once_in(1000) {
            self.stalled = Some(now + Duration::from_millis(random.below(500) as u64));
            return true;
        }
        let share = match random.below(4) {
            0 if fault == Fault::Split => return true,
            1 if fault == Fault::Split => 1 + random.below(8),
            2 if fault == Fault::Split => 1 + random.below(1000),
            _ => self.held.len(),
        };
        let share = share.min(self.held.len());
        let sent = if share == 0 { Ok(0) } else { to.write(&self.held[..share]) };
        match sent {
            Ok(count) => drop(self.held.drain(..count)),
            Err(error) => return is_patient(&error),
        }
        if self.ended && self.held.is_empty() && !self.shut {
            self.shut = true;
            let _ = to.shutdown(Shutdown::Write);
        }
        true
    }
}

fn is_patient(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected | ErrorKind::Interrupted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_in_a_hundred_is_corrupted_in_one_bit() {
        let mut random = Random(1);
        let harm = (0..100 * CORRUPTED).filter(|_| {
            let mut way = Way { held: vec![0; 100], ..Way::default() };
            let corrupted = way.corrupt(&mut random);
            let flipped: u32 = way.held.iter().map(|byte| byte.count_ones()).sum();
            assert_eq!(flipped, u32::from(corrupted));
            assert!(!Way::default().corrupt(&mut random));
            corrupted
        });
        assert!((50..200).contains(&harm.count()));
    }
}
