//! What was typed: the flags, their help and their errors. What they mean is in `serve`.

use crate::deflate::Deflate;
use clap::{CommandFactory, Parser, Subcommand, ValueEnum};
use ipnet::IpNet;
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// A WebSocket server.
#[derive(Debug, Parser)]
#[command(name = "clws", version, about, max_term_width = 100)]
pub(crate) struct Args {
    /// What to do; without a command, `serve` with its defaults.
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve an echo, a chat and a page to try both in a browser
    Serve(Serve),
}

impl Default for Command {
    fn default() -> Self {
        Self::Serve(Serve::parse_from(["serve"]))
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    /// Only what needs an operator
    Error,
    /// And what an operator should know
    Warn,
    /// And starts and stops
    Info,
    /// And refused handshakes and protocol errors
    Debug,
}

/// Serves /echo, /chat and, at /, a page to try both in a browser.
#[derive(Debug, Parser)]
#[command(after_help = "\
Try it:   clws serve     and open http://127.0.0.1:12345/ in two browser tabs.
Stop it:  Ctrl-C or SIGTERM; what came is answered, and clients get close code 1001.
          A second one stops at once.
Reload:   SIGHUP reads certificates again; so does writing their files.
Exit:     0 stopped, 1 could not serve, 2 wrong flags.")]
pub(crate) struct Serve {
    /// Listen here, at an address and port or a Unix-domain socket, as `unix:/run/clws.sock`; may
    /// be given several times. `systemd` stands for all sockets that a service manager passes on,
    /// `systemd:NAME` for those of that `FileDescriptorName`
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:12345")]
    pub(crate) listen: Vec<String>,

    #[command(flatten)]
    pub(crate) tls: Tls,

    /// Worker threads; by default one for each core
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) workers: Option<u16>,

    /// Let pages from this origin connect, as `https://example.com`; may be given several times.
    /// `any` admits all. By default the server's own pages and clients that send no origin
    #[arg(long, value_name = "ORIGIN", value_parser = origin)]
    pub(crate) origin: Vec<String>,

    /// Serve clients that ask for this host name, without a port; may be given several times.
    /// `any` admits all. By default connections from this machine must ask for `localhost` or a
    /// loopback address, which keeps foreign pages out (DNS rebinding); behind a proxy on this
    /// machine give the public name
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Vec<String>,

    /// The longest message a client may send, in bytes; k and m stand for KiB and MiB
    #[arg(long, value_name = "BYTES", default_value = "1m", value_parser = size)]
    pub(crate) max_message_size: usize,

    /// How many clients may be connected; one more gets 503. By default as many as the system's
    /// limit of open files allows
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_clients: Option<u32>,

    /// How many connections may come from one address, or from one IPv6 /64; one more is closed, or
    /// gets 503 behind a trusted proxy. By default there is no such limit; this machine has none
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_per_address: Option<u32>,

    /// How many connections are accepted in a second; the others wait. By default as many as come
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_accept_rate: Option<u32>,

    /// Believe what this proxy says about its clients' addresses (`X-Forwarded-For`): an address, a
    /// network as `10.0.0.0/8`, or `unix` for whoever comes by a Unix-domain socket; may be given
    /// several times
    #[arg(long, value_name = "ADDR", value_parser = proxy)]
    pub(crate) trusted_proxy: Vec<String>,

    /// Expect connections to begin with a header of the PROXY protocol, version 1 or 2, and close
    /// those that do not, or that come from others than the trusted proxies. Without trusted
    /// proxies everybody is believed
    #[arg(long)]
    pub(crate) proxy_protocol: bool,

    /// Hold at most so much memory for clients, as `512m`: near it the largest holders are not read
    /// from, then new clients get 503, then the largest holders are closed with 1013. By default a
    /// quarter of the memory of the machine, or of the control group
    #[arg(long, value_name = "SIZE", value_parser = budget)]
    pub(crate) memory_budget: Option<usize>,

    /// Send a ping to a client that was silent for this long, as `25s` or `2m`; `off` sends none
    #[arg(long, value_name = "TIME", default_value = "25s", value_parser = interval)]
    pub(crate) ping_interval: Interval,

