//! Scenarios of floods: pings, tiny frames, greedy questions, everybody at once.

use super::Scenario;
use crate::attack::Facts;
use crate::crowd::{Crowd, Member};
use crate::report::{Figure, Outcome};
use crate::server::Launch;
use crate::stage::{Stage, after};
use crate::trial::Trial;
use crate::{Plan, Result, wire};
use std::io;
use std::time::{Duration, Instant};

const MIB: f64 = 1024.0 * 1024.0;
const BATCH: u64 = 1000;

pub(super) const D3: Scenario = Scenario {
    id: "D3",
    says: "ten clients flood with pings and do not read",
    run: run_d3,
    attack: Some(pings),
};

fn run_d3(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "D3", &Launch::clws(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::told("pings", facts.of("rate"), "/s"));
    trial.judge_growth(&seen, 4.0 * MIB);
    trial.judge_return();
    Ok(trial.finish())
}

fn pings(stage: &Stage) -> io::Result<()> {
    let mut batch = Vec::new();
    (0..BATCH).for_each(|_| wire::push(&mut batch, wire::PING, b"are you there?"));
    flood(stage, 10, true, &batch)
}

/// Lets `count` clients send batches of frames as fast as the server takes them.
fn flood(stage: &Stage, count: usize, deaf: bool, batch: &[u8]) -> io::Result<()> {
    let mut crowd = stage.crowd("/echo", count)?;
    crowd.members.iter_mut().for_each(|member| member.deaf = deaf);
    let begun = Instant::now();
    let end = after(stage.of(20.0, 3.0));
    while Instant::now() < end && crowd.count(Member::is_open) > 0 {
        for member in &mut crowd.members {
            if member.pending() == 0 {
                member.send(batch);
            }
        }
        crowd.turn(Duration::from_millis(1), |_, member| {
            member.reader = wire::Reader::default();
        })?;
    }
    let written: u64 = crowd.members.iter().map(|member| member.written).sum();
    let frames = written * BATCH / batch.len() as u64;
    stage.tell("rate", frames as f64 / begun.elapsed().as_secs_f64());
    stage.tell("open", crowd.count(Member::is_open));
    Ok(())
}

pub(super) const D4: Scenario = Scenario {
    id: "D4",
    says: "one client floods with frames of 0 to 2 bytes",
    run: run_d4,
    attack: Some(tiny_frames),
};

fn run_d4(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "D4", &Launch::clws(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::told("frames", facts.of("rate"), "/s"));
    trial.push(Figure::exactly("it stays", facts.of("open"), 1.0));
    trial.judge_growth(&seen, 4.0 * MIB);
    trial.judge_return();
    Ok(trial.finish())
}

fn tiny_frames(stage: &Stage) -> io::Result<()> {
    let mut batch = Vec::new();
    for number in 0..BATCH as usize {
        wire::push(&mut batch, wire::BINARY, &b"xy"[..number % 3]);
    }
    flood(stage, 1, false, &batch)
}

pub(super) const D5: Scenario = Scenario {
    id: "D5",
    says: "clients ask for 1 MiB with 1 KiB and do not read",
    run: run_d5,
    attack: Some(greedy),
};

const GREEDY: usize = 20;

fn run_d5(plan: &Plan) -> Result<Outcome> {
    run_greedy(plan, "D5", &[], |_, _| {})
}

