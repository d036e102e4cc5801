//! What a server allows its peers: every size and time that bounds them, with its default.

use crate::error::{Error, Result};
use clws_proto::connection::Config;
use clws_proto::handshake::HandshakeLimits;
use std::time::Duration;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// Each worker has a buffer of twice as much.
const MAX_TURN_BYTES: usize = 16 * MIB;
/// What a longer time is cut to: a century from now can still be told as a moment.
const NEVER: Duration = Duration::from_hours(100 * 365 * 24);

/// Every bound of a server. Start from [`Limits::default`] and change what differs. A time of more
/// than a century, as `Duration::MAX`, never comes.
///
/// ```
/// let mut limits = clws::Limits::default();
/// limits.max_message_size = 64 * 1024;
/// limits.max_clients = Some(10_000);
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Connected clients; one more gets 503. Default `None`: bounded by file descriptors.
    pub max_clients: Option<usize>,
    /// Connections from one address, or from one IPv6 /64, unfinished handshakes included; one more
    /// is closed, or gets 503 behind a trusted proxy. Connections from this machine and those of
    /// trusted proxies themselves are not counted. Default `None`: no bound.
    pub max_connections_per_address: Option<usize>,
    /// Connections accepted in a second, after as many at once; those above it wait in the
    /// system's queue of [`Server::backlog`](crate::Server::backlog). Default `None`: no bound.
    pub max_accept_rate: Option<u32>,
    /// Request line and headers of an opening handshake, in bytes; above it 431. Default 16 KiB.
    pub max_header_size: usize,
    /// Headers of an opening handshake; above it 431. Default 64.
    pub max_headers: usize,
    /// The request line, in bytes; above it 414. Default 8 KiB.
    pub max_request_line: usize,
    /// From accepting the connection to the whole request; then 408. Default 5 s.
    pub handshake_timeout: Duration,
    /// One frame's payload, in bytes; above it close code 1009. Default 1 MiB.
    pub max_frame_size: usize,
    /// One message, in bytes; above it close code 1009. Default 1 MiB.
    pub max_message_size: usize,
    /// From a message's first byte to its last; then close code 1008. Default 30 s.
    pub message_timeout: Duration,
    /// A client whose send queue fell to this many bytes gets `drained`. Default 64 KiB.
    pub send_queue_low: usize,
    /// A client whose send queue holds this many bytes is not read from, and a further message to
    /// it meets the policy: the queue holds at most this and one message. Default 1 MiB.
    pub send_queue_high: usize,
    /// What becomes of a message that finds the send queue at its high mark. Default `Disconnect`.
    pub send_policy: SendPolicy,
    /// A client that takes nothing of what waits for it this long is dropped. Default 10 s.
    pub send_timeout: Duration,
    /// Bytes a second: a client for which something waits all through a `send_timeout`, and that
    /// took less than this, is dropped. One that takes all there is may take as little as it
    /// gets. `None` asks for no more than some progress. Default 256.
    pub min_drain_rate: Option<u32>,
    /// From a client's send queue being overrun to the reset of its connection. Default 1 s.
    pub abort_timeout: Duration,
    /// From a close frame to the peer's answer. Default 5 s.
    pub close_timeout: Duration,
    /// From the last byte sent to closing the socket of a peer that keeps it open. Default 1 s.
    pub linger_timeout: Duration,
    /// A client that was silent this long gets a ping; `None` sends none. Default 25 s.
    pub ping_interval: Option<Duration>,
    /// A client that stays silent this long after such a ping is dropped. Default 20 s.
    pub pong_timeout: Duration,
    /// Bytes held for clients by all servers of the process, at least 1 MiB. Near it the largest
    /// holders are not read from, then new clients get 503; at it the largest holders are closed
    /// with 1013. Default `None`: a quarter of the memory of the machine or the control group.
    pub memory_budget: Option<usize>,
    /// Bytes that the system keeps of each TCP connection and direction, at least 4 KiB: of what
    /// came and was not read about twice as many, and on Linux of what waits and is not on its way.
    /// Default `None`: 64 KiB where the memory budget is below 128 MiB, else as the system decides,
    /// which may be several MiB.
    pub socket_buffers: Option<usize>,
    /// The most messages and control frames of one client that are delivered before others have
    /// their turn. Default 32.
    pub turn_messages: usize,
    /// The most bytes that are read from one client before others have their turn, twice as many
    /// of a frame that is known to be long, and 16 times as many, but no more than 1 MiB, of long
    /// messages of all clients together that have come whole. Of compressed messages also the most
    /// that they are inflated to, but for what an inflater holds, 32 KiB. At most 16 MiB. Default
    /// 64 KiB.
    pub turn_bytes: usize,
    /// A client to and from which no message went this long is closed with 1001; pings and pongs
    /// are none. `None` lets it idle. Default `None`.
    pub idle_timeout: Option<Duration>,
    /// A client that has been connected this long is closed with 1001, up to a tenth earlier, so
    /// that those who came together don't leave together. `None` lets it stay. Default `None`.
    pub max_lifetime: Option<Duration>,
    /// Bytes of buffers each worker keeps for reuse, beyond what clients hold; those that nobody
    /// has needed for some seconds are freed. Default 16 MiB.
    pub spare_buffers: usize,
}

