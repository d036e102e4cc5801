//! What waits to be written to one client: encoded frames, in order.
//!
//! Small payloads are copied behind their headers into one buffer. A large payload that stands in
//! memory for as long as the queue is looked at (the receive buffer, a message put together) is
//! only referred to: it is written from where it is, and copied or taken over only where the
//! socket did not take all of it at once. That is what makes an echo cost no copy. Frames that
//! other clients get too are referred to as well, as long as anybody waits for them.

use crate::resource::Cause;
use crate::shared_run::{SharedFrames, SharedRun};
use clws_proto::close::CloseCode;
use clws_proto::copy;
use clws_proto::frame::{FrameHeader, MAX_HEADER, OpCode};
use clws_proto::pool::Pool;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::ops::Range;

/// Payloads from this size on are referred to instead of copied: below it a second slice in the
/// system call costs more than the copy.
const LEND_MIN: usize = 2048;
/// Frames that other clients get too are referred to from this size on: a client then costs a
/// reference for each.
const SHARE_MIN: usize = 512;
/// The most slices one write takes.
pub(crate) const MAX_SLICES: usize = 64;
/// Written bytes at the front of the buffer are dropped once there are this many of them.
const COMPACT_MIN: usize = 64 * 1024;

/// The memory that user code is lent while a callback runs, by address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lent {
    pub(crate) input: Range<usize>,
    pub(crate) message: Range<usize>,
}

impl Lent {
    pub(crate) fn range_of(bytes: &[u8]) -> Range<usize> {
        let start = bytes.as_ptr() as usize;
        start..start + bytes.len()
    }

    fn locate(&self, payload: &[u8]) -> Option<(Data, Range<usize>)> {
        let Range { start, end } = Self::range_of(payload);
        let within = |outer: &Range<usize>| outer.start <= start && end <= outer.end;
        if within(&self.input) {
            Some((Data::Input, start - self.input.start..end - self.input.start))
        } else if within(&self.message) {
            Some((Data::Message, start - self.message.start..end - self.message.start))
        } else {
            None
        }
    }
}

#[derive(Debug)]
enum Data {
    /// In the receive buffer, until [`SendQueue::settle_input`].
    Input,
    /// In the message that is being delivered, until [`SendQueue::settle_message`].
    Message,
    Owned(Vec<u8>),
    /// Frames that other clients get too.
    Shared(SharedFrames),
}

impl Data {
    /// The bytes it owns, and those it owns together with others.
    fn memory(&self) -> (usize, usize) {
        match self {
            Self::Owned(bytes) => (bytes.capacity(), 0),
            Self::Shared(bytes) => (0, bytes.len()),
            Self::Input | Self::Message => (0, 0),
        }
    }
}

/// A payload that stands outside the buffer, to be sent when the buffer is sent up to `at`.
#[derive(Debug)]
struct Foreign {
    at: usize,
    data: Data,
    range: Range<usize>,
    /// A whole message that may be dropped while nothing of it is written.
    droppable: bool,
}

impl Foreign {
    fn slice<'a>(&'a self, input: &'a [u8]) -> &'a [u8] {
        let whole: &[u8] = match &self.data {
            Data::Owned(bytes) => bytes,
            Data::Shared(bytes) => bytes,
            Data::Input => input,
            Data::Message => &[],
        };
        whole.get(self.range.clone()).unwrap_or_default()
    }
}

/// A message whose payload stands in the receive buffer: the usual long answer, in so few words
/// that it costs next to nothing to put it in and to take it out.
#[derive(Debug)]
struct Lone {
    header: FrameHeader,
    /// Where the payload stands, or all of the frame.
    range: Range<usize>,
    /// The header stands before its payload.
    joined: bool,
}

/// A close that user code asked for; it goes out behind everything sent before it.
#[derive(Debug)]
pub(crate) struct CloseOrder {
    pub(crate) code: Option<CloseCode>,
    pub(crate) reason: String,
    pub(crate) cause: Cause,
}

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "four facts, each changing by itself")]
pub(crate) struct SendQueue {
    bytes: Vec<u8>,
    written: usize,
    /// A lent payload with its header, while it is all that waits.
    lone: Option<Lone>,
    foreign: VecDeque<Foreign>,
    /// What stands behind all of the buffer and of `foreign`.
    run: SharedRun,
    /// Bytes that wait in `lone`, in `foreign` and in `run`.
    foreign_len: usize,
    /// How many payloads refer to the message that is being delivered.
    lent: usize,
    /// The memory behind these: the queue's own, and what other clients hold too.
    owned: usize,
    shared: usize,
    /// Set by the session while user code runs: whether messages are taken at all.
    pub(crate) open: bool,
    pub(crate) overrun: bool,
    /// A callback was told of backpressure.
    pub(crate) pressed: bool,
    /// A message was put in that the session has not heard of yet.
    pub(crate) spoke: bool,
    /// How many of the waiting bytes are in the client's shared count already.
    pub(crate) counted: usize,
    pub(crate) close: Option<CloseOrder>,
}

