//! A peer whose link goes down: in a network namespace of its own, tied to this one by a pair of
//! virtual interfaces. Takes root and `ip`; without them the scenario is skipped.

use super::Scenario;
use crate::attack::Attack;
use crate::crowd::Crowd;
use crate::report::{Figure, Outcome};
use crate::server::{Launch, Server};
use crate::stage::{Stage, after};
use crate::{Plan, Result, process, wire};
use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

pub(super) const E1: Scenario = Scenario {
    id: "E1",
    says: "peers whose link goes down, idle ones and ones for whom data waits",
    run: run_e1,
    attack: Some(behind_the_link),
};

const NAMESPACE: &str = "clws-rig";
const NEAR: &str = "clws-rig0";
const FAR: &str = "clws-rig1";
/// Link-local addresses, which lead nowhere else.
const NEAR_ADDRESS: &str = "169.254.77.1";
const FAR_ADDRESS: &str = "169.254.77.2/30";
/// Of each kind.
const PEERS: usize = 50;

/// The namespace and the link into it; dropping it takes both away.
#[derive(Debug)]
struct Link;

fn ip(words: &str) -> Result<()> {
    process::quietly(Command::new("ip").args(words.split_whitespace()))
}

impl Link {
    fn make() -> Result<Self> {
        // What a run left that was killed.
        drop(Self);
        ip(&format!("netns add {NAMESPACE}"))?;
        let link = Self;
        ip(&format!("link add {NEAR} type veth peer name {FAR} netns {NAMESPACE}"))?;
        ip(&format!("addr add {NEAR_ADDRESS}/30 dev {NEAR}"))?;
        ip(&format!("link set {NEAR} up"))?;
        ip(&format!("-n {NAMESPACE} addr add {FAR_ADDRESS} dev {FAR}"))?;
        ip(&format!("-n {NAMESPACE} link set {FAR} up"))?;
        Ok(link)
    }

    /// Takes the far end down; nothing tells the near end.
    #[expect(clippy::unused_self, reason = "only a link that was made can be cut")]
    fn cut(&self) -> Result<()> {
        ip(&format!("-n {NAMESPACE} link set {FAR} down"))
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // What was not made can't be taken away.
        let _ = ip(&format!("link del {NEAR}"));
        let _ = ip(&format!("netns del {NAMESPACE}"));
    }
}

/// A short run has shorter times: pings after 2 s, pongs within 2 s, data taken within 1.5 s.
fn run_e1(plan: &Plan) -> Result<Outcome> {
    let Ok(link) = Link::make() else {
        return Ok(Outcome::Skipped("takes root and `ip netns`"));
    };
    let short = ["ping_interval=2000", "pong_timeout=2000", "send_timeout=1500"];
    let (limits, waiting, idle) =
        if plan.short { (&short[..], 1.5, 4.0) } else { (&[][..], 10.0, 45.0) };
    let launch = Launch::rig(limits);
    let mut server = Server::start_at(plan, "E1", &launch, &format!("{NEAR_ADDRESS}:0"))?;
    let pid = server.pid();
    let files = || process::files(pid).unwrap_or(usize::MAX);
    let before = files();
    let mut attack = Attack::start_in(plan, "E1", server.address, Some(NAMESPACE))?;
    attack.wait_for("ready")?;
    let inside = files() - before;
    link.cut()?;
    let begun = Instant::now();
    let gone = |bound: usize| -> f64 {
        while begun.elapsed() < Duration::from_mins(1) {
            if files() <= bound {
                return begun.elapsed().as_secs_f64();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        f64::NAN
    };
    let first = gone(before + PEERS);
    let last = gone(before);
    let figures = vec![
        Figure::exactly("were in", inside as f64, 2.0 * PEERS as f64),
        // A pong may be on its way, and a deadline is checked in steps.
        Figure::at_most("with data waiting gone after", first, waiting + 1.0, "s").timed(),
        Figure::at_most("idle ones gone after", last, idle + 1.0, "s").timed(),
        Figure::exactly("lives", f64::from(u8::from(server.lives())), 1.0).routine(),
    ];
    Ok(Outcome::Measured(figures))
}

fn behind_the_link(stage: &Stage) -> io::Result<()> {
    let mut crowd = Crowd::new()?;
    for path in ["/big", "/echo"] {
        crowd.open(stage.address, PEERS, PEERS, &wire::request(stage.address, path, ""))?;
    }
    let question = wire::frame(wire::BINARY, b"much, please");
    for member in crowd.members.iter_mut().take(PEERS) {
        member.deaf = true;
        // More than the sockets hold.
        (0..8).for_each(|_| member.send(&question));
    }
    crowd.turn_until(after(0.5), |_, _| {})?;
    stage.tell("ready", 1);
    // Its link is down from here on; the conductor ends it.
    stage.wait()
}
