//! One connection's TLS: ciphertext in, plaintext out; `seal` is the other way.
//!
//! It owns no buffer while nothing is on its way: bytes are opened where they were received, into
//! a buffer of the worker's. Only the beginning of a record whose end has not come is kept, and
//! what the socket did not take.

use super::certificates;
use super::info::TlsInfo;
use super::keeper::Keeper;
use clws_proto::copy::{self, MidPage};
use rustls::ProtocolVersion;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncodeTlsData, UnbufferedStatus};
use std::fmt;

/// The most plaintext that is handed on at once, but for the rest of a record.
const MAX_OPENED: usize = 64 * 1024;
/// The most that is kept of an unfinished record or handshake message. A handshake message has at
/// most 64 KiB, but may come in small records.
const MAX_PARTIAL: usize = 128 * 1024;
/// A record's header: its type, its version, its length (RFC 8446 §5.1).
const HEADER: usize = 5;

/// One connection's TLS.
pub(crate) struct TlsStage {
    pub(super) conn: UnbufferedServerConnection,
    /// The beginning of a record or handshake message.
    pub(super) partial: Vec<u8>,
    /// Ciphertext for the socket; the first `sent` bytes are out.
    pub(super) unsent: Vec<u8>,
    pub(super) sent: usize,
    server_name: Option<Box<str>>,
    /// Nothing can be sealed any more: an alert or the end has been said.
    pub(super) closed: bool,
}

/// What became of received bytes.
#[derive(Debug)]
pub(crate) enum Opened {
    /// There is more in them.
    More,
    /// All is used.
    All,
    /// The peer will send nothing more (`close_notify`).
    End,
    /// The peer broke TLS; it is told so by an alert, which waits to be written.
    Broken(String),
}

impl TlsStage {
    /// `None` where the library refuses its settings, which were tried before.
    pub(crate) fn new(keeper: &Keeper) -> Option<Box<Self>> {
        let conn = match UnbufferedServerConnection::new(keeper.current()) {
            Ok(conn) => conn,
            Err(error) => {
                tracing::error!(%error, "TLS cannot begin");
                return None;
            }
        };
        Some(Box::new(Self {
            conn,
            partial: Vec::new(),
            unsent: Vec::new(),
            sent: 0,
            server_name: None,
            closed: false,
        }))
    }

    /// Whether nothing but TLS's own handshake can be said yet.
    pub(crate) fn is_handshaking(&self) -> bool {
        self.conn.is_handshaking()
    }

    /// Takes what was kept of an unfinished record and completes it from `input`; gives how much
    /// of `input` went there. Nothing where nothing was kept.
    pub(crate) fn complete(&mut self, input: &[u8]) -> Option<(Vec<u8>, usize)> {
        if self.partial.is_empty() {
            return None;
        }
        let mut held = std::mem::take(&mut self.partial);
        let before = held.len();
        // The header first, then what it says follows.
        for _ in 0..2 {
            let lacks = record_len(&held).saturating_sub(held.len());
            let taken = held.len() - before;
            held.extend(input.get(taken..).unwrap_or_default().iter().take(lacks));
        }
        if held.len() == before {
            // Several records of one handshake message.
            held.extend_from_slice(input);
        }
        let used = held.len() - before;
        Some((held, used))
    }

