//! The handle user code holds of a connected client.
//!
//! A [`Client`] is shared facts and a way to its session: into the send queue directly when its
//! own callback is running on this thread, through the worker's mailbox otherwise. It never
//! touches the session itself. What it sends is the business of `sending`.

use crate::budget::{Counted, Total};
use crate::encode::Deflating;
use crate::hub::Guard;
use crate::limits::Limits;
use crate::pending::Decision;
use crate::request::Request;
use crate::resource::Cause;
use crate::routes::Route;
use crate::scope;
use crate::send_queue::CloseOrder;
use crate::shared_run::SharedFrames;
use clws_proto::close::CloseCode;
use clws_proto::frame::OpCode;
use clws_proto::handshake::Headers;
use clws_proto::version::Version;
use std::any::Any;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

/// Who wants nothing read from a client: bits of [`Shared::paused`].
const BY_USER: u8 = 1;
const BY_LISTENER: u8 = 2;

/// What reaches a session from outside its own callbacks.
#[derive(Debug)]
pub(crate) enum Mail {
    /// Encoded frames.
    Frames(Vec<u8>),
    /// Encoded frames that other clients get too.
    Shared(SharedFrames),
    /// A message the session must compress itself, because the peer keeps its history.
    Message(Arc<Counted<Message>>),
    Close(CloseOrder),
    /// The queue's high mark was passed by sends that were on their way.
    Overrun,
    /// Reading was resumed.
    Resume,
    /// What was decided about a handshake that waited.
    Decided(Box<Decision>),
}

impl Mail {
    /// What goes out as it is.
    pub(crate) fn frames(&self) -> Option<&[u8]> {
        match self {
            Self::Frames(frames) => Some(frames),
            Self::Shared(frames) => Some(frames),
            _ => None,
        }
    }

    /// The bytes of memory behind it, but for what counts itself.
    pub(crate) fn memory(&self) -> usize {
        match self {
            Self::Frames(frames) => frames.capacity(),
            _ => 0,
        }
    }
}

/// A message before it is encoded.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) opcode: OpCode,
    pub(crate) payload: Box<[u8]>,
    pub(crate) frame_size: Option<usize>,
}

impl Message {
    /// Counts it as long as somebody holds it.
    pub(crate) fn counted(self, total: &Arc<Total>) -> Arc<Counted<Self>> {
        let bytes = size_of::<Self>() + self.payload.len();
        Arc::new(Counted::new(self, bytes, total))
    }
}

/// A session by its slot and its client's number: when it is looked up the slot may be another's.
pub(crate) type SessionId = (u32, u64);

/// Mail with its address.
#[derive(Debug)]
pub(crate) struct Letter {
    pub(crate) to: SessionId,
    pub(crate) mail: Mail,
}

/// What several clients get.
#[derive(Clone, Debug)]
pub(crate) enum Copies {
    /// Encoded frames.
    Frames(SharedFrames),
    /// A message that each session must compress itself.
    Message(Arc<Counted<Message>>),
}

impl Copies {
    pub(crate) fn one(&self) -> Mail {
        match self {
            Self::Frames(frames) => Mail::Shared(Arc::clone(frames)),
            Self::Message(message) => Mail::Message(Arc::clone(message)),
        }
    }
}

/// The same mails, in this order, to several sessions of one worker, to each once for each time it
/// stands there.
#[derive(Debug)]
pub(crate) struct Circular {
    mails: Vec<Copies>,
    to: Vec<SessionId>,
}

impl Circular {
    pub(crate) fn new(mail: Copies, to: Vec<SessionId>) -> Self {
        Self { mails: vec![mail], to }
    }

    /// Adds the mails of `next`, if that goes to the same sessions, or gives it back. What many
    /// clients get in quick succession then costs their addresses once, and each is looked up once.
    pub(crate) fn join(&mut self, next: Self) -> Result<(), Self> {
        if self.to != next.to {
            return Err(next);
        }
        self.mails.extend(next.mails);
        Ok(())
    }

    pub(crate) fn add(&mut self, to: SessionId) {
        self.to.push(to);
    }

    /// What each of the sessions gets.
    pub(crate) fn rounds(&self) -> impl Iterator<Item = (SessionId, impl Iterator<Item = Mail>)> {
        self.to.iter().map(|to| (*to, self.mails.iter().map(Copies::one)))
    }

    /// The bytes of memory behind it, but for what counts itself.
    pub(crate) fn memory(&self) -> usize {
        let mails = self.mails.capacity() * size_of::<Copies>();
        mails + self.to.capacity() * size_of::<SessionId>()
    }
}

/// The way to a worker.
pub(crate) trait Courier: Send + Sync {
    fn deliver(&self, letter: Letter);

    /// Brings it to all of them, and wakes the worker once at most.
    fn deliver_all(&self, circular: Circular);
}

