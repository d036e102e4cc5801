//! What TLS listeners give new connections, kept up to date.
//!
//! Listeners with the same certificates share a keeper, so that files are read once and told of
//! once. Connections that exist keep what they began with. Files that can't be used change nothing.

use super::config::{self, Tls};
use super::error::TlsError;
use rustls::ServerConfig;
use rustls::server::ProducesTickets;
use std::fs;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

/// What tells that a file was written: its time and its length.
type Stamp = Option<(SystemTime, u64)>;

fn stamp(file: &Path) -> Stamp {
    let found = fs::metadata(file).ok()?;
    Some((found.modified().ok()?, found.len()))
}

/// The TLS of one listener or several.
#[derive(Debug)]
pub(crate) struct Keeper {
    tls: Tls,
    current: Mutex<Arc<ServerConfig>>,
    /// Held while files are read, so that of two reloads the later one's files stay.
    files: Mutex<Files>,
}

#[derive(Debug)]
struct Files {
    stamps: Vec<Stamp>,
    tickets: Arc<dyn ProducesTickets>,
}

impl Keeper {
    pub(crate) fn new(tls: Tls) -> Result<Self, TlsError> {
        let stamps = tls.files().map(stamp).collect();
        let tickets = config::tickets()?;
        let current = Mutex::new(tls.build(Arc::clone(&tickets))?);
        Ok(Self { tls, current, files: Mutex::new(Files { stamps, tickets }) })
    }

    /// What the next connection begins with.
    pub(super) fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Whether this is what a listener with `tls` needs.
    pub(crate) fn is_for(&self, tls: &Tls) -> bool {
        self.tls.is_same(tls)
    }

    /// Reads all files again.
    pub(crate) fn reload(&self) -> Result<(), TlsError> {
        let mut files = self.files();
        // Before they are read: a change meanwhile is seen next time.
        let stamps = self.stamps();
        self.read(&mut files, stamps)
    }

    /// Reads all files again if one was written since they were read last; what is wrong with
    /// them is said once.
    pub(crate) fn reload_if_changed(&self) {
        let mut files = self.files();
        let stamps = self.stamps();
        if files.stamps != stamps {
            // Has been logged.
            let _ = self.read(&mut files, stamps);
        }
    }

    fn stamps(&self) -> Vec<Stamp> {
        self.tls.files().map(stamp).collect()
    }

    fn read(&self, files: &mut Files, stamps: Vec<Stamp>) -> Result<(), TlsError> {
        files.stamps = stamps;
        let done = self.replace(files);
        match &done {
            Ok(()) => tracing::info!("certificates read again"),
            Err(error) => tracing::error!(%error, "certificates not replaced"),
        }
        done
    }

    fn replace(&self, files: &mut Files) -> Result<(), TlsError> {
        // A ticket stands for a client's certificate; other authorities might not admit it.
        let tickets = if self.tls.verifies_clients() {
            config::tickets()?
        } else {
            Arc::clone(&files.tickets)
        };
        let config = self.tls.build(Arc::clone(&tickets))?;
        files.tickets = tickets;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    fn files(&self) -> MutexGuard<'_, Files> {
        self.files.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Keeper, Tls};
    use crate::tls::certs;
    use std::sync::Arc;

    #[test]
    fn files_are_read_again_only_when_one_was_written() {
        let (folder, authority) = (certs::Folder::new(), certs::Authority::new("A"));
        let (certificate, key) = authority.server(&["a.example"]).write(&folder, "served");
        let keeper = Keeper::new(Tls::from_files(certificate, key).unwrap()).unwrap();
        let first = keeper.current();
        keeper.reload_if_changed();
        assert!(Arc::ptr_eq(&first, &keeper.current()));
        let next = authority.server(&["a.example", "b.example"]);
        // Half of a pair changes nothing, the other half all.
        folder.write("served.pem", &next.certificate);
        keeper.reload_if_changed();
        assert!(Arc::ptr_eq(&first, &keeper.current()));
        folder.write("served.key", &next.key);
        keeper.reload_if_changed();
        assert!(!Arc::ptr_eq(&first, &keeper.current()));
    }
}
