//! A trial: a server, the innocents beside an attack, and what is measured of both.
//!
//! *Others undisturbed* is judged by the innocents' tally during the attack, against one of the
//! same server before it. Memory is judged by its peak and by what is left some seconds after the
//! attack; file descriptors by their number before and after. All the while new clients knock.

use crate::attack::{Attack, Facts};
use crate::innocents::{self, Innocents, Tally};
use crate::process::{self, Machine};
use crate::report::{Figure, Outcome};
use crate::server::{Launch, Server};
use crate::{Plan, Result, peer};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

const MIB: f64 = 1024.0 * 1024.0;
/// How long a new client may take until its first echo.
const WELCOME: f64 = 0.2;
/// How long memory may take to come back after an attack.
const RETURN: Duration = Duration::from_secs(10);
/// The part of the machine that other programs may use before times say nothing about the server.
const QUIET: f64 = 0.1;

#[derive(Debug)]
pub(crate) struct Trial<'a> {
    plan: &'a Plan,
    id: &'static str,
    pub(crate) server: Server,
    pub(crate) innocents: Innocents,
    quiet: Tally,
    memory: u64,
    files: usize,
    machine: Machine,
    pub(crate) figures: Vec<Figure>,
}

impl<'a> Trial<'a> {
    /// Starts a server and the innocents, and measures both while nothing else happens.
    pub(crate) fn begin(plan: &'a Plan, id: &'static str, launch: &Launch) -> Result<Self> {
        let server = Server::start(plan, id, launch)?;
        let innocents = Innocents::start(server.address, innocents::COUNT)?;
        innocents.tally_of(Duration::from_millis(500))?;
        let quiet = innocents.tally_of(Duration::from_secs(if plan.short { 1 } else { 4 }))?;
        let memory = process::memory(server.pid()).ok_or("the server is gone")?;
        let files = process::files(server.pid()).ok_or("the server is gone")?;
        let (machine, figures) = (Machine::look(server.pid()), Vec::new());
        Ok(Self { plan, id, server, innocents, quiet, memory, files, machine, figures })
    }

    pub(crate) fn push(&mut self, figure: Figure) {
        self.figures.push(figure);
    }

    /// Runs the scenario's attack to its end. `steps` gives the orders that the attack waits for.
    pub(crate) fn attack(
        &mut self,
        steps: impl FnOnce(&mut Attack) -> Result<()>,
    ) -> Result<(Facts, Seen)> {
        self.innocents.tally()?;
        let watch = Watch::start(self.server.pid(), self.server.address);
        let mut attack = Attack::start(self.plan, self.id, self.server.address)?;
        steps(&mut attack)?;
        let facts = attack.finish()?;
        let tally = self.innocents.tally()?;
        Ok((facts, Seen { tally, ..watch.stop() }))
    }

    /// Others were undisturbed, and newcomers welcome.
    pub(crate) fn judge_others(&mut self, seen: &Seen) {
        self.judge_faults(seen);
        let (quiet, loud) = (self.quiet.within(0.99), seen.tally.within(0.99));
        let bound = (2.0 * quiet).max(quiet + 0.01);
        self.push(Figure::at_most("p99", loud * 1e3, bound * 1e3, "ms").timed());
        let welcome = Figure::at_most("newcomer", seen.slowest * 1e3, WELCOME * 1e3, "ms");
        // Who was turned away was not late.
        self.push(if seen.slowest.is_nan() { welcome } else { welcome.timed() });
        self.push(Figure::told("CPU", seen.share * 100.0, "%"));
    }

    /// The innocents lost no connection and no message, and got none that is wrong.
    pub(crate) fn judge_faults(&mut self, seen: &Seen) {
        let Tally { answered, .. } = seen.tally;
        self.push(Figure::at_least("others' echoes", answered as f64, 100.0, "").routine());
        self.push(Figure::exactly("faults", seen.tally.wrongs() as f64, 0.0));
    }

    /// Holds the growth of memory against so many bytes for each attacker.
    pub(crate) fn judge_memory(&mut self, seen: &Seen, attackers: usize, each: f64) {
        let grown = seen.memory.saturating_sub(self.memory) as f64;
        let figure = Figure::at_most("memory each", grown / attackers as f64, each, "bytes");
        self.push(figure);
    }

