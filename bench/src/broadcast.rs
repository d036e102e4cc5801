//! The `broadcast` measurement: CPU time of one message to many clients, against as many bare
//! `send` calls of the same bytes.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use clap::Args;
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};

use crate::measure::Cpu;
use crate::peers::Peer;
use crate::server::Launch;
use crate::wire::{self, Kind};

/// Where the driver and the receivers connect.
pub(crate) const DRIVE: &str = "/drive";
pub(crate) const RECEIVE: &str = "/receive";
/// The message, 256 bytes.
pub(crate) const TEXT: &str = match std::str::from_utf8(&[b'x'; 256]) {
    Ok(text) => text,
    Err(_) => "",
};
/// What clws may cost at most.
const TARGET: f64 = 1.15;

/// One message to many clients.
#[derive(Args, Clone, Debug)]
pub(crate) struct BroadcastArgs {
    /// Clients that receive
    #[arg(long, default_value_t = 1000)]
    pub clients: usize,
    /// Rounds; in each, both servers have one run
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
    /// Seconds measured per run
    #[arg(long, default_value_t = 1.5)]
    pub seconds: f64,
}

/// Measures both servers in turn and prints a line for each; whether the target was met.
pub(crate) fn run(args: &BroadcastArgs, launch: &Launch) -> Result<bool> {
    let (mut bare, mut clws) = (Vec::new(), Vec::new());
    for _ in 0..args.rounds {
        bare.push(measure(args, launch, Peer::BroadcastBare)?);
        clws.push(measure(args, launch, Peer::BroadcastClws)?);
    }
    let mut ratios: Vec<f64> = clws.iter().zip(&bare).map(|(one, bare)| one / bare).collect();
    let ratio = median(&mut ratios);
    println!("one text message of {} bytes to {} clients", TEXT.len(), args.clients);
    println!("bare sends  {:9.1} µs CPU", median(&mut bare));
    println!("clws        {:9.1} µs CPU, {ratio:.2} × bare", median(&mut clws));
    let met = ratio <= TARGET;
    println!("{}  at most {TARGET:.2} × bare", if met { "ok  " } else { "MISS" });
    Ok(met)
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Microseconds of CPU time for one broadcast.
fn measure(args: &BroadcastArgs, launch: &Launch, peer: Peer) -> Result<f64> {
    let running = launch.start_peer(peer)?;
    let bare = peer == Peer::BroadcastBare;
    let mut load = Load::connect(running.address, args.clients, bare)?;
    load.run(Duration::from_secs_f64(args.seconds / 4.0))?;
    let before = Cpu::settled(running.pid())?;
    let rounds = load.run(Duration::from_secs_f64(args.seconds))?;
    let used = Cpu::settled(running.pid())?.since(before);
    Ok(used.used_ns as f64 / 1000.0 / rounds as f64)
}

struct Load {
    driver: TcpStream,
    receivers: Vec<TcpStream>,
    epoll: rustix::fd::OwnedFd,
    trigger: Vec<u8>,
    frame: Vec<u8>,
}

impl Load {
    fn connect(address: SocketAddr, clients: usize, bare: bool) -> Result<Self> {
        let open = |path: &str| -> Result<TcpStream> {
            let mut stream = TcpStream::connect(address)?;
            if !bare {
                wire::open(&mut stream, address.port(), path, None)?;
            }
            Ok(stream)
        };
        let driver = open(DRIVE)?;
        let receivers: Vec<_> = (0..clients).map(|_| open(RECEIVE)).collect::<Result<_>>()?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        for (index, receiver) in receivers.iter().enumerate() {
            receiver.set_nonblocking(true)?;
            epoll::add(&epoll, receiver, EventData::new_u64(index as u64), EventFlags::IN)?;
        }
        let (mut trigger, mut frame) = (Vec::new(), Vec::new());
        wire::push_frame(&mut trigger, Kind::Text, b"go", Some(wire::random_mask()?));
        wire::push_frame(&mut frame, Kind::Text, TEXT.as_bytes(), None);
        Ok(Self { driver, receivers, epoll, trigger, frame })
    }

    /// Broadcasts one after the other for so long; how many there were.
    fn run(&mut self, time: Duration) -> Result<u64> {
        let (begun, mut rounds) = (Instant::now(), 0);
        while begun.elapsed() < time {
            self.driver.write_all(&self.trigger)?;
            self.receive()?;
            rounds += 1;
        }
        Ok(rounds)
    }

    /// Waits until every receiver has the frame, and compares it.
    fn receive(&mut self) -> Result<()> {
        let mut missing = self.receivers.len();
        let mut events: Vec<Event> = Vec::with_capacity(1024);
        let mut buffer = vec![0; self.frame.len() + 1];
        let patience = Timespec { tv_sec: 10, tv_nsec: 0 };
        while missing > 0 {
            epoll::wait(&self.epoll, spare_capacity(&mut events), Some(&patience))?;
            if events.is_empty() {
                return Err(Error::new(ErrorKind::TimedOut, "a message did not arrive"));
            }
            for event in events.drain(..) {
                let mut receiver = &self.receivers[event.data.u64() as usize];
                let count = receiver.read(&mut buffer)?;
                if buffer[..count] != self.frame[..] {
                    let text = "a receiver got something else than the message";
                    return Err(Error::new(ErrorKind::InvalidData, text));
                }
                missing -= 1;
            }
        }
        Ok(())
    }
}