impl SendQueue {
    /// Bytes that wait.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.bytes.len() - self.written + self.foreign_len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The buffer, for whole frames to be appended to, of so many bytes or about that.
    #[inline]
    pub(crate) fn room(&mut self, bytes: usize) -> &mut Vec<u8> {
        self.end_run();
        if self.bytes.capacity() - self.bytes.len() < bytes {
            self.drop_written(8);
        }
        &mut self.bytes
    }

    /// Makes what comes next stand behind the run, or the one message.
    #[inline(always)]
    fn end_run(&mut self) {
        self.end_lone();
        if !self.run.is_empty() {
            self.move_run();
        }
    }

    #[cold]
    fn move_run(&mut self) {
        let at = self.bytes.len();
        self.foreign.extend(self.run.take().map(|(frames, from)| {
            let range = from..frames.len();
            Foreign { at, data: Data::Shared(frames), range, droppable: false }
        }));
    }

    /// Turns the one message, if there is one, into a piece like any other.
    #[inline(always)]
    fn end_lone(&mut self) {
        if self.lone.is_some() {
            self.move_lone();
        }
    }

    #[cold]
    fn move_lone(&mut self) {
        let Some(Lone { header, range, joined }) = self.lone.take() else { return };
        if !joined {
            header.write(&mut self.bytes);
            self.foreign_len -= header.encoded_len();
        }
        let at = self.bytes.len();
        self.foreign.push_back(Foreign { at, data: Data::Input, range, droppable: false });
    }

    pub(crate) fn push(&mut self, header: &FrameHeader, payload: &[u8], lent: &Lent) {
        if payload.len() < LEND_MIN {
            return self.push_own(header, payload);
        }
        match lent.locate(payload) {
            Some((Data::Input, range)) if self.is_empty() => {
                self.foreign_len = header.encoded_len() + range.len();
                self.lone = Some(Lone { header: *header, range, joined: false });
            }
            Some((data, range)) => {
                header.write(self.room(MAX_HEADER));
                self.push_foreign(data, range);
            }
            None => self.push_own(header, payload),
        }
    }

    #[inline]
    fn push_own(&mut self, header: &FrameHeader, payload: &[u8]) {
        let room = self.room(MAX_HEADER + payload.len());
        header.write(room);
        copy::append(room, payload);
    }

    /// Appends a message in one frame, if messages are taken at all and no more than `mark` bytes
    /// wait then: nobody has to be told of it. `false` leaves everything as it is.
    #[inline]
    pub(crate) fn push_below(
        &mut self,
        mark: usize,
        opcode: OpCode,
        payload: &[u8],
        lent: &Lent,
    ) -> bool {
        let below = self.open && self.len() + MAX_HEADER + payload.len() <= mark;
        if below {
            self.spoke = true;
            let header = FrameHeader::new(opcode, payload.len());
            if payload.len() < LEND_MIN {
                self.push_own(&header, payload);
            } else {
                self.push(&header, payload, lent);
            }
        }
        below
    }

    /// Drops what was written off the buffer's front, if that is much and at least one part in
    /// `parts` of it all: moving the rest then costs little for each byte that was written.
    fn drop_written(&mut self, parts: usize) {
        if self.written < COMPACT_MIN || self.written * parts < self.bytes.len() {
            return;
        }
        self.bytes.drain(..self.written);
        for foreign in &mut self.foreign {
            foreign.at -= self.written;
        }
        self.written = 0;
    }

    /// Appends frames that were encoded elsewhere.
    pub(crate) fn push_encoded(&mut self, frames: Vec<u8>) {
        if frames.len() < LEND_MIN {
            self.room(frames.len()).extend_from_slice(&frames);
        } else {
            let range = 0..frames.len();
            self.push_foreign(Data::Owned(frames), range);
        }
    }