    /// Drop a client that stays silent this long after a ping
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = time)]
    pub(crate) pong_timeout: Duration,

    /// Close a client to and from which no message went for this long, with code 1001; `off` lets
    /// it idle
    #[arg(long, value_name = "TIME", default_value = "off", value_parser = interval)]
    pub(crate) idle_timeout: Interval,

    /// Close a client that has been connected this long, with code 1001, up to a tenth earlier, so
    /// that not all reconnect at once; `off` lets it stay
    #[arg(long, value_name = "TIME", default_value = "off", value_parser = interval)]
    pub(crate) max_lifetime: Interval,

    /// When it is to stop, close the clients over this long, each at a moment of its own, so that
    /// not all reconnect at once
    #[arg(long, value_name = "TIME", default_value = "0s", value_parser = window)]
    pub(crate) drain_over: Duration,

    /// When it is to stop, cut off the clients that are left after this long; by default 8s more
    /// than `--drain-over`
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub(crate) drain_deadline: Option<Duration>,

    #[command(flatten)]
    pub(crate) deflate: Deflate,

    /// Let clients of draft-hixie-76 connect too, which know neither binary messages nor pings
    #[arg(long)]
    pub(crate) hixie76: bool,

    /// What to tell on stderr
    #[arg(long, value_name = "LEVEL", value_enum, default_value = "info")]
    pub(crate) log: LogLevel,
}

/// Where and how to serve by TLS.
#[derive(Debug, clap::Args)]
#[expect(clippy::struct_field_names, reason = "the flags are named after them")]
pub(crate) struct Tls {
    /// Serve https: and wss: with the certificate in this PEM file, intermediate ones behind it.
    /// Given several times, with as many keys, clients get the one for the name they ask for
    #[arg(long, value_name = "FILE", group = "tls", requires = "tls_key")]
    pub(crate) tls_cert: Vec<PathBuf>,

    /// The private key of the certificate, in PEM, not encrypted
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Vec<PathBuf>,

    /// Serve https: and wss: with a certificate that nobody vouches for, made at every start
    #[arg(long, group = "tls", conflicts_with = "tls_cert")]
    pub(crate) tls_self_signed: bool,

    /// Listen here for TLS, as for `--listen` but for Unix-domain sockets; may be given several
    /// times
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:12346", requires = "tls")]
    pub(crate) tls_listen: Vec<String>,

    /// Let only clients in that show a certificate from an authority in this PEM file
    #[arg(long, value_name = "FILE", requires = "tls")]
    pub(crate) tls_client_ca: Option<PathBuf>,
}

/// A time, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Interval(pub(crate) Option<Duration>);

pub(crate) fn size(text: &str) -> Result<usize, String> {
    let lower = text.to_ascii_lowercase();
    let lower = lower.strip_suffix("ib").or(lower.strip_suffix('b')).unwrap_or(&lower);
    let (digits, factor) = match lower.strip_suffix(['k', 'm', 'g']) {
        None => (lower, 1_usize),
        Some(digits) => match lower.as_bytes().last() {
            Some(b'k') => (digits, 1 << 10),
            Some(b'm') => (digits, 1 << 20),
            _ => (digits, 1 << 30),
        },
    };
    let number: Option<usize> = digits.parse().ok().and_then(|n: usize| n.checked_mul(factor));
    number.filter(|n| *n > 0).ok_or_else(|| "give a number of bytes, as 65536, 64k or 16m".into())
}

/// The longest time that can be given, in milliseconds: thirty days.
const LONGEST: u64 = 720 * 3_600_000;

fn budget(text: &str) -> Result<usize, String> {
    let bytes = size(text)?;
    if bytes < 1 << 20 { Err("give at least 1m".into()) } else { Ok(bytes) }
}

fn interval(text: &str) -> Result<Interval, String> {
    if text == "off" {
        return Ok(Interval(None));
    }
    time(text).map(|time| Interval(Some(time))).map_err(|error| error + ", or off")
}

fn window(text: &str) -> Result<Duration, String> {
    if matches!(text, "0" | "0s") { Ok(Duration::ZERO) } else { time(text) }
}

