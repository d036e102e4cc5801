//! The connected part of a session: the connection, its client and the user's callbacks.
//!
//! Everything here runs while the client's send queue lies in the thread's scope, or is handed the
//! queue, so that sends from callbacks, pongs and close frames keep one order.

use super::leaving::{Leaving, Step};
use super::wire::Wire;
use crate::budget::Holding;
use crate::client::{Client, Mail, Shared};
use crate::encode::{plain_len, write_takeover};
use crate::hub::{Kit, Place};
use crate::limits::{Limits, SendPolicy};
use crate::resource::{Cause, Closed, Reject, Resource};
use crate::scope;
use crate::send_queue::{CloseOrder, SendQueue};
use crate::ticks::Epoch;
use clws_proto::close::CloseCode;
use clws_proto::connection::Expired;
use clws_proto::deflate::Contexts;
use clws_proto::error::ProtocolError;
use clws_proto::frame::{MAX_CONTROL, MAX_HEADER};
use std::sync::atomic::Ordering;
use std::time::Instant;

/// The code that stands for "no code in the close frame" and "no close frame" (RFC 6455 §7.1.5).
pub(super) const NO_CODE: u16 = 1005;
const NO_CLOSE: u16 = 1006;

#[derive(Debug)]
pub(super) struct Live {
    pub(super) client: Client,
    pub(super) connection: Wire,
    /// The history that messages to the client are compressed with, while no callback runs.
    pub(super) contexts: Option<Box<Contexts>>,
    /// Held until the client is gone.
    place: Place,
    pub(super) leaving: Leaving,
    /// Beside `leaving`, not in it: there it would cost four bytes.
    pub(super) step: Step,
    cause: Option<Cause>,
    pub(super) said: Option<Box<(u16, String)>>,
    pub(super) overrun: bool,
    /// User code was told of backpressure and waits for `drained`.
    pub(super) pressed: bool,
}

impl Live {
    pub(super) fn new(
        client: Client,
        connection: Wire,
        contexts: Option<Box<Contexts>>,
        place: Place,
        now: Instant,
    ) -> Self {
        let leaving = Leaving::new(&client.0.limits, place.epoch(), client.id(), now);
        Self {
            client,
            connection,
            contexts,
            place,
            leaving,
            step: Step::New,
            cause: None,
            said: None,
            overrun: false,
            pressed: false,
        }
    }

    pub(super) fn address(&self) -> usize {
        self.client.address()
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.place.epoch()
    }

    pub(super) fn limits(&self) -> &Limits {
        &self.client.0.limits
    }

    #[inline]
    pub(super) fn remaining(&self) -> u64 {
        self.connection.remaining()
    }

    pub(super) fn lendable(&self, input: &[u8]) -> Option<u64> {
        self.connection.lendable(input)
    }

    /// Whether the client may send compressed messages.
    #[inline]
    pub(super) fn inflates(&self) -> bool {
        self.client.0.deflate.is_some()
    }

    /// Since when a message is being inflated that is a long one already ([`Kit::long`]).
    #[inline]
    pub(super) fn swelling(&self, kit: &Kit) -> Option<Instant> {
        let (since, bytes) = self.connection.inflating()?;
        (bytes >= kit.long()).then_some(since)
    }

    /// Whether user code wants nothing read. The answer to a close frame is wanted anyway.
    #[inline]
    pub(super) fn is_paused(&self) -> bool {
        self.client.is_paused() && self.connection.is_open()
    }

    /// Whether nothing is to be read while `waiting` bytes wait in the send queue.
    #[inline]
    pub(super) fn is_held(&self, waiting: usize) -> bool {
        self.is_paused() || waiting >= self.limits().send_queue_high
    }

    pub(super) fn is_paused_by_user(&self) -> bool {
        self.client.is_paused_by_user()
    }

    #[inline]
    pub(super) fn holding(&self) -> Holding {
        let own = self.contexts.as_ref().map_or(0, |contexts| contexts.memory());
        let lasting = size_of::<Shared>() + self.client.0.request.memory();
        let kept = lasting + own + self.connection.history();
        Holding { kept, waiting: self.connection.buffered(), shared: 0 }
    }

    /// Frees what only a client needs that compresses its messages, if it has not done so since
    /// this was called last; the histories stay.
    pub(super) fn retire(&mut self) {
        self.connection.retire();
        if let Some(contexts) = &mut self.contexts {
            contexts.retire();
        }
    }

    /// Whether [`Self::retire`] may have something to free, now or when it is called again.
    #[inline]
    pub(super) fn has_spares(&self) -> bool {
        self.connection.has_spares()
            || self.contexts.as_ref().is_some_and(|contexts| contexts.has_spares())
    }

    /// Whether its deadline only moves later, and what it holds does not change, as long as this is
    /// so.
    #[inline]
    pub(super) fn is_at_rest(&self) -> bool {
        let staying = self.step == Step::Staying && !self.pressed;
        let deflates = self.contexts.as_ref().is_some_and(|contexts| !contexts.is_empty());
        staying && !deflates && self.connection.is_at_rest()
    }

