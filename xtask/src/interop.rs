//! Independent clients against the server: `conformance/interop/*.{mjs,py}`, one peer each.
//!
//! A peer gets two servers of its own, one that admits any origin and one that admits
//! `https://good.example` only. It prints `peer NAME VERSION`, then `ok CHECK` or
//! `FAIL CHECK: WHY` for each check, then `ready for shutdown`; the server gets SIGTERM, the
//! peer says what its open clients saw, prints `done` and exits.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use crate::args::Args;
use crate::process::{self, root, target};
use crate::server::{self, Server};
use crate::{Result, node};

/// For all checks of one peer; they take seconds.
const TIME_LIMIT: Duration = Duration::from_mins(2);

const PACKAGES: &[&str] = &["ws@8.23.0", "websocket@1.0.35"];

/// A client program: its script, and what runs it.
struct Peer {
    name: &'static str,
    script: &'static str,
    runner: &'static [&'static str],
}

const PEERS: &[Peer] = &[
    Peer { name: "ws", script: "ws.mjs", runner: &["node"] },
    Peer { name: "websocket", script: "websocket.mjs", runner: &["node"] },
    Peer { name: "node", script: "node.mjs", runner: &["node", "--experimental-websocket"] },
    Peer { name: "websockets", script: "websockets_.py", runner: &["venv/bin/python"] },
    Peer { name: "raw", script: "raw.py", runner: &["python3"] },
];

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
    let binary = server::binary(chosen)?;
    let mut failed = Vec::new();
    for peer in peers {
        if let Err(why) = run_peer(peer, &binary, &dir) {
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

fn run_peer(peer: &Peer, binary: &Path, dir: &Path) -> Result<()> {
    let log = |name: &str| dir.join(format!("{}-{name}.log", peer.name));
    let mut open = Server::start(binary, &["--origin", "any"], log("server"))?;
    let strict = ["--origin", "https://good.example"];
    let strict = Server::start(binary, &strict, log("strict-server"))?;
    let mut client = start_client(peer, dir, &open, &strict, &log("client"))?;
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
    strict.stop()?;
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

fn start_client(
    peer: &Peer,
    dir: &Path,
    open: &Server,
    strict: &Server,
    log: &Path,
) -> Result<Child> {
    let failed = |error| format!("cannot start its client: {error}");
    let (stderr, _) = process::log_pair(log)?;
    let runner = dir.join(peer.runner[0]);
    let runner = if runner.is_file() { runner } else { PathBuf::from(peer.runner[0]) };
    Command::new(runner)
        .args(&peer.runner[1..])
        .arg(root().join("conformance/interop").join(peer.script))
        .args([open.address(), strict.address()])
        .env("NODE_PATH", dir.join("node/node_modules"))
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(stderr)
        .spawn()
        .map_err(failed)
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
