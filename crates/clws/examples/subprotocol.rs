//! Two subprotocols on one path: the client offers what it speaks, `accept` chooses.
//!
//! ```sh
//! cargo run --example subprotocol    # then connect to ws://127.0.0.1:12345/sum
//! ```
//!
//! A client of `lines.example` sends numbers as words of a text, one of `octets.example` sends them
//! as bytes; either gets their sum in its own form. In a browser:
//! `new WebSocket("ws://127.0.0.1:12345/sum", ["octets.example", "lines.example"])`.

use clws::{Accept, Client, CloseCode, Origin, Reject, Request, Resource, Server};

/// The subprotocols spoken here.
const LINES: &str = "lines.example";
const OCTETS: &str = "octets.example";

struct Sum;

impl Resource for Sum {
    fn accept(&self, request: &Request) -> Result<Accept, Reject> {
        // The offers stand in the client's order of preference.
        let chosen = request.subprotocols().find(|offer| matches!(*offer, LINES | OCTETS));
        match chosen {
            Some(name) => Ok(Accept::new().subprotocol(name)),
            None => Err(Reject::new(400, format!("offer {LINES} or {OCTETS}"))),
        }
    }

    fn text(&self, client: &Client, message: &str) {
        if client.subprotocol() != Some(LINES) {
            return client.close(CloseCode::UNSUPPORTED, "texts are for lines.example");
        }
        let numbers = message.split_whitespace().map(str::parse::<u32>);
        match numbers.collect::<Result<Vec<u32>, _>>() {
            Ok(numbers) => {
                let sum: u64 = numbers.into_iter().map(u64::from).sum();
                client.send_text(&sum.to_string());
            }
            Err(error) => _ = client.send_text(&format!("not a number: {error}")),
        }
    }

    fn binary(&self, client: &Client, message: &[u8]) {
        if client.subprotocol() != Some(OCTETS) {
            return client.close(CloseCode::UNSUPPORTED, "bytes are for octets.example");
        }
        let sum: u64 = message.iter().copied().map(u64::from).sum();
        client.send_binary(&sum.to_be_bytes());
    }
}

fn main() -> clws::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:12345".to_owned());
    let server =
        Server::builder().resource("/sum", Origin::same_host(), Sum).bind(address)?.start()?;
    for address in server.local_addresses() {
        println!("adding up at ws://{address}/sum");
    }
    server.join();
    Ok(())
}
