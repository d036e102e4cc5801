//! Opening handshakes meant to confuse or to wear out, over real sockets: each gets one answer, and
//! then the connection ends (RFC 6455 §4.2, RFC 9112 §2.2, §5, §6.3, §11).

mod common;

use clws::{Accept, Client, Limits, Origin, Reject, Request, Resource, Server};
use common::raw::{End, FIN, KEY, Raw, TEXT, frame, request};
use common::{Recorder, Running, await_that, echo};
use std::io::Write;

fn server() -> Running {
    let rule = Origin::exact(["https://good.example"]);
    let (foreign, _events) = Recorder::new(echo);
    let server = Server::builder().resource("/echo", Origin::any(), Recorder::new(echo).0);
    Running::start(server.resource("/foreign", rule, foreign))
}

/// The legal request with a line more.
fn with(line: &str) -> String {
    request("localhost", "/echo", &format!("{line}\r\n"))
}

/// The legal request with something in it replaced.
fn replaced(from: &str, to: &str) -> String {
    let legal = request("localhost", "/echo", "");
    assert!(legal.contains(from), "{from:?}");
    legal.replacen(from, to, 1)
}

fn with_target(target: &str) -> String {
    replaced("/echo", target)
}

/// Sends the bytes and more behind them; reads one answer and then, at once, the end.
#[track_caller]
fn only_answer(server: &Running, bytes: &[u8], behind: &[u8]) -> u16 {
    let mut raw = Raw::connect(server.address);
    raw.send(&[bytes, behind].concat());
    let answer = raw.answer();
    assert!(
        answer.header("Connection").is_some_and(|said| said.starts_with("close")),
        "{answer:?}"
    );
    raw.finish();
    assert_eq!(raw.end(), End::Fin, "{answer:?}");
    answer.status
}

/// What comes behind a refused request: another one, frames, and nothing.
fn behind() -> [Vec<u8>; 3] {
    [request("localhost", "/echo", "").into_bytes(), frame(FIN | TEXT, b"hello"), Vec::new()]
}

#[track_caller]
fn check_refusals(server: &Running, rows: &[(Vec<u8>, u16)]) {
    for (bytes, expected) in rows {
        for behind in behind() {
            let status = only_answer(server, bytes, &behind);
            assert_eq!(status, *expected, "{}", String::from_utf8_lossy(bytes));
        }
    }
    assert_eq!(server.handle.metrics().connected, 0);
}

/// A10: what two parsers could read differently is read by neither as two requests.
#[test]
fn scenario_a10_one_answer_to_requests_that_parsers_read_differently() {
    let server = server();
    let mut rows: Vec<(Vec<u8>, u16)> = [
        "Content-Length: 5",
        "Content-Length: +5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 0",
        "Content-Length: 0\r\nContent-Length: 0",
        "Content-Length: 0\r\nContent-Length: 5",
        "Content-Length: 0, 5",
        "Transfer-Encoding: identity",
        "Transfer-Encoding : chunked",
        "Content-Length : 5",
        "X: a\r\n folded: b",
        "X: a\nContent-Length: 5",
        "X: a\rContent-Length: 5",
        "X: a\0b",
        " X: a",
    ]
    .map(|line| (with(line).into_bytes(), 400))
    .into();
    rows.push((request("localhost", "/echo", "").replace("\r\n", "\n").into_bytes(), 400));
    rows.push((replaced("Host: localhost", "Host: localhost\r\nHost: other").into_bytes(), 400));
    check_refusals(&server, &rows);
}

/// A11: a refused request is the last thing that is read, whatever it was refused for.
#[test]
fn scenario_a11_one_answer_to_every_kind_of_refusal() {
    let server = server();
    let long_path = format!("/{}", "x".repeat(9_000));
    let mut rows: Vec<(String, u16)> = [
        ("GET", "POST", 405),
        ("/echo", "/nothing", 404),
        ("/echo", "/foreign", 403),
        ("/echo", &long_path, 414),
        ("localhost", "evil.example", 421),
        ("Upgrade: websocket\r\n", "", 426),
        ("Version: 13", "Version: 12", 426),
        ("Connection: Upgrade\r\n", "", 400),
        (KEY, "c2hvcnQ=", 400),
        ("HTTP/1.1", "HTTP/1.0", 400),
        ("HTTP/1.1", "HTTP/2.0", 505),
    ]
    .map(|(from, to, status)| (replaced(from, to), status))
    .into();
    rows.push((with(&format!("X: {}", "x".repeat(20_000))), 431));
    rows.push((with("Sec-WebSocket-Extensions: \"a"), 400));
    let rows: Vec<_> = rows.into_iter().map(|(text, code)| (text.into_bytes(), code)).collect();
    check_refusals(&server, &rows);
}

