//! What a session holds, and how it gives way when the server's memory runs short.
//!
//! First nothing more is read from its socket; what was read is still worked off. At last it is
//! shed: a peer that reads is told so, one that does not could not hear it.

use super::{Output, Phase, Session};
use crate::budget::Holding;
use crate::hub::Kit;
use crate::resource::Cause;
use clws_proto::handshake::Refusal;

/// What TLS keeps of a connection with nothing on its way: keys and the handshake's results.
const TLS_KEYS: usize = 4 * 1024;

impl Session {
    /// What the client makes the server hold.
    #[inline]
    pub(crate) fn holding(&self) -> Holding {
        let mut holding = match &self.phase {
            Phase::Opening(opening) => opening.holding(),
            Phase::Live(live) => live.holding(),
            Phase::Ending { .. } | Phase::Gone { .. } => Holding::default(),
        };
        holding.kept += size_of::<Self>();
        if let Some(queue) = &self.queue {
            holding.waiting += queue.memory();
            holding.shared += queue.shared();
        }
        if let Some(stash) = &self.stash {
            holding.waiting += stash.bytes.capacity();
        }
        if let Some(tls) = &self.tls {
            holding.kept += TLS_KEYS;
            holding.waiting += tls.held();
        }
        holding
    }

    /// Frees what it has not needed since this was called last; whether there was any such thing,
    /// so that it may hold less now.
    pub(crate) fn retire(&mut self) -> bool {
        match &mut self.phase {
            Phase::Live(live) if live.has_spares() => {
                live.retire();
                true
            }
            _ => false,
        }
    }

    /// Stops the reading from the socket, or lets it go on; whether it was stopped and goes on.
    pub(crate) fn throttle(&mut self, on: bool) -> bool {
        std::mem::replace(&mut self.throttled, on) && !on
    }

    /// Ends the client to free what it holds.
    pub(crate) fn shed(&mut self, kit: &mut Kit, out: &mut dyn Output) {
        let (waiting, unsent) = (self.waiting(), self.has_unsent());
        match &mut self.phase {
            Phase::Opening(_) => {
                kit.hub.counters.memory_shed.add(1);
                let refusal = Refusal::new(503, "the server is short of memory");
                self.refuse_now(kit, &refusal, out);
            }
            Phase::Live(live) => {
                kit.hub.counters.memory_shed.add(1);
                live.blame(Cause::Memory);
                if waiting > live.limits().send_queue_low || unsent {
                    return self.drop_all(kit);
                }
                let until = kit.now + live.limits().abort_timeout;
                let queue = self.queue.get_or_insert_with(|| kit.queue());
                live.shed(kit, queue);
                self.finish(kit, until);
                self.flush(kit, &[], out);
            }
            Phase::Ending { .. } => self.drop_all(kit),
            Phase::Gone { .. } => {}
        }
    }

    /// Frees what waits for a peer that does not take it. It is reset.
    fn drop_all(&mut self, kit: &mut Kit) {
        if let Some(mut queue) = self.queue.take() {
            queue.clear(&mut kit.pool);
        }
        self.lose(kit, Cause::Memory, true);
    }
}
