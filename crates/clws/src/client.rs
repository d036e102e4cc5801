//! The handle user code holds of a connected client.
//!
//! A [`Client`] is shared facts and a way to its session: into the send queue directly when its
//! own callback is running on this thread, through the worker's mailbox otherwise. It never
//! touches the session itself.

use crate::limits::Limits;
use crate::request::Request;
use crate::routes::Route;
use crate::scope;
use crate::send_queue::{CloseOrder, SendQueue};
use clws_proto::close::CloseCode;
use clws_proto::frame::{self, FrameHeader, MAX_CONTROL, OpCode};
use clws_proto::handshake::Headers;
use clws_proto::version::Version;
use std::any::Any;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering};

/// What became of a message or a ping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// On its way.
    Sent,
    /// On its way, but the client's send queue has reached its high mark: wait for
    /// [`Resource::drained`](crate::Resource::drained) before you send more.
    Backpressure,
    /// Not sent.
    Dropped(Dropped),
}

/// Why a message or a ping was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Dropped {
    /// The client is closed or closing.
    Closed,
    /// The send queue was above its high mark; the client is closed for it.
    Overrun,
    /// A ping of more than 125 bytes (RFC 6455 §5.5).
    TooLong,
}

/// What reaches a session from outside its own callbacks.
#[derive(Debug)]
pub(crate) enum Mail {
    /// Encoded frames.
    Frames(Vec<u8>),
    Close(CloseOrder),
    /// The queue's high mark was passed by sends that were on their way.
    Overrun,
    Shutdown,
}

/// The way to a worker.
pub(crate) trait Courier: Send + Sync {
    /// Brings `mail` to the session in `slot`, if that is still the one of `client`.
    fn deliver(&self, slot: u32, client: u64, mail: Mail);
}

/// What a session and all handles of its client share.
pub(crate) struct Shared {
    pub(crate) id: u64,
    pub(crate) slot: u32,
    pub(crate) courier: Arc<dyn Courier>,
    pub(crate) route: Arc<Route>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) request: Request,
    pub(crate) version: Version,
    pub(crate) subprotocol: Option<Box<str>>,
    pub(crate) data: Option<Box<dyn Any + Send + Sync>>,
    /// Whether sends are taken at all.
    pub(crate) open: AtomicBool,
    /// Whether the session has ended: nothing waits any more.
    pub(crate) gone: AtomicBool,
    /// Whether a sender was told of backpressure and waits for `drained`.
    pub(crate) pressed: AtomicBool,
    /// Bytes on their way here or waiting for the socket, without what the running callback sends.
    pub(crate) queued: AtomicUsize,
    /// Letters on their way. While there are any, direct sends would overtake them.
    pub(crate) letters: AtomicU32,
}

/// A connected client: a cheap clone, usable from any thread.
///
/// It stays valid after the client has left; sends then do nothing and say so. Sends from one
/// thread arrive in their order.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Shared>);

impl Client {
    /// A number that no other client of this server has or had.
    pub fn id(&self) -> u64 {
        self.0.id
    }

    /// The client's address.
    pub fn host(&self) -> IpAddr {
        self.0.request.host()
    }

    /// The client's port.
    pub fn port(&self) -> u16 {
        self.0.request.port()
    }

    /// The path the client connected to, without the query.
    pub fn resource_name(&self) -> &str {
        self.0.request.path()
    }

    /// What follows the `?` in the address the client connected to.
    pub fn query_string(&self) -> Option<&str> {
        self.0.request.query_string()
    }

