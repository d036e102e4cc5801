//! Measures clws beside its peers: server CPU time per message (`echo`, the default), CPU time of a
//! message to many clients (`broadcast`) and memory per idle client (`idle`). README.md says how to run and read it.
//!
//! Every server is a process of its own on one core; the load is this process, on another.

mod broadcast;
mod echo;
mod idle;
mod load;
mod measure;
mod peers;
mod report;
mod scenario;
mod server;
mod wire;

use std::io::{Error, ErrorKind, Result};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::broadcast::BroadcastArgs;
use crate::echo::EchoArgs;
use crate::idle::IdleArgs;
use crate::peers::Peer;
use crate::server::{Launch, Server};

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
    let launch = |many_clients| Launch {
        clws: cli.clws.clone(),
        core: cli.server_core,
        verbose: cli.verbose,
        many_clients,
    };
    match &cli.command {
        Some(Command::Serve { peer, listen, many_clients }) => {
            peers::serve(*peer, *listen, *many_clients)?;
        }
        Some(Command::Idle(args)) => {
            pin(cli.load_core)?;
            idle::run(args, &launch(true))?;
        }
        Some(Command::Broadcast(args)) => {
            pin(cli.load_core)?;
            return broadcast::run(args, &launch(false));
        }
        Some(Command::Echo(args)) => {
            pin(cli.load_core)?;
            return echo::run(args, &launch(false));
        }
        None => {
            pin(cli.load_core)?;
            return echo::run(&cli.echo, &launch(false));
        }
    }
    Ok(true)
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

/// The named servers in the order they are measured; all where none is named.
fn chosen(named: &[Server]) -> Vec<Server> {
    let all = Server::value_variants().iter().copied();
    all.filter(|server| named.is_empty() || named.contains(server)).collect()
}
