//! Scenarios of faulty networks: innocents whose bytes pass a proxy with faults, beside those whose
//! bytes do not.

use super::Scenario;
use crate::attack::Attack;
use crate::innocents::Innocents;
use crate::proxy::{Fault, Proxy};
use crate::report::{Figure, Outcome};
use crate::server::Launch;
use crate::stage::Stage;
use crate::trial::Trial;
use crate::{Plan, Result};
use std::io;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How many innocents use the faulty network.
const PROXIED: usize = 50;

pub(super) const P1: Scenario = Scenario {
    id: "P1",
    says: "a network that cuts and delays",
    run: |plan| run(plan, "P1", Fault::Split),
    attack: Some(|stage| proxy(stage, Fault::Split)),
};

pub(super) const P2: Scenario = Scenario {
    id: "P2",
    says: "a network that stands still now and then",
    run: |plan| run(plan, "P2", Fault::Stall),
    attack: Some(|stage| proxy(stage, Fault::Stall)),
};

pub(super) const P3: Scenario = Scenario {
    id: "P3",
    says: "a network that resets connections",
    run: |plan| run(plan, "P3", Fault::Reset),
    attack: Some(|stage| proxy(stage, Fault::Reset)),
};

pub(super) const P4: Scenario = Scenario {
    id: "P4",
    says: "a network that corrupts what clients send",
    run: |plan| run(plan, "P4", Fault::Corrupt),
    attack: Some(|stage| proxy(stage, Fault::Corrupt)),
};

fn run(plan: &Plan, id: &'static str, fault: Fault) -> Result<Outcome> {
    let mut trial = Trial::begin(plan, id, &Launch::clws(&[]))?;
    let time = Duration::from_secs(if plan.short { 3 } else { 20 });
    let mut behind = None;
    let (facts, seen) = trial.attack(|attack: &mut Attack| {
        let port = attack.wait_for("port")? as u16;
        let innocents = Innocents::start(SocketAddr::from(([127, 0, 0, 1], port)), PROXIED)?;
        attack.order()?;
        behind = Some(innocents.tally_of(time)?);
        drop(innocents);
        attack.order()
    })?;
    trial.judge_others(&seen);
    let behind = behind.ok_or("nobody went through the proxy")?;
    trial.push(Figure::told("seed", facts.of("seed"), ""));
    trial.push(Figure::at_least("echoes through it", behind.answered as f64, 100.0, ""));
    // What TCP delivers in order can't arrive otherwise; a changed bit of a payload is an echo
    // that differs, which only TLS would notice.
    let mixed = behind.repeated + behind.reordered;
    let damaged = behind.foreign + behind.damaged;
    let (harm, ended) = (facts.of("harm"), behind.disconnected as f64);
    trial.push(Figure::exactly("repeated or reordered", mixed as f64, 0.0));
    match fault {
        Fault::Split | Fault::Stall => {
            trial.push(Figure::exactly("faults through it", behind.wrongs() as f64, 0.0));
        }
        Fault::Reset => {
            trial.push(Figure::exactly("damaged", damaged as f64, 0.0));
            trial.push(Figure::at_least("ended", ended, 1.0, ""));
            trial.push(Figure::at_most("ended", ended, harm, ""));
        }
        Fault::Corrupt => {
            trial.push(Figure::at_least("bits flipped", harm, 1.0, ""));
            // A changed length damages the message and ends the connection.
            let spoilt = damaged as f64 + ended;
            trial.push(Figure::at_most("damaged or ended", spoilt, 2.0 * harm, ""));
        }
    }
    trial.judge_return();
    Ok(trial.finish())
}

fn proxy(stage: &Stage, fault: Fault) -> io::Result<()> {
    let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let seed = u64::from(time.subsec_nanos());
    let mut proxy = Proxy::new(stage.address, seed)?;
    stage.tell("seed", seed);
    stage.tell("port", proxy.port()?);
    // Everybody gets in by a network that only cuts.
    proxy.run(Fault::Split, || stage.is_ordered())?;
    proxy.run(fault, || stage.is_ordered())?;
    stage.tell("harm", proxy.harm);
    Ok(())
}
