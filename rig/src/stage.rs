//! The attackers' side: a process that plays one scenario's attack, told when by its standard
//! input, and telling on standard output what it saw, as lines of a name and a number.

use crate::Result;
use crate::crowd::Crowd;
use crate::scenarios::SCENARIOS;
use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) address: SocketAddr,
    pub(crate) short: bool,
    orders: Receiver<String>,
}

/// `clws-rig attack ID ADDRESS [--short]`.
pub(crate) fn run(id: &str, words: &[&str]) -> Result<()> {
    let scenario = SCENARIOS.iter().find(|one| one.id == id).ok_or("no such scenario")?;
    let address = words.first().and_then(|word| word.parse().ok()).ok_or("no address")?;
    let (give, orders) = channel();
    std::thread::spawn(move || {
        for line in io::stdin().lines().map_while(io::Result::ok) {
            // Nobody listens any more when the attack has ended.
            let _ = give.send(line);
        }
    });
    let stage = Stage { address, short: words.contains(&"--short"), orders };
    let play = scenario.attack.ok_or("this scenario has no attack")?;
    play(&stage).map_err(|error| error.to_string())
}

impl Stage {
    /// One number for a full run, another for a short one.
    pub(crate) fn of<T>(&self, full: T, short: T) -> T {
        if self.short { short } else { full }
    }

    /// A crowd of so many clients of the resource at `path`.
    pub(crate) fn crowd(&self, path: &str, count: usize) -> io::Result<Crowd> {
        Crowd::of(self.address, path, count)
    }

    #[expect(clippy::unused_self, reason = "what is told belongs to the stage")]
    pub(crate) fn tell(&self, name: &str, value: impl Display) {
        println!("{name} {value}");
    }

    /// Says that everything stands, and waits for the word to begin.
    pub(crate) fn ready(&self) -> io::Result<()> {
        self.tell("ready", 1);
        self.wait()
    }

    /// Waits for the next order.
    pub(crate) fn wait(&self) -> io::Result<()> {
        let ordered = self.orders.recv_timeout(Duration::from_mins(5));
        ordered.map(drop).map_err(|_| io::Error::other("nobody gives orders"))
    }

    /// Whether another order has come.
    pub(crate) fn is_ordered(&self) -> bool {
        self.orders.try_recv().is_ok()
    }
}

/// A time from now, in seconds.
pub(crate) fn after(seconds: f64) -> Instant {
    Instant::now() + Duration::from_secs_f64(seconds)
}
