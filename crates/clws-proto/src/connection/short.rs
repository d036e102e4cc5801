//! The most frequent input there is, short messages one behind another, taken without a look at
//! the connection for each.

use super::{Connection, lend};
use crate::error::ProtocolError;
use crate::frame::{FrameHeader, SHORT_HEADER};
use crate::mask;
use crate::message::Message;
use std::time::Instant;

/// Leave to take short messages from a connection's input; it ends where the connection is used
/// for anything else.
#[derive(Debug)]
pub struct Shorts<'c> {
    connection: &'c mut Connection,
    /// The longest frame that is taken here.
    longest: usize,
}

impl Connection {
    /// Leave to take what comes next by [`Shorts::take`], while a client's message may begin and
    /// nothing waits in [`Connection::poll_output`]. Input is coming, as for
    /// [`Connection::handle_input`].
    #[inline]
    pub fn shorts(&mut self, now: Instant) -> Option<Shorts<'_>> {
        if !self.expects_message() || self.has_output() {
            return None;
        }
        self.last_input = now;
        let longest = SHORT_HEADER + usize::from(self.short_max);
        Some(Shorts { connection: self, longest })
    }
}

impl Shorts<'_> {
    /// Takes a message at the front of `input` that is whole there, in one frame, uncompressed, of
    /// at most 125 bytes and within the limits; says how many bytes that frame is. `None` leaves
    /// `input` as it is, for [`Connection::handle_input`].
    ///
    /// A text that is not UTF-8 fails the connection (RFC 6455 §8.1); then nothing more is taken.
    #[inline]
    pub fn take<'i>(
        &mut self,
        input: &'i mut [u8],
    ) -> Option<Result<(usize, Message<'i>), ProtocolError>> {
        let (opcode, key, end) = FrameHeader::parse_short(input)?;
        if end > self.longest {
            return None;
        }
        let payload = input.get_mut(SHORT_HEADER..end)?;
        mask::apply_whole(key, payload);
        match lend(opcode, payload) {
            Ok(message) => Some(Ok((end, message))),
            Err(error) => {
                self.longest = 0;
                self.connection.fail(error, self.connection.last_input);
                Some(Err(error))
            }
        }
    }
}