    /// Excuses the peer's silence, but no message it has not finished.
    pub(super) fn excuse_silence(&mut self, now: Instant) {
        self.connection.excuse_silence(now);
    }

    /// Excuses the peer's silence: it was not listened to.
    pub(super) fn excuse(&mut self, now: Instant) {
        self.connection.excuse(now);
        self.spoke(now);
    }

    /// As [`Self::excuse`], and the answer to a close is waited for anew too.
    pub(super) fn forgive(&mut self, now: Instant) {
        self.connection.forgive(now);
        self.spoke(now);
    }

    pub(super) fn is_open(&self) -> bool {
        self.connection.is_open() && !self.overrun
    }

    pub(super) fn is_finished(&self) -> bool {
        self.connection.is_finished()
    }

    pub(super) fn has_output(&self) -> bool {
        self.connection.has_output()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.connection.poll_timeout()
    }

    /// Names what began the end; the first word counts.
    pub(super) fn blame(&mut self, cause: Cause) {
        self.cause.get_or_insert(cause);
    }

    /// Tells user code of the new client, with its queue in scope.
    pub(super) fn begin(&mut self, kit: &Kit) {
        self.step = Step::Staying;
        kit.hub.counters.connected.add(1);
        kit.hub.clients().insert(self.client.id(), self.client.clone());
        match kit.hub.guarded(|| self.resource().connected(&self.client)) {
            Some(Ok(())) => {}
            Some(Err(Reject { code, reason, .. })) => {
                self.close(kit.now, Cause::Rejected, Some(code), &reason);
            }
            None => self.panicked(kit.now),
        }
        self.control(kit);
    }

    pub(super) fn resource(&self) -> &dyn Resource {
        &*self.client.0.route.resource
    }

    pub(super) fn drained(&mut self, kit: &Kit) {
        self.pressed = false;
        if kit.hub.guarded(|| self.resource().drained(&self.client)).is_none() {
            self.panicked(kit.now);
        }
        self.control(kit);
    }

    pub(super) fn panicked(&mut self, now: Instant) {
        self.close(now, Cause::Panic, Some(CloseCode::INTERNAL), "internal error");
    }

    pub(super) fn close(
        &mut self,
        now: Instant,
        cause: Cause,
        code: Option<CloseCode>,
        reason: &str,
    ) {
        self.blame(self.true_cause(cause));
        self.client.0.open.store(false, Ordering::Release);
        self.connection.close(code, reason, now);
    }

    pub(super) fn fault(&mut self, error: ProtocolError) {
        tracing::debug!(client = self.client.id(), %error, "the peer broke the protocol");
        self.blame(Cause::Protocol(error));
        self.client.0.open.store(false, Ordering::Release);
    }

    /// Moves control frames and user code's closes between the connection and the queue in scope;
    /// returns how much waits in the queue.
    #[inline]
    pub(super) fn control(&mut self, kit: &Kit) -> usize {
        scope::queue(|queue| {
            if queue.has_news() || self.connection.has_output() || !queue.open {
                self.control_queue(kit, queue);
            }
            queue.len()
        })
        .unwrap_or(0)
    }

    fn control_queue(&mut self, kit: &Kit, queue: &mut SendQueue) {
        if let Some(CloseOrder { code, reason, cause }) = queue.close.take() {
            self.close(kit.now, cause, code, &reason);
        }
        self.pressed |= std::mem::take(&mut queue.pressed);
        if std::mem::take(&mut queue.overrun) {
            self.overrun(kit.now);
        }
        // A pong waits while the queue is long, and only the latest is kept: a peer that sends
        // pings and does not read gets no memory for it.
        let has_room = queue.len() <= self.limits().send_queue_low;
        if self.connection.has_output() && (has_room || !self.connection.is_open()) {
            self.connection.poll_output(queue.room(MAX_HEADER + MAX_CONTROL));
        }
        queue.open = self.is_open();
    }

    fn overrun(&mut self, now: Instant) {
        self.overrun = true;
        self.close(now, Cause::Overrun, Some(CloseCode::POLICY), "reads too slowly");
    }

    /// Says that the server has no memory for it, behind what waits in `queue`.
    pub(super) fn shed(&mut self, kit: &Kit, queue: &mut SendQueue) {
        let code = Some(CloseCode::TRY_AGAIN);
        self.close(kit.now, Cause::Memory, code, "the server is short of memory");
        self.control_queue(kit, queue);
    }

