//! Scenarios of the opening handshake.

use super::Scenario;
use crate::crowd::{Crowd, Member};
use crate::peer::Peer;
use crate::report::{Figure, Outcome};
use crate::server::{Launch, Server};
use crate::stage::{Stage, after};
use crate::trial::Trial;
use crate::{Plan, Result, wire};
use std::io;
use std::time::{Duration, Instant};

/// The default of `handshake_timeout`, in seconds, and how late its end may be seen.
const HANDSHAKE: f64 = 5.0;
const LATE: f64 = 0.5;

pub(super) const A1: Scenario = Scenario {
    id: "A1",
    says: "clients send one byte of their request a second",
    run: run_a1,
    attack: Some(trickle),
};

fn run_a1(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "A1", &Launch::clws(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::exactly("got 408", facts.of("refused"), facts.of("clients")));
    judge_lives(&mut trial, facts.of("least"), facts.of("most"));
    trial.judge_memory(&seen, facts.of("clients") as usize, 4096.0);
    trial.judge_return();
    Ok(trial.finish())
}

fn judge_lives(trial: &mut Trial<'_>, least: f64, most: f64) {
    trial.push(Figure::at_least("first closed", least, HANDSHAKE - LATE, "s"));
    trial.push(Figure::at_most("last closed", most, HANDSHAKE + LATE, "s").timed());
}

fn trickle(stage: &Stage) -> io::Result<()> {
    let count = stage.of(2000, 500);
    let request = wire::request(stage.address, "/echo", "");
    let mut crowd = Crowd::new()?;
    for _ in 0..count {
        crowd.connect(stage.address, &request[..1])?;
    }
    for byte in &request[1..12] {
        let deadline = after(1.0);
        crowd.turn_until(deadline, |_, member| note_status(member))?;
        crowd.members.iter_mut().for_each(|member| member.send(&[*byte]));
    }
    tell_lives(stage, &crowd);
    stage.tell("refused", crowd.count(|member| member.status == Some(408)));
    Ok(())
}

fn note_status(member: &mut Member) {
    member.status = member.status.or_else(|| member.reader.status());
}

fn tell_lives(stage: &Stage, crowd: &Crowd) {
    let (least, most) = crowd.lives();
    stage.tell("clients", crowd.members.len());
    stage.tell("closed", crowd.count(|member| !member.is_open()));
    stage.tell("least", least);
    stage.tell("most", most);
}

pub(super) const A2: Scenario = Scenario {
    id: "A2",
    says: "clients connect and send nothing",
    run: run_a2,
    attack: Some(mute),
};

fn run_a2(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "A2", &Launch::clws(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::exactly("closed", facts.of("closed"), facts.of("clients")));
    judge_lives(&mut trial, facts.of("least"), facts.of("most"));
    trial.judge_memory(&seen, facts.of("clients") as usize, 2048.0);
    trial.judge_return();
    Ok(trial.finish())
}

fn mute(stage: &Stage) -> io::Result<()> {
    let mut crowd = Crowd::new()?;
    for _ in 0..stage.of(5000, 1500) {
        crowd.connect(stage.address, b"")?;
    }
    crowd.turn_until(after(12.0), |_, _| {})?;
    tell_lives(stage, &crowd);
    Ok(())
}

pub(super) const A4: Scenario = Scenario {
    id: "A4",
    says: "a header of 20 MB, and one of 64 KiB in writes of one byte",
    run: run_a4,
    attack: Some(long_headers),
};

fn run_a4(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "A4", &Launch::clws(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::exactly("got 431", facts.of("refused"), facts.of("clients")));
    trial.judge_growth(&seen, 1024.0 * 1024.0);
    trial.judge_return();
    Ok(trial.finish())
}

