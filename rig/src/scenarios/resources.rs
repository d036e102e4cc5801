//! Scenarios of scarce resources: file descriptors, memory, a log that nobody takes.

use super::Scenario;
use crate::attack::Attack;
use crate::crowd::Crowd;
use crate::innocents::Innocents;
use crate::peer::Peer;
use crate::report::{Figure, Outcome};
use crate::server::{Launch, Log, Server};
use crate::stage::{Stage, after};
use crate::{Plan, Result, peer, process, wire};
use std::io;
use std::time::{Duration, Instant};

pub(super) const F1: Scenario = Scenario {
    id: "F1",
    says: "400 clients come where 256 files may be open",
    run: run_f1,
    attack: Some(too_many),
};

fn run_f1(plan: &Plan) -> Result<Outcome> {
    let launch = Launch { files: Some(256), ..Launch::clws(&[]) };
    let mut server = Server::start(plan, "F1", &launch)?;
    let pid = server.pid();
    let used = || process::cpu(pid).unwrap_or_default();
    let innocents = Innocents::start(server.address, 50)?;
    let pause = Duration::from_secs(if plan.short { 3 } else { 10 });
    let before = used();
    innocents.tally_of(pause)?;
    let quiet = used().saturating_sub(before);
    let mut attack = Attack::start(plan, "F1", server.address)?;
    attack.wait_for("ready")?;
    let (before, lines) = (used(), server.log_lines());
    let tally = innocents.tally_of(pause)?;
    let share = used().saturating_sub(before + quiet).as_secs_f64() / pause.as_secs_f64();
    let lines = (server.log_lines() - lines) as f64 / pause.as_secs_f64();
    attack.order()?;
    attack.wait_for("left")?;
    let begun = Instant::now();
    let again = peer::echo_once(server.address).map(|()| begun.elapsed().as_secs_f64());
    attack.finish()?;
    let figures = vec![
        Figure::at_least("others' echoes", tally.answered as f64, 100.0, "").routine(),
        Figure::exactly("faults", tally.wrongs() as f64, 0.0),
        Figure::at_most("work", share * 100.0, 5.0, "%"),
        Figure::at_most("log", lines, 1.4, "lines/s"),
        Figure::at_most("accepts again after", again.unwrap_or(f64::NAN), 1.0, "s"),
        Figure::exactly("lives", f64::from(u8::from(server.lives())), 1.0).routine(),
    ];
    Ok(Outcome::Measured(figures))
}

fn too_many(stage: &Stage) -> io::Result<()> {
    let mut crowd = Crowd::new()?;
    let request = wire::request(stage.address, "/echo", "");
    for _ in 0..400 {
        crowd.connect(stage.address, &request)?;
    }
    crowd.turn_until(after(1.0), |_, member| drop(member.frame()))?;
    stage.ready()?;
    crowd.members.iter_mut().for_each(|member| member.leave(false));
    stage.tell("left", 1);
    Ok(())
}

pub(super) const F4: Scenario = Scenario {
    id: "F4",
    says: "standard error is closed, or a pipe that nobody reads",
    run: run_f4,
    attack: None,
};

fn run_f4(plan: &Plan) -> Result<Outcome> {
    let mut figures = Vec::new();
    for (name, log) in [("closed", Log::Closed), ("stuck", Log::Stuck)] {
        let launch = Launch { log, ..Launch::clws(&["--log", "debug"]) };
        let mut server = Server::start(plan, "F4", &launch)?;
        let innocents = Innocents::start(server.address, 50)?;
        innocents.tally()?;
        // Each refusal is a line; a pipe holds 64 KiB.
        let refused = (0..2000).take_while(|_| refusal(&server).is_ok()).count();
        let tally = innocents.tally_of(Duration::from_millis(500))?;
        let newcomer = peer::echo_once(server.address).is_ok();
        figures.extend([
            Figure::exactly(&format!("{name}: refused"), refused as f64, 2000.0),
            Figure::at_least("others' echoes", tally.answered as f64, 100.0, "").routine(),
            Figure::exactly("faults", tally.wrongs() as f64, 0.0),
            Figure::exactly("newcomer is in", f64::from(u8::from(newcomer)), 1.0),
            Figure::exactly("lives", f64::from(u8::from(server.lives())), 1.0).routine(),
        ]);
    }
    Ok(Outcome::Measured(figures))
}

fn refusal(server: &Server) -> io::Result<()> {
    let mut peer = Peer::connect(server.address)?;
    peer.stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    peer.send(&wire::request(server.address, "/nowhere", ""))?;
    peer.status().map(drop)
}
