//! Slow work in callbacks: `cargo run --example listener`, then send a number to its `/primes`;
//! the answer is how many primes are below it. The work is done by four threads of the listener's
//! own, while the workers go on. Another address to listen on can be given as an argument.

use clws::{Client, Listener, Origin, Resource, Server};
use std::time::Duration;

/// Larger numbers would keep a thread busy for too long.
const MOST: u32 = 100_000;

struct Primes;

impl Resource for Primes {
    fn text(&self, client: &Client, message: &str) {
        // As if a database were asked: a callback of a listener may block.
        std::thread::sleep(Duration::from_millis(100));
        match message.trim().parse() {
            Ok(bound @ 0..=MOST) => client.send_text(&format!("{} primes", primes_below(bound))),
            _ => client.send_text(&format!("a number up to {MOST}, please")),
        };
    }
}

fn primes_below(bound: u32) -> usize {
    let is_prime = |n: &u32| (2..*n).take_while(|d| d * d <= *n).all(|d| !n.is_multiple_of(d));
    (2..bound).filter(is_prime).count()
}

fn main() -> clws::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:12345".to_owned());
    let primes = Listener::new(Primes).threads(4);
    let server = Server::builder()
        .resource("/primes", Origin::same_host(), primes)
        .bind(address)?
        .start()?;
    for address in server.local_addresses() {
        println!("counting primes at ws://{address}/primes");
    }
    server.join();
    Ok(())
}
