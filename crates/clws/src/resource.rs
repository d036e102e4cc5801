//! What user code implements: a [`Resource`], served at a path.

use crate::client::Client;
use crate::pending::Pending;
use crate::request::Request;
use clws_proto::close::CloseCode;
use clws_proto::handshake::{ExtraHeaders, InvalidHeader, Response};
use clws_proto::text::Text;
use std::any::Any;
use std::borrow::Cow;
use std::fmt;

/// What a server serves at a path.
///
/// Callbacks run on the worker thread of the client they are about: one at a time for each client,
/// in the order of its events, but at the same time for clients of different workers. They must
/// not block: all clients of the worker wait, and a small answer leaves only when the callbacks of
/// up to 31 other clients have returned whose messages had come by then. A panic in a callback
/// closes that client with 1011 and is counted; the others do not notice.
///
/// `connected` is called once for each client that was accepted, `disconnected` once for each
/// `connected`.
pub trait Resource: Send + Sync + 'static {
    /// Decides about a client before its handshake is answered: choose a subprotocol, add headers,
    /// attach data, or refuse with an HTTP status. The default accepts without a subprotocol.
    fn accept(&self, request: &Request) -> Result<Accept, Reject> {
        let _ = request;
        Ok(Accept::new())
    }

    /// Takes a handshake whose decision needs another thread or more time: keep `pending`, return
    /// `None` and call [`Pending::decide`] later. The default gives it back, and
    /// [`Resource::accept`] decides at once.
    fn accept_later(&self, pending: Pending) -> Option<Pending> {
        Some(pending)
    }

    /// Answers a plain GET of this path; `None`, the default, answers 426 Upgrade Required.
    ///
    /// One response is sent and the connection closed.
    fn get(&self, request: &Request) -> Option<Response> {
        let _ = request;
        None
    }

    /// A client is connected. After an `Err` it is closed with the code and reason in it, nothing
    /// it sent reaches `text` or `binary`, and `disconnected` says [`Cause::Rejected`].
    fn connected(&self, client: &Client) -> Result<(), Reject> {
        let _ = client;
        Ok(())
    }

    /// A text message, fragments joined.
    fn text(&self, client: &Client, message: &str) {
        let _ = (client, message);
    }

    /// Whether text messages are read here; asked once, when the resource is registered.
    ///
    /// One that only passes them on says `false`: they come to [`unread_text`](Self::unread_text)
    /// then, and a long one costs less, because its bytes are checked to be UTF-8 while they are
    /// unmasked. A `&str` takes a second look at them.
    fn reads_text(&self) -> bool {
        true
    }

    /// A text message that is not read here, fragments joined; send it on with
    /// [`Client::send_unread`] or [`send_unread_to`](crate::send_unread_to). The default hands it
    /// to [`text`](Self::text).
    fn unread_text(&self, client: &Client, message: Text<'_>) {
        self.text(client, message.to_str());
    }

    /// A binary message, fragments joined.
    fn binary(&self, client: &Client, message: &[u8]) {
        let _ = (client, message);
    }

    /// The answer to a [`Client::ping`], or a pong nobody asked for (RFC 6455 §5.5.3).
    fn pong(&self, client: &Client, payload: &[u8]) {
        let _ = (client, payload);
    }

    /// The client's send queue had reached its high mark and fell below its low mark again.
    fn drained(&self, client: &Client) {
        let _ = client;
    }

    /// The server is about to close the client with this code and reason: it was idle for
    /// [`Limits::idle_timeout`](crate::Limits::idle_timeout), has been here for
    /// [`Limits::max_lifetime`](crate::Limits::max_lifetime), or the server
    /// [drains](crate::ServerHandle::drain). Everything that had come from it by
    /// now has been delivered, and what is sent here still goes before the close frame.
    ///
    /// Return `true` to close it by [`Client::close`] when all is done that it asked for; a client
    /// that is left open for [`Limits::close_timeout`](crate::Limits::close_timeout) is closed
    /// then. A [`Listener`](crate::Listener) does so, behind the events that are queued.
    fn closing(&self, client: &Client, code: CloseCode, reason: &str) -> bool {
        let _ = (client, code, reason);
        false
    }

    /// The client is gone; sends to it do nothing any more.
    fn disconnected(&self, client: &Client, closed: &Closed) {
        let _ = (client, closed);
    }

    /// The server has ended: every client has heard `disconnected`, none will come. Called once,
    /// on a thread of the server; [`ServerHandle::join`](crate::ServerHandle::join) waits for it,
    /// so it may block.
    fn ended(&self) {}
}