    /// Appends frames that other clients get too.
    pub(crate) fn push_shared(&mut self, frames: SharedFrames) {
        if frames.len() < SHARE_MIN {
            self.room(frames.len()).extend_from_slice(&frames);
        } else {
            self.end_lone();
            self.foreign_len += frames.len();
            self.shared += frames.len();
            self.run.push(frames);
        }
    }

    /// Appends a message that [`Self::drop_oldest`] may drop.
    pub(crate) fn push_droppable(&mut self, frames: Vec<u8>) {
        let range = 0..frames.len();
        self.push_foreign(Data::Owned(frames), range);
        self.mark_droppable();
    }

    /// The same for frames that other clients get too.
    pub(crate) fn push_droppable_shared(&mut self, frames: SharedFrames) {
        let range = 0..frames.len();
        self.push_foreign(Data::Shared(frames), range);
        self.mark_droppable();
    }

    fn mark_droppable(&mut self) {
        if let Some(last) = self.foreign.back_mut() {
            last.droppable = true;
        }
    }

    /// Drops the oldest message that may be dropped; `false` when there is none.
    pub(crate) fn drop_oldest(&mut self) -> bool {
        let untouched = |one: &Foreign| one.droppable && one.range.start == 0;
        let Some(index) = self.foreign.iter().position(untouched) else { return false };
        if let Some(dropped) = self.foreign.remove(index) {
            self.foreign_len -= dropped.range.len();
            self.forget(&dropped.data);
        }
        true
    }

    /// Has bytes wait before all others that were written before all others.
    pub(crate) fn put_back(&mut self, bytes: &[u8]) {
        self.end_lone();
        self.bytes.splice(self.written..self.written, bytes.iter().copied());
        for foreign in &mut self.foreign {
            foreign.at += bytes.len();
        }
    }

    fn push_foreign(&mut self, data: Data, range: Range<usize>) {
        self.end_run();
        self.foreign_len += range.len();
        self.lent += usize::from(matches!(data, Data::Message));
        self.count(&data);
        self.foreign.push_back(Foreign { at: self.bytes.len(), data, range, droppable: false });
    }

    fn count(&mut self, data: &Data) {
        let (owned, shared) = data.memory();
        self.owned += owned;
        self.shared += shared;
    }

    fn forget(&mut self, data: &Data) {
        let (owned, shared) = data.memory();
        self.owned -= owned;
        self.shared -= shared;
    }

    /// The bytes of memory it takes up, without what other clients hold too.
    #[inline]
    pub(crate) fn memory(&self) -> usize {
        let entries = self.foreign.capacity() * size_of::<Foreign>();
        let references = entries + self.run.memory();
        size_of::<Self>() + self.bytes.capacity() + references + self.owned
    }

    /// The bytes that other clients hold too.
    #[inline]
    pub(crate) fn shared(&self) -> usize {
        self.shared
    }

    /// Writes the header of a message that is alone to the place before its payload in the receive
    /// buffer, where the peer's longer header stood, so that both leave in one plain write: nothing
    /// else refers to the bytes that are overwritten.
    #[inline]
    pub(crate) fn join_input(&mut self, input: &mut [u8]) {
        let Some(Lone { header, range, joined: joined @ false }) = &mut self.lone else { return };
        let len = header.encoded_len();
        if let Some(place) = range.start.checked_sub(len)
            && let Some(free) = input.get_mut(place..range.start)
            && header.write_over(free)
        {
            range.start = place;
            *joined = true;
        } else {
            self.move_lone();
        }
    }

    /// What waits, where it is one piece: nearly always.
    #[inline]
    pub(crate) fn contiguous<'a>(&'a self, input: &'a [u8]) -> Option<&'a [u8]> {
        if let Some(Lone { range, joined, .. }) = &self.lone {
            return input.get(range.clone()).filter(|_| *joined);
        }
        let own = self.own();
        if self.foreign_len == 0 {
            return Some(own);
        }
        match self.foreign.front() {
            None => self.run.contiguous().filter(|_| own.is_empty()),
            Some(one) if own.is_empty() && one.range.len() == self.foreign_len => {
                Some(one.slice(input))
            }
            Some(_) => None,
        }
    }

