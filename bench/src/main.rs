//! Measures clws beside its peers: server CPU time per message (`echo`, the default; `tls` and
//! `deflate` with those in between), CPU time of a message to many clients (`broadcast`) and memory
//! per idle client (`idle`). README.md says how to run and read it.
//!
//! Every server is a process of its own on one core; the load is this process, on another.

mod broadcast;
mod channel;
mod echo;
mod idle;
mod json;
mod load;
mod measure;
mod peers;
mod report;
mod scenario;
mod secure;
mod server;
mod talk;
mod wire;

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::broadcast::BroadcastArgs;
use crate::echo::EchoArgs;
use crate::idle::IdleArgs;
use crate::peers::{Deflate, Peer};
use crate::scenario::Layer;
use crate::server::Launch;

/// clws beside its peers: CPU time per message, memory per idle client
#[derive(Debug, Parser)]
#[command(name = "clws-bench", args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    echo: EchoArgs,
    /// The clws program to measure
    #[arg(long, global = true, value_name = "FILE",
          default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/release/clws"))]
    clws: PathBuf,
    /// Where npm installed `ws`
    #[arg(long, global = true, value_name = "DIR",
          default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/bench-node/node_modules"))]
    node_modules: PathBuf,
    /// Core of the server under test
    #[arg(long, global = true, default_value_t = 0, value_parser = core)]
    server_core: usize,
    /// Core of the load
    #[arg(long, global = true, default_value_t = 1, value_parser = core)]
    load_core: usize,
    /// Show what the servers print
    #[arg(long, global = true)]
    verbose: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Server CPU time per message, side by side (the default)
    Echo(EchoArgs),
    /// The same over TLS, beside a bare echo over TLS
    Tls(EchoArgs),
    /// The same with permessage-deflate, beside others that have it
    Deflate {
        #[command(flatten)]
        args: EchoArgs,
        /// The level that servers compress with, 0 to 9
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(0..=9))]
        level: u8,
    },
    /// Server memory per idle client
    Idle(IdleArgs),
    /// Server CPU time of one message to many clients
    Broadcast(BroadcastArgs),
    /// Be one of the peers, until ended
    #[command(hide = true)]
    Serve {
        peer: Peer,
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        many_clients: bool,
        #[command(flatten)]
        deflate: Deflate,
    },
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("\nclws-bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(cli: &Cli) -> Result<bool> {
    if let Some(Command::Serve { peer, listen, many_clients, deflate }) = &cli.command {
        peers::serve(*peer, *listen, *many_clients, *deflate)?;
        return Ok(true);
    }
    pin(cli.load_core)?;
    let launch = Launch {
        clws: cli.clws.clone(),
        core: cli.server_core,
        verbose: cli.verbose,
        many_clients: false,
        layer: Layer::Plain,
        level: 1,
        node_modules: cli.node_modules.clone(),
    };
    match &cli.command {
        None | Some(Command::Serve { .. }) => echo::run(&cli.echo, &scenario::PLAIN, &launch),
        Some(Command::Echo(args)) => echo::run(args, &scenario::PLAIN, &launch),
        Some(Command::Tls(args)) => echo::run(args, &scenario::TLS, &launch),
        Some(Command::Deflate { args, level }) => {
            echo::run(args, &scenario::DEFLATE, &Launch { level: *level, ..launch })
        }
        Some(Command::Broadcast(args)) => broadcast::run(args, &launch),
        Some(Command::Idle(args)) => {
            idle::run(args, &Launch { many_clients: true, layer: args.layer(), ..launch })?;
            Ok(true)
        }
    }
}

fn core(text: &str) -> std::result::Result<usize, String> {
    match text.parse() {
        Ok(core) if core < CpuSet::MAX_CPU => Ok(core),
        _ => Err(format!("a core's number below {}", CpuSet::MAX_CPU)),
    }
}

/// Keeps the load off the server's core.
fn pin(core: usize) -> Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    sched_setaffinity(None, &cores).map_err(|error| {
        let text = format!("core {core} for the load: {error} (choose with --load-core)");
        Error::new(ErrorKind::InvalidInput, text)
    })
}