    /// Opens records from `bytes` into `plain`, which is emptied before; gives how many bytes were
    /// used. All are, but after [`Opened::More`]: what belongs to a record that is not whole is
    /// kept.
    pub(crate) fn open(&mut self, bytes: &mut [u8], plain: &mut MidPage) -> (usize, Opened) {
        plain.clear(MAX_OPENED);
        let asks = self.is_handshaking();
        let mut used = 0;
        let opened = loop {
            let rest = bytes.get_mut(used..).unwrap_or_default();
            let UnbufferedStatus { discard, state } = self.conn.process_tls_records(rest);
            let step = match state {
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(Ok(record)) = traffic.next_record() {
                        plain.append(record.payload);
                    }
                    if used + discard == bytes.len() {
                        // Nothing is left to ask for: what TLS has to say goes with what is sent.
                        Some(Opened::All)
                    } else {
                        (plain.len() >= MAX_OPENED).then_some(Opened::More)
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut message)) => {
                    append(&mut self.unsent, &mut message);
                    None
                }
                Ok(ConnectionState::TransmitTlsData(done)) => {
                    done.done();
                    None
                }
                Ok(ConnectionState::PeerClosed | ConnectionState::Closed) => Some(Opened::End),
                Ok(_) => Some(Opened::All),
                Err(error) => Some(Opened::Broken(error.to_string())),
            };
            used += discard;
            if let Some(opened) = step {
                break opened;
            }
        };
        if asks && let Some(name) = certificates::take_asked() {
            self.server_name = Some(name);
        }
        let all = bytes.len();
        let rest = bytes.get_mut(used..).unwrap_or_default();
        match opened {
            Opened::More => (used, Opened::More),
            Opened::All => (all, self.keep(rest)),
            Opened::End => (all, Opened::End),
            Opened::Broken(why) => {
                self.collect_alert(rest);
                (all, Opened::Broken(why))
            }
        }
    }

    /// Keeps the beginning of a record until the rest comes. Whoever writes meanwhile needs it:
    /// the connection remembers what it has seen of it.
    fn keep(&mut self, rest: &[u8]) -> Opened {
        if rest.len() > MAX_PARTIAL {
            self.closed = true;
            return Opened::Broken("a handshake message without end".to_owned());
        }
        self.partial.clear();
        copy::append(&mut self.partial, rest);
        Opened::All
    }

    /// Fetches the alert that tells the peer of its fault, if there is one, and what was to go out
    /// before it; `rest` is where processing stopped. Behind the alert nothing more may be asked
    /// for: the library would go on with `rest` and stumble again.
    fn collect_alert(&mut self, rest: &mut [u8]) {
        self.closed = true;
        while let Ok(ConnectionState::EncodeTlsData(mut message)) =
            self.conn.process_tls_records(rest).state
        {
            let before = self.unsent.len();
            append(&mut self.unsent, &mut message);
            if is_alert(self.unsent.get(before..).unwrap_or_default()) {
                break;
            }
        }
    }

    /// The bytes of memory it holds for what is on its way.
    pub(crate) fn held(&self) -> usize {
        self.partial.capacity() + self.unsent.capacity()
    }

    /// What user code may know, once the handshake is done.
    pub(crate) fn info(&self) -> TlsInfo {
        let version = match self.conn.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
            _ => "TLS 1.3",
        };
        let alpn = self.conn.alpn_protocol().and_then(|name| str::from_utf8(name).ok());
        let certificates = self.conn.peer_certificates().unwrap_or_default();
        TlsInfo {
            version,
            server_name: self.server_name.clone(),
            alpn: alpn.map(Into::into),
            peer_certificates: certificates.iter().map(|one| Box::from(&**one)).collect(),
        }
    }
}

/// How long the first record in `bytes` is, as far as that is known.
fn record_len(bytes: &[u8]) -> usize {
    match bytes {
        [_, _, _, high, low, ..] => HEADER + usize::from(u16::from_be_bytes([*high, *low])),
        _ => HEADER,
    }
}

/// Whether a record is an alert. TLS 1.3 hides a record's type, but nothing else that the library
/// sends by itself is as short: two bytes, the type, 16 bytes of authentication (RFC 8446 §5.2).
fn is_alert(record: &[u8]) -> bool {
    record.first().is_some_and(|kind| *kind == 21 || (*kind == 23 && record.len() <= HEADER + 19))
}

/// Appends a message of the handshake, or an alert.
pub(super) fn append(out: &mut Vec<u8>, message: &mut EncodeTlsData<'_, ServerConnectionData>) {
    let before = out.len();
    if let Err(EncodeError::InsufficientSize(needs)) = message.encode(&mut []) {
        out.resize(before + needs.required_size, 0);
        let written = message.encode(out.get_mut(before..).unwrap_or_default());
        out.truncate(before + written.unwrap_or(0));
    }
}

impl fmt::Debug for TlsStage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsStage").field("closed", &self.closed).finish_non_exhaustive()
    }
}
