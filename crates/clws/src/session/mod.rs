//! One client without its socket: the boundary between engines and everything above them.
//!
//! A [`Session`] takes bytes, the time and commands; it gives bytes to an [`Output`], a deadline
//! and a wish for its socket's [`Fate`]. It runs the opening handshake (`opening`), then the
//! connection and the user's callbacks (`live`), then the orderly end of the socket. An idle
//! session owns no buffer: send queues and message buffers are the worker's, lent by its [`Kit`].

mod deferred;
mod deliver;
mod flush;
mod leaving;
mod live;
mod opening;
mod proxied;
mod relief;
mod secure;
mod stall;
mod wire;

use crate::addresses::Counted;
use crate::client::Mail;
use crate::hub::Kit;
use crate::peer::Peer;
use crate::resource::Cause;
use crate::scope::{self, Scope};
use crate::send_queue::SendQueue;
use crate::tls::TlsStage;
use clws_proto::copy;
pub(crate) use deferred::SMALL;
use leaving::Step;
use live::Live;
use opening::Opening;
pub(crate) use secure::Transport;
use stall::Stall;
use std::io::{self, IoSlice};
use std::time::Instant;

/// Where a session's bytes go: a socket that does not block.
pub(crate) trait Output {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize>;
}

/// What a session wants done with its socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Keep it.
    Keep,
    /// Nothing more will be written: shut that direction down, go on reading.
    HalfClose,
    /// Close it.
    Close,
    /// Reset it: the peer takes nothing.
    Abort,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly all sessions are live")]
enum Phase {
    Opening(Box<Opening>),
    Live(Live),
    /// The last bytes go out, then the peer gets until `until` to close its side.
    Ending {
        until: Instant,
        half_closed: bool,
        /// The peer closed its side.
        heard_end: bool,
    },
    Gone {
        abort: bool,
    },
}

/// Received bytes that wait for the client's next turn, or until it is listened to again.
#[derive(Debug)]
struct Stash {
    bytes: Vec<u8>,
    /// So many at the front are used: what is left is not moved each time a little is taken.
    used: usize,
    /// The peer said that nothing comes behind them.
    ended: bool,
}

/// One client without its socket.
#[derive(Debug)]
pub(crate) struct Session {
    id: u64,
    slot: u32,
    peer: Peer,
    phase: Phase,
    /// What stands between the queue and the socket.
    tls: Option<Box<TlsStage>>,
    queue: Option<Box<SendQueue>>,
    stash: Option<Box<Stash>>,
    /// What is held against a peer that does not take all that waits.
    stall: Option<Box<Stall>>,
    /// Its place among the connections of its address.
    counted: Option<Box<Counted>>,
    /// Nothing is read from the socket: memory is short, and much waits for this client.
    throttled: bool,
}