    /// Fills `slices` with what waits, from the front; `input` is what [`Data::Input`] refers to.
    pub(crate) fn gather<'a>(
        &'a mut self,
        input: &'a [u8],
        slices: &mut [IoSlice<'a>; MAX_SLICES],
    ) -> usize {
        self.end_lone();
        let mut free = slices.iter_mut();
        let mut used = 0;
        let mut put = |slice: &'a [u8]| {
            if !slice.is_empty()
                && let Some(place) = free.next()
            {
                *place = IoSlice::new(slice);
                used += 1;
            }
        };
        let mut from = self.written;
        for foreign in self.foreign.iter().take(MAX_SLICES) {
            put(self.bytes.get(from..foreign.at).unwrap_or_default());
            from = foreign.at;
            put(foreign.slice(input));
        }
        if self.foreign.len() < MAX_SLICES {
            put(self.bytes.get(from..).unwrap_or_default());
            self.run.slices().take(MAX_SLICES).for_each(put);
        }
        used
    }

    /// What waits in its own buffer.
    #[inline]
    fn own(&self) -> &[u8] {
        self.bytes.get(self.written..).unwrap_or_default()
    }

    /// Drops what [`Self::own`] gave.
    #[inline]
    fn clear_own(&mut self) {
        self.bytes.clear();
        self.written = 0;
    }

    /// Drops `count` bytes from the front: the socket took them.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize, pool: &mut Pool) {
        if self.lone.is_some() && count == self.foreign_len {
            self.lone = None;
            self.foreign_len = 0;
        } else if self.foreign_len == 0 && count == self.len() {
            self.clear_own();
        } else {
            self.advance_pieces(count, pool);
        }
    }

    #[inline(never)]
    fn advance_pieces(&mut self, mut count: usize, pool: &mut Pool) {
        self.end_lone();
        while let Some(front) = self.foreign.front_mut() {
            let before = count.min(front.at - self.written);
            self.written += before;
            count -= before;
            let of_payload = count.min(front.range.len());
            front.range.start += of_payload;
            self.foreign_len -= of_payload;
            count -= of_payload;
            if self.written < front.at || !front.range.is_empty() {
                break;
            }
            let Some(done) = self.foreign.pop_front() else { break };
            self.forget(&done.data);
            if let Data::Owned(bytes) = done.data {
                pool.give(bytes);
            }
        }
        let own = count.min(self.bytes.len() - self.written);
        self.written += own;
        if count > own {
            self.advance_run(count - own);
        }
        if self.is_empty() {
            self.clear_own();
        } else {
            self.drop_written(2);
        }
    }

    #[inline(never)]
    fn advance_run(&mut self, count: usize) {
        self.foreign_len -= count;
        self.shared -= self.run.advance(count);
    }

    /// Copies what still refers to the receive buffer, before that is used again.
    pub(crate) fn settle_input(&mut self, input: &[u8], pool: &mut Pool) {
        self.end_lone();
        for foreign in self.foreign.iter_mut().filter(|one| matches!(one.data, Data::Input)) {
            let mut copy = pool.take();
            copy::append(&mut copy, input.get(foreign.range.clone()).unwrap_or_default());
            foreign.range = 0..copy.len();
            self.owned += copy.capacity();
            foreign.data = Data::Owned(copy);
        }
    }

    /// Takes a delivered message's buffer over for the payload that refers to it; a second
    /// reference gets a copy. A buffer nobody refers to goes back to the pool.
    pub(crate) fn settle_message(&mut self, message: Vec<u8>, pool: &mut Pool) {
        let referring = self.foreign.iter_mut().rev();
        let referring = referring.filter(|one| matches!(one.data, Data::Message));
        let mut heir = None;
        for foreign in referring.take(std::mem::take(&mut self.lent)) {
            if heir.is_none() {
                heir = Some(foreign);
                continue;
            }
            let mut copy = pool.take();
            copy::append(&mut copy, message.get(foreign.range.clone()).unwrap_or_default());
            foreign.range = 0..copy.len();
            self.owned += copy.capacity();
            foreign.data = Data::Owned(copy);
        }
        match heir {
            Some(foreign) => {
                self.owned += message.capacity();
                foreign.data = Data::Owned(message);
            }
            None => pool.give(message),
        }
    }

    /// Forgets everything: the client is gone.
    pub(crate) fn clear(&mut self, pool: &mut Pool) {
        let count = self.len();
        self.advance(count, pool);
        self.close = None;
        self.overrun = false;
        self.pressed = false;
        self.spoke = false;
    }

    /// Whether user code did something the session has not heard of yet.
    #[inline]
    pub(crate) fn has_news(&self) -> bool {
        self.close.is_some() || self.overrun || self.pressed
    }

    /// Whether an empty one is small enough to wait for the next client.
    pub(crate) fn is_reusable(&self, max: usize) -> bool {
        self.memory() <= max
    }
}

#[cfg(test)]
#[path = "send_queue_tests.rs"]
mod tests;
