//! One WebSocket connection after the opening handshake, without its socket (RFC 6455 §5–§7).
//!
//! Bytes and the time go in by `handle_*`; events come back from [`Connection::handle_input`],
//! bytes to send from [`Connection::poll_output`], the next deadline from
//! [`Connection::poll_timeout`]. Pongs and close replies are made here. Messages to send are
//! framed by whoever sends them (`frame::write`), so that one queue keeps the order of everything.

mod whole;

use crate::close::{CloseCode, CloseFrame};
use crate::closing::Phase;
use crate::deflate::{CHUNK, Contexts};
use crate::error::ProtocolError;
use crate::frame::{self, FrameHeader, MAX_CONTROL, MAX_HEADER, OpCode};
use crate::mask::{self, MaskKey};
use crate::message::{Message, Partial};
use crate::pool::Pool;
use crate::text::Text;
use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, Instant};
pub use whole::WholeMessages;

/// A piece that is unmasked, checked and kept in one go, so that it stays in the first-level cache.
const PIECE: usize = 16 * 1024;
/// What the payload of this library's own pings begins with.
const KEEPALIVE: [u8; 4] = *b"clws";
/// How much longer than its message a compressed frame may be, in bytes, besides an eighth of the
/// limit: what does not compress grows a little.
const DEFLATE_SLACK: u64 = 64 * 1024;

/// What a connection allows and how long it waits.
#[derive(Clone, Debug)]
pub struct Config {
    /// The longest frame's payload, in bytes.
    pub max_frame_size: u64,
    /// The longest message, in bytes.
    pub max_message_size: u64,
    /// How long a message may stay unfinished.
    pub message_timeout: Duration,
    /// How long the peer may take to answer a close frame.
    pub close_timeout: Duration,
    /// A peer that was silent this long is sent a ping; `None` sends none.
    pub ping_interval: Option<Duration>,
    /// How long a peer may stay silent after such a ping.
    pub pong_timeout: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_frame_size: 1024 * 1024,
            max_message_size: 1024 * 1024,
            message_timeout: Duration::from_secs(30),
            close_timeout: Duration::from_secs(5),
            ping_interval: Some(Duration::from_secs(25)),
            pong_timeout: Duration::from_secs(20),
        }
    }
}

/// Where a client takes its masking keys from: unpredictable ones, outside tests (§5.3).
pub type MaskKeys = Box<dyn FnMut() -> MaskKey + Send>;