impl Session {
    pub(crate) fn new(kit: &Kit, slot: u32, peer: Peer, transport: &Transport) -> Self {
        let deadline = kit.now + kit.hub.limits.handshake_timeout;
        let (phase, tls) = match transport.begin() {
            Ok(tls) => {
                let proxied = transport.is_proxied();
                (Phase::Opening(Box::new(Opening::new(&kit.hub, deadline, proxied))), tls)
            }
            Err(()) => (Phase::Gone { abort: false }, None),
        };
        let id = kit.hub.next_id();
        let mut session = Self {
            id,
            slot,
            peer,
            phase,
            tls,
            queue: None,
            stash: None,
            stall: None,
            counted: None,
            throttled: false,
        };
        session.greet(kit, transport.is_proxied());
        session
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    /// Takes bytes from the peer; what they bring about is written before this returns, as far as
    /// the socket takes it.
    #[inline(always)]
    pub(crate) fn handle_input(&mut self, kit: &mut Kit, input: &mut [u8], out: &mut dyn Output) {
        if matches!(&self.phase, Phase::Opening(opening) if opening.awaits_header) {
            self.handle_header(kit, input, out);
        } else if self.tls.is_some() {
            self.handle_records(kit, input, out);
        } else {
            self.handle_plain(kit, input, out);
        }
    }

    #[inline(always)]
    fn handle_plain(&mut self, kit: &mut Kit, input: &mut [u8], out: &mut dyn Output) {
        match &mut self.phase {
            Phase::Live(_) => {
                let used = self.run(kit, input, out);
                self.keep(kit, input.get(used..).unwrap_or_default());
            }
            Phase::Opening(_) => self.handle_opening(kit, input, out),
            Phase::Ending { .. } | Phase::Gone { .. } => {}
        }
    }

    /// Lets the connection and user code work on `input`, and writes the answers; gives how many
    /// bytes were used. The others must wait: the turn's share of messages is used up, or the
    /// client is not listened to.
    #[inline(always)]
    fn run(&mut self, kit: &mut Kit, mut input: &mut [u8], out: &mut dyn Output) -> usize {
        let total = input.len();
        loop {
            let deliver = |live: &mut Live, kit: &mut Kit, input: &mut [u8]| {
                if live.step == Step::New {
                    live.begin(kit);
                }
                live.deliver(kit, input)
            };
            let Some(used) = self.in_scope(kit, input, out, deliver) else { break };
            input = input.get_mut(used..).unwrap_or_default();
            if input.is_empty() || kit.share == 0 || self.is_held() {
                break;
            }
        }
        // After the end nobody wants the rest.
        let left = if matches!(self.phase, Phase::Live(_)) { input.len() } else { 0 };
        total - left
    }

    /// Runs `work`, and user code in it, with the send queue in the thread's scope, and writes what
    /// it sends; `None` when the session is not live.
    #[inline(always)]
    fn in_scope<T>(
        &mut self,
        kit: &mut Kit,
        input: &mut [u8],
        out: &mut dyn Output,
        work: impl FnOnce(&mut Live, &mut Kit, &mut [u8]) -> T,
    ) -> Option<T> {
        let Phase::Live(live) = &mut self.phase else { return None };
        let mut queue = self.queue.take().unwrap_or_else(|| kit.queue());
        queue.open = live.is_open();
        scope::enter(Scope::new(live.address(), queue, live.contexts.take(), input));
        let done = work(live, kit, input);
        let Scope { mut queue, contexts, .. } = scope::leave();
        if contexts.is_some() {
            live.contexts = contexts;
        }
        queue.join_input(input);
        match self.write_whole(kit, queue, input, out) {
            Ok(()) if self.has_nothing_to_review() => {}
            rest => self.after_run(kit, rest, input, out),
        }
        Some(done)
    }

    /// Keeps received bytes for another turn.
    #[inline]
    fn keep(&mut self, kit: &mut Kit, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.keep_some(kit, bytes);
        }
    }

    #[inline(never)]
    fn keep_some(&mut self, kit: &mut Kit, bytes: &[u8]) {
        let mut kept = kit.pool.take();
        copy::append(&mut kept, bytes);
        self.stash = Some(Box::new(Stash { bytes: kept, used: 0, ended: false }));
    }

    /// Goes on with the bytes that were kept.
    fn run_stash(&mut self, kit: &mut Kit, out: &mut dyn Output) {
        let mut stash = self.stash.take();
        let kept = stash.as_mut().and_then(|stash| stash.bytes.get_mut(stash.used..));
        let used = self.run(kit, kept.unwrap_or_default(), out);
        let Some(mut stash) = stash else { return };
        stash.used += used;
        if stash.used < stash.bytes.len() {
            self.stash = Some(stash);
            return;
        }
        kit.pool.give(stash.bytes);
        if stash.ended {
            self.handle_end(kit, out);
        }
    }

