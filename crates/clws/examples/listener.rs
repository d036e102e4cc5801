//! Blocking work in callbacks: `cargo run --example listener`, then send the name of a file to its
//! `/lines`; the answer is how many lines it has. The files are read by four threads of the
//! listener's own, while the workers go on. Another address to listen on can be given as an
//! argument.

use clws::{Client, Listener, Origin, Resource, Server};
use std::fs::File;
use std::io::{BufRead, BufReader, Result};
use std::time::Duration;

struct Lines;

impl Resource for Lines {
    fn text(&self, client: &Client, path: &str) {
        match count(path) {
            Ok(lines) => client.send_text(&format!("{path}: {lines} lines")),
            Err(error) => client.send_text(&format!("{path}: {error}")),
        };
    }
}

fn count(path: &str) -> Result<usize> {
    // A slow disk.
    std::thread::sleep(Duration::from_millis(100));
    let mut lines = 0;
    for line in BufReader::new(File::open(path)?).split(b'\n') {
        line?;
        lines += 1;
    }
    Ok(lines)
}

fn main() -> clws::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:12345".to_owned());
    let lines = Listener::new(Lines).threads(4);
    let server =
        Server::builder().resource("/lines", Origin::same_host(), lines).bind(address)?.start()?;
    for address in server.local_addresses() {
        println!("counting lines at ws://{address}/lines");
    }
    server.join();
    Ok(())
}
