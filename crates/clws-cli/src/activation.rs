//! Sockets that a service manager bound and passed on (systemd's socket activation).
//!
//! An address of `systemd` stands for all of them, `systemd:NAME` for those of that
//! `FileDescriptorName=`. They are taken from the environment once, before there are threads.

use clws::{Server, Tls};
use listenfd::ListenFd;
use std::env;
use std::io::{Error, ErrorKind, Result};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;

/// What was passed on and nobody took yet.
pub(crate) struct Passed {
    sockets: ListenFd,
    names: Vec<String>,
}

enum Socket {
    Tcp(TcpListener),
    Unix(UnixListener),
}

/// The name in an address that stands for the passed sockets of that name.
fn name(address: &str) -> Option<&str> {
    address.strip_prefix("systemd:")
}

/// Whether `address` stands for passed sockets.
pub(crate) fn is_passed(address: &str) -> bool {
    address == "systemd" || name(address).is_some()
}

impl Passed {
    /// Must be called before there are other threads: it changes the environment.
    pub(crate) fn from_environment() -> Self {
        let names = env::var("LISTEN_FDNAMES").unwrap_or_default();
        let names = names.split(':').map(str::to_owned).collect();
        Self { sockets: ListenFd::from_env(), names }
    }

    /// Has `server` accept from the sockets that `address` stands for.
    pub(crate) fn listen(
        &mut self,
        server: Server,
        address: &str,
        tls: Option<&Tls>,
    ) -> clws::Result<Server> {
        let failed = |source| clws::Error::Bind { address: address.to_owned(), source };
        let sockets = self.take(name(address)).map_err(failed)?;
        if sockets.is_empty() {
            return Err(failed(Error::new(ErrorKind::NotFound, "no such socket was passed on")));
        }
        sockets.into_iter().try_fold(server, |server, socket| match (socket, tls) {
            (Socket::Tcp(listener), None) => server.listener(listener),
            (Socket::Tcp(listener), Some(tls)) => server.listener_tls(listener, tls.clone()),
            (Socket::Unix(listener), None) => server.unix_listener(listener),
            (Socket::Unix(_), Some(_)) => {
                let why = "TLS is not served on Unix-domain sockets";
                Err(failed(Error::new(ErrorKind::Unsupported, why)))
            }
        })
    }

    fn take(&mut self, name: Option<&str>) -> Result<Vec<Socket>> {
        let mut taken = Vec::new();
        for index in 0..self.sockets.len() {
            let own = self.names.get(index).map_or("unknown", String::as_str);
            if name.is_none_or(|name| name == own) {
                taken.extend(self.take_one(index)?);
            }
        }
        Ok(taken)
    }

    fn take_one(&mut self, index: usize) -> Result<Option<Socket>> {
        // What is no TCP socket is kept for the second try.
        match self.sockets.take_tcp_listener(index) {
            Ok(listener) => Ok(listener.map(Socket::Tcp)),
            Err(_) => Ok(self.sockets.take_unix_listener(index)?.map(Socket::Unix)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_stand_for_passed_sockets() {
        for (address, passed, named) in [
            ("systemd", true, None),
            ("systemd:web", true, Some("web")),
            ("systemd.example:80", false, None),
            ("127.0.0.1:80", false, None),
            ("unix:systemd", false, None),
        ] {
            assert_eq!((is_passed(address), name(address)), (passed, named), "{address}");
        }
    }
}
