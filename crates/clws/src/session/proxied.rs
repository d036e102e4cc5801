//! Whose a connection is: what a proxy says ahead of everything else (the PROXY protocol) or in
//! its request, and whether that address may have one more.
//!
//! The header of the PROXY protocol belongs to the opening handshake and shares its deadline. A
//! peer that sends something else is told nothing: it is no proxy, and nobody else comes here.

use super::{Output, Phase, Session};
use crate::addresses::Crowded;
use crate::hub::Kit;
use crate::peer::Peer;
use clws_proto::proxy_protocol::{self, Header};

impl Session {
    /// Counts the new connection with its address, if it is the client's own; closes it if the
    /// address has too many, or may not speak for others where it has to.
    pub(super) fn greet(&mut self, kit: &Kit, proxied: bool) {
        let trusted = &kit.hub.proxies;
        let known = trusted.trusts(self.peer.host);
        if proxied && !known && !trusted.is_empty() {
            tracing::debug!(client = self.id, "not a trusted proxy");
            kit.hub.counters.proxy_errors.add(1);
            self.phase = Phase::Gone { abort: false };
        } else if !proxied && !known && self.count(kit, self.peer).is_err() {
            self.phase = Phase::Gone { abort: false };
        }
    }

    /// Counts this connection with the address of `client`.
    pub(super) fn count(&mut self, kit: &Kit, client: Peer) -> Result<(), Crowded> {
        match kit.hub.addresses.enter(client.host) {
            Ok(counted) => {
                self.counted = counted;
                Ok(())
            }
            Err(crowded) => {
                tracing::debug!(client = self.id, "too many connections from one address");
                kit.hub.counters.crowded.add(1);
                Err(crowded)
            }
        }
    }

    /// Takes the bytes up to the end of the header, and hands on what follows.
    pub(super) fn handle_header(&mut self, kit: &mut Kit, input: &[u8], out: &mut dyn Output) {
        let Phase::Opening(opening) = &mut self.phase else { return };
        opening.received.extend_from_slice(input);
        let (header, used) = match proxy_protocol::parse(&opening.received) {
            Ok(None) => return,
            Ok(Some(found)) => found,
            Err(error) => {
                tracing::debug!(client = self.id, %error, "a proxy said nothing of use");
                kit.hub.counters.proxy_errors.add(1);
                self.phase = Phase::Gone { abort: false };
                return;
            }
        };
        opening.awaits_header = false;
        let mut received = std::mem::take(&mut opening.received);
        if let Header::Proxied { source, .. } = header {
            self.peer = Peer::from(source);
        }
        if !kit.hub.proxies.trusts(self.peer.host) && self.count(kit, self.peer).is_err() {
            self.phase = Phase::Gone { abort: false };
            return;
        }
        let rest = received.get_mut(used..).unwrap_or_default();
        if !rest.is_empty() {
            self.handle_input(kit, rest, out);
        }
    }
}
