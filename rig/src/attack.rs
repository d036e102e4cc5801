//! The conductor's side of an attack: its process, orders to it, and what it told.

use crate::process::Core;
use crate::{Plan, Result};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::SocketAddr;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

/// Longer than any attack may take.
const PATIENCE: Duration = Duration::from_mins(10);

/// What an attack told, by name; what it did not tell is no number, and meets no bound.
#[derive(Clone, Debug, Default)]
pub(crate) struct Facts(BTreeMap<String, f64>);

impl Facts {
    pub(crate) fn of(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(f64::NAN)
    }
}

#[derive(Debug)]
pub(crate) struct Attack {
    child: Child,
    lines: Receiver<(String, f64)>,
    pub(crate) facts: Facts,
}

impl Attack {
    /// Starts the attackers of a scenario beside the innocents, who have precedence on their core:
    /// what is measured is the server, not the load's own queue.
    pub(crate) fn start(plan: &Plan, id: &str, address: SocketAddr) -> Result<Self> {
        Self::start_in(plan, id, address, None)
    }

    /// The same in a network namespace.
    pub(crate) fn start_in(
        plan: &Plan,
        id: &str,
        address: SocketAddr,
        namespace: Option<&str>,
    ) -> Result<Self> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Core::Load.command();
        command.args(["nice", "-n", "10"]);
        if let Some(namespace) = namespace {
            command.args(["ip", "netns", "exec", namespace]);
        }
        command.arg(program).args(["attack", id, &address.to_string()]);
        command.args(plan.short.then_some("--short"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(|error| format!("{command:?}: {error}"))?;
        let output = child.stdout.take().ok_or("the attack has no output")?;
        let (give, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(std::io::Result::ok) {
                let Some((name, value)) = line.split_once(' ') else { continue };
                // Nobody listens any more when the trial has ended.
                let _ = give.send((name.to_owned(), value.parse().unwrap_or(f64::NAN)));
            }
        });
        Ok(Self { child, lines, facts: Facts::default() })
    }

    /// Waits until the attack tells `name`.
    pub(crate) fn wait_for(&mut self, name: &str) -> Result<f64> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let left = give_up.saturating_duration_since(Instant::now());
            match self.lines.recv_timeout(left) {
                Ok((told, value)) => {
                    self.facts.0.insert(told.clone(), value);
                    if told == name {
                        return Ok(value);
                    }
                }
                Err(RecvTimeoutError::Timeout) => return Err(format!("no {name} in time")),
                Err(RecvTimeoutError::Disconnected) => {
                    return Err(format!("the attack ended without {name}"));
                }
            }
        }
    }

    /// Gives the next order.
    pub(crate) fn order(&mut self) -> Result<()> {
        let input = self.child.stdin.as_mut().ok_or("the attack takes no orders")?;
        input.write_all(b"go\n").map_err(|error| format!("the attack takes no orders: {error}"))
    }

    /// Waits for the end of the attack; gives all that it told.
    pub(crate) fn finish(mut self) -> Result<Facts> {
        let give_up = Instant::now() + PATIENCE;
        while let Ok((name, value)) =
            self.lines.recv_timeout(give_up.saturating_duration_since(Instant::now()))
        {
            self.facts.0.insert(name, value);
        }
        let status = self.child.wait().map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(std::mem::take(&mut self.facts));
        }
        Err(format!("the attack failed: {status}"))
    }
}

impl Drop for Attack {
    fn drop(&mut self) {
        // Both fail only when the process is already gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
