//! A session over TLS: records are opened before the session sees them, and what it writes is
//! sealed on its way to the socket.
//!
//! TLS's own handshake belongs to the opening one and shares its deadline. A `close_notify` is the
//! end of the stream, behind all that came before it, and so is an end without one: no message is
//! delivered that did not come whole, so nothing is gained by cutting a stream short.

use super::{Output, Phase, Session, Stash};
use crate::hub::Kit;
use crate::resource::Cause;
use crate::tls::{Keeper, Opened, TlsStage};
use clws_proto::copy::{self, MidPage};
use std::sync::Arc;

/// What a listener's connections speak below HTTP.
#[derive(Clone, Debug)]
pub(crate) enum Transport {
    Tcp,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "there is no such listener"))]
    Tls(Arc<Keeper>),
    /// A header of the PROXY protocol, then the other.
    Proxied(Arc<Self>),
}

impl Transport {
    /// What a new connection begins with; an error where that fails.
    pub(super) fn begin(&self) -> Result<Option<Box<TlsStage>>, ()> {
        match self {
            Self::Tcp => Ok(None),
            Self::Tls(keeper) => TlsStage::new(keeper).map(Some).ok_or(()),
            Self::Proxied(inner) => inner.begin(),
        }
    }

    pub(crate) fn is_tls(&self) -> bool {
        match self {
            Self::Tcp => false,
            Self::Tls(_) => true,
            Self::Proxied(inner) => inner.is_tls(),
        }
    }

    /// Whether a header of the PROXY protocol comes first.
    pub(super) fn is_proxied(&self) -> bool {
        matches!(self, Self::Proxied(_))
    }

    /// One for these certificates: that of an earlier listener, where one has the same.
    #[cfg(feature = "tls")]
    pub(crate) fn secure<'a>(
        tls: crate::Tls,
        earlier: impl Iterator<Item = &'a Self>,
    ) -> Result<Self, crate::TlsError> {
        let mut keepers = earlier.filter_map(Self::keeper);
        match keepers.find(|keeper| keeper.is_for(&tls)) {
            Some(keeper) => Ok(Self::Tls(Arc::clone(keeper))),
            None => Ok(Self::Tls(Arc::new(Keeper::new(tls)?))),
        }
    }

    /// Reads the certificates of all again, each once; gives the first fault.
    #[cfg(feature = "tls")]
    pub(crate) fn reload(all: &[Self]) -> Result<(), crate::TlsError> {
        let keepers: Vec<_> = all.iter().filter_map(Self::keeper).collect();
        let mut done = Ok(());
        for (at, keeper) in keepers.iter().enumerate() {
            if !keepers.iter().take(at).any(|earlier| Arc::ptr_eq(earlier, keeper)) {
                done = done.and(keeper.reload());
            }
        }
        done
    }

    #[cfg(feature = "tls")]
    fn keeper(&self) -> Option<&Arc<Keeper>> {
        match self {
            Self::Tcp => None,
            Self::Tls(keeper) => Some(keeper),
            Self::Proxied(inner) => inner.keeper(),
        }
    }

    /// Reads certificates again if their files were written.
    pub(crate) fn refresh(&self) {
        match self {
            Self::Tcp => {}
            Self::Tls(keeper) => keeper.reload_if_changed(),
            Self::Proxied(inner) => inner.refresh(),
        }
    }
}

impl Session {
    /// Opens the records in `input`; all of it is used, or kept.
    pub(super) fn handle_records(
        &mut self,
        kit: &mut Kit,
        mut input: &mut [u8],
        out: &mut dyn Output,
    ) {
        let mut plain = std::mem::take(&mut kit.tls.plain);
        while !input.is_empty()
            && self.is_listening()
            && let Some(tls) = &mut self.tls
        {
            let Some((mut held, taken)) = tls.complete(input) else {
                self.open_records(kit, input, &mut plain, out);
                break;
            };
            self.open_records(kit, &mut held, &mut plain, out);
            input = input.get_mut(taken..).unwrap_or_default();
        }
        kit.tls.plain = plain;
    }

