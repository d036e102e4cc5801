//! Sends every message back, and measures the way to each client:
//!
//! ```sh
//! cargo run --example echo    # then connect to ws://127.0.0.1:12345/echo
//! ```
//!
//! Each client is pinged every ten seconds, and whenever it says `ping`; when its pong is back it
//! is told how long that took. Another address to listen on can be given as an argument.

use clws::{Accept, Client, Origin, Reject, Request, Resource, Server};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

const PERIOD: Duration = Duration::from_secs(10);

struct Echo;

/// What this resource keeps for each client: when it was last pinged. It is attached to the client
/// in `accept` and goes with it, so there is no table to be tidied up.
#[derive(Default)]
struct Pinged(Mutex<Option<Instant>>);

impl Pinged {
    fn replace(&self, time: Option<Instant>) -> Option<Instant> {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *last, time)
    }
}

/// Sends a ping and remembers when.
fn ping(client: &Client) {
    if let Some(pinged) = client.data::<Pinged>() {
        pinged.replace(Some(Instant::now()));
    }
    // Clients of draft 76 know no pings; this then says so and sends nothing.
    client.ping(b"echo");
}

impl Resource for Echo {
    fn accept(&self, _: &Request) -> Result<Accept, Reject> {
        Ok(Accept::new().data(Pinged::default()))
    }

    fn text(&self, client: &Client, message: &str) {
        if message == "ping" {
            ping(client);
        }
        client.send_text(message);
    }

    fn binary(&self, client: &Client, message: &[u8]) {
        client.send_binary(message);
    }

    fn pong(&self, client: &Client, payload: &[u8]) {
        let sent = client.data::<Pinged>().and_then(|pinged| pinged.replace(None));
        // The server's own keepalive pings have no payload; this is about the others.
        if let (Some(sent), b"echo") = (sent, payload) {
            let millis = sent.elapsed().as_secs_f64() * 1000.0;
            client.send_text(&format!("latency: {millis:.3} ms"));
        }
    }
}

fn main() -> clws::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:12345".to_owned());
    // `start` returns at once; the server runs on threads of its own.
    let server =
        Server::builder().resource("/echo", Origin::same_host(), Echo).bind(address)?.start()?;
    for address in server.local_addresses() {
        println!("echoing at ws://{address}/echo");
    }
    loop {
        thread::sleep(PERIOD);
        server.clients().iter().for_each(ping);
    }
}