fn time(text: &str) -> Result<Duration, String> {
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("", 1000)];
    let millis = units.iter().find_map(|(unit, millis)| {
        let number: u64 = text.strip_suffix(unit)?.parse().ok()?;
        number.checked_mul(*millis)
    });
    match millis {
        Some(millis @ 100..=LONGEST) => Ok(Duration::from_millis(millis)),
        _ => Err("give a time from 100ms to 720h, as 25s or 2m".into()),
    }
}

fn origin(text: &str) -> Result<String, String> {
    if text == "any" || text == "null" {
        return Ok(text.to_owned());
    }
    match text.split_once("://") {
        Some((scheme, host)) if !scheme.is_empty() && !host.is_empty() && !host.contains('/') => {
            Ok(text.to_owned())
        }
        _ => Err("give scheme and host without a path, as https://example.com, or any".into()),
    }
}

/// What [`clws::Server::trusted_proxies`] takes.
fn proxy(text: &str) -> Result<String, String> {
    if text == "unix" || text.parse::<IpAddr>().is_ok() || text.parse::<IpNet>().is_ok() {
        return Ok(text.to_owned());
    }
    Err("give an address, a network as 10.0.0.0/8, or unix".into())
}

/// Prints help where it was asked for; else one line that says what is wrong. Who does not read on,
/// as `head` does not, is no trouble.
pub(crate) fn report(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        let _ = write!(io::stdout(), "{error}");
        return ExitCode::SUCCESS;
    }
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    let mut line = line.strip_prefix("error: ").unwrap_or(line).to_owned();
    if line.ends_with(':') {
        let listed = text.lines().skip(1).map_while(|more| more.strip_prefix("  "));
        listed.for_each(|more| line.extend([" ", more.trim()]));
    }
    let tip = text.lines().find_map(|line| line.trim().strip_prefix("tip: "));
    let tip = tip.map(|tip| format!(" ({tip})")).unwrap_or_default();
    let name = Args::command().get_name().to_owned();
    let _ = writeln!(io::stderr(), "{name}: {line}{tip}; see '{name} serve --help'");
    ExitCode::from(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_are_consistent() {
        Args::command().debug_assert();
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("1", 1), ("64k", 65536), ("64KiB", 65536), ("1m", 1 << 20), ("2G", 2 << 30)]
        {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
        for bad in ["", "0", "k", "-1", "1.5m", "1t", "99999999999999999999", "99999999999g"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn budgets() {
        assert_eq!(budget("1m"), Ok(1 << 20));
        assert_eq!(budget("2g"), Ok(2 << 30));
        assert!(budget("1023k").is_err() && budget("all").is_err());
    }

    #[test]
    fn intervals() {
        let millis = |n| Ok(Interval(Some(Duration::from_millis(n))));
        assert_eq!(interval("25s"), millis(25_000));
        assert_eq!(interval("2m"), millis(120_000));
        assert_eq!(interval("250ms"), millis(250));
        assert_eq!(interval("30"), millis(30_000));
        assert_eq!(interval("off"), Ok(Interval(None)));
        for bad in ["", "0", "s", "-1s", "1d", "721h", "99999999999999h", "10ms"] {
            assert!(interval(bad).is_err(), "{bad}");
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn times() {
        assert_eq!(time("720h"), Ok(Duration::from_hours(720)));
        assert!(time("off").is_err() && time("0s").is_err());
        assert_eq!((window("0s"), window("1m")), (Ok(Duration::ZERO), Ok(Duration::from_mins(1))));
    }

    #[test]
    fn proxies() {
        for good in ["unix", "10.0.0.1", "10.0.0.0/8", "::1", "fd00::/8", "::ffff:10.0.0.1"] {
            assert!(proxy(good).is_ok(), "{good}");
        }
        for bad in ["", "any", "localhost", "10.0.0.0/33", "10.0.0.0/", "10.0.0.1:80", "[::1]"] {
            assert!(proxy(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn origins() {
        for good in ["any", "null", "https://example.com", "http://localhost:8080"] {
            assert!(origin(good).is_ok(), "{good}");
        }
        for bad in ["", "example.com", "https://", "://x", "https://example.com/"] {
            assert!(origin(bad).is_err(), "{bad}");
        }
    }
}
