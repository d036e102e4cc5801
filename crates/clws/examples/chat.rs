//! A chat: what one client says, all hear.
//!
//! ```sh
//! cargo run --example chat    # then connect twice to ws://127.0.0.1:12345/chat
//! ```
//!
//! Texts go to everyone. Binary messages go to those who can have them: draft 76 of the protocol,
//! which this server speaks too, knows text alone. Another address to listen on can be given as an
//! argument.

use clws::{Client, Closed, Dropped, Origin, Reject, Resource, Server};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who is here, by number. A client is a handle: keeping it keeps nothing open.
///
/// Callbacks run at the same time for clients of different threads, hence the lock. A send puts a
/// message into a queue and never waits, so the lock may be held meanwhile.
#[derive(Default)]
struct Chat(Mutex<BTreeMap<u64, Client>>);

impl Chat {
    fn here(&self) -> MutexGuard<'_, BTreeMap<u64, Client>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Resource for Chat {
    fn connected(&self, client: &Client) -> Result<(), Reject> {
        let mut here = self.here();
        here.insert(client.id(), client.clone());
        // One message to many is encoded once, not once for each.
        clws::send_text_to(here.values(), &format!("* {} joined", client.id()));
        Ok(())
    }

    fn text(&self, client: &Client, message: &str) {
        clws::send_text_to(self.here().values(), &format!("{}: {message}", client.id()));
    }

    fn binary(&self, client: &Client, message: &[u8]) {
        let report = clws::send_binary_to(self.here().values(), message);
        let without = report.dropped.iter().filter(|(_, why)| *why == Dropped::Unsupported);
        let line = format!("* {} sent {} bytes", client.id(), message.len());
        clws::send_text_to(without.map(|(client, _)| client), &line);
    }

    fn disconnected(&self, client: &Client, closed: &Closed) {
        let mut here = self.here();
        here.remove(&client.id());
        let line = format!("* {} left ({})", client.id(), closed.code);
        clws::send_text_to(here.values(), &line);
    }
}

fn main() -> clws::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:12345".to_owned());
    let server = Server::builder()
        .hixie76(true)
        .resource("/chat", Origin::any(), Chat::default())
        .bind(address)?
        .start()?;
    for address in server.local_addresses() {
        println!("chatting at ws://{address}/chat");
    }
    server.join();
    Ok(())
}