    /// Opens all records in `bytes` and hands on what was in them.
    fn open_records(
        &mut self,
        kit: &mut Kit,
        mut bytes: &mut [u8],
        plain: &mut MidPage,
        out: &mut dyn Output,
    ) {
        while self.is_listening() {
            let Some(tls) = &mut self.tls else { return };
            let (used, opened) = tls.open(bytes, plain);
            bytes = bytes.get_mut(used..).unwrap_or_default();
            if !self.flush_tls(kit, out) {
                return;
            }
            if !plain.is_empty() {
                self.handle_opened(kit, plain, out);
            }
            match opened {
                Opened::More => {}
                Opened::All => return,
                Opened::End => return self.handle_end(kit, out),
                Opened::Broken(why) => return self.break_tls(kit, &why),
            }
        }
    }

    /// The peer said that it sends nothing more; it is told the same, unless there is more to say.
    pub(super) fn handle_end(&mut self, kit: &mut Kit, out: &mut dyn Output) {
        if self.put_end_off() {
            return;
        }
        if self.is_listening()
            && let Some(tls) = &mut self.tls
        {
            tls.close();
            self.flush_tls(kit, out);
        }
        self.handle_eof(kit);
    }

    /// Notes the end for later where, over plain TCP, it would not be read yet: what came before it
    /// waits, or the client is not listened to.
    fn put_end_off(&mut self) -> bool {
        let is_held = self.is_held();
        match (&mut self.phase, &mut self.stash) {
            (_, Some(stash)) => stash.ended = true,
            (Phase::Opening(opening), _) if opening.is_waiting() => opening.ended = true,
            (Phase::Live(_), None) if is_held => {
                self.stash = Some(Box::new(Stash { bytes: Vec::new(), used: 0, ended: true }));
            }
            _ => return false,
        }
        true
    }

    /// As [`Self::handle_plain`], but more may come when the session is held already: a read has
    /// been received as a whole, so all of it is opened.
    fn handle_opened(&mut self, kit: &mut Kit, plain: &mut [u8], out: &mut dyn Output) {
        match (&mut self.phase, &mut self.stash) {
            (_, Some(stash)) => copy::append(&mut stash.bytes, plain),
            (Phase::Opening(opening), _) if opening.is_waiting() => opening.put_off(plain),
            _ => self.handle_plain(kit, plain, out),
        }
    }

    /// Whether received bytes still mean anything.
    fn is_listening(&self) -> bool {
        matches!(self.phase, Phase::Opening(_) | Phase::Live(_))
    }

    /// The peer broke TLS: nothing can be said to it any more but the alert.
    fn break_tls(&mut self, kit: &mut Kit, why: &str) {
        tracing::debug!(client = self.id, why, "TLS failed");
        kit.hub.counters.tls_errors.add(1);
        if let Phase::Live(live) = &mut self.phase {
            live.blame(Cause::Lost);
        }
        if let Some(mut queue) = self.queue.take() {
            queue.clear(&mut kit.pool);
            kit.give_queue(queue);
        }
        self.finish(kit, kit.now + kit.hub.limits.abort_timeout);
    }

    /// Writes ciphertext that waits; `false` when the connection was lost.
    #[inline]
    pub(super) fn flush_tls(&mut self, kit: &mut Kit, out: &mut dyn Output) -> bool {
        !self.has_unsent() || self.write_unsent(kit, out)
    }

    #[inline(never)]
    fn write_unsent(&mut self, kit: &mut Kit, out: &mut dyn Output) -> bool {
        let Some(tls) = &mut self.tls else { return true };
        let Ok(taken) = tls.flush(out) else {
            self.lose(kit, Cause::Lost, false);
            return false;
        };
        self.note_taken(taken, kit.now);
        true
    }

    /// Says the end to a peer that gets nothing more, behind everything else.
    pub(super) fn close_tls(&mut self, kit: &mut Kit, out: &mut dyn Output) {
        if let (Phase::Ending { .. }, None, Some(tls)) = (&self.phase, &self.queue, &mut self.tls)
            && !tls.is_closed()
        {
            tls.close();
            self.flush_tls(kit, out);
        }
    }

    /// Bytes of ciphertext that wait for the socket.
    #[inline]
    pub(super) fn unsent(&self) -> usize {
        self.tls.as_ref().map_or(0, |tls| tls.unsent())
    }

    /// Whether there are any.
    #[inline]
    pub(super) fn has_unsent(&self) -> bool {
        self.unsent() > 0
    }

    /// Whether a peer that ended its side has still to get something.
    pub(super) fn has_last_words(&self) -> bool {
        self.wants_write() || self.tls.as_ref().is_some_and(|tls| !tls.is_closed())
    }

    pub(super) fn is_in_tls_handshake(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.is_handshaking())
    }
}