/// What a session and all handles of its client share.
pub(crate) struct Shared {
    pub(crate) id: u64,
    pub(crate) slot: u32,
    pub(crate) courier: Arc<dyn Courier>,
    pub(crate) route: Arc<Route>,
    pub(crate) guard: Arc<Guard>,
    pub(crate) limits: Arc<Limits>,
    pub(crate) request: Request,
    pub(crate) version: Version,
    pub(crate) subprotocol: Option<Box<str>>,
    pub(crate) deflate: Option<Deflating>,
    pub(crate) data: Option<Box<dyn Any + Send + Sync>>,
    /// Whether sends are taken at all.
    pub(crate) open: AtomicBool,
    /// Whether the session has ended: nothing waits any more.
    pub(crate) gone: AtomicBool,
    /// Who wants nothing read; nobody when it is zero.
    pub(crate) paused: AtomicU8,
    /// Whether a sender was told of backpressure and waits for `drained`.
    pub(crate) pressed: AtomicBool,
    /// Bytes on their way here or waiting for the socket, without what the running callback sends.
    pub(crate) queued: AtomicUsize,
    /// In microseconds; 0 before the first was measured.
    pub(crate) round_trip: AtomicU32,
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

    /// The client's address; see [`Request::host`].
    pub fn host(&self) -> Option<IpAddr> {
        self.0.request.host()
    }

    /// The client's port; see [`Request::port`].
    pub fn port(&self) -> Option<u16> {
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

    /// How the connection is encrypted and who the client proved to be, if it came by TLS.
    #[cfg(feature = "tls")]
    pub fn tls(&self) -> Option<&crate::TlsInfo> {
        self.0.request.tls()
    }

    /// The protocol version the client asked for: 13 for RFC 6455, 8 and 7 for the drafts before
    /// it, 0 for draft-hixie-76.
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
        let own = scope::queue_of(self.address(), |scope| scope.queue.len() - scope.queue.counted);
        self.0.queued.load(Ordering::Relaxed) + own.unwrap_or(0)
    }

    /// How long the latest keepalive ping that the client answered took there and back; `None`
    /// before the first, which is sent after [`Limits::ping_interval`] of silence, and for clients
    /// of draft 76, which knows no pings.
    ///
    /// It is measured by the worker's clock, which is read once a turn: it is longer than the wire
    /// needs by what the ping waited behind other messages and by what the worker was busy with.
    /// An idle server measures to about a tenth of a millisecond.
    pub fn round_trip(&self) -> Option<Duration> {
        let micros = self.0.round_trip.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }

    /// Closes the client behind everything that was sent before; later sends are dropped.
    ///
    /// The reason is cut to 123 bytes; versions without close codes get neither (draft 76). A peer
    /// that does not answer is gone after [`Limits::close_timeout`].
    pub fn close(&self, code: CloseCode, reason: &str) {
        self.close_for(Cause::Server, code, reason);
    }

    /// Closes the client and names what began it.
    pub(crate) fn close_for(&self, cause: Cause, code: CloseCode, reason: &str) {
        let order = CloseOrder { code: Some(code), reason: reason.to_owned(), cause };
        let mut order = Some(order);
        if self.no_letters_under_way() {
            scope::queue_of(self.address(), |scope| {
                scope.queue.open = false;
                scope.queue.close = scope.queue.close.take().or(order.take());
            });
        }
        if let Some(order) = order
            && self.0.open.swap(false, Ordering::AcqRel)
        {
            self.post(Mail::Close(order));
        }
    }

    /// Reads nothing more from the client until [`Self::resume_reading`]: what it sends stays in
    /// the sockets' buffers, and in the end the peer can't send (TCP backpressure).
    ///
    /// From the client's own callback it takes effect with the next event, from elsewhere soon.
    /// Meanwhile the client's silence is excused: it is sent no pings and misses no deadline.
    pub fn pause_reading(&self) {
        self.0.paused.fetch_or(BY_USER, Ordering::AcqRel);
    }

    /// Reads from the client again.
    pub fn resume_reading(&self) {
        if self.unpause(BY_USER) {
            self.post(Mail::Resume);
        }
    }

    fn unpause(&self, who: u8) -> bool {
        self.0.paused.fetch_and(!who, Ordering::AcqRel) == who
    }

    /// Pauses reading for a listener, which does not interfere with what user code wants.
    pub(crate) fn hold(&self) {
        self.0.paused.fetch_or(BY_LISTENER, Ordering::AcqRel);
    }

    /// Ends [`Self::hold`]; whether the session must be told with a [`Mail::Resume`].
    pub(crate) fn unhold(&self) -> bool {
        self.unpause(BY_LISTENER)
    }

    #[inline]
    pub(crate) fn is_paused(&self) -> bool {
        self.0.paused.load(Ordering::Acquire) != 0
    }

    pub(crate) fn is_paused_by_user(&self) -> bool {
        self.0.paused.load(Ordering::Acquire) & BY_USER != 0
    }

    pub(crate) fn address(&self) -> usize {
        Arc::as_ptr(&self.0) as usize
    }

    pub(crate) fn no_letters_under_way(&self) -> bool {
        self.0.letters.load(Ordering::Acquire) == 0
    }

    pub(crate) fn post(&self, mail: Mail) {
        self.0.letters.fetch_add(1, Ordering::Release);
        self.0.courier.deliver(Letter { to: self.session(), mail });
    }

    pub(crate) fn session(&self) -> SessionId {
        (self.0.slot, self.0.id)
    }
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