/// A9, the rest of the table: versions, methods and the case of `Connection`.
#[test]
fn scenario_a9_versions_methods_and_cases() {
    let server = server();
    let opened = |request: &str| {
        let mut raw = Raw::connect(server.address);
        raw.send(request.as_bytes());
        raw.answer().status
    };
    for (version, status) in [
        ("13", 101),
        ("8", 101),
        ("7", 101),
        ("0", 426),
        ("6", 426),
        ("9", 426),
        ("12", 426),
        ("14", 426),
        ("013", 426),
        ("+13", 426),
        ("13, 13", 426),
        ("", 426),
        ("255", 426),
    ] {
        let asked = replaced("Version: 13", &format!("Version: {version}"));
        assert_eq!(opened(&asked), status, "version {version:?}");
    }
    let twice = "Version: 13\r\nSec-WebSocket-Version: 13";
    assert_eq!(opened(&replaced("Version: 13", twice)), 426);
    for (method, status) in
        [("HEAD", 405), ("POST", 405), ("OPTIONS", 405), ("CONNECT", 405), ("get", 405)]
    {
        let mut raw = Raw::connect(server.address);
        raw.send(replaced("GET", method).as_bytes());
        // The answer to HEAD has no body, whatever length it names.
        let head = raw.head();
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{method}: {head}");
    }
    for mix in 0..1_u32 << "upgrade".len() {
        let case = |(at, letter): (usize, char)| match mix >> at & 1 {
            0 => letter,
            _ => letter.to_ascii_uppercase(),
        };
        let token: String = "upgrade".chars().enumerate().map(case).collect();
        let line = format!("Connection: keep-alive, {token}");
        assert_eq!(opened(&replaced("Connection: Upgrade", &line)), 101, "{line}");
    }
}

/// A4: what comes after the limit is not even kept.
#[test]
fn scenario_a4_a_header_of_20_megabytes() {
    const SIZE: usize = 20 * 1024 * 1024;
    let server = server();
    let mut raw = Raw::connect(server.address);
    raw.send(request("localhost", "/echo", "").trim_end().as_bytes());
    raw.send(b"\r\nX: ");
    let block = vec![b'x'; 64 * 1024];
    // The server may end the connection before all of it is sent.
    let mut left = SIZE;
    while left > 0 && raw.stream.write_all(&block).is_ok() {
        left -= block.len().min(left);
    }
    await_that("the refusal is counted", || server.handle.metrics().refused == 1);
    // A reset may have overtaken the answer; a patient peer gets it.
    let mut patient = Raw::connect(server.address);
    patient.send(with(&format!("X: {}", "x".repeat(64 * 1024))).as_bytes());
    assert_eq!(patient.answer().status, 431);
    assert_eq!(server.handle.metrics().connected, 0);
}

/// A4: the limit is met at its byte when the bytes come one by one.
#[test]
fn scenario_a4_single_bytes_are_refused_at_the_limit() {
    let server = server();
    let mut raw = Raw::connect(server.address);
    let limit = Limits::default().max_header_size;
    let bytes = with(&format!("X: {}", "x".repeat(limit))).into_bytes();
    for byte in &bytes[..limit] {
        raw.send(&[*byte]);
    }
    assert_eq!(raw.answer().status, 431);
    raw.finish();
    assert_eq!(raw.end(), End::Fin);
}

/// A6: headers and cookies in great number.
#[test]
fn scenario_a6_many_headers_and_many_cookies() {
    let server = server();
    let many = |count: usize, line: &dyn Fn(usize) -> String| {
        (0..count).map(line).collect::<Vec<_>>().join("\r\n")
    };
    let pairs: Vec<_> = (0..10_000).map(|number| format!("c{number}=v")).collect();
    for lines in [
        many(2_000, &|number| format!("X-{number}: v")),
        many(10_000, &|number| format!("Cookie: c{number}=v")),
        format!("Cookie: {}", pairs.join("; ")),
    ] {
        assert_eq!(only_answer(&server, with(&lines).as_bytes(), b""), 431);
    }
    let healthy = format!("Cookie: {}", pairs[..1_000].join("; "));
    let mut raw = Raw::connect(server.address);
    raw.send(with(&healthy).as_bytes());
    raw.upgraded();
}

/// A7: lists full of nothing are answered.
#[test]
fn scenario_a7_lists_full_of_nothing() {
    let server = server();
    for line in [
        format!("Sec-WebSocket-Protocol: {}", ",".repeat(15 * 1024)),
        format!("Sec-WebSocket-Protocol: {}", " ".repeat(15 * 1024)),
        format!("Sec-WebSocket-Protocol: a{}", " ,\t".repeat(5 * 1024)),
        format!("Sec-WebSocket-Extensions: {}", "x, ".repeat(4_000)),
        format!("Sec-WebSocket-Extensions: {}", ",".repeat(15 * 1024)),
        format!("Sec-WebSocket-Extensions: x{}", ";y".repeat(4_000)),
    ] {
        let mut raw = Raw::connect(server.address);
        raw.send(with(&line).as_bytes());
        let answer = raw.upgraded();
        assert_eq!(answer.header("Sec-WebSocket-Extensions"), None);
        raw.text("served");
        assert_eq!(raw.frame().text(), "served");
    }
}

