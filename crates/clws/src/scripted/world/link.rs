//! A TCP connection without a system: two bounded streams, an end for each, and resets.
//!
//! The server's end behaves as a socket that does not block and whose readiness is told once, the
//! peer's end as the peer wishes.

use super::super::faults::Random;
use crate::session::Output;
use std::collections::VecDeque;
use std::io::{self, IoSlice};

/// What a worker is told of a socket, once.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ready {
    pub(super) readable: bool,
    /// The peer's end, or an error, is to be read.
    pub(super) closed: bool,
    pub(super) writable: bool,
}

impl Ready {
    pub(super) fn is_any(self) -> bool {
        self.readable || self.closed || self.writable
    }
}

#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the two ends change their minds apart")]
pub(super) struct Link {
    random: Random,
    /// Bytes on their way to the server, and to the peer.
    up: VecDeque<u8>,
    down: VecDeque<u8>,
    /// How many bytes the server has written and read.
    written: usize,
    read: usize,
    /// How many bytes each direction holds.
    room: usize,
    up_ended: bool,
    down_ended: bool,
    reset_by_peer: bool,
    reset_by_server: bool,
    /// The server has closed its socket.
    closed: bool,
    /// The last write was refused: the server is told when there is room.
    blocked: bool,
    pub(super) ready: Ready,
    pub(super) faults: Vec<String>,
}

/// What the peer finds when it reads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    Bytes(Vec<u8>),
    Nothing,
    End,
    Reset,
}

impl Link {
    pub(super) fn new(mut random: Random) -> Self {
        let room = [100, 3000, 20_000, 200_000][random.below(4)];
        Self::with_room(room, random)
    }

    pub(super) fn with_room(room: usize, random: Random) -> Self {
        Self {
            random,
            up: VecDeque::new(),
            down: VecDeque::new(),
            written: 0,
            read: 0,
            room,
            up_ended: false,
            down_ended: false,
            reset_by_peer: false,
            reset_by_server: false,
            closed: false,
            blocked: false,
            ready: Ready { writable: true, ..Ready::default() },
            faults: Vec::new(),
        }
    }

    /// The peer sends what there is room for; how much of it.
    pub(super) fn say(&mut self, bytes: &[u8]) -> usize {
        if self.closed {
            // What comes to a closed socket is answered with a reset.
            self.reset_by_server |= !bytes.is_empty();
            return bytes.len();
        }
        let count = bytes.len().min(self.room - self.up.len());
        self.up.extend(bytes.iter().take(count));
        self.ready.readable |= count > 0;
        count
    }

    /// What the worker is told, of bytes alone where there is more to say later.
    pub(super) fn tell(&mut self, halves: bool) -> Ready {
        let ready = std::mem::take(&mut self.ready);
        if !(halves && ready.readable) {
            return ready;
        }
        self.ready = Ready { readable: false, ..ready };
        Ready { readable: true, ..Ready::default() }
    }

    pub(super) fn end(&mut self) {
        self.up_ended = true;
        self.ready.closed = true;
    }

    /// The peer resets the connection; what it had sent may be lost with it.
    pub(super) fn reset(&mut self) {
        self.reset_by_peer = true;
        if self.random.one_in(2) {
            self.up.clear();
        }
        self.ready.closed = true;
    }

    pub(super) fn hear(&mut self, most: usize) -> Found {
        if self.reset_by_server {
            return Found::Reset;
        }
        let count = most.min(self.down.len());
        if count == 0 {
            let over = self.down.is_empty() && self.down_ended;
            return if over { Found::End } else { Found::Nothing };
        }
        if std::mem::take(&mut self.blocked) {
            self.ready.writable = true;
        }
        Found::Bytes(self.down.drain(..count).collect())
    }

    /// The server reads all there is, up to the size of its buffer.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.random.one_in(50) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        if self.up.is_empty() {
            return match (self.reset_by_peer, self.up_ended) {
                (true, _) => Err(io::ErrorKind::ConnectionReset.into()),
                (_, true) => Ok(0),
                _ => Err(io::ErrorKind::WouldBlock.into()),
            };
        }
        let count = buffer.len().min(self.up.len());
        self.read += count;
        for (slot, byte) in buffer.iter_mut().zip(self.up.drain(..count)) {
            *slot = byte;
        }
        Ok(count)
    }

    /// The server looks at what is first, and asks how much there is.
    pub(super) fn peek(&mut self, buffer: &mut [u8]) -> io::Result<(usize, usize)> {
        if self.reset_by_peer || self.random.one_in(50) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let count = buffer.len().min(self.up.len());
        for (slot, byte) in buffer.iter_mut().zip(&self.up) {
            *slot = *byte;
        }
        Ok((count, self.up.len()))
    }

    pub(super) fn half_close(&mut self) {
        if std::mem::replace(&mut self.down_ended, true) {
            self.faults.push("shut down twice".into());
        }
    }

    /// The server closes its socket. Bytes it has not read make the system reset the connection.
    pub(super) fn close(&mut self, reset: bool) {
        self.reset_by_server |= reset || !self.up.is_empty();
        self.down_ended = true;
        self.closed = true;
    }

    pub(super) fn written(&self) -> usize {
        self.written
    }

    pub(super) fn read_count(&self) -> usize {
        self.read
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed
    }

    /// Whether the server has written more than the peer's system takes.
    pub(super) fn is_blocked(&self) -> bool {
        self.blocked
    }
}

impl Output for Link {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.down_ended {
            self.faults.push("written to after it was shut down".into());
        }
        if self.reset_by_peer {
            return Err(io::ErrorKind::ConnectionReset.into());
        }
        if self.random.one_in(50) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        let room = self.room - self.down.len();
        // A write that takes less than there is room for is followed by readiness, as one that
        // takes nothing.
        let most = if self.random.one_in(4) { self.random.below(room + 1) } else { room };
        let count = wanted.min(most);
        let bytes = slices.iter().flat_map(|slice| slice.iter());
        self.down.extend(bytes.take(count));
        self.written += count;
        if count < wanted {
            self.blocked = true;
            if count < room.min(wanted) {
                self.blocked = false;
                self.ready.writable = true;
            }
        }
        if count == 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(count) }
    }
}
