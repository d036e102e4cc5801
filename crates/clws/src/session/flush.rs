//! From the send queue to the socket, through TLS where that stands between them.

use super::{Output, Phase, Session};
use crate::hub::Kit;
use crate::resource::Cause;
use crate::send_queue::{MAX_SLICES, SendQueue};
use std::io::{self, IoSlice};

impl Session {
    /// Writes what waits in `queue`, where that is in one piece and goes as it is, which is nearly
    /// always so. Gives the queue back where it is not that easy, or is to be tried again.
    ///
    /// Little code, because the system's own for writing leaves nothing of it in the processor's
    /// first cache: each line is fetched anew.
    #[inline(always)]
    pub(super) fn write_whole(
        &mut self,
        kit: &mut Kit,
        mut queue: Box<SendQueue>,
        input: &[u8],
        out: &mut dyn Output,
    ) -> Result<(), Box<SendQueue>> {
        if self.stall.is_some() || queue.has_news() {
            return Err(queue);
        }
        let Some(bytes) = queue.contiguous(input).filter(|bytes| !bytes.is_empty()) else {
            return Err(queue);
        };
        let slices = [IoSlice::new(bytes)];
        let done = match &mut self.tls {
            None => out.write(&slices),
            Some(tls) => tls.sealing(&mut kit.tls, out).write(&slices),
        };
        let whole = matches!(done, Ok(taken) if taken == bytes.len()) && !self.has_unsent();
        match &mut self.phase {
            Phase::Live(live) if whole => {
                let all = queue.len();
                queue.advance(all, &mut kit.pool);
                live.publish(&mut queue, kit.now);
                kit.give_queue(queue);
                Ok(())
            }
            _ => self.wrote_part(kit, queue, done),
        }
    }

    /// Goes on where the socket did not take all at once; gives the queue back where it is to be
    /// tried again.
    #[cold]
    fn wrote_part(
        &mut self,
        kit: &mut Kit,
        mut queue: Box<SendQueue>,
        done: io::Result<usize>,
    ) -> Result<(), Box<SendQueue>> {
        let taken = match done {
            Ok(taken) if taken > 0 => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(queue),
            Ok(_) | Err(_) => {
                self.write_failed(kit, queue);
                return Ok(());
            }
        };
        queue.advance(taken, &mut kit.pool);
        self.wrote(kit, queue, taken);
        Ok(())
    }

    /// Writes what waits, as far as the socket takes it; `input` is the receive buffer that the
    /// queue may refer to.
    #[inline(never)]
    pub(super) fn flush(&mut self, kit: &mut Kit, input: &[u8], out: &mut dyn Output) {
        if !self.flush_tls(kit, out) {
            return;
        }
        let Some(mut queue) = self.queue.take() else { return };
        let mut sealing;
        let out: &mut dyn Output = match &mut self.tls {
            None => out,
            Some(tls) => {
                sealing = tls.sealing(&mut kit.tls, out);
                &mut sealing
            }
        };
        let mut moved = 0;
        while !queue.is_empty() {
            match write_once(&mut queue, input, out) {
                Ok((taken, wanted)) if taken > 0 => {
                    queue.advance(taken, &mut kit.pool);
                    moved += taken;
                    if taken < wanted {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) | Err(_) => return self.write_failed(kit, queue),
            }
        }
        self.wrote(kit, queue, moved);
    }

    fn write_failed(&mut self, kit: &mut Kit, mut queue: Box<SendQueue>) {
        queue.clear(&mut kit.pool);
        self.queue = Some(queue);
        self.lose(kit, Cause::Lost, false);
    }

    /// Draws up the account when so many bytes of `queue` have been written.
    #[inline(never)]
    fn wrote(&mut self, kit: &mut Kit, mut queue: Box<SendQueue>, moved: usize) {
        if let Phase::Live(live) = &mut self.phase {
            live.publish(&mut queue, kit.now);
        }
        if queue.is_empty() && !queue.has_news() {
            kit.give_queue(queue);
        } else {
            self.queue = Some(queue);
        }
        // What is sealed and waits was moved, and not taken.
        self.note_taken(moved.saturating_sub(self.unsent()), kit.now);
    }
}

#[inline(always)]
fn write_once(
    queue: &mut SendQueue,
    input: &[u8],
    out: &mut dyn Output,
) -> io::Result<(usize, usize)> {
    if let Some(bytes) = queue.contiguous(input) {
        return Ok((out.write(&[IoSlice::new(bytes)])?, bytes.len()));
    }
    let mut slices = [IoSlice::new(&[]); MAX_SLICES];
    let used = queue.gather(input, &mut slices);
    let slices = slices.get(..used).unwrap_or_default();
    Ok((out.write(slices)?, slices.iter().map(|slice| slice.len()).sum()))
}
