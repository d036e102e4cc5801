//! The measurements of an echo, plain, over TLS and compressed: every scenario on every server, in
//! turns, and the verdict on clws.

use std::fs;
use std::io::{Error, ErrorKind, IsTerminal, Result, stderr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::load::Load;
use crate::measure::Cpu;
use crate::report::{self, Run, Table};
use crate::scenario::{Scenario, ScenarioId};
use crate::server::{Launch, Server};

/// Server CPU time per message, side by side.
#[derive(Args, Clone, Debug)]
pub(crate) struct EchoArgs {
    /// Servers to measure, separated by commas; all by default
    #[arg(long, value_enum, value_delimiter = ',')]
    pub servers: Vec<Server>,
    /// Scenarios to run, separated by commas; all by default
    #[arg(long, value_enum, value_delimiter = ',')]
    pub scenarios: Vec<ScenarioId>,
    /// Rounds; in each, every server has one run
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// Seconds measured per run
    #[arg(long, default_value_t = 1.5, value_parser = seconds)]
    pub seconds: f64,
    /// Seconds of warm-up before each run
    #[arg(long, default_value_t = 0.3, value_parser = seconds)]
    pub warm_up: f64,
    /// End with exit code 1 when clws misses a target
    #[arg(long)]
    pub check: bool,
    /// Also write the results to a file, as JSON
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
}

fn seconds(text: &str) -> std::result::Result<f64, String> {
    match text.parse::<f64>() {
        Ok(seconds) if (0.01..=3600.0).contains(&seconds) => Ok(seconds),
        _ => Err("a number of seconds from 0.01 to 3600".to_owned()),
    }
}

/// Measures and prints; false when `--check` was asked for and a target was missed.
pub(crate) fn run(
    args: &EchoArgs,
    scenarios: &'static [Scenario],
    launch: &Launch,
) -> Result<bool> {
    let chosen = scenarios
        .iter()
        .filter(|scenario| args.scenarios.is_empty() || args.scenarios.contains(&scenario.id));
    let mut tables = Vec::new();
    for scenario in chosen {
        let launch = Launch { layer: scenario.layer, ..launch.clone() };
        let servers = servers(args, &launch, tables.is_empty())?;
        let table = measure(args, &launch, scenario, &servers)?;
        table.print();
        tables.push(table);
    }
    let met = report::print_summary(&tables);
    if let Some(file) = &args.json {
        fs::write(file, format!("{:#}\n", report::to_json(&tables)))?;
    }
    Ok(met || !args.check)
}

/// Who takes part; says on stderr who does not, `first` of all.
fn servers(args: &EchoArgs, launch: &Launch, first: bool) -> Result<Vec<Server>> {
    let named = |server: &Server| args.servers.is_empty() || args.servers.contains(server);
    let wanted: Vec<Server> =
        Server::for_layer(launch.layer).iter().copied().filter(named).collect();
    let servers = launch.available(&wanted, first);
    if servers.is_empty() {
        return Err(Error::new(ErrorKind::NotFound, "no server to measure"));
    }
    Ok(servers)
}

fn measure(
    args: &EchoArgs,
    launch: &Launch,
    scenario: &'static Scenario,
    servers: &[Server],
) -> Result<Table> {
    let mut table = Table::new(scenario, servers);
    for round in 1..=args.rounds {
        for (place, server) in servers.iter().enumerate() {
            progress(&format!("{} · round {round} · {}", scenario.title, server.name()));
            let run = one_run(args, launch, scenario, *server).map_err(|error| {
                let text = format!("{} · {}: {error}", scenario.title, server.name());
                Error::new(error.kind(), text)
            })?;
            table.push(place, run);
        }
    }
    progress("");
    Ok(table)
}

/// Shows what is under way, where someone watches.
fn progress(text: &str) {
    if stderr().is_terminal() {
        eprint!("\r\x1b[K{text}");
    }
}

/// A fresh process and fresh clients; CPU time is read while both are quiet.
fn one_run(args: &EchoArgs, launch: &Launch, scenario: &Scenario, server: Server) -> Result<Run> {
    let running = launch.start(server)?;
    let mut load = Load::connect(running.address, scenario, server == Server::Bare)?;
    load.run(Duration::from_secs_f64(args.warm_up))?;
    let before = Cpu::settled(running.pid())?;
    let count = load.run(Duration::from_secs_f64(args.seconds))?;
    let cpu = Cpu::settled(running.pid())?.since(before);
    Ok(Run {
        micros: cpu.used_ns as f64 / 1e3 / count.messages as f64,
        bytes: count.bytes as f64 / count.messages as f64,
        per_second: count.messages as f64 / count.elapsed.as_secs_f64(),
        waited: cpu.waited_ns as f64 / 1e9 / count.elapsed.as_secs_f64(),
    })
}