/// What the peer sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message.
    Message(Message<'a>),
    /// A ping; its pong is already waiting in [`Connection::poll_output`].
    Ping(Cow<'a, [u8]>),
    /// A pong that does not answer a ping of this library's own.
    Pong(Cow<'a, [u8]>),
    /// A close frame, the last event of a connection.
    Close(Option<CloseCode>, String),
}

/// A deadline passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expired {
    /// A message stayed unfinished; the connection failed and its close frame waits.
    Message,
    /// The peer gave no sign of life after a ping.
    Pong,
    /// The peer did not answer a close frame.
    Close,
}

/// The frame whose payload is arriving.
#[derive(Clone, Copy, Debug)]
struct Current {
    opcode: OpCode,
    fin: bool,
    key: MaskKey,
    remaining: u64,
}

/// One WebSocket connection after the opening handshake.
pub struct Connection {
    config: Arc<Config>,
    keys: Option<MaskKeys>,
    phase: Phase,
    last_input: Instant,
    /// When the latest keepalive ping was due, until its pong comes.
    pinged: Option<Instant>,
    /// How many keepalive pings there were; it may start anew.
    pings: u16,
    /// In microseconds; 0 before the first was measured.
    round_trip: u32,
    header: [u8; MAX_HEADER],
    header_len: u8,
    /// The longest payload that can be read without another look at the limits.
    short_max: u8,
    close_sent: bool,
    ping_due: bool,
    unread_text: bool,
    current: Option<Current>,
    control: Vec<u8>,
    message: Option<Box<Partial>>,
    pong: Option<Box<[u8]>>,
    close: Option<Box<[u8]>>,
    deflate: Option<Box<Contexts>>,
}

impl Connection {
    /// The server's end.
    pub fn server(config: Arc<Config>, now: Instant) -> Self {
        Self::new(config, None, now)
    }

    /// A client's end.
    pub fn client(config: Arc<Config>, keys: MaskKeys, now: Instant) -> Self {
        Self::new(config, Some(keys), now)
    }

    fn new(config: Arc<Config>, keys: Option<MaskKeys>, now: Instant) -> Self {
        let longest = config.max_frame_size.min(config.max_message_size);
        Self {
            short_max: u8::try_from(longest).unwrap_or(u8::MAX),
            config,
            keys,
            phase: Phase::Open,
            last_input: now,
            pinged: None,
            pings: 0,
            round_trip: 0,
            header: [0; MAX_HEADER],
            header_len: 0,
            close_sent: false,
            ping_due: false,
            unread_text: false,
            current: None,
            control: Vec::new(),
            message: None,
            pong: None,
            close: None,
            deflate: None,
        }
    }

    /// Lets messages be compressed (RFC 7692), as the opening handshake agreed.
    pub fn with_deflate(mut self, contexts: Contexts) -> Self {
        self.deflate = Some(Box::new(contexts));
        self
    }

    /// Gives long texts that are whole in the input as [`Message::Unread`]: for who only passes
    /// them on, they are checked while they are unmasked.
    pub fn with_unread_text(mut self) -> Self {
        self.unread_text = true;
        self
    }

    /// Takes bytes from the peer up to the next event.
    ///
    /// Returns how many bytes were used and the event they completed. Without an event all of
    /// `input` was used, unless `pool` allows no more inflating
    /// ([`Pool::allow_inflating`]): what is left is then to be handed in again, as it is, once the
    /// pool allows more. Payloads are unmasked in place, and a message that is whole in `input` is
    /// lent from there. After an error the connection has failed (§7.1.7): its close frame waits
    /// in [`Self::poll_output`], and further input is ignored.
    #[inline]
    pub fn handle_input<'a>(
        &mut self,
        now: Instant,
        input: &'a mut [u8],
        pool: &mut Pool,
    ) -> Result<(usize, Option<Event<'a>>), ProtocolError> {
        self.last_input = now;
        let result = self.read_frames(now, input, pool);
        if let Err(error) = &result {
            self.fail(*error, now);
            self.discard(pool);
        }
        result
    }

    /// Whether the next byte begins a frame of a client's, and that may begin a message.
    #[inline]
    fn expects_message(&self) -> bool {
        self.phase.is_open()
            && self.header_len == 0
            && self.current.is_none()
            && self.message.is_none()
            && self.keys.is_none()
    }

    /// How many bytes the message takes up on the wire that begins at `input`, if it is one frame,
    /// not compressed, and within the limits. Were they all handed in at once it would be lent, and
    /// not copied.
    pub fn lendable(&self, input: &[u8]) -> Option<u64> {
        let (header, used) = FrameHeader::parse(input).ok().flatten()?;
        let whole = header.fin && matches!(header.opcode, OpCode::Text | OpCode::Binary);
        let may = self.expects_message() && whole && !header.rsv1;
        (may && self.check_size(header.len, false).is_ok()).then_some(used as u64 + header.len)
    }

    #[inline]
    fn read_frames<'a>(
        &mut self,
        now: Instant,
        input: &'a mut [u8],
        pool: &mut Pool,
    ) -> Result<(usize, Option<Event<'a>>), ProtocolError> {
        let total = input.len();
        let mut rest = input;
        while !rest.is_empty() && !self.phase.is_deaf() {
            let current = if let Some(current) = self.current {
                current
            } else {
                let Some((header, used)) = self.read_header(rest)? else { break };
                rest = rest.get_mut(used..).unwrap_or_default();
                self.begin(&header, now, pool)?
            };
            let take = current.remaining.min(rest.len() as u64) as usize;
            let (piece, after) = rest.split_at_mut(take);
            rest = after;
            let (used, event) = self.read_payload(current, piece, now, pool)?;
            if event.is_some() || used < take {
                return Ok((total - rest.len() - (take - used), event));
            }
        }
        Ok((total, None))
    }

    /// Reads a frame header that may have begun in earlier input; `None` when it is still cut.
    #[inline]
    fn read_header(&mut self, input: &[u8]) -> Result<Option<(FrameHeader, usize)>, ProtocolError> {
        if self.header_len == 0
            && let Some(found) = FrameHeader::parse(input)?
        {
            return Ok(Some(found));
        }
        let had = usize::from(self.header_len);
        let free = self.header.get_mut(had..).unwrap_or_default();
        let taken = free.len().min(input.len());
        for (slot, byte) in free.iter_mut().zip(input) {
            *slot = *byte;
        }
        let filled = self.header.get(..had + taken).unwrap_or_default();
        if let Some((header, used)) = FrameHeader::parse(filled)? {
            self.header_len = 0;
            return Ok(Some((header, used.saturating_sub(had))));
        }
        self.header_len = (had + taken) as u8;
        Ok(None)
    }

    /// Checks a frame against the connection's state before its payload is looked at.
    #[inline]
    fn begin(
        &mut self,
        header: &FrameHeader,
        now: Instant,
        pool: &mut Pool,
    ) -> Result<Current, ProtocolError> {
        // RFC 7692 §6: the bit stands on the first frame of a message and nowhere else.
        let begins = matches!(header.opcode, OpCode::Text | OpCode::Binary);
        if header.rsv1 && !(begins && self.deflate.is_some()) {
            return Err(ProtocolError::ReservedBits);
        }
        let key = match (header.mask, &self.keys) {
            (Some(key), None) => key,
            (None, Some(_)) => [0; 4],
            (None, None) => return Err(ProtocolError::Unmasked),
            (Some(_), Some(_)) => return Err(ProtocolError::Masked),
        };
        if !header.opcode.is_control() {
            self.begin_data(header, now, pool)?;
        }
        let current =
            Current { opcode: header.opcode, fin: header.fin, key, remaining: header.len };
        self.current = Some(current);
        Ok(current)
    }

    #[inline]
    fn begin_data(
        &mut self,
        header: &FrameHeader,
        now: Instant,
        pool: &mut Pool,
    ) -> Result<(), ProtocolError> {
        let continues = header.opcode == OpCode::Continuation;
        match (continues, self.message.is_some()) {
            (true, false) => return Err(ProtocolError::UnexpectedContinuation),
            (false, true) => return Err(ProtocolError::ExpectedContinuation),
            _ => {}
        }
        let compressed =
            header.rsv1 || self.message.as_ref().is_some_and(|message| message.is_compressed());
        self.check_size(header.len, compressed)?;
        if !header.fin || continues || compressed {
            let text = header.opcode == OpCode::Text;
            let new = || Box::new(Partial::new(text, compressed, now, pool));
            let message = self.message.get_or_insert_with(new);
            message.charge(header.len, self.config.max_message_size)?;
        }
        Ok(())
    }

    /// What a compressed message inflates to is bounded while it is inflated.
    #[inline]
    fn check_size(&self, len: u64, compressed: bool) -> Result<(), ProtocolError> {
        let max_frame = self.config.max_frame_size;
        let slack = if compressed { max_frame / 8 + DEFLATE_SLACK } else { 0 };
        if len > max_frame.saturating_add(slack) {
            return Err(ProtocolError::FrameTooBig);
        }
        let before = self.message.as_ref().map_or(0, |message| message.len());
        if !compressed && before + len > self.config.max_message_size {
            return Err(ProtocolError::MessageTooBig);
        }
        Ok(())
    }

    /// Gives how many bytes of `piece` were used, all with an event.
    #[inline]
    fn read_payload<'a>(
        &mut self,
        mut current: Current,
        piece: &'a mut [u8],
        now: Instant,
        pool: &mut Pool,
    ) -> Result<(usize, Option<Event<'a>>), ProtocolError> {
        let len = piece.len();
        let done = current.remaining == len as u64;
        if current.opcode.is_control() {
            current.key = mask::apply(current.key, piece);
            self.used(current, len);
            return Ok((len, self.read_control(current.opcode, piece, done, now)?));
        }
        if done && current.fin && self.message.is_none() {
            self.current = None;
            if !self.phase.is_open() {
                return Ok((len, None));
            }
            let message = self.unmask(current.opcode, current.key, piece)?;
            return Ok((len, Some(Event::Message(message))));
        }
        let used = self.assemble(&mut current, piece, now, pool)?;
        self.used(current, used);
        if used < len || !(done && current.fin) {
            return Ok((used, None));
        }
        Ok((len, self.end_message(pool)?))
    }

    /// Unmasks a message that stands whole in the input, and lends it.
    #[inline]
    fn unmask<'a>(
        &self,
        opcode: OpCode,
        key: MaskKey,
        payload: &'a mut [u8],
    ) -> Result<Message<'a>, ProtocolError> {
        if self.unread_text && opcode == OpCode::Text {
            let text = Text::unmask(key, payload);
            return Ok(Message::Unread(text.map_err(|_| ProtocolError::InvalidUtf8)?));
        }
        mask::apply_whole(key, payload);
        lend(opcode, payload)
    }

    /// Counts bytes of the frame that is arriving; `current` has the key for those after them.
    #[inline]
    fn used(&mut self, mut current: Current, bytes: usize) {
        current.remaining -= bytes as u64;
        self.current = (current.remaining > 0).then_some(current);
    }

    /// The message that was put together is whole.
    fn end_message(&mut self, pool: &mut Pool) -> Result<Option<Event<'static>>, ProtocolError> {
        self.end_inflate(pool)?;
        let Some(partial) = self.message.take() else { return Ok(None) };
        if !self.phase.is_open() {
            partial.discard(pool);
            return Ok(None);
        }
        Ok(Some(Event::Message(partial.finish()?)))
    }

    /// Keeps a piece of a message; gives how many bytes of it were used, and in `current` the key
    /// for those after them. The others are masked as they were.
    fn assemble(
        &mut self,
        current: &mut Current,
        piece: &mut [u8],
        now: Instant,
        pool: &mut Pool,
    ) -> Result<usize, ProtocolError> {
        if !self.phase.is_open() {
            return Ok(piece.len());
        }
        let text = current.opcode == OpCode::Text;
        let new = || Box::new(Partial::new(text, false, now, pool));
        let message = self.message.get_or_insert_with(new);
        let limit = self.config.max_message_size;
        message.make_room(coming(message, piece, pool), pool);
        let mut total = 0;
        for part in piece.chunks_mut(PIECE) {
            let next = mask::apply(current.key, part);
            let used = match &mut self.deflate {
                Some(contexts) if message.is_compressed() => {
                    let push = |chunk: &[u8]| message.push(chunk);
                    let (codecs, allowance) = pool.inflating();
                    contexts.inflate_some(part, limit, allowance, codecs, push)?
                }
                _ => {
                    message.push(part)?;
                    part.len()
                }
            };
            total += used;
            if used < part.len() {
                current.key = mask::turned(current.key, used);
                mask::apply(current.key, part.get_mut(used..).unwrap_or_default());
                break;
            }
            current.key = next;
        }
        Ok(total)
    }

    /// Inflates what is left when a compressed message's last frame is there.
    fn end_inflate(&mut self, pool: &mut Pool) -> Result<(), ProtocolError> {
        if let (Some(message), Some(contexts)) = (&mut self.message, &mut self.deflate)
            && message.is_compressed()
            && self.phase.is_open()
        {
            let limit = self.config.max_message_size;
            contexts.inflate(&[], true, limit, pool.codecs(), |chunk| message.push(chunk))?;
        }
        Ok(())
    }

    fn read_control<'a>(
        &mut self,
        opcode: OpCode,
        piece: &'a [u8],
        done: bool,
        now: Instant,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        let payload = if done && self.control.is_empty() {
            Cow::Borrowed(piece)
        } else {
            self.control.extend_from_slice(piece);
            if !done {
                return Ok(None);
            }
            Cow::Owned(std::mem::take(&mut self.control))
        };
        match opcode {
            OpCode::Close => self.closed_by_peer(&payload, now).map(Some),
            OpCode::Ping => {
                if self.phase.is_open() {
                    self.pong = Some(Box::from(&*payload));
                }
                Ok(Some(Event::Ping(payload)))
            }
            _ => match keepalive_number(&payload) {
                Some(number) => {
                    self.measure(number, now);
                    Ok(None)
                }
                None => Ok(Some(Event::Pong(payload))),
            },
        }
    }

    /// Takes the time of the latest ping's pong; one that answers an earlier ping says nothing.
    fn measure(&mut self, number: u32, now: Instant) {
        if number == u32::from(self.pings)
            && let Some(pinged) = self.pinged.take()
        {
            let micros = now.saturating_duration_since(pinged).as_micros();
            self.round_trip = u32::try_from(micros).unwrap_or(u32::MAX).max(1);
        }
    }

    fn closed_by_peer(
        &mut self,
        payload: &[u8],
        now: Instant,
    ) -> Result<Event<'static>, ProtocolError> {
        let said = CloseFrame::parse(payload)?;
        self.queue_close(CloseFrame { code: said.code, reason: "" }, now);
        self.phase = Phase::Deaf;
        Ok(Event::Close(said.code, said.reason.to_owned()))
    }

    fn queue_close(&mut self, frame: CloseFrame<'_>, now: Instant) {
        if self.phase.close(now) {
            self.close = Some(frame.to_payload().into());
            self.pong = None;
            self.ping_due = false;
        }
    }

    fn fail(&mut self, error: ProtocolError, now: Instant) {
        let code = Some(error.close_code());
        self.queue_close(CloseFrame { code, reason: error.reason() }, now);
        self.phase = Phase::Deaf;
    }

    /// Starts the closing handshake (§7.1.2); does nothing when it has begun already.
    ///
    /// The reason is cut to 123 bytes; without a code there is none.
    pub fn close(&mut self, code: Option<CloseCode>, reason: &str, now: Instant) {
        self.queue_close(CloseFrame { code, reason }, now);
    }

    /// Whether messages may still be sent: no close frame is out or waiting.
    pub fn is_open(&self) -> bool {
        self.phase.is_open()
    }

    /// Whether nothing more will come of this connection: the peer's close frame came, or the peer
    /// broke the protocol, and the answer was handed to [`Self::poll_output`]'s caller.
    pub fn is_finished(&self) -> bool {
        self.phase.is_deaf() && self.close.is_none()
    }

    /// Whether a close frame of this end has been handed out.
    pub fn close_sent(&self) -> bool {
        self.close_sent
    }

    /// Whether a message or a control frame is unfinished.
    pub fn is_mid_message(&self) -> bool {
        self.message.is_some() || self.current.is_some() || self.header_len > 0
    }

    /// Of a compressed message that is not finished: since when, and how many bytes it has inflated
    /// to so far.
    #[inline]
    pub fn inflating(&self) -> Option<(Instant, u64)> {
        let message = self.message.as_ref().filter(|message| message.is_compressed())?;
        Some((message.started(), message.len()))
    }

    /// How many bytes of the frame that is arriving are still to come; 0 between frames.
    #[inline]
    pub fn remaining(&self) -> u64 {
        self.current.map_or(0, |current| current.remaining)
    }

    /// Whether [`Self::poll_output`] has something to hand out.
    #[inline]
    pub fn has_output(&self) -> bool {
        self.pong.is_some() || self.close.is_some() || self.ping_due
    }

    /// Appends the control frames that are due to `out`: the pong of the latest ping (§5.5.3), a
    /// keepalive ping, a close frame.
    pub fn poll_output(&mut self, out: &mut Vec<u8>) {
        if let Some(payload) = self.pong.take() {
            self.write(OpCode::Pong, &payload, out);
        }
        if self.ping_due {
            self.ping_due = false;
            let number = u32::from(self.pings);
            let mut payload = [0; 8];
            for (slot, byte) in
                payload.iter_mut().zip(KEEPALIVE.into_iter().chain(number.to_be_bytes()))
            {
                *slot = byte;
            }
            self.write(OpCode::Ping, &payload, out);
        }
        if let Some(payload) = self.close.take() {
            self.close_sent = true;
            self.write(OpCode::Close, &payload, out);
        }
    }

    fn write(&mut self, opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) {
        let mask = self.keys.as_mut().map(|keys| keys());
        frame::write(out, opcode, payload, mask);
    }

    /// Appends a text message in one frame; `false` when the connection is closing.
    pub fn send_text(&mut self, text: &str, out: &mut Vec<u8>) -> bool {
        self.send(OpCode::Text, text.as_bytes(), out)
    }

    /// Appends a binary message in one frame; `false` when the connection is closing.
    pub fn send_binary(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> bool {
        self.send(OpCode::Binary, bytes, out)
    }

    /// Appends a ping; `false` when the connection is closing or the payload is over 125 bytes.
    pub fn send_ping(&mut self, payload: &[u8], out: &mut Vec<u8>) -> bool {
        payload.len() <= MAX_CONTROL && self.send(OpCode::Ping, payload, out)
    }

    fn send(&mut self, opcode: OpCode, payload: &[u8], out: &mut Vec<u8>) -> bool {
        if self.is_open() {
            self.write(opcode, payload, out);
        }
        self.is_open()
    }

    /// When [`Self::handle_timeout`] wants to be called; it changes with input, output and closes.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if !self.phase.is_open() {
            return self.phase.deadline(self.config.close_timeout);
        }
        let message = self.message.as_ref().map(|m| m.started() + self.config.message_timeout);
        message.into_iter().chain(self.keepalive_deadline()).min()
    }

    fn keepalive_deadline(&self) -> Option<Instant> {
        let interval = self.config.ping_interval?;
        Some(match self.unheard() {
            Some(pinged) => pinged + self.config.pong_timeout,
            None => self.last_input + interval,
        })
    }

    /// When the keepalive ping was due that nothing came after; any input is a sign of life.
    fn unheard(&self) -> Option<Instant> {
        self.pinged.filter(|pinged| self.last_input < *pinged)
    }

    /// How long the latest keepalive ping that was answered and its pong took together, in
    /// microseconds, at least 1; 0 before the first. It is measured from when the ping was due to
    /// when its pong was handed in, so it counts what either waited for at this end.
    #[inline]
    pub fn round_trip_micros(&self) -> u32 {
        self.round_trip
    }

    /// Does what is due at `now`: a keepalive ping goes to [`Self::poll_output`], a peer that let
    /// a deadline pass is named in the result.
    pub fn handle_timeout(&mut self, now: Instant) -> Option<Expired> {
        if !self.phase.is_open() {
            let deadline = self.phase.deadline(self.config.close_timeout);
            return deadline.filter(|deadline| now >= *deadline).map(|_| Expired::Close);
        }
        let late = |m: &Partial| now >= m.started() + self.config.message_timeout;
        if self.message.as_ref().is_some_and(|message| late(message)) {
            self.fail(ProtocolError::MessageTimeout, now);
            return Some(Expired::Message);
        }
        if self.keepalive_deadline().is_none_or(|deadline| now < deadline) {
            return None;
        }
        if self.unheard().is_some() {
            return Some(Expired::Pong);
        }
        self.pinged = Some(now);
        self.pings = self.pings.wrapping_add(1);
        self.ping_due = true;
        None
    }

    /// The bytes of memory it holds of what has not come whole, and of a pong and a close frame
    /// that wait to be sent.
    pub fn buffered(&self) -> usize {
        let waiting = [&self.pong, &self.close].into_iter().flatten().map(|one| one.len());
        let message = self.message.as_ref().map_or(0, |message| message.memory());
        message + self.control.capacity() + waiting.sum::<usize>()
    }

    /// Whether it is open, holds no memory of its own, has nothing to say and waits for nothing in
    /// particular. As long as that is so, its deadline only moves later.
    #[inline]
    pub fn is_at_rest(&self) -> bool {
        let holds = self.message.is_some() || self.control.capacity() > 0;
        let inflates = self.deflate.as_ref().is_some_and(|contexts| !contexts.is_empty());
        self.phase.is_open() && !holds && !inflates && !self.has_output() && self.pinged.is_none()
    }

    /// The bytes of memory it holds to inflate messages: none while it is idle, but with context
    /// takeover.
    pub fn history(&self) -> usize {
        self.deflate.as_ref().map_or(0, |contexts| contexts.memory())
    }

    /// Frees what it needs to inflate messages, if it has not needed it since this was called
    /// last: see [`Contexts::retire`].
    pub fn retire(&mut self) {
        if let Some(contexts) = &mut self.deflate {
            contexts.retire();
        }
    }

    /// Whether [`Self::retire`] may have something to free, now or when it is called again.
    #[inline]
    pub fn has_spares(&self) -> bool {
        self.deflate.as_ref().is_some_and(|contexts| contexts.has_spares())
    }

    /// Excuses the peer's silence up to `now`, but no message that is not finished.
    pub fn excuse_silence(&mut self, now: Instant) {
        self.last_input = now;
        self.pinged = None;
    }

    /// Excuses the peer's silence up to `now`: this end did not listen, to keep its queues short.
    pub fn excuse(&mut self, now: Instant) {
        self.excuse_silence(now);
        if let Some(message) = &mut self.message {
            message.restart(now);
        }
    }

    /// Begins every wait for the peer anew at `now`: this end was away and could not hear it.
    pub fn forgive(&mut self, now: Instant) {
        self.excuse(now);
        self.phase.restart(now);
    }

    /// Gives what an unfinished message holds back to the pool; for a connection that ends.
    pub fn discard(&mut self, pool: &mut Pool) {
        if let Some(partial) = self.message.take() {
            partial.discard(pool);
        }
        if let Some(mut contexts) = self.deflate.take() {
            contexts.release(pool.codecs());
        }
        self.current = None;
        self.control = Vec::new();
        self.header_len = 0;
    }
}

/// A message that stands whole in the input: lent, not copied.
#[inline]
fn lend(opcode: OpCode, payload: &[u8]) -> Result<Message<'_>, ProtocolError> {
    Ok(if opcode == OpCode::Text {
        let text = crate::utf8::check(payload).map_err(|_| ProtocolError::InvalidUtf8)?;
        Message::Text(Cow::Borrowed(text))
    } else {
        Message::Binary(Cow::Borrowed(payload))
    })
}

/// How much a piece may add to its message, as far as that is likely: one that has inflated to more
/// than is inflated at once goes on for as long as it may.
fn coming(message: &Partial, piece: &[u8], pool: &Pool) -> usize {
    match message.is_compressed() {
        true if message.len() < CHUNK as u64 => 0,
        true => pool.allowance().min(64 * 1024) as usize,
        false => piece.len(),
    }
}

/// Which of this library's own pings a pong answers; `None` where it answers none.
fn keepalive_number(payload: &[u8]) -> Option<u32> {
    let number = payload.strip_prefix(&KEEPALIVE)?;
    Some(u32::from_be_bytes(number.try_into().ok()?))
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("phase", &self.phase)
            .field("current", &self.current)
            .field("close_sent", &self.close_sent)
            .finish_non_exhaustive()
    }
}
