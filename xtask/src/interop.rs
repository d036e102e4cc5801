//! Independent clients against the server: `conformance/interop/**/*.{mjs,py}`, one peer each.
//!
//! A peer gets servers of its own: one that admits any origin and one that admits
//! `https://good.example` only; for clients of old drafts both speak them all, and a third is as
//! servers are by default; for compression all ways to set it. Their addresses are its arguments,
//! their flags stand in `CLWS_FLAGS`, a line each. It prints `peer NAME VERSION`, then `ok CHECK`
//! or `FAIL CHECK: WHY` for each check, then `ready for shutdown`; the first server gets SIGTERM,
//! the peer says what its open clients saw, prints `done` and exits.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::process::{self, root, target};
use crate::server::{self, Server};
use crate::tls::Certificate;
use crate::{Result, node, python27};

/// For all checks of one peer; they take seconds.
const TIME_LIMIT: Duration = Duration::from_mins(2);

const PACKAGES: &[&str] = &["ws@8.23.0", "websocket@1.0.35", "ws04@npm:ws@0.4.32"];

type Flags = &'static [&'static str];

/// The flags of the servers that a peer gets.
struct Servers {
    every: Flags,
    /// Of the one that is stopped under open clients.
    open: Flags,
    others: &'static [Flags],
}

const MODERN: Servers = Servers {
    every: &[],
    open: &["--origin", "any"],
    others: &[&["--origin", "https://good.example"]],
};
/// Recorded requests name the hosts that stand in the drafts.
const OLD: Servers = Servers {
    every: &["--host", "any"],
    open: &["--origin", "any", "--hixie76"],
    others: &[&["--origin", "https://good.example", "--hixie76"], &["--origin", "any"]],
};
/// Every way to keep histories, small windows, and no compression at all.
const DEFLATE: Servers = Servers {
    every: &["--origin", "any", "--max-message-size", "4m", "--deflate-min-size", "1"],
    open: &["--deflate-takeover", "both"],
    others: &[
        &["--deflate-takeover", "none"],
        &["--deflate-takeover", "server"],
        &["--deflate-takeover", "client"],
        &["--deflate-takeover", "both", "--deflate-window-bits", "10"],
        &["--deflate", "off"],
    ],
};

impl Servers {
    /// What is special about each, a line each.
    fn described(&self) -> String {
        let own = std::iter::once(&self.open).chain(self.others);
        own.map(|flags| flags.join(" ")).collect::<Vec<_>>().join("\n")
    }
}

const PYTHON27: &[&str] = &["venv27/bin/python"];

/// A client program: its script, what runs it, and what it is run against.
struct Peer {
    name: &'static str,
    script: &'static str,
    runner: &'static [&'static str],
    servers: Servers,
    /// It speaks TLS with them.
    tls: bool,
}

const PEERS: &[Peer] = &[
    Peer::modern("ws", "ws.mjs", &["node"]),
    Peer::modern("websocket", "websocket.mjs", &["node"]),
    Peer::modern("node", "node.mjs", &["node", "--experimental-websocket"]),
    Peer::modern("websockets", "websockets_.py", &["venv/bin/python"]),
    Peer::modern("raw", "raw.py", &["python3"]),
    Peer::modern("tls", "tls.py", &["python3"]).by_tls(),
    Peer::modern("ws-tls", "ws.mjs", &["node"]).by_tls(),
    Peer::modern("websockets-tls", "websockets_.py", &["venv/bin/python"]).by_tls(),
    Peer::modern("raw-tls", "raw.py", &["python3"]).by_tls(),
    Peer::deflate("ws-deflate", "deflate.mjs", &["node"]),
    Peer::deflate("websockets-deflate", "deflate.py", &["venv/bin/python"]),
    Peer::old("ws-8", "old/ws8.mjs", &["node"]),
    Peer::old("ws-0.4", "old/ws04.mjs", &["node"]),
    Peer::old("websocket-8", "old/websocket8.mjs", &["node"]),
    Peer::old("autobahn", "old/autobahn_.py", PYTHON27),
    Peer::old("websocket-client", "old/websocket_client.py", PYTHON27),
    Peer::old("raw-old", "old/raw.py", &["python3"]),
];

impl Peer {
    const fn modern(
        name: &'static str,
        script: &'static str,
        runner: &'static [&'static str],
    ) -> Self {
        Self { name, script, runner, servers: MODERN, tls: false }
    }

    const fn old(
        name: &'static str,
        script: &'static str,
        runner: &'static [&'static str],
    ) -> Self {
        Self { name, script, runner, servers: OLD, tls: false }
    }

    const fn deflate(
        name: &'static str,
        script: &'static str,
        runner: &'static [&'static str],
    ) -> Self {
        Self { name, script, runner, servers: DEFLATE, tls: false }
    }

    const fn by_tls(self) -> Self {
        Self { tls: true, ..self }
    }
}