    #[inline(never)]
    fn after_run(
        &mut self,
        kit: &mut Kit,
        written: Result<(), Box<SendQueue>>,
        input: &[u8],
        out: &mut dyn Output,
    ) {
        if let Err(queue) = written {
            self.queue = Some(queue);
            self.flush(kit, input, out);
        }
        if let Some(queue) = &mut self.queue {
            queue.settle_input(input, &mut kit.pool);
        }
        self.review(kit, out);
    }

    /// Draws the conclusions from the connection's and the queue's state: closes, overruns, the
    /// end of backpressure.
    fn review(&mut self, kit: &mut Kit, out: &mut dyn Output) {
        let waiting = self.waiting();
        let Phase::Live(live) = &mut self.phase else { return };
        if live.overrun {
            let until = kit.now + live.limits().abort_timeout;
            return self.finish(kit, until);
        }
        if live.is_finished() {
            let until = kit.now + live.limits().close_timeout;
            return self.finish(kit, until);
        }
        live.pressed |= waiting >= live.limits().send_queue_high;
        if waiting <= live.limits().send_queue_low && live.has_output() {
            self.run(kit, &mut [], out);
        }
    }

    /// Whether nothing waits in the queue, and [`Self::review`] finds nothing in the connection.
    #[inline]
    fn has_nothing_to_review(&self) -> bool {
        let Phase::Live(live) = &self.phase else { return false };
        self.queue.is_none() && live.is_open() && !live.has_output()
    }

    /// Whether it is connected and nothing waits, is unfinished or is held against the peer. If so
    /// before and after it was served, there is nothing new about it: no turn is wanted, it holds
    /// what it held, and its deadline has only moved later.
    #[inline]
    pub(crate) fn is_at_rest(&self) -> bool {
        let Phase::Live(live) = &self.phase else { return false };
        let waits = self.queue.is_some() || self.stash.is_some() || self.stall.is_some();
        !waits && live.is_at_rest() && self.tls.as_ref().is_none_or(|tls| tls.held() == 0)
    }

    /// Whether there is something to do for the next [`Self::handle_writable`], whatever the
    /// socket brings until then.
    #[inline]
    pub(crate) fn wants_turn(&self) -> bool {
        self.is_drained() || (self.stash.is_some() && !self.is_held())
    }

    /// How many bytes may be read in one turn. While others inflate long messages that is little
    /// for a client that may send such: all but the beginning would wait here, for all of them.
    #[inline]
    pub(crate) fn turn_bytes(&self, kit: &Kit) -> usize {
        match &self.phase {
            Phase::Live(live) if kit.crowded && live.inflates() => kit.long() as usize,
            _ => kit.hub.limits.turn_bytes,
        }
    }

    /// Since when it inflates a message that is a long one already ([`Kit::long`]), if it has what
    /// it takes to go on.
    #[inline]
    pub(crate) fn swelling(&self, kit: &Kit) -> Option<Instant> {
        let (Phase::Live(live), Some(_)) = (&self.phase, &self.stash) else { return None };
        live.swelling(kit).filter(|_| !self.is_held())
    }

    /// Whether `drained` is due. It waits for another turn: were it called as soon as it is due,
    /// user code that answers it with more would be called from within itself.
    #[inline]
    pub(crate) fn is_drained(&self) -> bool {
        let Phase::Live(live) = &self.phase else { return false };
        live.pressed && self.waiting() <= live.limits().send_queue_low
    }

    /// Bytes that wait in the send queue.
    #[inline]
    fn waiting(&self) -> usize {
        self.queue.as_ref().map_or(0, |queue| queue.len())
    }

    /// The socket may take more. Goes on with bytes that waited for that.
    pub(crate) fn handle_writable(&mut self, kit: &mut Kit, out: &mut dyn Output) {
        // A client whose handshake was decided elsewhere begins before its 101 is written, as any
        // other does.
        if !matches!(&self.phase, Phase::Live(live) if live.step == Step::New) {
            self.flush(kit, &[], out);
            self.review(kit, out);
            if self.is_drained() {
                self.in_scope(kit, &mut [], out, |live, kit, _| live.drained(kit));
            }
            if self.is_held() || self.stash.is_none() {
                return;
            }
        }
        self.run_stash(kit, out);
    }

