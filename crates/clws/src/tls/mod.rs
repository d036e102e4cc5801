//! TLS as a stage between a session and its socket: bytes in, bytes out, no I/O of its own.
//!
//! [`Tls`] says which certificates a listener shows and whom it admits (`config`, with the files
//! read in `pem` and the choice by name in `certificates`); a [`Keeper`] holds that ready for new
//! connections and reads it again on command (`keeper`). A [`TlsStage`] is one connection's
//! cipher: `stage` opens what the peer sent, `seal` closes what goes out.

mod certificates;
#[cfg(test)]
#[path = "../../tests/common/certs.rs"]
#[allow(dead_code, unreachable_pub, reason = "the tests over sockets use it too, and more of it")]
pub(crate) mod certs;
mod config;
mod error;
mod info;
mod keeper;
mod pem;
mod seal;
mod stage;
mod subject;

pub use config::{ClientCertificates, Tls};
pub use error::TlsError;
pub use info::TlsInfo;
pub(crate) use keeper::Keeper;
pub(crate) use seal::Buffers;
pub(crate) use stage::{Opened, TlsStage};
