//! Scenarios of frames and messages.

use super::Scenario;
use crate::crowd::{Crowd, Member};
use crate::report::{Figure, Outcome};
use crate::server::Launch;
use crate::stage::{Stage, after};
use crate::trial::Trial;
use crate::{Plan, Result, wire};
use std::io;
use std::time::{Duration, Instant};

const MIB: f64 = 1024.0 * 1024.0;

pub(super) const B3: Scenario = Scenario {
    id: "B3",
    says: "clients declare 1 MiB and send one byte a second",
    run: run_b3,
    attack: Some(declare),
};

/// A short run has a shorter `message_timeout`, in seconds.
fn message_timeout(short: bool) -> f64 {
    if short { 4.0 } else { 30.0 }
}

fn run_b3(plan: &Plan) -> Result<Outcome> {
    let short = Launch::rig(&["message_timeout=4000"]);
    let launch = if plan.short { short } else { Launch::clws(&[]) };
    let mut trial = Trial::begin(plan, "B3", &launch)?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::exactly("got 1008", facts.of("closed"), facts.of("clients")));
    let time = message_timeout(plan.short);
    trial.push(Figure::at_least("first closed", facts.of("least"), time - 0.5, "s"));
    trial.push(Figure::at_most("last closed", facts.of("most"), time + 1.0, "s").timed());
    trial.judge_memory(&seen, facts.of("clients") as usize, 4096.0);
    trial.judge_return();
    Ok(trial.finish())
}

fn declare(stage: &Stage) -> io::Result<()> {
    let count = stage.of(1000, 400);
    let mut crowd = stage.crowd("/echo", count)?;
    let mut header = Vec::new();
    wire::push_header(&mut header, wire::BINARY, 1 << 20);
    for member in &mut crowd.members {
        member.begun = Instant::now();
        member.send(&header);
    }
    let give_up = after(message_timeout(stage.short) + 5.0);
    while crowd.count(Member::is_open) > 0 && Instant::now() < give_up {
        crowd.members.iter_mut().for_each(|member| member.send(b"x"));
        crowd.turn_until(after(1.0), |_, member| drop(member.frame()))?;
    }
    let (least, most) = crowd.lives();
    stage.tell("clients", count);
    stage.tell("closed", crowd.count(|member| member.code == Some(1008)));
    stage.tell("least", least);
    // The linger after the last frame is not part of the time.
    stage.tell("most", most);
    Ok(())
}

pub(super) const B4: Scenario = Scenario {
    id: "B4",
    says: "a client sends fragments of one byte without end",
    run: run_b4,
    attack: Some(fragments),
};

fn run_b4(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "B4", &Launch::clws(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::exactly("got 1009", facts.of("closed"), facts.of("clients")));
    trial.judge_growth(&seen, MIB);
    trial.judge_return();
    Ok(trial.finish())
}

fn fragments(stage: &Stage) -> io::Result<()> {
    let rounds = stage.of(50, 10);
    let request = wire::request(stage.address, "/echo", "");
    let mut endless = Vec::new();
    (0..1000).for_each(|_| wire::push(&mut endless, 0x00, b"x"));
    let mut closed = 0;
    for _ in 0..rounds {
        let mut crowd = Crowd::new()?;
        crowd.open(stage.address, 1, 1, &request)?;
        crowd.members[0].send(&wire::frame(0x02, b"x"));
        let give_up = after(10.0);
        while crowd.members[0].is_open() && Instant::now() < give_up {
            let member = &mut crowd.members[0];
            if member.code.is_none() && member.pending() == 0 {
                member.send(&endless);
            }
            crowd.turn(Duration::from_millis(5), |_, member| drop(member.frame()))?;
        }
        closed += usize::from(crowd.members[0].code == Some(1009));
    }
    stage.tell("clients", rounds);
    stage.tell("closed", closed);
    Ok(())
}

pub(super) const B5: Scenario = Scenario {
    id: "B5",
    says: "a healthy client sends a million messages, whole and in fragments",
    run: run_b5,
    attack: Some(healthy),
};

fn run_b5(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "B5", &Launch::clws(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::exactly("answered", facts.of("answered"), facts.of("sent")));
    trial.push(Figure::exactly("closed", facts.of("closed"), 0.0));
    trial.judge_growth(&seen, 4.0 * MIB);
    trial.judge_return();
    Ok(trial.finish())
}

fn healthy(stage: &Stage) -> io::Result<()> {
    let messages: u32 = stage.of(1_000_000, 100_000);
    let (mut answered, mut sent, mut closed) = (0, 0, 0);
    for fragmented in [false, true] {
        let mut crowd = stage.crowd("/echo", 1)?;
        let (mut said, mut heard, mut batch) = (0_u32, 0_u32, Vec::new());
        let give_up = after(120.0);
        while heard < messages && crowd.members[0].is_open() && Instant::now() < give_up {
            if crowd.members[0].pending() == 0 && said < messages {
                batch.clear();
                let last = messages.min(said + 500);
                (said..last).for_each(|number| push_message(&mut batch, number, fragmented));
                said = last;
                crowd.members[0].send(&batch);
            }
            crowd.turn(Duration::from_millis(1), |_, member| {
                while let Some(frame) = member.frame() {
                    heard += u32::from(frame.payload == heard.to_be_bytes());
                }
            })?;
        }
        sent += said;
        answered += heard;
        closed += u32::from(!crowd.members[0].is_open());
    }
    stage.tell("sent", sent);
    stage.tell("answered", answered);
    stage.tell("closed", closed);
    Ok(())
}

fn push_message(out: &mut Vec<u8>, number: u32, fragmented: bool) {
    let [one, two, three, four] = number.to_be_bytes();
    if fragmented {
        wire::push(out, 0x02, &[one]);
        wire::push(out, 0x00, &[two, three]);
        wire::push(out, 0x80, &[four]);
    } else {
        wire::push(out, wire::BINARY, &[one, two, three, four]);
    }
}
