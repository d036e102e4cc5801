//! Scenarios of permessage-deflate.

use super::Scenario;
use crate::crowd::{Crowd, Member};
use crate::peer::Peer;
use crate::report::{Figure, Outcome};
use crate::server::Launch;
use crate::stage::{Stage, after};
use crate::trial::Trial;
use crate::{Plan, Result, wire};
use flate2::{Compress, Compression, FlushCompress};
use std::io;
use std::time::{Duration, Instant};

const MIB: f64 = 1024.0 * 1024.0;
pub(super) const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate\r\n";

pub(super) const C2: Scenario = Scenario {
    id: "C2",
    says: "100 clients send messages that swell beyond the limit, at line rate",
    run: run_c2,
    attack: Some(bombs),
};

fn run_c2(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "C2", &Launch::clws(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::exactly("not 1009", facts.of("other"), 0.0));
    trial.push(Figure::told("bombs", facts.of("rate"), "/s"));
    trial.judge_memory(&seen, 100, 1.2 * MIB);
    // What the C library keeps of a hundred inflaters and beginnings of messages: it gives nothing
    // back that lies below one of the small blocks that it has ready for each thread.
    trial.judge_return_within(24.0 * MIB);
    Ok(trial.finish())
}

/// The payload of a message that swells to so many MiB of zeros.
fn packed_zeros(mebibytes: usize) -> io::Result<Vec<u8>> {
    let mut packed = Vec::with_capacity(256 * 1024);
    let mut deflater = Compress::new(Compression::best(), false);
    let zeros = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        deflater.compress_vec(&zeros, &mut packed, FlushCompress::None)?;
    }
    deflater.compress_vec(&[], &mut packed, FlushCompress::Sync)?;
    packed.truncate(packed.len() - 4);
    Ok(packed)
}

/// 64 MiB of zeros in four fragments.
pub(super) fn bomb() -> io::Result<Vec<u8>> {
    let packed = packed_zeros(64)?;
    let mut bytes = Vec::new();
    let quarters = packed.chunks(packed.len().div_ceil(4)).enumerate();
    for (index, quarter) in quarters {
        let first = if index == 0 { 0x02 | wire::COMPRESSED } else { 0x00 };
        wire::push(&mut bytes, first | if index == 3 { 0x80 } else { 0 }, quarter);
    }
    Ok(bytes)
}

fn bombs(stage: &Stage) -> io::Result<()> {
    throw_bombs(stage, 100, stage.of(20.0, 4.0))
}

/// Keeps `count` clients busy: each opens, throws its bomb, waits for the end and comes again.
pub(super) fn throw_bombs(stage: &Stage, count: usize, seconds: f64) -> io::Result<()> {
    let first = [wire::request(stage.address, "/echo", OFFER), bomb()?].concat();
    let begun = Instant::now();
    let end = after(seconds);
    let (mut thrown, mut other) = (0_u32, 0_u32);
    while Instant::now() < end {
        let mut crowd = Crowd::new()?;
        for _ in 0..count {
            crowd.connect(stage.address, &first)?;
        }
        crowd.turn_until(after(10.0), |_, member| {
            while member.frame().is_some() {}
            if member.code.is_some() {
                member.leave(false);
            }
        })?;
        thrown += count as u32;
        other += crowd.count(|member| member.code != Some(1009)) as u32;
    }
    stage.tell("rate", f64::from(thrown) / begun.elapsed().as_secs_f64());
    stage.tell("other", other);
    Ok(())
}

pub(super) const C7: Scenario = Scenario {
    id: "C7",
    says: "clients connect, compress and leave",
    run: run_c7,
    attack: Some(cycles),
};

fn run_c7(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "C7", &Launch::clws(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::exactly("answered", facts.of("answered"), facts.of("cycles")));
    trial.judge_growth(&seen, 4.0 * MIB);
    trial.judge_return_within(2.0 * MIB);
    Ok(trial.finish())
}

fn cycles(stage: &Stage) -> io::Result<()> {
    // The example of RFC 7692, section 7.2.3.1.
    let hello = [0xF2, 0x48, 0xCD, 0xC9, 0xC9, 0x07, 0x00];
    let message = wire::frame(wire::TEXT | wire::COMPRESSED, &hello);
    let cycles = stage.of(100_000, 3000);
    let mut answered = 0;
    for _ in 0..cycles {
        let mut peer = Peer::open_with(stage.address, "/echo", OFFER)?;
        peer.stream.set_read_timeout(Some(Duration::from_secs(5)))?;
        peer.send(&message)?;
        answered += usize::from(peer.frame()?.first & 0x0F == 1);
        peer.send(&wire::frame(wire::CLOSE, &[0x03, 0xE8]))?;
        peer.close_code()?;
        peer.finish();
    }
    stage.tell("cycles", cycles);
    stage.tell("answered", answered);
    Ok(())
}

pub(super) const C8: Scenario = Scenario {
    id: "C8",
    says: "four clients send messages of a KiB that swell to the limit, at line rate",
    run: run_c8,
    attack: Some(swell),
};

fn run_c8(plan: &Plan) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, "C8", &Launch::clws(&[]))?;
    let (facts, seen) = trial.attack(|_| Ok(()))?;
    trial.judge_others(&seen);
    trial.push(Figure::told("messages", facts.of("rate"), "/s"));
    trial.push(Figure::exactly("stay", facts.of("open"), facts.of("clients")));
    trial.judge_return();
    Ok(trial.finish())
}

/// Messages of a KiB that swell to exactly the limit, as fast as they are taken.
fn swell(stage: &Stage) -> io::Result<()> {
    const CLIENTS: usize = 4;
    let message = wire::frame(wire::BINARY | wire::COMPRESSED, &packed_zeros(1)?);
    let batch = message.repeat(50);
    let mut crowd = Crowd::new()?;
    crowd.open(stage.address, CLIENTS, CLIENTS, &wire::request(stage.address, "/echo", OFFER))?;
    let begun = Instant::now();
    let end = after(stage.of(20.0, 4.0));
    let mut answered = 0_u32;
    while Instant::now() < end {
        for member in &mut crowd.members {
            if member.pending() == 0 {
                member.send(&batch);
            }
        }
        crowd.turn(Duration::from_millis(1), |_, member| {
            while member.frame().is_some() {
                answered += 1;
            }
        })?;
    }
    stage.tell("rate", f64::from(answered) / begun.elapsed().as_secs_f64());
    stage.tell("open", crowd.count(Member::is_open));
    stage.tell("clients", CLIENTS);
    Ok(())
}
