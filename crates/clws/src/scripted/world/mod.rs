//! A whole server under simulation: workers, mail, many sessions, user code and peers, with links
//! that cut, stall and break, all drawn from one seed and replayed by it.
//!
//! After each step nothing may have gone wrong so far (`ledger`), and every bound must hold. Then
//! the world calms down: what was sent must have arrived. At last the server ends, and everything
//! must be given back. `CLWS_SIM_SEED=7` replays one seed, `CLWS_SIM_SEEDS=10000` runs that many.

mod breach;
mod checks;
mod crowd;
mod ledger;
mod link;
mod patience;
mod peer;
mod plan;
mod speech;
mod stage;
mod worker;

use super::faults::Random;
use crate::hub::{Hub, Settings};
use crate::limits::{Limits, SendPolicy};
use crate::origin::Origin;
use crate::routes::{Route, Routes};
use clws_proto::deflate::DeflateConfig;
use clws_proto::version::Versions;
use ledger::Ledger;
use link::Link;
use patience::{CLOSE_TIMEOUT, LATE, PING_INTERVAL, PONG_TIMEOUT, Patience, SEND_TIMEOUT};
use peer::Peer;
use plan::{Farewell, PATHS};
use speech::MAX_MESSAGE;
use stage::{Book, Stage};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use worker::Worker;

/// How many seeds an ordinary test run takes.
const SEEDS: u64 = 300;
const MAX_CLIENTS: usize = 12;
const MAX_PEERS: usize = 25;
const MAX_STEPS: usize = 3000;
const HIGH: usize = 8000;
/// The most that is read of one client in a turn.
const TURN: usize = 4096;
/// Within this time of its end nothing of a server is left, where a drain has no deadline.
const LAST: Duration = Duration::from_secs(12);

fn limits(policy: SendPolicy) -> Limits {
    Limits {
        max_clients: Some(MAX_CLIENTS),
        max_message_size: MAX_MESSAGE,
        turn_bytes: TURN,
        handshake_timeout: Duration::from_secs(3),
        message_timeout: Duration::from_secs(5),
        send_queue_low: 2000,
        send_queue_high: HIGH,
        send_policy: policy,
        send_timeout: SEND_TIMEOUT,
        close_timeout: CLOSE_TIMEOUT,
        linger_timeout: Duration::from_millis(500),
        ping_interval: Some(PING_INTERVAL),
        pong_timeout: PONG_TIMEOUT,
        ..Limits::default()
    }
}

fn routes(book: &Book) -> Routes {
    let routes = Routes::default();
    for path in PATHS.into_iter().chain(["/closed"]) {
        let relays = matches!(path, "/newest" | "/packed");
        let stage = Stage { book: Arc::clone(book), later: path == "/later", relays };
        let origin = if path == "/closed" { Origin::none() } else { Origin::any() };
        let mut route = Route::new(path, origin, stage);
        let policy = match path {
            "/newest" => SendPolicy::DropNewest,
            "/oldest" => SendPolicy::DropOldest,
            _ => SendPolicy::Disconnect,
        };
        let own = limits(policy);
        let config = Arc::new(own.connection());
        route.own_limits = Some((Arc::new(own), config));
        route.own_deflate = (path == "/packed").then(|| DeflateConfig {
            min_size: 64,
            server_no_context_takeover: false,
            client_no_context_takeover: false,
            ..DeflateConfig::default()
        });
        routes.register(route).unwrap();
    }
    routes
}