    /// The request's headers in their order.
    pub fn headers(&self) -> Headers<'_> {
        self.0.request.headers()
    }

    /// The whole request.
    pub fn request(&self) -> &Request {
        &self.0.request
    }

    /// The protocol version the client asked for: 13 for RFC 6455.
    pub fn version(&self) -> u8 {
        self.0.version.number()
    }

    /// The subprotocol that was chosen.
    pub fn subprotocol(&self) -> Option<&str> {
        self.0.subprotocol.as_deref()
    }

    /// The data attached with [`Accept::data`](crate::Accept::data), if it is of this type.
    pub fn data<T: Any>(&self) -> Option<&T> {
        self.0.data.as_deref().and_then(|data| data.downcast_ref())
    }

    /// Whether messages can still be sent.
    pub fn is_open(&self) -> bool {
        self.0.open.load(Ordering::Acquire)
    }

    /// Bytes that wait to be written to the client's socket, frame headers included.
    pub fn queued_bytes(&self) -> usize {
        if self.0.gone.load(Ordering::Acquire) {
            return 0;
        }
        let own = scope::queue_of(self.address(), |queue, _| queue.len() - queue.counted);
        self.0.queued.load(Ordering::Relaxed) + own.unwrap_or(0)
    }

    /// Sends a text message in one frame.
    pub fn send_text(&self, message: &str) -> Outcome {
        self.send(OpCode::Text, message.as_bytes())
    }

    /// Sends a binary message in one frame.
    pub fn send_binary(&self, message: &[u8]) -> Outcome {
        self.send(OpCode::Binary, message)
    }

    /// Sends a ping of at most 125 bytes; the answer comes to
    /// [`Resource::pong`](crate::Resource::pong).
    pub fn ping(&self, payload: &[u8]) -> Outcome {
        if payload.len() > MAX_CONTROL {
            return Outcome::Dropped(Dropped::TooLong);
        }
        self.send(OpCode::Ping, payload)
    }

    /// Closes the client behind everything that was sent before; later sends are dropped.
    ///
    /// The reason is cut to 123 bytes. A peer that does not answer is gone after
    /// [`Limits::close_timeout`].
    pub fn close(&self, code: CloseCode, reason: &str) {
        let order = CloseOrder { code: Some(code), reason: reason.to_owned(), rejected: false };
        let mut order = Some(order);
        if self.no_letters_under_way() {
            scope::queue_of(self.address(), |queue, _| {
                queue.open = false;
                queue.close = queue.close.take().or(order.take());
            });
        }
        if let Some(order) = order
            && self.0.open.swap(false, Ordering::AcqRel)
        {
            self.post(Mail::Close(order));
        }
    }

    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    fn no_letters_under_way(&self) -> bool {
        self.0.letters.load(Ordering::Acquire) == 0
    }

    #[inline]
    fn send(&self, opcode: OpCode, payload: &[u8]) -> Outcome {
        let shared = &*self.0;
        let header = FrameHeader::new(opcode, payload.len());
        let direct = || {
            scope::queue_of(self.address(), |queue, lent| {
                let high = shared.limits.send_queue_high;
                if let Err(dropped) = admit(queue, high) {
                    return Outcome::Dropped(dropped);
                }
                queue.push(&header, payload, lent);
                queue.pressed |= queue.len() >= high;
                if queue.len() >= high { Outcome::Backpressure } else { Outcome::Sent }
            })
        };
        let done = if self.no_letters_under_way() { direct() } else { None };
        done.unwrap_or_else(|| self.send_by_mail(opcode, payload, header.encoded_len()))
    }

    fn send_by_mail(&self, opcode: OpCode, payload: &[u8], header_len: usize) -> Outcome {
        let (shared, len) = (&*self.0, header_len + payload.len());
        if !self.is_open() {
            return Outcome::Dropped(Dropped::Closed);
        }
        let before = shared.queued.fetch_add(len, Ordering::Relaxed);
        if before >= shared.limits.send_queue_high {
            shared.queued.fetch_sub(len, Ordering::Relaxed);
            if shared.open.swap(false, Ordering::AcqRel) {
                self.post(Mail::Overrun);
            }
            return Outcome::Dropped(Dropped::Overrun);
        }
        let mut frames = Vec::with_capacity(len);
        frame::write(&mut frames, opcode, payload, None);
        let pressed = before + len >= shared.limits.send_queue_high;
        if pressed {
            // Before the letter, so that the session sees it with the letter.
            shared.pressed.store(true, Ordering::Release);
        }
        self.post(Mail::Frames(frames));
        if pressed { Outcome::Backpressure } else { Outcome::Sent }
    }

    pub(crate) fn post(&self, mail: Mail) {
        self.0.letters.fetch_add(1, Ordering::Release);
        self.0.courier.deliver(self.0.slot, self.0.id, mail);
    }
}

fn admit(queue: &mut SendQueue, high: usize) -> Result<(), Dropped> {
    if !queue.open {
        return Err(Dropped::Closed);
    }
    if queue.len() >= high {
        queue.open = false;
        queue.overrun = true;
        return Err(Dropped::Overrun);
    }
    Ok(())
}

/// Clients are equal when they are the same connection of the same server.
impl PartialEq for Client {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Client {}

impl std::hash::Hash for Client {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.id.hash(state);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("id", &self.0.id)
            .field("resource_name", &self.resource_name())
            .field("open", &self.is_open())
            .finish_non_exhaustive()
    }
}