/// `cargo xtask interop`: every peer runs, even after one failed.
pub(crate) fn interop(mut args: Args) -> Result<()> {
    let only = args.value("--only")?;
    let chosen = args.value("--server")?;
    args.finish()?;
    let wanted = |peer: &&Peer| only.as_ref().is_none_or(|only| only == peer.name);
    let peers: Vec<&Peer> = PEERS.iter().filter(wanted).collect();
    if peers.is_empty() {
        return Err("there is no such peer".to_owned());
    }
    let dir = target().join("interop");
    process::create_dir(&dir)?;
    node::install(&dir.join("node"), PACKAGES)?;
    install_python(&dir)?;
    if peers.iter().any(|peer| peer.runner == PYTHON27) {
        python27::environment(&dir, &root().join("conformance/interop/requirements27.txt"))?;
    }
    let binary = server::binary(chosen)?;
    let certificate = if peers.iter().any(|peer| peer.tls) {
        Some(Certificate::make(&dir.join("tls"))?)
    } else {
        None
    };
    let mut failed = Vec::new();
    for peer in peers {
        let certificate = certificate.as_ref().filter(|_| peer.tls);
        if let Err(why) = run_peer(peer, &binary, certificate, &dir) {
            println!("interop {}: {why}", peer.name);
            failed.push(peer.name);
        }
    }
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

fn install_python(dir: &Path) -> Result<()> {
    let requirements = root().join("conformance/interop/requirements.txt");
    let wanted = process::read(&requirements)?;
    let venv = dir.join("venv");
    let stamp = venv.join("installed");
    if stamp.exists() && process::read(&stamp)? == wanted {
        return Ok(());
    }
    let log = dir.join("pip.log");
    process::run_logged(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv), &log)?;
    let mut pip = Command::new(venv.join("bin/pip"));
    process::run_logged(pip.arg("install").arg("--requirement").arg(requirements), &log)?;
    process::write(&stamp, &wanted)
}

/// What a peer has said so far.
#[derive(Debug, Default)]
struct Transcript {
    title: String,
    passed: usize,
    failed: usize,
    stopping: bool,
    done: bool,
}

fn run_peer(
    peer: &Peer,
    binary: &Path,
    certificate: Option<&Certificate>,
    dir: &Path,
) -> Result<()> {
    let log = |name: &str| dir.join(format!("{}-{name}.log", peer.name));
    let start = |(number, own): (usize, Flags)| {
        let (flags, log) = ([peer.servers.every, own].concat(), log(&format!("server-{number}")));
        match certificate {
            None => Server::start(binary, &flags, log),
            Some(certificate) => Server::start_tls(binary, &flags, certificate, log),
        }
    };
    let mut open = start((1, peer.servers.open))?;
    let others = (2..).zip(peer.servers.others.iter().copied());
    let others = others.map(start).collect::<Result<Vec<_>>>()?;
    let mut client = client(peer, dir);
    client.env("CLWS_FLAGS", peer.servers.described());
    let servers = std::iter::once(&open).chain(&others);
    match certificate {
        None => client.args(servers.map(Server::address)),
        Some(certificate) => client
            .args(servers.map(Server::tls_address))
            .env("CLWS_PLAIN", open.address())
            .env("CLWS_CA", &certificate.file)
            .env("NODE_EXTRA_CA_CERTS", &certificate.file),
    };
    let mut client = start_client(&mut client, &log("client"))?;
    let told = listen(peer, &mut client, &open);
    if told.is_err() {
        // Fails only when the process is already gone.
        let _ = client.kill();
    }
    let status = client.wait().map_err(|error| format!("cannot wait: {error}"))?;
    let told = told.map_err(|why| format!("{why}\n{}", process::tail(&log("client"), 10)))?;
    if told.stopping {
        open.wait_stopped()?;
    }
    for server in others {
        server.stop()?;
    }
    let Transcript { title, passed, failed, stopping, done } = told;
    if failed > 0 || passed == 0 || !stopping || !done || !status.success() {
        let log = process::tail(&log("client"), 10);
        return Err(format!(
            "{passed} checks passed, {failed} failed, ended: {done} {status}\n{log}"
        ));
    }
    println!("interop {title}: {} checks passed", passed + 1);
    Ok(())
}

fn client(peer: &Peer, dir: &Path) -> Command {
    let runner = dir.join(peer.runner[0]);
    let runner = if runner.is_file() { runner } else { PathBuf::from(peer.runner[0]) };
    let scripts = root().join("conformance/interop");
    let mut client = Command::new(runner);
    client
        .args(&peer.runner[1..])
        .arg(scripts.join(peer.script))
        .env("NODE_PATH", dir.join("node/node_modules"))
        .env("PYTHONPATH", scripts)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    client
}

fn start_client(client: &mut Command, log: &Path) -> Result<Child> {
    let (stderr, _) = process::log_pair(log)?;
    client
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(|error| format!("cannot start its client: {error}"))
}

/// Follows the peer's lines to their end and stops the server when it says so.
fn listen(peer: &Peer, client: &mut Child, open: &Server) -> Result<Transcript> {
    let stdout = client.stdout.take().ok_or("its client has no standard output")?;
    let (said, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let lines = BufReader::new(stdout).lines().map_while(std::io::Result::ok);
        lines.for_each(|line| drop(said.send(line)));
    });
    let deadline = Instant::now() + TIME_LIMIT;
    let mut told = Transcript::default();
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let line = match lines.recv_timeout(left) {
            Ok(line) => line,
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(told),
            Err(mpsc::RecvTimeoutError::Timeout) => {
                return Err(format!("not finished after {TIME_LIMIT:?}"));
            }
        };
        if line.starts_with("ok ") {
            told.passed += 1;
        } else if line.starts_with("FAIL ") {
            told.failed += 1;
            println!("interop {}: {line}", peer.name);
        } else if let Some(title) = line.strip_prefix("peer ") {
            title.clone_into(&mut told.title);
        } else if line == "ready for shutdown" {
            told.stopping = true;
            open.terminate()?;
        } else if line == "done" {
            told.done = true;
        }
    }
}