/// Hands a text over as the resource said it wants texts ([`Resource::reads_text`]).
pub(crate) fn hear<R: Resource + ?Sized>(
    resource: &R,
    reads_text: bool,
    client: &Client,
    text: &str,
) {
    if reads_text {
        resource.text(client, text);
    } else {
        resource.unread_text(client, text.into());
    }
}

/// The answer to an opening handshake that goes on.
#[derive(Default)]
pub struct Accept {
    pub(crate) subprotocol: Option<String>,
    pub(crate) headers: ExtraHeaders,
    pub(crate) data: Option<Box<dyn Any + Send + Sync>>,
}

impl Accept {
    /// Accepts without a subprotocol.
    pub fn new() -> Self {
        Self::default()
    }

    /// Chooses a subprotocol; it must be one of [`Request::subprotocols`], or the handshake fails
    /// with 500 (RFC 6455 §4.2.2).
    pub fn subprotocol(mut self, name: impl Into<String>) -> Self {
        self.subprotocol = Some(name.into());
        self
    }

    /// Adds a header to the 101 response. A name or value that must not stand there, such as one
    /// with a line break, is an error.
    pub fn header(mut self, name: &str, value: &str) -> Result<Self, InvalidHeader> {
        self.headers.push(name, value)?;
        Ok(self)
    }

    /// Attaches data to the client; [`Client::data`] gives it back.
    pub fn data(mut self, data: impl Any + Send + Sync) -> Self {
        self.data = Some(Box::new(data));
        self
    }
}

impl fmt::Debug for Accept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accept")
            .field("subprotocol", &self.subprotocol)
            .field("headers", &self.headers)
            .finish_non_exhaustive()
    }
}

/// A client that is turned away, with an HTTP status from `accept`, with a close code from
/// `connected`.
#[derive(Clone, Debug)]
pub struct Reject {
    pub(crate) status: u16,
    pub(crate) code: CloseCode,
    pub(crate) reason: Cow<'static, str>,
}

impl Reject {
    /// Rejects with an HTTP status of 400–599 (others count as 500) and a reason, which is the
    /// response's body. In `connected` the status has no meaning and the close code is 1008.
    pub fn new(status: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self { status, code: CloseCode::POLICY, reason: reason.into() }
    }

    /// Rejects with 403 Forbidden.
    pub fn forbidden(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::new(403, reason)
    }

    /// The close code for a rejection from `connected`.
    pub fn close_code(mut self, code: CloseCode) -> Self {
        self.code = code;
        self
    }
}

/// Why and how a client left.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Closed {
    /// The close code: the peer's, where it sent one, else 1005 for a close frame without a code
    /// and 1006 for a connection that ended without a close frame (RFC 6455 §7.1.5).
    pub code: u16,
    /// The reason in the peer's close frame, at most 123 bytes, or empty.
    pub reason: String,
    /// What began it.
    pub cause: Cause,
    /// Whether both close frames were exchanged (§7.1.4).
    pub clean: bool,
}

/// What began the end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// The peer sent a close frame.
    Peer,
    /// User code closed the client.
    Server,
    /// `connected` rejected the client.
    Rejected,
    /// The server is shutting down.
    Shutdown,
    /// The peer broke the protocol or a limit.
    Protocol(clws_proto::error::ProtocolError),
    /// The peer gave no sign of life, or took nothing of what waited for it.
    Timeout,
    /// No message went either way for [`Limits::idle_timeout`](crate::Limits::idle_timeout).
    Idle,
    /// The client has been connected for [`Limits::max_lifetime`](crate::Limits::max_lifetime).
    Lifetime,
    /// The client's send queue was overrun.
    Overrun,
    /// The server ran short of memory, and this client was among those that held the most.
    Memory,
    /// A callback panicked.
    Panic,
    /// The connection ended without a close frame.
    Lost,
}
