//! What the failure of a system call means: whose fault it is, and whether the log hears of it.

use std::io::{self, ErrorKind};
use std::time::{Duration, Instant};

/// At most so often one thing is told.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// What is to be done after a connection could not be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepting {
    /// Nobody waits.
    Done,
    /// That connection is gone (accept(2)); the next one may be in order.
    Next,
    /// The system has no room for it, or the listener is broken: nothing is gained by haste.
    Later,
}

impl Accepting {
    pub(super) fn after(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock => Self::Done,
            ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::Interrupted
            | ErrorKind::NetworkDown
            | ErrorKind::NetworkUnreachable
            | ErrorKind::PermissionDenied
            | ErrorKind::TimedOut => Self::Next,
            _ => Self::Later,
        }
    }
}

/// What is to be done after a socket could not be read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// Nothing is there.
    Empty,
    /// It can be tried again at once.
    Again,
    /// The connection is lost.
    Lost,
}

impl Reading {
    pub(super) fn after(error: &io::Error) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock => Self::Empty,
            ErrorKind::Interrupted => Self::Again,
            _ => Self::Lost,
        }
    }
}

/// Keeps what happens often from filling the log.
#[derive(Debug, Default)]
pub(super) struct Quiet(Option<Instant>);

impl Quiet {
    /// Whether it is told this time.
    pub(super) fn tells(&mut self, now: Instant) -> bool {
        let due = self.0.is_none_or(|last| now.saturating_duration_since(last) >= TOLD_EVERY);
        if due {
            self.0 = Some(now);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario F2: whatever the system says, it is one of these, and only a lack of everything
    /// makes the acceptor pause.
    #[cfg(target_os = "linux")]
    #[test]
    fn every_errno_has_a_meaning() {
        const EPERM: i32 = 1;
        const EINTR: i32 = 4;
        const EAGAIN: i32 = 11;
        // ENOMEM, ENFILE, EMFILE, ENOBUFS.
        let of_the_system = [12, 23, 24, 105];
        // ENETDOWN, ENETUNREACH, ECONNABORTED, ECONNRESET, ETIMEDOUT, ECONNREFUSED, EHOSTUNREACH.
        let of_the_peer = [EPERM, EINTR, 13, 100, 101, 103, 104, 110, 111, 113];
        for errno in 1..=133 {
            let error = io::Error::from_raw_os_error(errno);
            let expected = match errno {
                EAGAIN => Accepting::Done,
                _ if of_the_peer.contains(&errno) => Accepting::Next,
                _ => Accepting::Later,
            };
            assert_eq!(Accepting::after(&error), expected, "accept: {error}");
            let expected = match errno {
                EAGAIN => Reading::Empty,
                EINTR => Reading::Again,
                _ => Reading::Lost,
            };
            assert_eq!(Reading::after(&error), expected, "read: {error}");
        }
        for errno in of_the_system {
            let error = io::Error::from_raw_os_error(errno);
            assert_eq!(Accepting::after(&error), Accepting::Later, "{error}");
        }
    }

    #[test]
    fn a_thing_is_told_once_a_second() {
        let (start, mut quiet) = (Instant::now(), Quiet::default());
        let told = (0..10_000).filter(|n| quiet.tells(start + Duration::from_millis(*n)));
        assert_eq!(told.collect::<Vec<_>>(), (0..10).map(|n| n * 1000).collect::<Vec<_>>());
    }
}
