//! Scenarios of TCP and the life of a connection.

use super::Scenario;
use crate::crowd::{Crowd, Member};
use crate::peer::Peer;
use crate::report::{Figure, Outcome};
use crate::server::Launch;
use crate::stage::{Stage, after};
use crate::trial::Trial;
use crate::{Plan, Result, process, wire};
use std::io;
use std::time::{Duration, Instant};

const MIB: f64 = 1024.0 * 1024.0;

pub(super) const E2: Scenario = Scenario {
    id: "E2",
    says: "peers reset or end at every byte of a frame, or end half of the connection",
    run: run_e2,
    attack: Some(cut_off),
};

fn run_e2(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "E2", &Launch::clws(&[]))?;
    let (pid, mut idle) = (trial.server.pid(), Duration::ZERO);
    let used = || process::cpu(pid).unwrap_or_default();
    // The innocents' own share, to be taken off.
    let (before, pause) = (used(), Duration::from_secs(2));
    std::thread::sleep(pause);
    let quiet = used().saturating_sub(before);
    let (facts, seen) = trial.attack(|attack| {
        attack.wait_for("ready")?;
        let before = used();
        std::thread::sleep(pause);
        idle = used().saturating_sub(before);
        attack.order()
    })?;
    trial.judge_others(&seen);
    trial.push(Figure::told("ends", facts.of("ends"), ""));
    let share = idle.saturating_sub(quiet).as_secs_f64() / pause.as_secs_f64();
    trial.push(Figure::at_most("work for half-open ones", share * 100.0, 3.0, "%").timed());
    trial.push(Figure::exactly("half-open ones ended", facts.of("ended"), facts.of("halves")));
    trial.judge_return();
    Ok(trial.finish())
}

fn cut_off(stage: &Stage) -> io::Result<()> {
    let frame = wire::frame(wire::TEXT, &[b'x'; 300]);
    let mut ends = 0;
    for cut in (0..frame.len()).step_by(stage.of(1, 4)) {
        for reset in [true, false] {
            let mut peer = Peer::open(stage.address, "/echo")?;
            peer.send(&frame[..cut])?;
            if reset {
                peer.reset();
            }
            ends += 1;
        }
    }
    let mut crowd = stage.crowd("/echo", 100)?;
    crowd.members.iter().for_each(Member::finish);
    stage.tell("ends", ends);
    stage.ready()?;
    crowd.turn_until(after(8.0), |_, _| {})?;
    stage.tell("halves", crowd.members.len());
    stage.tell("ended", crowd.count(|member| !member.is_open()));
    Ok(())
}

pub(super) const E3: Scenario = Scenario {
    id: "E3",
    says: "peers do not answer a close, do not end the connection, or send for ever after it",
    run: run_e3,
    attack: Some(bad_ends),
};

fn run_e3(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "E3", &Launch::rig(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::exactly("gone", facts.of("gone"), facts.of("clients")));
    trial.push(Figure::at_most("last after", facts.of("most"), 6.5, "s").timed());
    trial.judge_return();
    Ok(trial.finish())
}

/// A third never answers, a third answers and stays, a third sends for ever.
fn bad_ends(stage: &Stage) -> io::Result<()> {
    let count = stage.of(1500, 300);
    let mut crowd = stage.crowd("/close", count)?;
    let message = wire::frame(wire::BINARY, b"close me");
    for member in &mut crowd.members {
        member.begun = Instant::now();
        member.send(&message);
    }
    let give_up = after(12.0);
    while crowd.count(Member::is_open) > 0 && Instant::now() < give_up {
        crowd.turn_until(after(0.1), |index, member| {
            let closed = member.frame().is_some_and(|frame| frame.close_code().is_some());
            if closed && index % 3 == 1 {
                member.send(&wire::frame(wire::CLOSE, &[0x03, 0xE8]));
            }
        })?;
        crowd.members.iter_mut().skip(2).step_by(3).for_each(|member| member.send(&message));
    }
    stage.tell("clients", count);
    stage.tell("gone", crowd.count(|member| !member.is_open()));
    stage.tell("most", crowd.lives().1);
    Ok(())
}

pub(super) const E5: Scenario = Scenario {
    id: "E5",
    says: "2,000 a second connect, speak and leave in every way",
    run: run_e5,
    attack: Some(churn),
};

fn run_e5(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "E5", &Launch::clws(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::at_least("cycles", facts.of("rate"), 1990.0, "/s").timed());
    trial.push(Figure::exactly("answered", facts.of("answered"), facts.of("cycles")));
    trial.judge_growth(&seen, 2.0 * MIB);
    trial.judge_return_within(2.0 * MIB);
    Ok(trial.finish())
}

/// How many connections there are at most, so that their number is not what memory tells of.
const PLACES: usize = 200;

fn churn(stage: &Stage) -> io::Result<()> {
    const PERIOD: Duration = Duration::from_micros(500);
    let request = wire::request(stage.address, "/echo", "");
    let (mut crowd, mut free) = (Crowd::new()?, Vec::new());
    let begun = Instant::now();
    let end = after(stage.of(60.0, 4.0));
    let (mut cycles, mut answered) = (0_u32, 0_u32);
    while Instant::now() < end || free.len() < crowd.members.len() {
        while begun + PERIOD * cycles <= Instant::now() && Instant::now() < end {
            match free.pop() {
                Some(place) => crowd.replace(place, stage.address, &request)?,
                None if crowd.members.len() < PLACES => {
                    crowd.connect(stage.address, &request)?;
                }
                None => break,
            }
            cycles += 1;
        }
        crowd.turn(Duration::from_millis(1), |place, member| {
            answered += u32::from(live_on(member, place));
            if !member.is_open() {
                free.push(place);
            }
        })?;
        if Instant::now() > end + Duration::from_secs(10) {
            // Those who are left count as not answered.
            break;
        }
    }
    stage.tell("cycles", cycles);
    stage.tell("answered", answered);
    stage.tell("rate", f64::from(cycles) / (end - begun).as_secs_f64());
    Ok(())
}

/// Says hello once it is in, and leaves when that is answered: a third in order, a third by the end
/// of the stream, a third by a reset. Whether it was answered now.
fn live_on(member: &mut Member, place: usize) -> bool {
    let mut answered = false;
    let new = member.status.is_none();
    while let Some(frame) = member.frame() {
        answered |= frame.payload == b"hello";
        match place % 3 {
            0 if frame.close_code().is_none() => {
                member.send(&wire::frame(wire::CLOSE, &[0x03, 0xE8]));
            }
            2 => member.leave(true),
            _ => member.leave(false),
        }
    }
    if new && member.status == Some(101) {
        member.send(&wire::frame(wire::TEXT, b"hello"));
    }
    answered
}
