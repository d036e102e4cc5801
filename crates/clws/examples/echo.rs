//! Sends every message back: `cargo run --example echo`, then connect to its `/echo`. Another
//! address to listen on can be given as an argument.

use clws::{Client, Origin, Resource, Server};

struct Echo;

impl Resource for Echo {
    fn text(&self, client: &Client, message: &str) {
        client.send_text(message);
    }

    fn binary(&self, client: &Client, message: &[u8]) {
        client.send_binary(message);
    }
}

fn main() -> clws::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:12345".to_owned());
    let server =
        Server::builder().resource("/echo", Origin::same_host(), Echo).bind(address)?.start()?;
    for address in server.local_addresses() {
        println!("echoing at ws://{address}/echo");
    }
    server.join();
    Ok(())
}
