//! `clws serve`: what the flags mean.

#[cfg(unix)]
use crate::activation::{Passed, is_passed};
use crate::args::{self, LogLevel, Serve};
use crate::chat::Chat;
use crate::echo::Echo;
use crate::log::Log;
use crate::page::Page;
use crate::signals;
use clws::{ClientCertificates, Drain, DrainReport, Error, Hosts, Limits, Origin};
use clws::{Server, ServerHandle, Tls};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tracing::level_filters::LevelFilter;

/// How long the last client has to answer a close and to leave: less than the ten seconds after
/// which container engines kill.
const TO_ANSWER: Duration = Duration::from_secs(8);
/// What a certificate is for that is made for trials on this machine.
const OWN_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What an address begins with that is a file.
const UNIX: &str = "unix:";

/// Serves until a signal; the error is one line for a person.
pub(crate) fn run(flags: &Serve) -> Result<(), String> {
    let log = start_log(flags.log).map_err(|error| format!("cannot write the log: {error}"))?;
    let done = serve(flags);
    log.flush();
    done
}

fn serve(flags: &Serve) -> Result<(), String> {
    if flags.tls.tls_cert.len() != flags.tls.tls_key.len() {
        return Err("give as many --tls-key as --tls-cert, in the same order".to_owned());
    }
    let server = build(flags).map_err(|error| explain(&error))?;
    let handle = server.start().map_err(|error| explain(&error))?;
    let stop = signals::watch(handle.clone(), !flags.tls.tls_cert.is_empty())?;
    announce(&handle);
    // The other end is dropped by nobody: an error would mean the same.
    let _ = stop.recv();
    tracing::info!(clients = handle.client_count(), "stopping");
    let DrainReport { clients, clean, forced, refused, .. } = handle.drain(drain(flags)).wait();
    tracing::info!(clients, clean, forced, refused, "stopped");
    Ok(())
}

fn drain(flags: &Serve) -> Drain {
    let mut drain = Drain::default();
    drain.over = flags.drain_over;
    drain.deadline = Some(flags.drain_deadline.unwrap_or(flags.drain_over + TO_ANSWER));
    drain
}

/// Says where it listens; it serves even if nobody wants to know.
fn announce(handle: &ServerHandle) {
    let mut out = io::stdout();
    let secure: Vec<_> = handle.tls_addresses().collect();
    for address in handle.local_addresses() {
        let scheme = if secure.contains(address) { "https" } else { "http" };
        let _ = writeln!(out, "listening on {scheme}://{address}/");
    }
    #[cfg(unix)]
    for path in handle.local_paths() {
        let _ = writeln!(out, "listening on {UNIX}{}", path.display());
    }
}

fn start_log(level: LogLevel) -> io::Result<Arc<Log>> {
    let level = match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let log = Arc::new(Log::start()?);
    let ansi = io::IsTerminal::is_terminal(&io::stderr());
    tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(Arc::clone(&log))
        .with_ansi(ansi)
        .with_target(false)
        .init();
    Ok(log)
}

fn build(flags: &Serve) -> clws::Result<Server> {
    let mut limits = Limits::default();
    limits.max_message_size = flags.max_message_size;
    limits.max_frame_size = flags.max_message_size;
    limits.send_queue_high = limits.send_queue_high.max(flags.max_message_size);
    limits.max_clients = flags.max_clients.map(|count| count as usize);
    limits.max_connections_per_address = flags.max_per_address.map(|count| count as usize);
    limits.max_accept_rate = flags.max_accept_rate;
    limits.memory_budget = flags.memory_budget;
    limits.ping_interval = flags.ping_interval.0;
    limits.pong_timeout = flags.pong_timeout;
    limits.idle_timeout = flags.idle_timeout.0;
    limits.max_lifetime = flags.max_lifetime.0;
    if flags.proxy_protocol && flags.trusted_proxy.is_empty() {
        tracing::warn!("without --trusted-proxy, whoever connects is believed about its address");
    }
    let origin = origin(&flags.origin);
    let mut server = Server::builder()
        .limits(limits)
        .hosts(hosts(&flags.host))
        .deflate(flags.deflate.config())
        .hixie76(flags.hixie76)
        .trusted_proxies(&flags.trusted_proxy)
        .proxy_protocol(flags.proxy_protocol)
        .resource("/", Origin::none(), Page)
        .resource("/echo", origin.clone(), Echo)
        .resource("/chat", origin, Chat::default());
    if let Some(workers) = flags.workers {
        server = server.workers(workers.into());
    }
    listen(server, flags, tls(&flags.tls)?.as_ref())
}

#[cfg(unix)]
fn listen(mut server: Server, flags: &Serve, tls: Option<&Tls>) -> clws::Result<Server> {
    let mut passed = Passed::from_environment();
    for address in &flags.listen {
        server = match address.strip_prefix(UNIX) {
            _ if is_passed(address) => passed.listen(server, address, None)?,
            Some(path) => server.bind_unix(path)?,
            None => server.bind(address)?,
        };
    }
    let Some(tls) = tls else { return Ok(server) };
    for address in &flags.tls.tls_listen {
        server = if is_passed(address) {
            passed.listen(server, address, Some(tls))?
        } else {
            server.bind_tls(address, tls.clone())?
        };
    }
    Ok(server)
}

#[cfg(not(unix))]
fn listen(mut server: Server, flags: &Serve, tls: Option<&Tls>) -> clws::Result<Server> {
    for address in &flags.listen {
        server = server.bind(address)?;
    }
    let Some(tls) = tls else { return Ok(server) };
    for address in &flags.tls.tls_listen {
        server = server.bind_tls(address, tls.clone())?;
    }
    Ok(server)
}

fn tls(flags: &args::Tls) -> clws::Result<Option<Tls>> {
    let mut pairs = flags.tls_cert.iter().zip(&flags.tls_key);
    let mut tls = if flags.tls_self_signed {
        tracing::warn!(
            "the certificate is made up: nobody vouches for it, and clients will say so"
        );
        Tls::self_signed(OWN_NAMES)?
    } else if let Some((certificate, key)) = pairs.next() {
        Tls::from_files(certificate, key)?
    } else {
        return Ok(None);
    };
    for (certificate, key) in pairs {
        tls = tls.add_certificate(certificate, key)?;
    }
    if let Some(authorities) = &flags.tls_client_ca {
        tls = tls.client_certificates(authorities, ClientCertificates::Required)?;
    }
    Ok(Some(tls))
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
        Error::Bind { address, source } => match source.kind() {
            io::ErrorKind::NotFound if address.starts_with("systemd") => {
                "a service manager passes sockets on, by LISTEN_FDS"
            }
            kind if address.starts_with(UNIX) => match kind {
                io::ErrorKind::AddrInUse => {
                    "another program listens there, or it is another kind of file"
                }
                io::ErrorKind::NotFound => "make its directory first",
                io::ErrorKind::PermissionDenied => "choose a directory that may be written to",
                _ => "give a short path, as unix:/run/clws.sock",
            },
            io::ErrorKind::AddrInUse => "another program listens there; choose another port",
            io::ErrorKind::PermissionDenied => "ports below 1024 need a privilege; choose another",
            io::ErrorKind::AddrNotAvailable => "this machine does not have that address",
            _ => "give host and port, as 127.0.0.1:12345 or [::1]:12345",
        },
        _ => return error.to_string(),
    };
    format!("{error}; {hint}")
}