    /// Takes what was sent to this client from elsewhere. What is alone on its way is written at
    /// once; whether anything is left to do for the next [`Self::handle_writable`], by which what
    /// came together is written together.
    pub(crate) fn handle_mail(&mut self, kit: &mut Kit, mail: Mail, out: &mut dyn Output) -> bool {
        let live = match &mut self.phase {
            Phase::Live(live) => live,
            Phase::Opening(_) => {
                self.handle_opening_mail(kit, mail);
                return true;
            }
            Phase::Ending { .. } | Phase::Gone { .. } => return false,
        };
        let alone = live.take_letter() && live.is_open() && live.step != Step::New;
        let mut written = 0;
        if alone
            && self.queue.is_none()
            && self.tls.is_none()
            && let Some(frames) = mail.frames()
            && let Ok(taken) = out.write(&[IoSlice::new(frames)])
        {
            if taken == frames.len() {
                live.wrote(frames, kit.now);
                return self.wants_turn();
            }
            written = taken;
        }
        let queue = self.queue.get_or_insert_with(|| kit.queue());
        live.handle_mail(kit, queue, mail);
        if written > 0 {
            queue.advance(written, &mut kit.pool);
        }
        true
    }

    /// The peer will send nothing more.
    pub(crate) fn handle_eof(&mut self, kit: &mut Kit) {
        match &self.phase {
            Phase::Live(_) => self.lose(kit, Cause::Lost, false),
            // It may still read what waits for it.
            Phase::Ending { until, half_closed, .. } if self.has_last_words() => {
                let (until, half_closed) = (*until, *half_closed);
                self.phase = Phase::Ending { until, half_closed, heard_end: true };
            }
            Phase::Opening(_) | Phase::Ending { .. } => self.phase = Phase::Gone { abort: false },
            Phase::Gone { .. } => {}
        }
    }

    /// The socket failed.
    pub(crate) fn handle_error(&mut self, kit: &mut Kit) {
        self.lose(kit, Cause::Lost, false);
    }

    /// The connection is of no more use: no close frame, no waiting.
    fn lose(&mut self, kit: &mut Kit, cause: Cause, abort: bool) {
        if let Phase::Live(live) = &mut self.phase {
            live.blame(cause);
        }
        self.finish(kit, kit.now);
        self.phase = Phase::Gone { abort };
    }

    /// Ends the live phase: `disconnected` is called, what waits may go out until `until`.
    fn finish(&mut self, kit: &mut Kit, until: Instant) {
        let ending = Phase::Ending { until, half_closed: false, heard_end: false };
        let was = std::mem::replace(&mut self.phase, ending);
        self.stash = None;
        if let Phase::Live(live) = was {
            live.end(kit);
        }
        self.start_linger(kit);
    }

    /// Once the last byte is written the peer gets a little time to close its side, so that it
    /// can read that byte before a reset.
    fn start_linger(&mut self, kit: &Kit) {
        let written = !self.has_last_words();
        if let Phase::Ending { until, half_closed: false, .. } = &mut self.phase
            && written
        {
            *until = kit.now + kit.hub.limits.linger_timeout;
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Opening(opening) => Some(opening.deadline),
            Phase::Live(live) => {
                let stalled = self.stall_deadline(live.limits());
                live.deadline().into_iter().chain(stalled).chain(live.leaving_deadline()).min()
            }
            Phase::Ending { until, .. } => Some(*until),
            Phase::Gone { .. } => None,
        }
    }

