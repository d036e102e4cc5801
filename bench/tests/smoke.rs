//! Runs the program briefly: every peer must answer every scenario correctly, byte for byte. The
//! numbers of so short a run mean nothing and are not looked at.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};

fn bench(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clws-bench"));
    command.args(arguments).args(["--clws", "/nonexistent/clws"]);
    command.output().expect("the program starts")
}

#[test]
fn every_peer_answers_every_scenario() {
    let file = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("echo.json");
    let json = file.to_str().expect("a plain path");
    let short = ["--rounds", "1", "--seconds", "0.05", "--warm-up", "0.01", "--json", json];
    let output = bench(&short);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(String::from_utf8_lossy(&output.stderr).contains("clws is left out"));
    let text = fs::read_to_string(&file).expect("the results");
    let results: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    let scenarios = results.as_array().expect("a list");
    assert_eq!(scenarios.len(), 4);
    for scenario in scenarios {
        let servers = scenario["servers"].as_array().expect("a list");
        assert_eq!(servers.len(), 4);
        assert!(servers.iter().all(|server| server["ratio"].as_f64() > Some(0.0)), "{scenario}");
    }
}

#[test]
fn the_yardstick_answers_over_tls() {
    let short = ["tls", "--rounds", "1", "--seconds", "0.05", "--warm-up", "0.01"];
    let output = bench(&short);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(text.lines().filter(|line| line.starts_with("bare")).count(), 2, "{text}");
}

#[test]
fn compressed_documents_come_back() {
    // `ws` is there only where npm installed it.
    let short = ["--rounds", "1", "--seconds", "0.05", "--warm-up", "0.01"];
    let servers = ["deflate", "--servers", "clws,sockudo-ws,yawc"];
    let output = bench(&[servers.as_slice(), &short].concat());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout);
    for server in ["clws", "sockudo-ws", "yawc"] {
        assert_eq!(text.lines().filter(|line| line.starts_with(server)).count(), 4, "{text}");
    }
}

#[test]
fn a_check_without_clws_fails() {
    let only_bare = ["--servers", "bare,clws", "--scenarios", "small"];
    let short = ["--rounds", "1", "--seconds", "0.02", "--warm-up", "0.01", "--check"];
    let output = bench(&[only_bare.as_slice(), &short].concat());
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn idle_measures_every_peer() {
    let output = bench(&["idle", "--clients", "50", "--message", "100"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for kind in [["--tls"].as_slice(), &["--deflate"], &["--deflate", "--takeover"]] {
        let few = ["idle", "--clients", "20", "--message", "2048"];
        let output = bench(&[few.as_slice(), kind].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    for peer in ["bare", "tokio-websockets", "fastwebsockets", "tokio-tungstenite"] {
        assert!(text.lines().any(|line| line.starts_with(peer)), "{text}");
    }
}
