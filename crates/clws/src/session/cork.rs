//! Small answers that are written a little later, those of several sessions one after another.
//!
//! The system's code for reading and its code for writing are each larger than the processor's
//! first cache. An engine that reads from several sockets and then writes to them runs each in one
//! go, and a small message costs two to five hundredths less.

use super::{Output, Phase, Session};
use crate::hub::Kit;

impl Session {
    /// As [`Self::handle_input`], and small answers wait for [`Self::uncork`] where `corks` says
    /// so; whether some do.
    #[inline(always)]
    pub(crate) fn handle_ready(
        &mut self,
        kit: &mut Kit,
        corks: bool,
        input: &mut [u8],
        out: &mut dyn Output,
    ) -> bool {
        kit.corks = corks;
        self.handle_input(kit, input, out);
        kit.corks = false;
        self.corked
    }

    /// Writes what was put off, and draws the conclusions; whether it is at rest now.
    #[inline]
    pub(crate) fn uncork(&mut self, kit: &mut Kit, out: &mut impl Output) -> bool {
        if std::mem::take(&mut self.corked) && !self.write_whole(kit, &[], out) {
            self.flush(kit, &[], out);
        }
        let rests = self.is_at_rest();
        if !rests {
            self.review(kit, out);
        }
        rests
    }

    /// Writes what was put off, ahead of something behind which nothing may be written.
    #[inline]
    pub(super) fn write_corked(&mut self, kit: &mut Kit, out: &mut dyn Output) {
        if std::mem::take(&mut self.corked) {
            self.flush(kit, &[], out);
        }
    }

    /// Puts the answers off, if they may be: they are small, nothing of them has to be copied for
    /// that, and the session goes on.
    #[inline(always)]
    pub(super) fn cork(&mut self, kit: &Kit) -> bool {
        if !kit.corks || self.has_unsent() {
            return false;
        }
        let (Phase::Live(live), Some(queue), None) = (&self.phase, &self.queue, &self.stall) else {
            return false;
        };
        self.corked = queue.is_small()
            && queue.len() <= live.limits().send_queue_low
            && !live.overrun
            && !live.is_finished();
        self.corked
    }
}