    /// The engine was away, so the peer's silence up to now means nothing: what is waited for from
    /// it is waited for anew. What the clock alone brings about is not put off.
    pub(crate) fn forgive(&mut self, kit: &Kit) {
        let limits = &kit.hub.limits;
        match &mut self.phase {
            Phase::Opening(opening) => opening.forgive(kit.now + limits.handshake_timeout),
            Phase::Live(live) => live.forgive(kit.now),
            Phase::Ending { until, .. } => *until = kit.now + limits.linger_timeout,
            Phase::Gone { .. } => {}
        }
        self.forgive_stall(kit.now);
    }

    /// Does what is due now.
    pub(crate) fn handle_timeout(&mut self, kit: &mut Kit, out: &mut dyn Output) {
        let (now, abort, waiting) = (kit.now, self.wants_write(), self.waiting());
        match &mut self.phase {
            Phase::Opening(opening) if now >= opening.deadline => self.opening_timeout(kit, out),
            Phase::Ending { until, .. } if now >= *until => {
                self.phase = Phase::Gone { abort };
            }
            Phase::Live(live) => {
                if live.is_held(waiting) {
                    // It could not be heard, so its silence means nothing.
                    live.excuse(now);
                } else if self.throttled {
                    live.excuse_silence(now);
                }
                if live.handle_timeout(now) {
                    return self.lose(kit, Cause::Timeout, false);
                }
                if self.takes_too_little(kit, out) {
                    return self.lose(kit, Cause::Timeout, true);
                }
                self.leaving_timeout(kit, out);
                self.review(kit, out);
            }
            _ => {}
        }
    }

    /// Whether the client is not listened to: it takes too little of what waits for it, or user
    /// code wants it so.
    fn is_held(&self) -> bool {
        let Phase::Live(live) = &self.phase else { return false };
        live.is_held(self.waiting())
    }

    /// Whether bytes should be read from the socket now.
    pub(crate) fn wants_read(&self) -> bool {
        match &self.phase {
            Phase::Live(_) => !self.throttled && self.stash.is_none() && !self.is_held(),
            Phase::Opening(opening) => !self.throttled && !opening.is_waiting(),
            Phase::Ending { heard_end: false, .. } => true,
            Phase::Ending { .. } | Phase::Gone { .. } => false,
        }
    }

    /// How many bytes of a large frame are known to come: reading them at once is cheap, as they
    /// are few messages' work.
    #[inline]
    pub(crate) fn expected(&self) -> usize {
        match &self.phase {
            Phase::Live(live) => usize::try_from(live.remaining()).unwrap_or(usize::MAX),
            _ => 0,
        }
    }

    /// How many bytes behind `input` complete the message that begins with it, if it is worth the
    /// while to read them at once: it is lent then, from where it was received.
    pub(crate) fn lacks(&self, input: &[u8]) -> Option<usize> {
        let (Phase::Live(live), None) = (&self.phase, &self.tls) else { return None };
        usize::try_from(live.lendable(input)?).ok()?.checked_sub(input.len())
    }

    /// Whether bytes wait for the socket.
    pub(crate) fn wants_write(&self) -> bool {
        self.queue.is_some() || self.has_unsent()
    }

    /// What to do with the socket now; [`Fate::HalfClose`] is said once.
    pub(crate) fn fate(&mut self, kit: &mut Kit, out: &mut dyn Output) -> Fate {
        if let Phase::Live(live) = &self.phase {
            kit.lent |= live.has_spares();
            return Fate::Keep;
        }
        self.close_tls(kit, out);
        self.start_linger(kit);
        let written = !self.wants_write();
        match &mut self.phase {
            Phase::Gone { abort: true } => Fate::Abort,
            Phase::Gone { abort: false } => Fate::Close,
            Phase::Ending { heard_end: true, .. } if written => Fate::Close,
            Phase::Ending { half_closed, .. } if written && !*half_closed => {
                *half_closed = true;
                Fate::HalfClose
            }
            _ => Fate::Keep,
        }
    }
}

#[cfg(test)]
#[path = "../scripted/mod.rs"]
mod scripted;
