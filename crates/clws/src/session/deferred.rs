//! Small answers that an engine writes a little later, those of several sessions one after another.
//!
//! To the session they are written. If the socket then refuses them, they stand in front of
//! whatever waits.

use super::{Output, Phase, Session};
use crate::hub::Kit;
use std::io::{self, ErrorKind, IoSlice};

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
        let done = out.write(&[IoSlice::new(answer)]);
        if !matches!(done, Ok(taken) if taken == answer.len()) {
            self.wrote_less(kit, answer, done, out);
        }
        self.is_at_rest()
    }

    #[cold]
    fn wrote_less(
        &mut self,
        kit: &mut Kit,
        answer: &[u8],
        mut done: io::Result<usize>,
        out: &mut dyn Output,
    ) {
        while matches!(&done, Err(error) if error.kind() == ErrorKind::Interrupted) {
            done = out.write(&[IoSlice::new(answer)]);
        }
        let taken = match done {
            Ok(taken) if taken > 0 => taken,
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            Ok(_) | Err(_) => return self.handle_error(kit),
        };
        let rest = answer.get(taken..).unwrap_or_default();
        if !rest.is_empty() {
            self.put_back(kit, rest);
        }
    }

    /// Has bytes wait that count as written.
    fn put_back(&mut self, kit: &mut Kit, bytes: &[u8]) {
        let waited = self.has_last_words();
        if let Some(tls) = &mut self.tls {
            tls.put_back(bytes);
        } else {
            let queue = self.queue.get_or_insert_with(|| kit.queue());
            queue.put_back(bytes);
            if let Phase::Live(live) = &mut self.phase {
                live.publish(queue, kit.now);
            }
        }
        if let Phase::Ending { until, half_closed: false, .. } = &mut self.phase
            && !waited
        {
            // It was given only the time that a peer gets who has everything.
            *until = kit.now + kit.hub.limits.close_timeout;
        }
        self.note_taken(0, kit.now);
    }
}
