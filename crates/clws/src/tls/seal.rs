//! The way out of a [`TlsStage`]: plaintext is sealed into records and written to the socket.
//!
//! Records are made in a buffer of the worker's. What the socket does not take of them is kept,
//! and nothing more is sealed until it is out: at most one buffer waits here, and everything else
//! in the client's send queue, where it counts.

use super::stage::{TlsStage, append};
use crate::session::Output;
use clws_proto::copy::{self, MidPage};
use rustls::server::ServerConnectionData;
use rustls::unbuffered::{ConnectionState, EncryptError, WriteTraffic};
use std::io::{self, IoSlice};

/// The most plaintext in one record (RFC 8446 §5.1).
const RECORD: usize = 16 * 1024;
/// The records that leave in one write, with room for what each adds and for a key update.
const SEALED: usize = 4 * (RECORD + 64) + 1024;

/// Buffers that a worker lends the stage it serves.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    /// What is sent may be sealed from where it was opened.
    pub(crate) plain: MidPage,
    sealed: Vec<u8>,
    gathered: MidPage,
}

impl TlsStage {
    /// Bytes of ciphertext that wait for the socket.
    #[inline]
    pub(crate) fn unsent(&self) -> usize {
        self.unsent.len() - self.sent
    }

    /// Whether there are any.
    #[inline]
    pub(crate) fn has_unsent(&self) -> bool {
        self.unsent() > 0
    }

    /// Has ciphertext wait, before any other, that counts as written.
    pub(crate) fn put_back(&mut self, records: &[u8]) {
        self.unsent.splice(self.sent..self.sent, records.iter().copied());
    }

    /// Writes ciphertext that waits; gives how much the socket took.
    pub(crate) fn flush(&mut self, out: &mut dyn Output) -> io::Result<usize> {
        let before = self.sent;
        while let Some(rest) = self.unsent.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match out.write(&[IoSlice::new(rest)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(count) => self.sent += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Ok(self.sent - before);
                }
                Err(error) => return Err(error),
            }
        }
        let taken = self.sent - before;
        (self.unsent, self.sent) = (Vec::new(), 0);
        Ok(taken)
    }

    /// Says that nothing more will be sent (`close_notify`, RFC 8446 §6.1), once.
    pub(crate) fn close(&mut self) {
        if std::mem::replace(&mut self.closed, true) || self.is_handshaking() {
            return;
        }
        let mut alert = [0; 256];
        if let Some(Ok(count)) = self.with_traffic(|traffic| traffic.queue_close_notify(&mut alert))
        {
            self.unsent.extend_from_slice(alert.get(..count).unwrap_or_default());
        }
    }

    /// Whether [`Self::close`] has nothing more to say.
    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    /// An output that seals what is written to it.
    pub(crate) fn sealing<'a>(
        &'a mut self,
        buffers: &'a mut Buffers,
        out: &'a mut dyn Output,
    ) -> Sealing<'a> {
        Sealing { stage: self, buffers, out }
    }

    /// Collects what TLS itself has to say, then lets `seal` work, if the connection can send.
    fn with_traffic<T>(
        &mut self,
        seal: impl FnOnce(&mut WriteTraffic<'_, ServerConnectionData>) -> T,
    ) -> Option<T> {
        loop {
            // The kept beginning of a message is part of the connection's state.
            match self.conn.process_tls_records(&mut self.partial).state {
                Ok(ConnectionState::EncodeTlsData(mut said)) => append(&mut self.unsent, &mut said),
                Ok(ConnectionState::TransmitTlsData(done)) => done.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => return Some(seal(&mut traffic)),
                _ => return None,
            }
        }
    }
}

/// Writes through a stage.
pub(crate) struct Sealing<'a> {
    stage: &'a mut TlsStage,
    buffers: &'a mut Buffers,
    out: &'a mut dyn Output,
}

impl Output for Sealing<'_> {
    /// Takes as much as the socket takes, and at most one buffer of records beyond that.
    #[inline]
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let idle = !self.stage.has_unsent() && !self.stage.closed;
        match slices {
            // As nearly always: without all that cutting and putting together needs.
            [piece] if idle && (1..=RECORD).contains(&piece.len()) => {
                let sealed = self.seal_one(piece)?;
                self.send(sealed)?;
                Ok(piece.len())
            }
            _ => self.write_pieces(slices),
        }
    }
}