    /// Holds the growth of memory in all against a bound in bytes.
    pub(crate) fn judge_growth(&mut self, seen: &Seen, bytes: f64) {
        let grown = seen.memory.saturating_sub(self.memory) as f64;
        self.push(Figure::at_most("growth", grown / MIB, bytes / MIB, "MiB"));
    }

    /// Waits until the attack has left nothing: within 10 % and 8 MiB of the memory before, and the
    /// files exactly.
    pub(crate) fn judge_return(&mut self) {
        let bound = self.memory as f64 * 0.1 + 8.0 * MIB;
        self.judge_return_within(bound);
    }

    /// The same for an attack that began when so much memory was held already, for clients that
    /// have left since.
    pub(crate) fn judge_return_from(&mut self, standing: u64) {
        let bound = standing as f64 * 1.1 + 8.0 * MIB - self.memory as f64;
        self.judge_return_within(bound);
    }

    pub(crate) fn judge_return_within(&mut self, bound: f64) {
        let give_up = Instant::now() + RETURN;
        let pid = self.server.pid();
        let (mut left, mut files) = (f64::NAN, f64::NAN);
        while Instant::now() < give_up {
            let Some(memory) = process::memory(pid) else { break };
            left = memory.saturating_sub(self.memory) as f64;
            files = process::files(pid).map_or(f64::NAN, |count| count as f64);
            if left <= bound && (files - self.files as f64).abs() < 0.5 {
                break;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        self.push(Figure::at_most("memory left", left / MIB, bound / MIB, "MiB"));
        self.push(Figure::exactly("files left", files - self.files as f64, 0.0).routine());
    }

    /// The same process runs, and its log was not flooded.
    pub(crate) fn finish(mut self) -> Outcome {
        let alive = self.server.lives();
        self.push(Figure::exactly("lives", f64::from(u8::from(alive)), 1.0).routine());
        let lines = self.server.log_lines() as f64;
        self.push(Figure::at_most("log", lines, 10.0, "lines").routine());
        let others = self.machine.others();
        if others > QUIET {
            self.figures = self.figures.into_iter().map(Figure::excuse).collect();
            self.push(Figure::told("busy machine", others * 100.0, "%"));
        }
        Outcome::Measured(self.figures)
    }
}

/// What was seen of a server from outside during an attack.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) tally: Tally,
    /// The most memory, in bytes.
    pub(crate) memory: u64,
    /// The longest that a new client waited for its first echo, in seconds; not a number when one
    /// was turned away.
    pub(crate) slowest: f64,
    /// The part of a core that the server used.
    pub(crate) share: f64,
}

/// Looks at a server every 100 ms, and knocks as a new client every 200 ms.
#[derive(Debug)]
pub(crate) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

impl Watch {
    pub(crate) fn start(pid: u32, address: SocketAddr) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (begun, cpu) = (Instant::now(), process::cpu(pid).unwrap_or_default());
            let mut seen = Seen::default();
            while !asked.load(Ordering::Relaxed) {
                seen.memory = seen.memory.max(process::memory(pid).unwrap_or(0));
                let knocked = Instant::now();
                let waited = peer::echo_once(address).map(|()| knocked.elapsed().as_secs_f64());
                seen.slowest = slower(seen.slowest, waited.unwrap_or(f64::NAN));
                seen.memory = seen.memory.max(process::memory(pid).unwrap_or(0));
                std::thread::sleep(Duration::from_millis(100));
            }
            let used = process::cpu(pid).unwrap_or_default().saturating_sub(cpu);
            seen.share = used.as_secs_f64() / begun.elapsed().as_secs_f64();
            seen
        });
        Self { stop, thread }
    }

    pub(crate) fn stop(self) -> Seen {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap_or_default()
    }
}

/// What is not a number stays so.
fn slower(slowest: f64, waited: f64) -> f64 {
    if slowest.is_nan() || waited <= slowest { slowest } else { waited }
}
