//! Scenarios of operation: stops, crashes, pauses.

use super::Scenario;
use crate::crowd::{Crowd, Member};
use crate::report::{Figure, Outcome};
use crate::server::{Launch, Server};
use crate::stage::{Stage, after};
use crate::trial::Trial;
use crate::{Plan, Result, attack::Attack, peer, wire};
use std::io;
use std::time::{Duration, Instant};

pub(super) const G1: Scenario = Scenario {
    id: "G1",
    says: "SIGTERM with many clients and messages on their way",
    run: run_g1,
    attack: Some(talk_until_told_to_go),
};

/// How long the server may take to end, in seconds: its closes are spread over a window, and a
/// client may take as long to answer.
const DRAIN: f64 = 15.0;

fn run_g1(plan: &Plan) -> Result<Outcome> {
    let mut server = Server::start(plan, "G1", &Launch::clws(&[]))?;
    let mut attack = Attack::start(plan, "G1", server.address)?;
    attack.wait_for("ready")?;
    attack.order()?;
    attack.wait_for("said")?;
    let asked = Instant::now();
    server.signal("TERM")?;
    let status = server.wait()?;
    let took = asked.elapsed().as_secs_f64();
    let facts = attack.finish()?;
    let figures = vec![
        Figure::exactly("exit code", status.code().map_or(f64::NAN, f64::from), 0.0),
        Figure::at_most("after", took, DRAIN, "s"),
        Figure::exactly("got 1001", facts.of("away"), facts.of("clients")),
        Figure::exactly("answered before", facts.of("answered"), facts.of("clients")),
        Figure::exactly("out of order", facts.of("faults"), 0.0),
        Figure::told("on their way and answered", facts.of("late"), "messages"),
        Figure::told("closes spread over", facts.of("spread"), "s"),
    ];
    Ok(Outcome::Measured(figures))
}

/// Each client has one message answered; then it says another, and the server is stopped.
fn talk_until_told_to_go(stage: &Stage) -> io::Result<()> {
    let count = stage.of(5000, 1000);
    let mut crowd = stage.crowd("/echo", count)?;
    let (mut heard, mut faults, mut said) = (vec![0_u32; count], 0, 0_u8);
    let mut codes = Vec::new();
    for last in [false, true] {
        if last {
            stage.tell("answered", heard.iter().filter(|heard| **heard == 1).count());
            stage.ready()?;
        }
        for member in &mut crowd.members {
            member.send(&wire::frame(wire::BINARY, &[said]));
        }
        said += 1;
        if last {
            stage.tell("said", count);
        }
        crowd.turn_until(after(if last { 20.0 } else { 3.0 }), |index, member| {
            while let Some(frame) = member.frame() {
                if frame.close_code().is_some() {
                    codes.push(Instant::now());
                    member.send(&wire::frame(wire::CLOSE, &frame.payload));
                    member.finish();
                } else {
                    faults += usize::from(frame.payload != [heard[index] as u8]);
                    heard[index] += 1;
                }
            }
        })?;
    }
    let spread = codes.iter().max().zip(codes.iter().min()).map(|(last, first)| *last - *first);
    stage.tell("clients", count);
    stage.tell("away", crowd.count(|member| member.code == Some(1001)));
    stage.tell("faults", faults);
    stage.tell("late", heard.iter().filter(|heard| **heard == 2).count());
    stage.tell("spread", spread.unwrap_or_default().as_secs_f64());
    Ok(())
}

pub(super) const G2: Scenario = Scenario {
    id: "G2",
    says: "SIGKILL under load and a new start at the same port",
    run: run_g2,
    attack: None,
};

fn run_g2(plan: &Plan) -> Result<Outcome> {
    let launch = Launch::clws(&[]);
    let mut server = Server::start(plan, "G2", &launch)?;
    let address = server.address;
    let failed = |error: io::Error| error.to_string();
    let _crowd = Crowd::of(address, "/echo", 500).map_err(failed)?;
    server.signal("KILL")?;
    server.wait()?;
    let begun = Instant::now();
    let server = Server::start_at(plan, "G2", &launch, &address.to_string())?;
    peer::echo_once(server.address).map_err(failed)?;
    let after = Figure::at_most("first echo", begun.elapsed().as_secs_f64(), 1.0, "s");
    Ok(Outcome::Measured(vec![after]))
}

pub(super) const G6: Scenario = Scenario {
    id: "G6",
    says: "the process is stopped for longer than a deadline, then goes on",
    run: run_g6,
    attack: Some(stay),
};

/// A short run has shorter deadlines, so that its shorter stop passes them all the same.
fn run_g6(plan: &Plan) -> Result<Outcome> {
    let short = Launch::rig(&["ping_interval=500", "pong_timeout=1500"]);
    let launch = if plan.short { short } else { Launch::clws(&[]) };
    let mut trial = Trial::begin(plan, "G6", &launch)?;
    let pause = Duration::from_secs(if plan.short { 4 } else { 30 });
    let pid = trial.server.pid();
    let mut attack = Attack::start(plan, "G6", trial.server.address)?;
    attack.wait_for("ready")?;
    trial.innocents.tally()?;
    crate::process::signal(pid, "STOP")?;
    std::thread::sleep(pause);
    crate::process::signal(pid, "CONT")?;
    std::thread::sleep(Duration::from_secs(2));
    let tally = trial.innocents.tally()?;
    attack.order()?;
    let facts = attack.finish()?;
    trial.push(Figure::told("stopped for", pause.as_secs_f64(), "s"));
    trial.push(Figure::at_least("others' echoes", tally.answered as f64, 100.0, "").routine());
    trial.push(Figure::exactly("faults", tally.wrongs() as f64, 0.0));
    trial.push(Figure::exactly("silent ones stay", facts.of("open"), facts.of("clients")));
    Ok(trial.finish())
}

/// Clients that say nothing and answer pings.
fn stay(stage: &Stage) -> io::Result<()> {
    let mut crowd = stage.crowd("/echo", 500)?;
    stage.tell("ready", 1);
    while !stage.is_ordered() {
        crowd.turn(Duration::from_millis(50), |_, member| while member.frame().is_some() {})?;
    }
    stage.tell("clients", crowd.members.len());
    stage.tell("open", crowd.count(Member::is_open));
    Ok(())
}
