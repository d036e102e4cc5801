//! An `Origin` header against every rule (RFC 6455 §10.2), beside another parser of URIs.
//!
//! A rule admits what its documentation says: a prefix never lets another host in, the host's own
//! pages are those of that host and port, and case makes no difference.
#![no_main]

use arbitrary::Arbitrary;
use clws::Origin;
use http::Uri;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
struct Input {
    allowed: Vec<Text>,
    origin: Option<Text>,
    host: Option<Text>,
    /// The origin goes on from the first that is allowed, as a trap would.
    extended: bool,
}

/// A text made of the parts that origins are made of, so that it is often nearly one.
#[derive(Arbitrary, Debug)]
struct Text(Vec<Part>);

#[derive(Arbitrary, Debug)]
enum Part {
    Known(u8),
    Port(u16),
    Any(String),
}

const KNOWN: [&str; 24] = [
    "http://",
    "https://",
    "HTTP://",
    "ws://",
    "null",
    "localhost",
    "LocalHost",
    "example.com",
    "127.0.0.1",
    "[::1]",
    ":",
    ":80",
    ":443",
    ":080",
    ".",
    ".evil.example",
    "@",
    "user:pw@",
    "/",
    "?",
    "#",
    "\\",
    "b\u{fc}cher",
    "xn--bcher-kva",
];

impl Text {
    fn text(&self) -> String {
        self.0
            .iter()
            .map(|part| match part {
                Part::Known(index) => KNOWN[usize::from(*index) % KNOWN.len()].to_owned(),
                Part::Port(port) => format!(":{port}"),
                Part::Any(text) => text.clone(),
            })
            .collect()
    }
}

fuzz_target!(|input: Input| {
    let allowed: Vec<String> = input.allowed.iter().map(Text::text).collect();
    let own = input.origin.as_ref().map(Text::text);
    let origin = match (own, allowed.first()) {
        (Some(own), Some(first)) if input.extended => Some(format!("{first}{own}")),
        (own, _) => own,
    };
    let (origin, host) = (origin.as_deref(), input.host.as_ref().map(Text::text));
    let host = host.as_deref();
    let asks = |rule: &Origin| {
        let verdict = rule.allows(origin, host);
        let (lower, shouted) =
            (origin.map(str::to_ascii_lowercase), origin.map(str::to_ascii_uppercase));
        for other in [lower, shouted] {
            assert_eq!(rule.allows(other.as_deref(), host), verdict, "{rule:?}: case counts");
        }
        verdict
    };
    assert!(asks(&Origin::any()));
    assert_eq!(asks(&Origin::none()), origin.is_none());
    let listed = |origin: &str| allowed.iter().any(|one| one.eq_ignore_ascii_case(origin));
    assert_eq!(asks(&Origin::exact(allowed.clone())), origin.is_some_and(listed));
    check_prefix(&allowed, origin, asks(&Origin::prefix(allowed.clone())));
    check_same_host(origin, host, asks(&Origin::same_host()));
});

fn check_prefix(allowed: &[String], origin: Option<&str>, admitted: bool) {
    let Some(origin) = origin else { return assert!(!admitted) };
    let begins = |prefix: &&String| {
        origin.get(..prefix.len()).is_some_and(|head| head.eq_ignore_ascii_case(prefix))
    };
    if !admitted {
        // What is named as it is, is admitted.
        let named = allowed.iter().find(|one| !one.is_empty() && one.eq_ignore_ascii_case(origin));
        assert!(named.is_none_or(|one| one.ends_with("://")), "{origin:?} is one of {allowed:?}");
        return;
    }
    let prefixes: Vec<&String> = allowed.iter().filter(begins).collect();
    assert!(!prefixes.is_empty(), "{origin:?} begins with none of {allowed:?}");
    let Some(host) = host_of(origin) else { return };
    let any_host = |prefix: &&String| prefix.ends_with("://");
    let own_host = |prefix: &&String| {
        // The host of a prefix that ends before its port.
        host_of(prefix).or_else(|| host_of(prefix.trim_end_matches(':'))) == Some(host.clone())
    };
    let fits = prefixes.iter().any(|prefix| any_host(prefix) || own_host(prefix));
    assert!(fits, "{origin:?} is another host than {prefixes:?}");
}

fn host_of(text: &str) -> Option<String> {
    let uri: Uri = text.parse().ok()?;
    uri.scheme()?;
    uri.host().filter(|host| !host.is_empty()).map(str::to_ascii_lowercase)
}

fn check_same_host(origin: Option<&str>, host: Option<&str>, admitted: bool) {
    let (Some(origin), true) = (origin, admitted) else {
        return assert_eq!(admitted, origin.is_none());
    };
    let host = host.expect("no host is the same as an origin's");
    let Ok(page) = origin.parse::<Uri>() else { return };
    let Some(scheme) = page.scheme_str().map(str::to_ascii_lowercase) else { return };
    let default = match &*scheme {
        "http" => 80,
        "https" => 443,
        _ => panic!("{origin:?} is no web page's"),
    };
    let server: Uri = format!("{scheme}://{host}").parse().expect("like the origin");
    let place = |uri: &Uri| {
        let host = uri.host().map(str::to_ascii_lowercase);
        (host, uri.port_u16().unwrap_or(default))
    };
    assert_eq!(place(&page), place(&server), "{origin:?} asks for {host:?}");
}