fn long_headers(stage: &Stage) -> io::Result<()> {
    let rounds = stage.of(20, 5);
    let begin = wire::request(stage.address, "/echo", "X-Long: ");
    let begin = begin.strip_suffix(b"\r\n\r\n").unwrap_or(&begin);
    let mut refused = 0;
    for (size, pieces) in [(1_000_000, 20), (1, 65_536)] {
        for _ in 0..rounds {
            refused += usize::from(long_header(stage, begin, size, pieces)? == Some(431));
        }
    }
    stage.tell("clients", rounds * 2);
    stage.tell("refused", refused);
    Ok(())
}

/// Sends a header in so many pieces of one size, and reads all the while.
fn long_header(stage: &Stage, begin: &[u8], size: usize, pieces: u32) -> io::Result<Option<u16>> {
    let mut crowd = Crowd::new()?;
    crowd.connect(stage.address, begin)?;
    let piece = vec![b'x'; size];
    let (give_up, mut sent) = (after(10.0), 0);
    while crowd.members[0].is_open() && Instant::now() < give_up {
        let member = &mut crowd.members[0];
        if member.pending() == 0 && sent < pieces {
            member.send(&piece);
            sent += 1;
        }
        crowd.turn(Duration::ZERO, |_, member| note_status(member))?;
    }
    Ok(crowd.members[0].status)
}

pub(super) const A16: Scenario = Scenario {
    id: "A16",
    says: "peers reset at every stage of the handshake",
    run: run_a16,
    attack: Some(resets),
};

fn run_a16(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "A16", &Launch::clws(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::told("cycles", facts.of("cycles"), ""));
    trial.judge_growth(&seen, 2.0 * 1024.0 * 1024.0);
    // What the allocator keeps of it; 200,000 more cycles add a few hundred KiB.
    trial.judge_return_within(2.0 * 1024.0 * 1024.0);
    Ok(trial.finish())
}

fn resets(stage: &Stage) -> io::Result<()> {
    let request = wire::request(stage.address, "/echo", "");
    let cycles = stage.of(50_000, 4000);
    for cycle in 0..cycles {
        let mut peer = Peer::connect(stage.address)?;
        match cycle % 4 {
            0 => {}
            1 => peer.send(&request[..40])?,
            2 => peer.send(&request)?,
            _ => {
                peer.send(&request)?;
                peer.status()?;
            }
        }
        peer.reset();
    }
    stage.tell("cycles", cycles);
    Ok(())
}

pub(super) const J2: Scenario = Scenario {
    id: "J2",
    says: "a page by a foreign name that stands for this machine",
    run: run_j2,
    attack: None,
};

/// As an operator gets it: without flags, that is, with the default rules for hosts and origins.
fn run_j2(plan: &Plan) -> Result<Outcome> {
    let mut launch = Launch::clws(&[]);
    launch.flags.clear();
    let server = Server::start(plan, "J2", &launch)?;
    let port = server.address.port();
    let ask = |host: &str, origin: &str| -> io::Result<u16> {
        let mut peer = Peer::connect(server.address)?;
        let request = wire::request(server.address, "/chat", &format!("Origin: {origin}\r\n"));
        let own = format!("Host: {}", server.address);
        let request = String::from_utf8_lossy(&request).replace(&own, &format!("Host: {host}"));
        peer.send(request.as_bytes())?;
        peer.status()
    };
    let status = |host: String, origin: String| ask(&host, &origin).map_or(f64::NAN, f64::from);
    let evil = format!("evil.example:{port}");
    let own = format!("localhost:{port}");
    let rebound = status(evil.clone(), format!("http://{evil}"));
    let foreign = status(own.clone(), format!("http://{evil}"));
    let rightful = status(own.clone(), format!("http://{own}"));
    let figures = vec![
        Figure::exactly("rebound name gets", rebound, 421.0),
        Figure::exactly("foreign origin gets", foreign, 403.0),
        Figure::exactly("own page gets", rightful, 101.0),
    ];
    Ok(Outcome::Measured(figures))
}