    /// Counts a letter that came; whether it was the only one on its way.
    pub(super) fn take_letter(&mut self) -> bool {
        let shared = &self.client.0;
        self.pressed |= shared.pressed.swap(false, Ordering::AcqRel);
        shared.letters.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Counts frames that a letter brought and that were written at once.
    pub(super) fn wrote(&mut self, frames: &[u8], now: Instant) {
        self.client.0.queued.fetch_sub(frames.len(), Ordering::Relaxed);
        if !is_control(frames) {
            self.spoke(now);
        }
    }

    pub(super) fn handle_mail(&mut self, kit: &Kit, queue: &mut SendQueue, mail: Mail) {
        let shared = &self.client.0;
        match mail {
            Mail::Frames(frames) if self.is_open() => {
                queue.counted += frames.len();
                queue.spoke |= !is_control(&frames);
                if !is_control(&frames) && self.makes_room(queue) {
                    queue.push_droppable(frames);
                } else {
                    queue.push_encoded(frames);
                }
            }
            Mail::Shared(frames) if self.is_open() => {
                queue.counted += frames.len();
                queue.spoke = true;
                if self.makes_room(queue) {
                    queue.push_droppable_shared(frames);
                } else {
                    queue.push_shared(frames);
                }
            }
            Mail::Message(message) if self.is_open() => {
                // Counted by its length until now, by that of its frames from now on.
                shared.queued.fetch_sub(plain_len(&message.payload), Ordering::Relaxed);
                queue.spoke = true;
                if let (Some(contexts), Some(deflating)) = (&mut self.contexts, shared.deflate) {
                    let (opcode, payload) = (message.opcode, &message.payload);
                    let (out, size) = (queue.room(plain_len(payload)), message.frame_size);
                    write_takeover(contexts, deflating.level, opcode, payload, size, out);
                }
            }
            Mail::Frames(frames) => {
                shared.queued.fetch_sub(frames.len(), Ordering::Relaxed);
            }
            Mail::Shared(frames) => {
                shared.queued.fetch_sub(frames.len(), Ordering::Relaxed);
            }
            Mail::Message(message) => {
                shared.queued.fetch_sub(plain_len(&message.payload), Ordering::Relaxed);
            }
            Mail::Resume => self.excuse(kit.now),
            Mail::Decided(_) => {}
            Mail::Close(order) => queue.close = Some(order),
            Mail::Overrun => queue.overrun = true,
        }
        self.control_queue(kit, queue);
    }

    /// Drops the oldest messages of a full queue where that is the policy, and says whether the
    /// next one may be dropped in its turn.
    fn makes_room(&self, queue: &mut SendQueue) -> bool {
        let (limits, guard) = (self.limits(), &self.client.0.guard);
        if limits.send_policy != SendPolicy::DropOldest {
            return false;
        }
        while queue.len() >= limits.send_queue_high && queue.drop_oldest() {
            guard.count_dropped();
        }
        queue.len() > limits.send_queue_low
    }

    /// Makes the queue's length known to other threads.
    #[inline(always)]
    pub(super) fn publish(&mut self, queue: &mut SendQueue, now: Instant) {
        if std::mem::take(&mut queue.spoke) {
            self.spoke(now);
        }
        if queue.len() != queue.counted {
            self.publish_len(queue);
        }
    }

    #[inline(never)]
    fn publish_len(&self, queue: &mut SendQueue) {
        let (len, counted) = (queue.len(), queue.counted);
        if len > counted {
            self.client.0.queued.fetch_add(len - counted, Ordering::Relaxed);
        } else {
            self.client.0.queued.fetch_sub(counted - len, Ordering::Relaxed);
        }
        queue.counted = len;
    }

    /// Whether the peer is to be given up.
    pub(super) fn handle_timeout(&mut self, now: Instant) -> bool {
        match self.connection.handle_timeout(now) {
            None => false,
            Some(Expired::Message) => {
                self.fault(ProtocolError::MessageTimeout);
                false
            }
            Some(Expired::Pong | Expired::Close) => true,
        }
    }

    /// The connection's end: user code hears of it exactly once, if it ever heard of the client.
    pub(super) fn end(mut self, kit: &mut Kit) {
        self.connection.discard(&mut kit.pool);
        self.client.0.open.store(false, Ordering::Release);
        self.client.0.gone.store(true, Ordering::Release);
        if self.step == Step::New {
            // User code never heard of it.
            return;
        }
        kit.hub.clients().remove(&self.client.id());
        kit.hub.counters.disconnected.add(1);
        let clean = self.said.is_some() && self.connection.close_sent();
        let (code, reason) = self.said.take().map_or((NO_CLOSE, String::new()), |said| *said);
        kit.hub.tally.clean.add(u64::from(clean && kit.drain.is_some()));
        let cause = self.cause.unwrap_or(Cause::Lost);
        let closed = Closed { code, reason, cause, clean };
        kit.hub.guarded(|| self.resource().disconnected(&self.client, &closed));
    }
}

/// Whether encoded frames are a control frame, which no policy drops.
fn is_control(frames: &[u8]) -> bool {
    frames.first().is_some_and(|first| first & 0x08 != 0)
}
