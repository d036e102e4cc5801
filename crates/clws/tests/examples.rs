//! Each example runs and does what it shows.

mod common;

use common::hixie::Hixie;
use common::packed::{Packed, TAKEOVER};
use common::raw::{Raw, TEXT, request};
use common::ws::{self, Ws};
use std::io::{BufRead, BufReader, Lines};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use tokio_tungstenite::tungstenite::Message;

/// A running example, ended with the test.
struct Example {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl Example {
    /// Starts an example on ports of the system's choice.
    fn start(name: &str, addresses: usize) -> Self {
        let mut command = Command::new(path(name));
        command.args(vec!["127.0.0.1:0"; addresses]).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Reads the next line, which tells an address between these two.
    fn address(&mut self, before: &str, after: &str) -> SocketAddr {
        let line = self.lines.next().unwrap().unwrap();
        let rest = line.strip_prefix(before).and_then(|rest| rest.strip_suffix(after));
        rest.unwrap_or_else(|| panic!("{line}")).parse().unwrap()
    }
}

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Where cargo puts examples: beside the folder of the tests. It builds them with the tests, but
/// not for a single one.
fn path(name: &str) -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let target = test.parent().and_then(|deps| deps.parent()).unwrap();
    let path = target.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
    if !path.exists() {
        let build = ["build", "--quiet", "--package", "clws", "--example", name];
        assert!(Command::new(env!("CARGO")).args(build).status().unwrap().success());
    }
    path
}

/// Reads a text; pings on the way are answered.
#[track_caller]
fn text(ws: &mut Ws) -> String {
    loop {
        match ws.read().unwrap() {
            Message::Text(text) => return text.to_string(),
            Message::Ping(_) => ws.flush().unwrap(),
            other => panic!("expected a text, got {other:?}"),
        }
    }
}

#[test]
fn echo() {
    let mut example = Example::start("echo", 1);
    let address = example.address("echoing at ws://", "/echo");
    let mut ws = ws::open(address, "/echo");
    for message in [Message::text("hello"), Message::binary(vec![1, 2, 3])] {
        ws.send(message.clone()).unwrap();
        assert_eq!(ws.read().unwrap(), message);
    }
    ws.send(Message::text("ping")).unwrap();
    let mut told = [text(&mut ws), text(&mut ws)];
    told.sort();
    let [latency, echo] = told;
    assert_eq!(echo, "ping");
    let millis = latency.strip_prefix("latency: ").and_then(|rest| rest.strip_suffix(" ms"));
    assert!(millis.unwrap().parse::<f64>().unwrap() > 0.0, "{latency}");
}

#[test]
fn chat() {
    let mut example = Example::start("chat", 1);
    let address = example.address("chatting at ws://", "/chat");
    let mut ann = ws::open(address, "/chat");
    let joined = text(&mut ann);
    let id = |joined: &str| joined.split(' ').nth(1).unwrap().to_owned();
    let ann_id = id(&joined);
    assert_eq!(joined, format!("* {ann_id} joined"));
    let mut ben = Packed::open(address, "/chat", TAKEOVER);
    let joined = text(&mut ann);
    let ben_id = id(&joined);
    ben.hears(TEXT, joined.as_bytes());
    let mut old = Hixie::open(address, "/chat");
    let joined = text(&mut ann);
    ben.hears(TEXT, joined.as_bytes());
    assert_eq!(old.heard(), joined);

    ann.send(Message::text("grüße")).unwrap();
    let line = format!("{ann_id}: grüße");
    assert_eq!(text(&mut ann), line);
    ben.hears(TEXT, line.as_bytes());
    assert_eq!(old.heard(), line);

    // Bytes for those who can have them, a word of it for the one who can't.
    ann.send(Message::binary(vec![7; 5])).unwrap();
    assert_eq!(ann.read().unwrap(), Message::binary(vec![7; 5]));
    ben.hears(common::raw::BINARY, &[7; 5]);
    assert_eq!(old.heard(), format!("* {ann_id} sent 5 bytes"));

    ben.raw.close(1000, "");
    let line = format!("* {ben_id} left (1000)");
    assert_eq!(text(&mut ann), line);
    assert_eq!(old.heard(), line);
}

#[test]
fn subprotocol() {
    let mut example = Example::start("subprotocol", 1);
    let address = example.address("adding up at ws://", "/sum");
    let name = "Sec-WebSocket-Protocol";
    let offer = [(name, "unknown.example, lines.example, octets.example")];
    let (mut ws, answer) = ws::open_with(address, "/sum", &offer);
    assert_eq!(answer.headers()[name], "lines.example");
    for (question, expected) in [("1 20 300", "321"), ("", "0"), ("4294967295 1", "4294967296")] {
        ws.send(Message::text(question)).unwrap();
        assert_eq!(text(&mut ws), expected);
    }
    ws.send(Message::text("one")).unwrap();
    assert!(text(&mut ws).starts_with("not a number"));
    let (mut ws, answer) = ws::open_with(address, "/sum", &[(name, "octets.example")]);
    assert_eq!(answer.headers()[name], "octets.example");
    ws.send(Message::binary(vec![255, 255, 2])).unwrap();
    assert_eq!(ws.read().unwrap(), Message::binary(512_u64.to_be_bytes().to_vec()));
    ws.send(Message::text("1")).unwrap();
    assert_eq!(u16::from(ws::closed(&mut ws).unwrap().code), 1003);
    let mut raw = Raw::connect(address);
    raw.send(request("localhost", "/sum", "").as_bytes());
    let answer = raw.answer();
    assert_eq!(answer.status, 400);
    assert!(answer.body.contains("lines.example"), "{answer:?}");
}

#[test]
fn several_servers() {
    let mut example = Example::start("several_servers", 2);
    let public = example.address("public at ws://", "/echo");
    let admin = example.address("admin at ws://", "/admin");
    let mut clients: Vec<Ws> = (0..3).map(|_| ws::open(public, "/echo")).collect();
    for ws in &mut clients {
        ws.send(Message::text("hello")).unwrap();
        assert_eq!(text(ws), "hello");
    }
    let mut ws = ws::open(admin, "/admin");
    ws.send(Message::text("count")).unwrap();
    assert_eq!(text(&mut ws), "3");
    ws.send(Message::text("closing at noon")).unwrap();
    assert_eq!(text(&mut ws), "told 3");
    for ws in &mut clients {
        assert_eq!(text(ws), "closing at noon");
    }
    // What one serves the other does not.
    for (address, path) in [(public, "/admin"), (admin, "/echo")] {
        let mut raw = Raw::connect(address);
        raw.send(request("localhost", path, "").as_bytes());
        assert_eq!(raw.answer().status, 404);
    }
}

#[test]
fn listener() {
    let mut example = Example::start("listener", 1);
    let address = example.address("counting primes at ws://", "/primes");
    let mut ws = ws::open(address, "/primes");
    for (number, answer) in [("100", "25 primes"), ("no", "a number up to 100000, please")] {
        ws.send(Message::text(number)).unwrap();
        assert_eq!(text(&mut ws), answer);
    }
}
