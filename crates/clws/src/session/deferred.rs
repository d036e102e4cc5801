//! Small answers that an engine writes a little later, those of several sessions one after another.
//!
//! To the session they are written. If the socket then refuses them, they stand in front of
//! whatever waits.

use super::{Output, Phase, Session};
use crate::hub::Kit;
use std::io::IoSlice;

/// The most bytes of a session's answers that are written later, and the most of its input that an
/// engine has wait before that.
pub(crate) const SMALL: usize = 2048;

impl Session {
    /// How many bytes of its answers may be written later: none where some wait for the socket
    /// already, or before the handshake is done.
    #[inline]
    pub(crate) fn deferrable(&self) -> usize {
        match &self.phase {
            Phase::Live(live) if !self.wants_write() => SMALL.min(live.limits().send_queue_low),
            _ => 0,
        }
    }

    /// Writes an answer that was put off; whether the session is at rest now.
    #[inline]
    pub(crate) fn write_deferred(
        &mut self,
        kit: &mut Kit,
        answer: &[u8],
        out: &mut impl Output,
    ) -> bool {
        let taken = out.write(&[IoSlice::new(answer)]).unwrap_or(0);
        if taken < answer.len() {
            self.put_back(kit, answer.get(taken..).unwrap_or_default());
            // What was wrong, if anything, is found out there.
            self.flush(kit, &[], out);
        }
        self.is_at_rest()
    }

    /// Has bytes wait that count as written.
    #[cold]
    fn put_back(&mut self, kit: &mut Kit, bytes: &[u8]) {
        let waited = self.has_last_words();
        if let Some(tls) = &mut self.tls {
            tls.put_back(bytes);
        } else {
            self.queue.get_or_insert_with(|| kit.queue()).put_back(bytes);
        }
        if let Phase::Ending { until, half_closed: false, .. } = &mut self.phase
            && !waited
        {
            // It was given only the time that a peer gets who has everything.
            *until = kit.now + kit.hub.limits.close_timeout;
        }
    }
}
