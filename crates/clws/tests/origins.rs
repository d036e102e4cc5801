//! Origins as web pages and those who want in have them, against every kind of rule (RFC 6455
//! §4.2.2, §10.2): who passes, by the rule itself and by the answer to an opening handshake.

mod common;

use clws::{Hosts, Origin, Server};
use common::raw::{Raw, request};
use common::{Recorder, Running, listen};

/// The server as its clients know it.
const HOST: &str = "app.example:8080";

/// The rules of the table's columns, and the paths they guard.
fn rules() -> [(&'static str, Origin); 4] {
    [
        ("/own", Origin::same_host()),
        ("/exact", Origin::exact(["https://good.example", "http://[::1]:3000", "null"])),
        ("/prefix", Origin::prefix(["https://good.example", "http://[::1]", "http://localhost:"])),
        ("/none", Origin::none()),
    ]
}

/// J1: an origin (`None`: no header), and who admits it: o for the host's own pages, e for exact,
/// p for prefix, n for no origin at all.
const TABLE: [(Option<&str>, &str); 66] = [
    (None, "on"),
    (Some(""), ""),
    (Some("null"), "e"),
    (Some("NULL"), "e"),
    (Some("null "), "e"), // spaces around a header's value are not part of it
    (Some("nullx"), ""),
    // As listed, and in other letters.
    (Some("https://good.example"), "ep"),
    (Some("HTTPS://Good.Example"), "ep"),
    (Some("http://[::1]:3000"), "ep"),
    // Other schemes.
    (Some("http://good.example"), ""),
    (Some("wss://good.example"), ""),
    (Some("ftp://good.example"), ""),
    (Some("file://good.example"), ""),
    (Some("good.example"), ""),
    (Some("//good.example"), ""),
    (Some("https:good.example"), ""),
    (Some("https:/good.example"), ""),
    (Some("https:///good.example"), ""),
    // Ports.
    (Some("https://good.example:443"), "p"),
    (Some("https://good.example:8443"), "p"),
    (Some("https://good.example:1"), "p"),
    (Some("https://good.example:65535"), "p"),
    (Some("https://good.example:"), ""),
    (Some("https://good.example:65536"), ""),
    (Some("https://good.example:0443"), ""),
    (Some("https://good.example:+443"), ""),
    (Some("https://good.example:-1"), ""),
    (Some("https://good.example:443:443"), ""),
    (Some("https://good.example:443x"), ""),
    // Traps before and behind.
    (Some("https://good.example.evil.example"), ""),
    (Some("https://good.examples"), ""),
    (Some("https://good.example-evil.example"), ""),
    (Some("https://good.example."), ""),
    (Some("https://www.good.example"), ""),
    (Some("https://evilgood.example"), ""),
    (Some("https://evil.example/https://good.example"), ""),
    (Some("https://evil.example?https://good.example"), ""),
    (Some("https://evil.example#https://good.example"), ""),
    (Some("https://good.example/"), ""),
    (Some("https://good.example/path"), ""),
    (Some("https://good.example?"), ""),
    (Some("https://good.example#"), ""),
    (Some("https://good.example\\.evil.example"), ""),
    (Some("https://good.example evil.example"), ""),
    (Some("https://good.example, https://evil.example"), ""),
    (Some("https://good.example%00.evil.example"), ""),
    // User information.
    (Some("https://good.example@evil.example"), ""),
    (Some("https://good.example:443@evil.example"), ""),
    (Some("https://good.example:@evil.example"), ""),
    (Some("https://user@good.example"), ""),
    // Names beyond ASCII, which browsers write in punycode.
    (Some("https://g\u{f6}\u{f6}d.example"), ""),
    (Some("https://g\u{43e}\u{43e}d.example"), ""),
    (Some("https://xn--gd-fkaa.example"), ""),
    (Some("https://good\u{3002}example"), ""),
    (Some("https://good.exampl\u{212f}"), ""),
    // Addresses.
    (Some("http://[::1]"), "p"),
    (Some("http://[::1]:80"), "p"),
    (Some("http://[::1].evil.example"), ""),
    (Some("http://[::11]"), ""),
    (Some("http://[0:0:0:0:0:0:0:1]"), ""), // the same address, not the same text
    (Some("http://localhost"), ""),         // that prefix asks for a port
    (Some("http://localhost:3000"), "p"),
    (Some("http://localhost:3000.evil.example"), ""),
    // The host's own pages.
    (Some("http://app.example:8080"), "o"),
    (Some("https://APP.example:8080"), "o"),
    (Some("http://app.example"), ""),
];

fn may(admitted: &str, path: &str) -> bool {
    admitted.contains(&path[1..2])
}

#[test]
fn scenario_j1_who_passes_which_rule() {
    for (path, rule) in rules() {
        for (origin, admitted) in TABLE {
            let origin = origin.map(str::trim);
            let expected = may(admitted, path);
            assert_eq!(rule.allows(origin, Some(HOST)), expected, "{rule:?} and {origin:?}");
        }
    }
    for (origin, _) in TABLE {
        assert!(Origin::any().allows(origin, Some(HOST)));
    }
}

#[test]
fn scenario_j1_who_is_answered_with_403() {
    let server = rules()
        .into_iter()
        .fold(Server::builder().hosts(Hosts::named(["app.example"])), |server, (path, rule)| {
            server.resource(path, rule, Recorder::new(listen).0)
        });
    let server = Running::start(server);
    for (path, _) in rules() {
        for (origin, admitted) in TABLE {
            let line = origin.map(|origin| format!("Origin: {origin}\r\n")).unwrap_or_default();
            let mut raw = Raw::connect(server.address);
            raw.send(request(HOST, path, &line).as_bytes());
            let expected = if may(admitted, path) { 101 } else { 403 };
            assert_eq!(raw.answer().status, expected, "{path} and {origin:?}");
        }
    }
}

/// The host's own pages have its port too, spelled out or not.
#[test]
fn scenario_j1_default_ports_are_the_same_place() {
    let own = Origin::same_host();
    for (origin, host, expected) in [
        ("http://a.example", "a.example", true),
        ("http://a.example:80", "a.example", true),
        ("http://a.example", "A.EXAMPLE:80", true),
        ("https://a.example", "a.example:443", true),
        ("https://a.example:443", "a.example:443", true),
        ("http://[::1]", "[::1]:80", true),
        ("http://a.example", "a.example:443", false),
        ("https://a.example", "a.example:80", false),
        ("http://a.example:8080", "a.example", false),
        ("http://a.example", "a.example.", false),
        ("http://a.example.evil.example", "a.example", false),
        ("ws://a.example", "a.example", false),
    ] {
        assert_eq!(own.allows(Some(origin), Some(host)), expected, "{origin} and {host}");
    }
    for (origin, host) in [
        ("http://", None),
        ("http://", Some("")),
        ("http://:80", Some("")),
        ("http://", Some(":80")),
    ] {
        assert!(!own.allows(Some(origin), host), "{origin} and {host:?}: no host is nobody's");
    }
}

/// Found by fuzzing: of two ports in a row the second was taken off as the default one.
#[test]
fn scenario_j1_a_host_with_two_ports_is_nobodys() {
    let own = Origin::same_host();
    for (origin, host) in [
        ("http://:35209", ":35209:80"),
        ("http://example.com:8080", "example.com:8080:80"),
        ("http://example.com:8080:80", "example.com:8080"),
        ("https://[::1]:8443", "[::1]:8443:443"),
        ("http://::1", "::1:80"),
    ] {
        assert!(!own.allows(Some(origin), Some(host)), "{origin} at {host}");
    }
    for (origin, host) in [("http://[::1]", "[::1]:80"), ("https://[::1]:443", "[::1]")] {
        assert!(own.allows(Some(origin), Some(host)), "{origin} at {host}");
    }
}

/// J2: a name that was made to lead here (DNS rebinding) fits any rule over origins, and is refused
/// over a loopback address all the same.
#[test]
fn scenario_j2_foreign_names_over_loopback() {
    let server = Server::builder()
        .resource("/own", Origin::same_host(), Recorder::new(listen).0)
        .resource("/any", Origin::any(), Recorder::new(listen).0)
        .resource("/list", Origin::exact(["http://evil.example"]), Recorder::new(listen).0);
    let server = Running::start(server);
    let status = |host: &str, target: &str| {
        let origin = format!("Origin: http://{host}\r\n");
        let mut raw = Raw::connect(server.address);
        raw.send(request(host, target, &origin).as_bytes());
        raw.answer().status
    };
    for path in ["/own", "/any", "/list"] {
        for host in [
            "evil.example",
            "evil.example:80",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "192.0.2.1",
            "[::2]",
            "[::ffff:192.0.2.1]",
        ] {
            assert_eq!(status(host, path), 421, "{path} of {host}");
        }
    }
    // What the target names counts, not what the header names (RFC 9112 §3.2.2).
    assert_eq!(status("localhost", "http://evil.example/own"), 421);
    for host in ["localhost", "localhost:80", "127.0.0.1:9", "127.1.2.3", "[::1]", "a.localhost"] {
        assert_eq!(status(host, "/own"), 101, "{host}");
    }
}