impl Sealing<'_> {
    #[inline(never)]
    fn write_pieces(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.stage.has_unsent() {
            self.stage.flush(self.out)?;
        }
        if self.stage.has_unsent() || self.stage.closed {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let mut source = Source { slices, at: 0 };
        let mut taken = 0;
        loop {
            let (plain, sealed) = self.seal(&mut source)?;
            taken += plain;
            if plain == 0 || !self.send(sealed)? || source.is_empty() {
                return Ok(taken);
            }
        }
    }

    /// Makes one record; gives how long it is.
    #[inline]
    fn seal_one(&mut self, piece: &[u8]) -> io::Result<usize> {
        let sealed = &mut self.buffers.sealed;
        sealed.resize(SEALED, 0);
        let done = self.stage.with_traffic(|traffic| traffic.encrypt(piece, sealed));
        let done = done.ok_or(io::ErrorKind::BrokenPipe)?;
        done.map_err(|error| failure(&error))
    }

    /// Fills the buffer with records; gives how much plaintext went in and how much came out.
    fn seal(&mut self, source: &mut Source<'_>) -> io::Result<(usize, usize)> {
        let Buffers { sealed, gathered, .. } = &mut *self.buffers;
        sealed.resize(SEALED, 0);
        let done = self.stage.with_traffic(|traffic| {
            let (mut taken, mut filled) = (0, 0);
            while filled + RECORD + 1024 <= SEALED {
                let piece = source.next(gathered);
                if piece.is_empty() {
                    break;
                }
                let room = sealed.get_mut(filled..).unwrap_or_default();
                filled += traffic.encrypt(piece, room).map_err(|error| failure(&error))?;
                taken += piece.len();
            }
            Ok((taken, filled))
        });
        done.unwrap_or_else(|| Err(io::ErrorKind::BrokenPipe.into()))
    }

    /// Writes the first `sealed` bytes of the buffer, behind what TLS itself had to say; whether
    /// all of them are out.
    fn send(&mut self, sealed: usize) -> io::Result<bool> {
        let records = self.buffers.sealed.get(..sealed).unwrap_or_default();
        let (written, again) = if self.stage.has_unsent() {
            (0, true)
        } else {
            match self.out.write(&[IoSlice::new(records)]) {
                Ok(count) => (count, false),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => (0, false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => (0, true),
                Err(error) => return Err(error),
            }
        };
        if written < sealed {
            let rest = records.get(written..).unwrap_or_default();
            copy::append(&mut self.stage.unsent, rest);
        }
        if again {
            self.stage.flush(self.out)?;
        }
        Ok(!self.stage.has_unsent())
    }
}

fn failure(error: &EncryptError) -> io::Error {
    io::Error::other(error.to_string())
}

/// Slices, cut and put together to records.
struct Source<'a> {
    slices: &'a [IoSlice<'a>],
    /// How much of the first slice is used.
    at: usize,
}

impl<'a> Source<'a> {
    fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// The next piece of at most one record: from where it stands, if that fills a record or is
    /// the last; else gathered from several slices.
    fn next<'b>(&mut self, gathered: &'b mut MidPage) -> &'b [u8]
    where
        'a: 'b,
    {
        if let Some((first, others)) = self.slices.split_first() {
            let rest: &'a [u8] = first.get(self.at..).unwrap_or_default();
            if rest.len() >= RECORD || others.is_empty() {
                let piece = rest.get(..RECORD).unwrap_or(rest);
                self.skip(piece.len());
                return piece;
            }
        }
        gathered.clear(RECORD);
        while gathered.len() < RECORD
            && let Some(first) = self.slices.first()
        {
            let rest = first.get(self.at..).unwrap_or_default();
            let piece = rest.get(..RECORD - gathered.len()).unwrap_or(rest);
            gathered.append(piece);
            self.skip(piece.len());
        }
        gathered
    }

    /// Uses `count` bytes of the first slice.
    fn skip(&mut self, count: usize) {
        self.at += count;
        if self.slices.first().is_none_or(|first| self.at >= first.len()) {
            self.slices = self.slices.get(1..).unwrap_or_default();
            self.at = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{MidPage, RECORD, Source};
    use std::io::IoSlice;

    #[test]
    fn pieces_are_full_records_but_the_last() {
        let parts: Vec<Vec<u8>> = [3, 0, 20_000, 1, RECORD, 50_000, 2]
            .iter()
            .zip(1..)
            .map(|(len, byte)| vec![byte; *len])
            .collect();
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let (mut source, mut gathered) = (Source { slices: &slices, at: 0 }, MidPage::default());
        let mut pieces: Vec<Vec<u8>> = Vec::new();
        loop {
            let piece = source.next(&mut gathered);
            if piece.is_empty() {
                break;
            }
            pieces.push(piece.to_vec());
        }
        assert_eq!(pieces.concat(), parts.concat());
        let (_, full) = pieces.split_last().unwrap();
        assert!(full.iter().all(|piece| piece.len() == RECORD));
    }
}