/// Judges clients that ask for much and take too little of it: each is reset, and cost no more than
/// its queue. `own` adds what is known of them besides.
fn run_greedy(
    plan: &Plan,
    id: &'static str,
    limits: &[&str],
    own: impl FnOnce(&mut Trial<'_>, &Facts),
) -> Result<Outcome> {
    let send_timeout = if plan.short { "send_timeout=3000" } else { "send_timeout=10000" };
    let mut trial = Trial::begin(plan, id, &Launch::rig(&[&[send_timeout], limits].concat()))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_faults(&seen);
    trial.push(Figure::exactly("are reset", facts.of("ended"), GREEDY as f64));
    own(&mut trial, &facts);
    // The queue's high mark, the message that passed it, and what was read before that.
    trial.judge_memory(&seen, GREEDY, 2.3 * MIB);
    trial.judge_return();
    Ok(trial.finish())
}

fn greedy(stage: &Stage) -> io::Result<()> {
    let mut crowd = stage.crowd("/big", GREEDY)?;
    crowd.members.iter_mut().for_each(|member| member.deaf = true);
    let question = wire::frame(wire::BINARY, &[0; 1024]);
    let end = after(stage.of(13.0, 5.0));
    while Instant::now() < end {
        for member in &mut crowd.members {
            if member.pending() == 0 {
                member.send(&question);
            }
        }
        crowd.turn(Duration::from_millis(10), |_, _| {})?;
    }
    // Whoever listens now finds what waited, and then a reset.
    crowd.listen();
    crowd.turn_until(after(2.0), |_, member| member.reader = wire::Reader::default())?;
    stage.tell("ended", crowd.count(|member| !member.is_open()));
    Ok(())
}

pub(super) const D8: Scenario = Scenario {
    id: "D8",
    says: "clients ask for 1 MiB and take a little of it now and then",
    run: run_d8,
    attack: Some(sip),
};

/// What they take in a second, of which some comes in each of the server's windows.
const SIPPED: usize = 2048;

fn run_d8(plan: &Plan) -> Result<Outcome> {
    let limits = ["min_drain_rate=16384", "socket_buffers=16384"];
    run_greedy(plan, "D8", &limits, |trial, facts| {
        trial.push(Figure::told("each took", facts.of("sipped"), "bytes"));
        let window = facts.of("window");
        trial.push(Figure::at_least("first after", facts.of("least"), window, "s"));
        // It may sip for some seconds from what had come before the reset.
        trial.push(Figure::at_most("last after", facts.of("most"), window + 4.0, "s").timed());
    })
}

fn sip(stage: &Stage) -> io::Result<()> {
    let window = stage.of(10.0, 3.0);
    let mut crowd = Crowd::new()?;
    crowd.narrow = Some(4096);
    crowd.open(stage.address, GREEDY, GREEDY, &wire::request(stage.address, "/big", ""))?;
    let question = wire::frame(wire::BINARY, &[0; 1024]);
    for member in &mut crowd.members {
        (member.deaf, member.begun) = (true, Instant::now());
        member.send(&question);
    }
    let end = after(4.0 * window);
    let mut sip = vec![0; SIPPED / 10];
    while Instant::now() < end && crowd.count(Member::is_open) > 0 {
        crowd.turn_until(after(0.1), |_, _| {})?;
        crowd.members.iter_mut().for_each(|member| member.sip(&mut sip));
    }
    let (least, most) = crowd.lives();
    let sipped: u64 = crowd.members.iter().map(|member| member.sipped).sum();
    stage.tell("window", window);
    stage.tell("least", least);
    stage.tell("most", most);
    stage.tell("sipped", sipped / GREEDY as u64);
    stage.tell("ended", crowd.count(|member| !member.is_open()));
    Ok(())
}

pub(super) const D7: Scenario = Scenario {
    id: "D7",
    says: "clients that were all cut off come back at once",
    run: run_d7,
    attack: Some(come_back),
};

fn run_d7(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "D7", &Launch::clws(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_faults(&seen);
    trial.push(Figure::exactly("are in", facts.of("inside"), facts.of("clients")));
    trial.push(Figure::at_most("after", facts.of("after"), 10.0, "s"));
    trial.judge_return();
    Ok(trial.finish())
}

fn come_back(stage: &Stage) -> io::Result<()> {
    let count = stage.of(5000, 2000);
    let request = wire::request(stage.address, "/echo", "");
    let mut before = Crowd::new()?;
    before.open(stage.address, count, 200, &request)?;
    before.members.iter_mut().for_each(|member| member.leave(true));
    let begun = Instant::now();
    let mut crowd = Crowd::new()?;
    crowd.open(stage.address, count, count, &request)?;
    stage.tell("after", begun.elapsed().as_secs_f64());
    stage.tell("inside", crowd.count(|member| member.status == Some(101)));
    stage.tell("clients", count);
    Ok(())
}
