//! The chores of this repository, in Rust, shared by people and CI: `cargo xtask <chore>`.
//!
//! Each chore installs what it needs under `target/`, so that a fresh clone suffices and nothing
//! lands in the tree. A chore either succeeds (exit 0), finds a fault (exit 1) or was asked for
//! something it doesn't know (exit 2).

mod args;
mod autobahn;
mod browser;
mod chores;
mod fuzz;
mod interop;
mod node;
mod process;
mod proxies;
mod python27;
mod server;
mod tls;

use std::process::ExitCode;

use args::Args;

/// Why a chore failed, in one sentence for people.
type Failure = String;
type Result<T> = std::result::Result<T, Failure>;

/// What `cargo xtask` can be asked for: the name, its options, what it does, and the code.
struct Chore {
    name: &'static str,
    options: &'static str,
    summary: &'static str,
    run: fn(Args) -> Result<()>,
}

const CHORES: &[Chore] = &[
    Chore {
        name: "conformance",
        options: "[--full] [--tls] [--url URL | --server PATH]",
        summary: "run the Autobahn TestSuite against a release `clws serve`",
        run: autobahn::conformance,
    },
    Chore {
        name: "interop",
        options: "[--only PEER] [--server PATH]",
        summary: "drive the server with independent clients from npm, PyPI and by raw sockets",
        run: interop::interop,
    },
    Chore {
        name: "proxies",
        options: "[--server PATH]",
        summary: "drive the server through nginx and HAProxy, set up as the docs say; takes root",
        run: proxies::proxies,
    },
    Chore {
        name: "browser",
        options: "[--server PATH]",
        summary: "drive the server's page in headless Chromium",
        run: browser::browser,
    },
    Chore {
        name: "bench",
        options: "[ARGS...]",
        summary: "build `clws` and run the benchmarks in bench/ with ARGS",
        run: chores::bench,
    },
    Chore {
        name: "rig",
        options: "[--short] [--without ID] [ID...]",
        summary: "measure hostile and faulty peers against a server process; Linux",
        run: chores::rig,
    },
    Chore {
        name: "fuzz-smoke",
        options: "[--seconds N]",
        summary: "run every fuzz target in fuzz/ for N seconds (20), two at a time",
        run: fuzz::fuzz_smoke,
    },
];

fn main() -> ExitCode {
    let mut words = std::env::args().skip(1);
    let name = words.next();
    let Some(chore) = CHORES.iter().find(|chore| Some(chore.name) == name.as_deref()) else {
        return usage(name.as_deref());
    };
    match (chore.run)(Args::new(words)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("xtask {}: {failure}", chore.name);
            ExitCode::FAILURE
        }
    }
}

fn usage(asked: Option<&str>) -> ExitCode {
    if let Some(name) = asked {
        eprintln!("xtask: there is no chore named {name:?}");
    }
    eprintln!("usage: cargo xtask CHORE [OPTIONS]");
    for chore in CHORES {
        eprintln!("  {:<12} {:<38} {}", chore.name, chore.options, chore.summary);
    }
    ExitCode::from(2)
}
