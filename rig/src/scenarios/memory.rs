//! A scenario of too little memory: floods of clients that do not read and messages that swell,
//! together, against a server in a control group. Takes root and a memory controller; skipped
//! without.

use super::{Scenario, compression};
use crate::attack::Attack;
use crate::crowd::{Crowd, Member};
use crate::group::{Group, Usage};
use crate::innocents::{self, Innocents};
use crate::report::{Figure, Outcome};
use crate::server::{Launch, Server};
use crate::stage::{Stage, after};
use crate::{Plan, Result, peer, wire};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const MIB: f64 = 1024.0 * 1024.0;
const GROUP: u64 = 256 * 1024 * 1024;
/// How often those whose connection has ended come again.
const AGAIN: Duration = Duration::from_millis(100);
/// How long a newcomer knocks once the attack is over.
const PATIENCE: Duration = Duration::from_secs(20);

pub(super) const F3: Scenario = Scenario {
    id: "F3",
    says: "floods that are not read and messages that swell, in 256 MiB of memory",
    run: run_f3,
    attack: Some(flood),
};

fn run_f3(plan: &Plan) -> Result<Outcome> {
    let Some(group) = Group::make(GROUP) else {
        return Ok(Outcome::Skipped("it takes root and a memory controller of control groups"));
    };
    let launch = Launch { group: Some(group.processes()), ..Launch::clws(&[]) };
    let mut server = Server::start(plan, "F3", &launch)?;
    let innocents = Innocents::start(server.address, innocents::COUNT)?;
    innocents.tally()?;
    let (most, facts) = watched(&group, || {
        let mut attack = Attack::start(plan, "F3", server.address)?;
        attack.wait_for("left")?;
        let begun = Instant::now();
        let again = first_echo(&server, begun).map_or(f64::NAN, |time| time.as_secs_f64());
        Ok((attack.finish()?, again))
    });
    let (facts, again) = facts?;
    let tally = innocents.tally()?;
    let figures = vec![
        Figure::at_least("others' echoes", tally.answered as f64, 100.0, "").routine(),
        Figure::exactly("faults", tally.wrongs() as f64, 0.0),
        Figure::told("p99", tally.within(0.99) * 1e3, "ms"),
        Figure::told("came", facts.of("came"), "peers"),
        Figure::at_least("got 503", facts.of("refused"), 1.0, ""),
        Figure::at_least("were reset or got 1013", facts.of("shed"), 1.0, ""),
        Figure::at_most("most memory", most.all as f64 / MIB, GROUP as f64 / MIB, "MiB"),
        Figure::told("of that for sockets", most.sockets as f64 / MIB, "MiB"),
        Figure::at_most("in again after", again, 3.0, "s"),
        Figure::exactly("killed", group.kills(), 0.0),
        Figure::exactly("lives", f64::from(u8::from(server.lives())), 1.0).routine(),
        Figure::at_most("log", server.log_lines() as f64, 100.0, "lines").routine(),
    ];
    // The group can only go when nobody is in it.
    drop(server);
    Ok(Outcome::Measured(figures))
}

/// Runs `work`; gives the most that the group used meanwhile, too.
fn watched<T>(group: &Group, work: impl FnOnce() -> Result<T>) -> (Usage, Result<T>) {
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut most = Usage::default();
            while !done.load(Ordering::Relaxed) {
                most = most.max(group.usage());
                std::thread::sleep(Duration::from_millis(2));
            }
            most
        });
        let came = work();
        done.store(true, Ordering::Relaxed);
        (watch.join().unwrap_or_default(), came)
    })
}

/// How long newcomers are turned away.
fn first_echo(server: &Server, begun: Instant) -> Option<Duration> {
    while begun.elapsed() < PATIENCE {
        if peer::echo_once(server.address).is_ok() {
            return Some(begun.elapsed());
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    None
}

/// Peers of one kind, each of whom comes again when it was refused or closed.
#[derive(Debug)]
struct Band {
    crowd: Crowd,
    count: usize,
    /// What each begins with.
    first: Vec<u8>,
    /// What each says all the time, and then it reads nothing.
    says: Option<Vec<u8>>,
    /// Those behind it listen to what the first ones say, or to nothing.
    speakers: usize,
}

/// What became of the peers.
#[derive(Debug, Default)]
struct Fates {
    came: usize,
    refused: usize,
    shed: usize,
}

fn flood(stage: &Stage) -> io::Result<()> {
    let request = |path, headers| wire::request(stage.address, path, headers);
    let band = |count, speakers, first, says| {
        Ok::<_, io::Error>(Band { crowd: Crowd::new()?, count, first, says, speakers })
    };
    let (many, few) = (stage.of(400, 200), stage.of(200, 100));
    let long = wire::frame(wire::BINARY, &vec![0x5A; 64 * 1024]);
    let short = wire::frame(wire::BINARY, &[0x5A; 8 * 1024]);
    let bomb = [request("/echo", compression::OFFER), compression::bomb()?].concat();
    let mut bands = [
        band(many, many, request("/echo", ""), Some(long))?,
        band(many, 1, request("/chat", ""), Some(short))?,
        band(few, 0, bomb, None)?,
    ];
    let mut fates = Fates::default();
    let end = after(stage.of(30.0, 8.0));
    let mut due = Instant::now();
    while Instant::now() < end {
        let fill = Instant::now() >= due;
        due += if fill { AGAIN } else { Duration::ZERO };
        for band in &mut bands {
            if fill {
                fates.came += band.crowd.fill(stage.address, band.count, &band.first)?;
            }
            band.turn(&mut fates)?;
        }
    }
    stage.tell("came", fates.came);
    stage.tell("refused", fates.refused);
    stage.tell("shed", fates.shed);
    bands.iter_mut().flat_map(|band| &mut band.crowd.members).for_each(|one| one.leave(false));
    stage.tell("left", 1);
    Ok(())
}

impl Band {
    fn turn(&mut self, fates: &mut Fates) -> io::Result<()> {
        let is_in = |member: &&mut Member| member.status == Some(101) && member.pending() == 0;
        for member in self.crowd.members.iter_mut().take(self.speakers).filter(is_in) {
            member.send(self.says.as_deref().unwrap_or_default());
        }
        let deaf = self.says.is_some();
        self.crowd.turn(Duration::from_millis(2), |_, member| {
            while member.frame().is_some() {}
            member.deaf = deaf && member.status == Some(101);
        })?;
        for member in &mut self.crowd.members {
            // Each is counted once.
            let refused = member.status.take_if(|status| *status == 503).is_some();
            let reset = member.deaf && std::mem::take(&mut member.failed);
            let code = member.code.take();
            fates.refused += usize::from(refused);
            fates.shed += usize::from(reset || code == Some(1013));
            if refused || reset || code.is_some() {
                member.leave(false);
            }
        }
        Ok(())
    }
}