/// A13: targets are taken as they are or refused, never made into others.
#[test]
fn scenario_a13_targets() {
    let server = server();
    let long = format!("/{}", "x".repeat(8 * 1024));
    for (target, status) in [
        ("http://localhost/echo", 101),
        ("HTTP://localhost/echo", 101),
        ("/echo?/../nothing", 101),
        ("http://localhost", 404),
        ("http://localhost/nothing", 404),
        ("http://evil.example/echo", 421),
        ("//echo", 404),
        ("/echo/", 404),
        ("/./echo", 404),
        ("/../echo", 404),
        ("/nothing/../echo", 404),
        ("/%65cho", 404),
        ("/echo%2f", 404),
        ("/echo;a", 404),
        ("*", 400),
        ("localhost:80", 400),
        ("echo", 400),
        ("ws://localhost/echo", 400),
        ("http://user@localhost/echo", 400),
        ("http:///echo", 400),
        ("/echo#x", 400),
        ("/echo%00", 400),
        ("/echo\0", 400),
        ("/ech o", 400),
        ("/ech\u{f6}", 400),
        (&long, 414),
    ] {
        let bytes = with_target(target).into_bytes();
        if status == 101 {
            let mut raw = Raw::connect(server.address);
            raw.send(&bytes);
            raw.upgraded();
        } else {
            assert_eq!(only_answer(&server, &bytes, b""), status, "{target:?}");
        }
    }
}

/// Chooses what the query says, most of which nobody may send.
struct Chooses;

impl Resource for Chooses {
    fn accept(&self, request: &Request) -> Result<Accept, Reject> {
        let name = match request.query_string() {
            Some("cr") => "chat\r\nX-Split: yes",
            Some("lf") => "chat\nX-Split: yes",
            Some("nul") => "chat\0",
            Some("space") => "chat X-Split",
            Some("empty") => "",
            _ => "chat",
        };
        for value in ["a\r\nX-Split: yes", "a\nb", "a\rb", "a\0b"] {
            assert!(Accept::new().header("X-Own", value).is_err(), "{value:?}");
        }
        for name in ["Sec-WebSocket-Protocol", "sec-websocket-accept", "Connection", "X: a\r\nY"] {
            assert!(Accept::new().header(name, "v").is_err(), "{name:?}");
        }
        Ok(Accept::new().subprotocol(name))
    }

    fn text(&self, client: &Client, _: &str) {
        client.send_text(client.subprotocol().unwrap_or("none"));
    }
}

/// A14: neither an offer nor a choice puts a line into the answer.
#[test]
fn scenario_a14_subprotocols_that_would_split_the_answer() {
    let server = Running::start(Server::builder().resource("/", Origin::any(), Chooses));
    let asked = |query: &str, offers: &str| {
        let lines = format!("Sec-WebSocket-Protocol: {offers}\r\n");
        request("localhost", &format!("/?{query}"), &lines)
    };
    for query in ["cr", "lf", "nul", "space", "empty"] {
        let mut raw = Raw::connect(server.address);
        raw.send(asked(query, "chat").as_bytes());
        let answer = raw.answer();
        assert_eq!(answer.status, 500, "{query}");
        assert!(!answer.head.contains("X-Split") && !answer.body.contains("X-Split"), "{answer:?}");
        raw.finish();
        assert_eq!(raw.end(), End::Fin, "{query}");
    }
    for offers in ["chat\0", "chat\r", "chat\rX: a", "chat\nX: a", "ch at", "\"chat\"", "ch\u{e4}t"]
    {
        assert_eq!(only_answer(&server, asked("", offers).as_bytes(), b""), 400, "{offers:?}");
    }
    let mut raw = Raw::connect(server.address);
    raw.send(asked("", "chat").as_bytes());
    assert_eq!(raw.upgraded().header("Sec-WebSocket-Protocol"), Some("chat"));
    raw.text("which?");
    assert_eq!(raw.frame().text(), "chat");
}

/// A12, beyond one cut: frames in single bytes behind a request in the same segment, and a close
/// in the segment of the request.
#[test]
fn scenario_a12_a_whole_conversation_in_the_first_segment() {
    let server = server();
    let close = frame(FIN | common::raw::CLOSE, &common::raw::close_payload(1000, "bye"));
    let long = vec![b'x'; 70_000];
    let frames = [frame(FIN | TEXT, b"one"), frame(FIN | TEXT, &long), close].concat();
    let mut raw = Raw::connect(server.address);
    raw.send(&[request("localhost", "/echo", "").as_bytes(), &frames].concat());
    raw.upgraded();
    assert_eq!(raw.frame().text(), "one");
    assert_eq!(raw.frame().text().len(), long.len());
    assert_eq!(raw.closed(), (1000, String::new()));
}
