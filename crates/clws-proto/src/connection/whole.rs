//! The most frequent input there is, whole messages one behind another, taken without a look at
//! the connection for each.

use super::{Connection, lend};
use crate::error::ProtocolError;
use crate::frame::{FrameHeader, MAX_CONTROL, SHORT_HEADER};
use crate::mask;
use crate::message::Message;
use std::time::Instant;

/// Leave to take whole messages from a connection's input; it ends where the connection is used
/// for anything else.
#[derive(Debug)]
pub struct WholeMessages<'c> {
    connection: &'c mut Connection,
    /// The longest frame with a short header that is taken here.
    longest: usize,
}

impl Connection {
    /// Leave to take what comes next by [`WholeMessages::take`], while a client's message may begin
    /// and nothing waits in [`Connection::poll_output`]. Input is coming, as for
    /// [`Connection::handle_input`].
    #[inline]
    pub fn whole_messages(&mut self, now: Instant) -> Option<WholeMessages<'_>> {
        if !self.expects_message() || self.has_output() {
            return None;
        }
        self.last_input = now;
        let longest = SHORT_HEADER + usize::from(self.short_max);
        Some(WholeMessages { connection: self, longest })
    }
}

impl WholeMessages<'_> {
    /// Takes a message at the front of `input` that is whole there, in one frame, uncompressed and
    /// within the limits; says how many bytes that frame is. `None` leaves `input` as it is, for
    /// [`Connection::handle_input`].
    ///
    /// A text that is not UTF-8 fails the connection (RFC 6455 §8.1); then nothing more is taken.
    #[inline]
    pub fn take<'i>(
        &mut self,
        input: &'i mut [u8],
    ) -> Option<Result<(usize, Message<'i>), ProtocolError>> {
        let Some((opcode, key, end)) = FrameHeader::parse_short(input) else {
            let long = input.len() > SHORT_HEADER + MAX_CONTROL;
            return if long { self.take_long(input) } else { None };
        };
        if end > self.longest {
            return None;
        }
        let payload = input.get_mut(SHORT_HEADER..end)?;
        mask::apply_whole(key, payload);
        Some(self.taken(end, lend(opcode, payload)))
    }

    /// The same for frames with a long header.
    #[inline(never)]
    fn take_long<'i>(
        &mut self,
        input: &'i mut [u8],
    ) -> Option<Result<(usize, Message<'i>), ProtocolError>> {
        let (opcode, key, place) = FrameHeader::parse_long(input)?;
        let within = self.connection.check_size(place.len() as u64, false).is_ok();
        if self.longest == 0 || !within {
            return None;
        }
        let end = place.end;
        let payload = input.get_mut(place)?;
        let message = self.connection.unmask(opcode, key, payload);
        Some(self.taken(end, message))
    }

    #[inline]
    fn taken<'i>(
        &mut self,
        end: usize,
        message: Result<Message<'i>, ProtocolError>,
    ) -> Result<(usize, Message<'i>), ProtocolError> {
        if let Err(error) = message {
            self.longest = 0;
            self.connection.fail(error, self.connection.last_input);
        }
        message.map(|message| (end, message))
    }
}