/// What becomes of a message to a client whose send queue is at its high mark.
///
/// Control frames are exempt: a ping passes until the queue is 64 KiB above its high mark.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SendPolicy {
    /// The client is closed: it reads too slowly.
    #[default]
    Disconnect,
    /// The message is dropped.
    DropNewest,
    /// The message takes the place of the oldest ones that wait, except those at the front, up to
    /// the low mark, that are about to be written.
    ///
    /// Messages on their way from other threads count too: where they alone reach twice the high
    /// mark before the client's worker has seen them, the newest are dropped.
    ///
    /// For a client whose messages are compressed with context takeover the newest are dropped
    /// instead: it needs every message that was compressed.
    DropOldest,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_clients: None,
            max_connections_per_address: None,
            max_accept_rate: None,
            max_header_size: 16 * KIB,
            max_headers: 64,
            max_request_line: 8 * KIB,
            handshake_timeout: Duration::from_secs(5),
            max_frame_size: MIB,
            max_message_size: MIB,
            message_timeout: Duration::from_secs(30),
            send_queue_low: 64 * KIB,
            send_queue_high: MIB,
            send_policy: SendPolicy::Disconnect,
            send_timeout: Duration::from_secs(10),
            min_drain_rate: Some(256),
            abort_timeout: Duration::from_secs(1),
            close_timeout: Duration::from_secs(5),
            linger_timeout: Duration::from_secs(1),
            ping_interval: Some(Duration::from_secs(25)),
            pong_timeout: Duration::from_secs(20),
            memory_budget: None,
            socket_buffers: None,
            turn_messages: 32,
            turn_bytes: 64 * KIB,
            idle_timeout: None,
            max_lifetime: None,
            spare_buffers: 16 * MIB,
        }
    }
}

impl Limits {
    /// Refuses contradictions, and cuts times that no clock can tell.
    pub(crate) fn settle(&mut self) -> Result<()> {
        for time in self.times() {
            *time = NEVER.min(*time);
        }
        self.check()
    }

    fn times(&mut self) -> impl Iterator<Item = &mut Duration> {
        let always = [
            &mut self.handshake_timeout,
            &mut self.message_timeout,
            &mut self.send_timeout,
            &mut self.abort_timeout,
            &mut self.close_timeout,
            &mut self.linger_timeout,
            &mut self.pong_timeout,
        ];
        let perhaps = [&mut self.ping_interval, &mut self.idle_timeout, &mut self.max_lifetime];
        always.into_iter().chain(perhaps.into_iter().flatten())
    }

    fn check(&self) -> Result<()> {
        if self.max_message_size == 0 || self.max_frame_size == 0 {
            return Err(Error::Limits("max_message_size and max_frame_size must be at least 1"));
        }
        if self.send_queue_low > self.send_queue_high || self.send_queue_high == 0 {
            return Err(Error::Limits("send_queue_low must not be above send_queue_high"));
        }
        if self.memory_budget.is_some_and(|bytes| bytes < MIB) {
            return Err(Error::Limits("memory_budget must be at least 1 MiB"));
        }
        if self.socket_buffers.is_some_and(|bytes| bytes < 4 * KIB) {
            return Err(Error::Limits("socket_buffers must be at least 4 KiB"));
        }
        if self.turn_messages == 0 || !(1..=MAX_TURN_BYTES).contains(&self.turn_bytes) {
            let rule = "turn_messages must be at least 1, and turn_bytes from 1 to 16 MiB";
            return Err(Error::Limits(rule));
        }
        if self.ping_interval == Some(Duration::ZERO) {
            return Err(Error::Limits("ping_interval must be above zero; None sends no pings"));
        }
        if [self.idle_timeout, self.max_lifetime].contains(&Some(Duration::ZERO)) {
            return Err(Error::Limits("idle_timeout and max_lifetime must be above zero, or None"));
        }
        if self.min_drain_rate == Some(0) {
            return Err(Error::Limits("min_drain_rate must be at least 1, or None"));
        }
        if self.max_connections_per_address == Some(0) || self.max_accept_rate == Some(0) {
            return Err(Error::Limits(
                "max_connections_per_address and max_accept_rate must be at least 1",
            ));
        }
        Ok(())
    }

    pub(crate) fn connection(&self) -> Config {
        Config {
            max_frame_size: self.max_frame_size as u64,
            max_message_size: self.max_message_size as u64,
            message_timeout: self.message_timeout,
            close_timeout: self.close_timeout,
            ping_interval: self.ping_interval,
            pong_timeout: self.pong_timeout,
        }
    }

    pub(crate) fn handshake(&self) -> HandshakeLimits {
        HandshakeLimits {
            max_header_size: self.max_header_size,
            max_headers: self.max_headers,
            max_request_line: self.max_request_line,
        }
    }
}
