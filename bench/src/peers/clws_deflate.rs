//! clws with permessage-deflate, as a program sets it up that wants this level and takeover.

use std::io::Result;
use std::net::SocketAddr;

use clws::{Client, DeflateConfig, Limits, Origin, Resource, Server};

use super::Deflate;

struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, message: &str) {
        client.send_text(message);
    }
}

pub(super) fn serve(address: SocketAddr, deflate: Deflate) -> Result<()> {
    let config = DeflateConfig {
        level: deflate.level,
        server_no_context_takeover: !deflate.takeover,
        client_no_context_takeover: !deflate.takeover,
        ..DeflateConfig::default()
    };
    let mut limits = Limits::default();
    // A keepalive ping between the replies would be taken for a wrong one.
    limits.ping_interval = None;
    Server::builder()
        .workers(1)
        .limits(limits)
        .deflate(config)
        .resource("/echo", Origin::any(), Echo)
        .bind(address.to_string())
        .and_then(Server::run)
        .map_err(std::io::Error::other)
}
