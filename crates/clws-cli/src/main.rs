//! `clws`, the ready-made WebSocket server.
//!
//! The flags are read in `args` and `deflate`, what they mean is done in `serve`; `chat` and `echo`
//! are the resources it serves, `log` keeps stderr from holding it up. Only the public face of the
//! library is used here.

#[cfg(unix)]
mod activation;
mod args;
mod chat;
mod deflate;
mod echo;
mod log;
mod page;
mod serve;
mod signals;

use args::{Args, Command};
use clap::Parser;
use std::io::{self, Write};
use std::process::ExitCode;

fn main() -> ExitCode {
    let Args { command } = match Args::try_parse() {
        Ok(args) => args,
        Err(error) => return args::report(&error),
    };
    let done = match command.unwrap_or_default() {
        Command::Serve(serve) => serve::run(&serve),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            // It may have nobody to tell it to.
            let _ = writeln!(io::stderr(), "clws: {message}");
            ExitCode::FAILURE
        }
    }
}
