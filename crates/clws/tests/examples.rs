//! Each example runs and does what it shows.

mod common;

use common::ws;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use tokio_tungstenite::tungstenite::Message;

/// A running example, ended with the test.
struct Example(Child);

impl Drop for Example {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
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

/// Starts an example with one argument; gives the first line it prints.
fn start(name: &str, argument: &str) -> (Example, String) {
    let mut child = Command::new(path(name)).arg(argument).stdout(Stdio::piped()).spawn().unwrap();
    let stdout = child.stdout.take().unwrap();
    let example = Example(child);
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).unwrap();
    (example, line.trim_end().to_owned())
}

#[test]
fn echo() {
    let (_example, line) = start("echo", "127.0.0.1:0");
    let rest = line.strip_prefix("echoing at ws://").unwrap();
    let address = rest.strip_suffix("/echo").unwrap().parse().unwrap();
    let mut ws = ws::open(address, "/echo");
    for message in [Message::text("hello"), Message::binary(vec![1, 2, 3])] {
        ws.send(message.clone()).unwrap();
        assert_eq!(ws.read().unwrap(), message);
    }
}

#[test]
fn listener() {
    let (_example, line) = start("listener", "127.0.0.1:0");
    let rest = line.strip_prefix("counting lines at ws://").unwrap();
    let address = rest.strip_suffix("/lines").unwrap().parse().unwrap();
    let mut ws = ws::open(address, "/lines");
    let path = file!();
    let path = format!("{}/tests/{}", env!("CARGO_MANIFEST_DIR"), path.rsplit('/').next().unwrap());
    let lines = include_str!("examples.rs").lines().count();
    for (path, answer) in [(&*path, format!("{lines} lines")), ("/no/such", String::new())] {
        ws.send(Message::text(path)).unwrap();
        let Message::Text(text) = ws.read().unwrap() else { panic!("a text") };
        assert!(text.starts_with(&format!("{path}: {answer}")), "{text}");
    }
}
