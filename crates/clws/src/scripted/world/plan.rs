//! How a peer behaves: its handshake, how it reads and leaves, and what happens to its link.

use super::super::faults::Random;
use super::peer::Accident;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opening {
    Good,
    /// A request that gets this status.
    Bad(u16),
    /// A request that never ends.
    Cut,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Farewell {
    Stay,
    Close,
    /// Something the rules forbid.
    Break,
    /// The end of the stream, without a close frame.
    End,
}

/// What the peer offers of compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Nothing,
    /// Every message on its own.
    Single,
    Takeover,
}

#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub(super) struct Manners {
    pub(super) opening: Opening,
    pub(super) path: &'static str,
    pub(super) version: u8,
    pub(super) offer: Offer,
    /// Sends messages right behind its request.
    eager: bool,
    /// How much it reads at once.
    pub(super) reads: usize,
    /// Answers pings and close frames.
    pub(super) answers: bool,
    /// Never closes its end of the connection.
    pub(super) hangs: bool,
    pub(super) farewell: Farewell,
    /// After so many bytes written.
    pub(super) accident: Option<(usize, Accident)>,
    /// Floods the server with pings.
    pub(super) floods: bool,
}

pub(super) const PATHS: [&str; 5] = ["/plain", "/newest", "/oldest", "/later", "/packed"];

impl Manners {
    pub(super) fn draw(random: &mut Random) -> Self {
        let bad = [404, 405, 400, 426, 403][random.below(5)];
        let accident = match random.below(5) {
            0 => Some(Accident::Reset),
            1 => Some(Accident::End),
            2 if random.one_in(2) => Some(Accident::Silence),
            _ => None,
        };
        let at = [400, 3000, 60_000][random.below(3)];
        Self {
            opening: match random.below(12) {
                0 => Opening::Bad(bad),
                1 => Opening::Cut,
                _ => Opening::Good,
            },
            path: PATHS[random.below(PATHS.len())],
            version: [13, 13, 13, 8, 7, 0][random.below(6)],
            offer: [Offer::Nothing, Offer::Single, Offer::Takeover][random.below(3)],
            eager: random.one_in(4),
            reads: [usize::MAX, usize::MAX, 2000, 100, 0][random.below(5)],
            answers: !random.one_in(8),
            hangs: random.one_in(6),
            farewell: [Farewell::Stay, Farewell::Close, Farewell::Break, Farewell::End]
                [random.below(4)],
            accident: accident.map(|accident| (1 + random.below(at), accident)),
            floods: random.one_in(8),
        }
    }

    /// Whether it does not wait for the 101: only where nothing hangs on what that says.
    pub(super) fn is_eager(&self) -> bool {
        self.eager && self.opening == Opening::Good && self.offer == Offer::Nothing
    }

    pub(super) fn may_get(&self, status: u16) -> bool {
        match self.opening {
            // Full, stopping, busy; undecided; rejected; decided too late, or arrived too slowly.
            Opening::Good => matches!(status, 503 | 500 | 403 | 408),
            Opening::Bad(expected) => matches!(status, 503 | 408) || status == expected,
            Opening::Cut => matches!(status, 503 | 408),
        }
    }

    pub(super) fn request(&self, number: usize) -> Vec<u8> {
        let bad = if let Opening::Bad(status) = self.opening { status } else { 0 };
        let method = if bad == 405 { "POST" } else { "GET" };
        let path = match bad {
            404 => "/nowhere",
            403 => "/closed",
            405 | 426 => "/plain",
            _ => self.path,
        };
        let mut head = format!("{method} {path}?{number} HTTP/1.1\r\nHost: localhost\r\n");
        if self.version == 0 && bad == 0 {
            return self.cut([head.as_bytes(), HIXIE, CHALLENGE].concat());
        }
        if !matches!(bad, 405 | 426) {
            head += "Upgrade: websocket\r\nConnection: Upgrade\r\n";
        }
        let version = if self.version == 0 { 13 } else { self.version };
        head += "Sec-WebSocket-Version: ";
        head += &version.to_string();
        head += "\r\n";
        if bad == 403 {
            head += "Origin: http://foreign.example\r\n";
        }
        if bad != 400 {
            head += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        }
        if let Some(offer) = self.deflate().and_then(|config| clws_proto::deflate::offer(&config)) {
            head += "Sec-WebSocket-Extensions: ";
            head += &offer;
            head += "\r\n";
        }
        head += "\r\n";
        self.cut(head.into_bytes())
    }

    fn cut(&self, mut request: Vec<u8>) -> Vec<u8> {
        if self.opening == Opening::Cut {
            request.truncate(request.len() / 2);
        }
        request
    }

    pub(super) fn deflate(&self) -> Option<clws_proto::deflate::DeflateConfig> {
        let alone = self.offer == Offer::Single;
        (self.offer != Offer::Nothing).then(|| clws_proto::deflate::DeflateConfig {
            server_no_context_takeover: alone,
            client_no_context_takeover: alone,
            ..Default::default()
        })
    }
}

/// The handshake of draft 76, §1.2, and what answers it.
const HIXIE: &[u8] = b"Connection: Upgrade\r\nSec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\
    Upgrade: WebSocket\r\nSec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
    Origin: http://example.com\r\n\r\n";
const CHALLENGE: &[u8] = b"^n:ds[4U";
pub(super) const DIGEST: &[u8] = b"8jKS'y:G*Co,Wxa-";
