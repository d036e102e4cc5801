//! `clws serve`: what the flags mean.

use crate::args::{LogLevel, Serve};
use crate::chat::Chat;
use crate::echo::Echo;
use crate::page::Page;
use clws::{DeflateConfig, Error, Hosts, Limits, Origin, Server, ServerHandle};
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::level_filters::LevelFilter;

/// What a process that a signal ended by force exits with.
const FORCED: i32 = 130;

/// Serves until a signal; the error is one line for a person.
pub(crate) fn run(flags: &Serve) -> Result<(), String> {
    start_log(flags.log);
    let server = build(flags).map_err(|error| explain(&error))?;
    let handle = server.start().map_err(|error| explain(&error))?;
    stop_on_signal(handle.clone())?;
    for address in handle.local_addresses() {
        println!("listening on {}", url(*address));
    }
    handle.join();
    tracing::info!("stopped");
    Ok(())
}

fn start_log(level: LogLevel) {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let ansi = io::IsTerminal::is_terminal(&io::stderr());
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(io::stderr)
        .with_ansi(ansi)
        .with_target(false)
        .init();
}

fn build(flags: &Serve) -> clws::Result<Server> {
    let mut limits = Limits::default();
    limits.max_message_size = flags.max_message_size;
    limits.max_frame_size = flags.max_message_size;
    limits.send_queue_high = limits.send_queue_high.max(flags.max_message_size);
    limits.max_clients = flags.max_clients.map(|count| count as usize);
    limits.ping_interval = flags.ping_interval.0;
    let mut deflate = DeflateConfig::default();
    deflate.enabled = flags.deflate.0.is_some();
    deflate.level = flags.deflate.0.unwrap_or(deflate.level);
    let origin = origin(&flags.origin);
    let mut server = Server::builder()
        .limits(limits)
        .hosts(hosts(&flags.host))
        .deflate(deflate)
        .hixie76(flags.hixie76)
        .resource("/", Origin::none(), Page)
        .resource("/echo", origin.clone(), Echo)
        .resource("/chat", origin, Chat::default());
    if let Some(workers) = flags.workers {
        server = server.workers(workers.into());
    }
    for address in &flags.listen {
        server = server.bind(address)?;
    }
    Ok(server)
}

fn origin(allowed: &[String]) -> Origin {
    if allowed.is_empty() {
        return Origin::same_host();
    }
    if allowed.iter().any(|origin| origin == "any") {
        return Origin::any();
    }
    Origin::exact(allowed)
}

fn hosts(named: &[String]) -> Hosts {
    if named.is_empty() {
        return Hosts::local();
    }
    if named.iter().any(|name| name == "any") {
        return Hosts::any();
    }
    Hosts::named(named)
}

fn explain(error: &Error) -> String {
    let hint = match error {
        Error::Bind { source, .. } => match source.kind() {
            io::ErrorKind::AddrInUse => "another program listens there; choose another port",
            io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose another",
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            _ => "give host and port, as 127.0.0.1:12345 or [::1]:12345",
        },
        _ => return error.to_string(),
    };
    format!("{error}; {hint}")
}

fn url(address: SocketAddr) -> String {
    format!("http://{address}/")
}

fn stop_on_signal(handle: ServerHandle) -> Result<(), String> {
    let asked = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if asked.swap(true, Ordering::Relaxed) {
            std::process::exit(FORCED);
        }
        tracing::info!(clients = handle.client_count(), "stopping");
        handle.shutdown();
    })
    .map_err(|error| format!("cannot watch for signals: {error}"))
}
