//! Scenarios of many subscribers, some of which stop reading.
//!
//! A hundred messages of 1 KiB a second to 10,000 subscribers are a million sends a second, more
//! than a core makes one by one. The server comes to write several at a time.
//!
//! Left to the system, the two sockets of a subscriber that does not read take about 4 MiB before
//! the server notices. A short run sends more than that to each of its few; a full one bounds the
//! server's, and who does not read leaves ten seconds after it took the last.

use super::Scenario;
use crate::crowd::{Crowd, Member};
use crate::report::{Figure, Outcome};
use crate::server::Launch;
use crate::stage::{Stage, after};
use crate::trial::{Trial, Watch};
use crate::{Plan, Result, wire};
use std::io;
use std::time::{Duration, Instant};

const MIB: f64 = 1024.0 * 1024.0;

/// The time from one message to the next.
const PERIOD: Duration = Duration::from_millis(10);

pub(super) const D1: Scenario = Scenario {
    id: "D1",
    says: "one of many subscribers stops reading",
    run: run_d1,
    attack: Some(|stage| subscribers(stage, 1)),
};

pub(super) const D2: Scenario = Scenario {
    id: "D2",
    says: "a tenth of the subscribers stop reading",
    run: run_d2,
    attack: Some(|stage| subscribers(stage, stage.of(1000, 20))),
};

fn launch(plan: &Plan) -> Launch {
    Launch::rig(if plan.short { &[] } else { &["socket_buffers=65536"] })
}

fn run_d1(plan: &Plan) -> Result<Outcome> {
    some_stop(plan, "D1", 1.0, 2.0)
}

fn run_d2(plan: &Plan) -> Result<Outcome> {
    let deaf = if plan.short { 20.0 } else { 1000.0 };
    // They wait for the same messages, which are held once; each has its references to them.
    some_stop(plan, "D2", deaf, deaf / 64.0 + 8.0)
}

/// `most` bounds the growth, in MiB.
fn some_stop(plan: &Plan, id: &'static str, deaf: f64, most: f64) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, id, &launch(plan))?;
    let (left, growth, standing) = judge(&mut trial)?;
    trial.push(Figure::at_most("growth", growth, most, "MiB"));
    trial.push(Figure::exactly("left by policy", left, deaf));
    trial.judge_return_from(standing);
    Ok(trial.finish())
}

/// Gives how many of the deaf left, how many MiB memory grew after they went deaf, and how many
/// bytes there were before.
fn judge(trial: &mut Trial<'_>) -> Result<(f64, f64, u64)> {
    let (pid, address, mut standing) = (trial.server.pid(), trial.server.address, 0);
    let (facts, seen) = trial.attack(|attack| {
        attack.wait_for("subscribers")?;
        let quiet = Watch::start(pid, address);
        attack.wait_for("ready")?;
        standing = quiet.stop().memory;
        attack.order()
    })?;
    trial.judge_faults(&seen);
    let (quiet, loud) = (facts.of("quiet"), facts.of("loud"));
    trial.push(Figure::told("subscribers", facts.of("subscribers"), ""));
    trial.push(Figure::told("sent", facts.of("sent"), "messages"));
    trial.push(Figure::exactly("missed", facts.of("missed"), 0.0));
    let bound = (2.0 * quiet).max(quiet + 0.01);
    trial.push(Figure::at_most("their p99", loud * 1e3, bound * 1e3, "ms").timed());
    Ok((facts.of("ended"), seen.memory.saturating_sub(standing) as f64 / MIB, standing))
}

/// What the subscribers heard in one part of the scenario.
#[derive(Debug, Default)]
struct Heard {
    times: Vec<f64>,
    next: Vec<u64>,
    missed: u64,
}

fn subscribers(stage: &Stage, deaf: usize) -> io::Result<()> {
    let (count, size) = (stage.of(10_000, 200), stage.of(1024, 6 * 1024));
    let mut crowd = stage.crowd("/topic", count + 1)?;
    stage.tell("subscribers", count);
    let mut heard = Heard { next: vec![0; count + 1], ..Heard::default() };
    let speaker = count;
    let begun = Instant::now();
    let mut sent = 0;
    sent = speak(&mut crowd, (begun, sent), size, after(stage.of(10.0, 2.0)), &mut heard)?;
    let quiet = heard.within();
    stage.ready()?;
    crowd.members.iter_mut().take(deaf).for_each(|member| member.deaf = true);
    let end = after(stage.of(60.0, 10.0));
    sent = speak(&mut crowd, (begun, sent), size, end, &mut heard)?;
    // What is on its way arrives.
    crowd.turn_until(after(1.0), |index, member| heard.take(index, member, begun, deaf))?;
    let loud = heard.within();
    for index in deaf..speaker {
        heard.missed += sent - heard.next[index];
    }
    crowd.listen();
    crowd.turn_until(after(1.0), |_, member| while member.frame().is_some() {})?;
    let left = crowd.members.iter().take(deaf).filter(|member| !member.is_open()).count();
    stage.tell("sent", sent);
    stage.tell("missed", heard.missed);
    stage.tell("quiet", quiet);
    stage.tell("loud", loud);
    stage.tell("ended", left);
    Ok(())
}

/// Sends a message of so many bytes each [`PERIOD`] until `end`; it holds its number and its time.
fn speak(
    crowd: &mut Crowd,
    (begun, mut sent): (Instant, u64),
    size: usize,
    end: Instant,
    heard: &mut Heard,
) -> io::Result<u64> {
    let deaf = crowd.count(|member| member.deaf);
    let speaker = crowd.members.len() - 1;
    let mut due = Instant::now();
    while Instant::now() < end {
        while due <= Instant::now() {
            let time = (due - begun).as_nanos() as u64;
            let mut message = [sent.to_be_bytes(), time.to_be_bytes()].concat();
            message.resize(size, 0x5A);
            crowd.members[speaker].send(&wire::frame(wire::BINARY, &message));
            sent += 1;
            due += PERIOD;
        }
        let patience = due.saturating_duration_since(Instant::now());
        crowd.turn(patience, |index, member| heard.take(index, member, begun, deaf))?;
    }
    Ok(sent)
}

impl Heard {
    fn take(&mut self, index: usize, member: &mut Member, begun: Instant, deaf: usize) {
        let now = begun.elapsed().as_secs_f64();
        while let Some(frame) = member.frame() {
            let part =
                |at: usize| frame.payload.get(at..at + 8).and_then(|part| part.try_into().ok());
            let (Some(number), Some(time)) = (part(0), part(8)) else { continue };
            let (number, time) = (u64::from_be_bytes(number), u64::from_be_bytes(time));
            self.times.push(now - time as f64 * 1e-9);
            if index >= deaf {
                self.missed += u64::from(number != self.next[index]);
            }
            self.next[index] = number + 1;
        }
    }

    /// The time within which 99 of 100 came; the next part begins.
    fn within(&mut self) -> f64 {
        let mut times = std::mem::take(&mut self.times);
        times.sort_by(f64::total_cmp);
        times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN)
    }
}