struct World {
    random: Random,
    now: Instant,
    hub: Arc<Hub>,
    workers: Vec<Worker>,
    links: Vec<Link>,
    patience: Vec<Patience>,
    peers: Vec<Peer>,
    book: Book,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed.wrapping_mul(0x5851_f42d_4c95_7f2d));
        let dice = Random(random.below(1 << 30) as u64);
        let book = Arc::new(Mutex::new(Ledger::new(dice)));
        let versions = Versions { hixie76: true };
        let turn_messages = [1, 3, 32][random.below(3)];
        let limits = Limits { turn_messages, ..limits(SendPolicy::Disconnect) };
        let settings = Settings { limits, versions, ..Settings::default() };
        let hub = Arc::new(Hub::counting(settings, routes(&book), Arc::default()));
        let now = Instant::now();
        let count = 1 + random.below(2);
        let workers = (0..count).map(|_| Worker::new(Arc::clone(&hub), now)).collect();
        let (links, peers, patience) = (Vec::new(), Vec::new(), Vec::new());
        Self { random, now, hub, workers, links, patience, peers, book }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.book.lock().unwrap()
    }

    fn connect(&mut self) {
        let number = self.peers.len();
        let mut seed = || Random(self.random.below(1 << 30) as u64);
        self.peers.push(Peer::new(number, seed(), self.now));
        self.links.push(Link::new(seed()));
        self.patience.push(Patience::new(self.now));
        self.ledger().pages.push(ledger::Page::default());
        let worker = self.random.below(self.workers.len());
        self.workers[worker].give(number);
    }

    fn step(&mut self) {
        match self.random.below(20) {
            0 if self.peers.len() < MAX_PEERS => self.connect(),
            _ if self.peers.is_empty() => self.connect(),
            0 => self.ledger().decide(),
            1 | 2 => self.ledger().anything(),
            3 => {
                let most = if self.random.one_in(30) { 5000 } else { 100 };
                let time = self.random.below(most) as u64;
                self.pass(Duration::from_millis(time));
            }
            4..8 => self.turn(),
            _ => {
                let peer = self.random.below(self.peers.len());
                self.move_peer(peer);
            }
        }
    }

    fn move_peer(&mut self, index: usize) -> bool {
        let mut ledger = self.book.lock().unwrap();
        self.peers[index].step(&mut ledger, &mut self.links[index], self.now)
    }

    fn turn(&mut self) {
        let worker = self.random.below(self.workers.len());
        self.serve(worker);
        self.check();
    }

    /// Lets a worker have a turn; no two are at the same time.
    fn serve(&mut self, worker: usize) {
        self.now += Duration::from_nanos(1);
        self.workers[worker].turn(self.now, &mut self.links, &mut self.random);
    }

    /// Lets time pass; deadlines are served at most a tick late.
    fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.workers.iter().filter_map(Worker::deadline).min()
            && due <= end
        {
            let late = Duration::from_millis(self.random.below(50) as u64);
            self.now = self.now.max(due + late);
            (0..self.workers.len()).for_each(|worker| self.serve(worker));
            self.check();
        }
        self.now = self.now.max(end);
    }

    /// Lets everybody finish, without new trouble.
    fn calm(&mut self) {
        {
            let mut ledger = self.book.lock().unwrap();
            ledger.calm = true;
            while !ledger.pendings.is_empty() {
                ledger.decide();
            }
            (0..ledger.pages.len()).for_each(|number| ledger.resume(number));
        }
        self.peers.iter_mut().for_each(Peer::calm_down);
        self.settle();
    }

    /// Runs until nothing moves any more.
    fn settle(&mut self) {
        for _ in 0..20_000 {
            let mut moved = false;
            for peer in 0..self.peers.len() {
                moved |= self.move_peer(peer);
            }
            for worker in 0..self.workers.len() {
                let is = &self.workers[worker];
                moved |= !is.has_ended() && !is.is_idle(&self.links);
                self.serve(worker);
            }
            self.check();
            self.ledger().decide();
            if !moved {
                return;
            }
        }
        panic!("the world does not come to rest");
    }

    /// Drains the server, in one of the ways there are; gives how long it may take.
    fn stop(&mut self) -> Duration {
        let over = Duration::from_secs(self.random.below(3) as u64);
        let deadline = self.random.one_in(3).then_some(Duration::from_secs(3));
        let drain = crate::Drain { over, deadline, ..crate::Drain::default() };
        let bound = drain.deadline.map_or(LAST + drain.over, |deadline| deadline + LATE);
        let mut ledger = self.book.lock().unwrap();
        self.hub.stopping.store(true, std::sync::atomic::Ordering::Release);
        for page in &mut ledger.pages {
            page.stopped.get_or_insert(page.accepted.len());
        }
        drop(ledger);
        let tell = |plan: &_| self.workers.iter().for_each(|worker| worker.stop(plan));
        self.hub.plan(drain, self.now, tell);
        bound
    }

    /// The server ends, in its time, whatever the peers do.
    fn end(&mut self) {
        let bound = self.stop();
        let end = self.now + bound;
        while self.now < end && !self.workers.iter().all(Worker::has_ended) {
            for _ in 0..5 {
                for peer in 0..self.peers.len() {
                    self.move_peer(peer);
                }
                self.turn();
            }
            self.pass(Duration::from_millis(100));
        }
        for worker in &self.workers {
            assert!(worker.has_ended(), "{:#?}", worker.seats);
        }
    }
}

fn run(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..world.random.below(MAX_STEPS) {
        world.step();
    }
    if world.random.one_in(4) {
        // In the midst of everything.
        return finish(world);
    }
    world.calm();
    world.check_rest();
    if world.random.one_in(2) {
        world.peers.iter_mut().for_each(|peer| peer.manners.farewell = Farewell::Close);
        world.settle();
    }
    finish(world);
}

fn finish(mut world: World) {
    world.end();
    world.check_end();
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name}={text}")))
}

#[test]
fn whatever_happens_the_account_adds_up() {
    if let Some(seed) = number("CLWS_SIM_SEED") {
        return run(seed);
    }
    for seed in 0..number("CLWS_SIM_SEEDS").unwrap_or(SEEDS) {
        if let Err(panic) = std::panic::catch_unwind(|| run(seed)) {
            eprintln!("seed {seed} fails; replay it with CLWS_SIM_SEED={seed}");
            std::panic::resume_unwind(panic);
        }
    }
}
