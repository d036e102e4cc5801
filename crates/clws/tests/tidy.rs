//! The shape of the sources, as a test: how long things may be, who may import whom, what must not
//! be left behind. The rules are the tables below; a breach is reported as file, line and rule.
//!
//! `tidy/source.rs` reads a source well enough for that. It is no compiler: paths that a macro puts
//! together or that a re-export hides are not seen.

#[path = "tidy/source.rs"]
mod source;

use source::Source;
use std::fs;
use std::path::Path;

const MAX_FILE_LINES: usize = 800;
const MAX_FUNCTION_LINES: usize = 70;
const MAX_COLUMNS: usize = 100;

/// What must not stand in code, and in comments.
const LEFT_IN_CODE: [&str; 3] = ["todo!", "unimplemented!", "dbg!"];
const LEFT_IN_COMMENTS: [&str; 3] = ["TODO", "FIXME", "XXX"];

/// Where the workspace's sources are.
const FOLDERS: [&str; 3] = ["crates", "rig", "xtask"];

/// Files that only tests compile, so that no import rule holds for them.
const TEST_SOURCES: [&str; 3] = ["/tests/", "_tests.rs", "/scripted/"];

/// Files under a folder that must not name certain paths, but for exceptions.
struct Imports {
    under: &'static str,
    except: &'static [&'static str],
    forbid: &'static [&'static str],
    why: &'static str,
}

const IMPORTS: [Imports; 11] = [
    Imports {
        under: "crates/clws-proto/src/",
        except: &[],
        forbid: &["clws", "mio", "socket2", "tokio", "tracing", "slab"],
        why: "clws-proto stands alone",
    },
    Imports {
        under: "crates/clws-proto/src/",
        except: &[],
        forbid: &["std::net", "std::fs", "std::io", "std::thread", "std::process", "std::env"],
        why: "clws-proto does no I/O",
    },
    Imports {
        under: "crates/clws-proto/src/",
        except: &[],
        forbid: &["Instant::now", "SystemTime"],
        why: "clws-proto is given the time",
    },
    Imports {
        under: "crates/clws/src/",
        except: &["crates/clws/src/engine/"],
        forbid: &["mio", "socket2", "net::TcpStream", "net::UnixStream", "net::UdpSocket"],
        why: "sockets are the engine's",
    },
    Imports {
        under: "crates/clws/src/",
        // A server holds the sockets that are bound before it starts.
        except: &["crates/clws/src/engine/", "crates/clws/src/server.rs"],
        forbid: &["net::TcpListener", "net::UnixListener"],
        why: "sockets are the engine's",
    },
    Imports {
        under: "crates/clws/src/session/",
        except: &[],
        forbid: &["crate::engine"],
        why: "a session knows no engine",
    },
    Imports {
        under: "crates/clws/src/budget/",
        except: &[],
        forbid: &[
            "crate::client",
            "crate::engine",
            "crate::hub",
            "crate::listener",
            "crate::session",
        ],
        why: "a budget counts bytes, whosever they are",
    },
    Imports {
        under: "crates/clws/src/",
        except: &["crates/clws/src/tls/"],
        forbid: &["rustls", "webpki", "rcgen"],
        why: "TLS has a room of its own",
    },
    Imports {
        under: "crates/clws/src/engine/",
        except: &[],
        forbid: &["crate::tls"],
        why: "an engine moves bytes, sealed or not",
    },
    Imports {
        under: "crates/clws/src/engine/",
        except: &[],
        forbid: &["crate::resource", "crate::routes", "crate::topics"],
        why: "an engine reaches resources through sessions",
    },
    Imports {
        under: "crates/clws-cli/",
        except: &[],
        forbid: &["clws_proto", "mio", "socket2"],
        why: "the program uses the library's public face",
    },
];

const PROTO: &str = "crates/clws-proto/src/";

/// The modules of `clws-proto`, the highest first: each may import its own row and those below.
const LAYERS: [&[&str]; 8] = [
    &["hixie76"],
    &["connection"],
    &["message"],
    &["pool"],
    &["deflate", "handshake"],
    &["frame", "close", "error"],
    &["closing", "mask", "proxy_protocol", "text", "utf8", "version"],
    &["copy"],
];

#[derive(Clone, Debug, PartialEq, Eq)]
struct Breach {
    file: String,
    line: usize,
    rule: String,
}

/// Reads `text` as the file at `path` and gives what is wrong with it.
fn check_source(path: &str, text: &str) -> Vec<Breach> {
    let source = Source::parse(text);
    let mut breaches = Vec::new();
    let mut report = |line: usize, rule: String| {
        let breach = Breach { file: path.to_owned(), line, rule };
        if !breaches.contains(&breach) {
            breaches.push(breach);
        }
    };
    check_sizes(text, &source, &mut report);
    check_leftovers(&source, &mut report);
    if !TEST_SOURCES.iter().any(|part| path.contains(part)) {
        check_imports(path, &source, &mut report);
        check_layers(path, &source, &mut report);
    }
    breaches
}

fn check_sizes(text: &str, source: &Source, report: &mut impl FnMut(usize, String)) {
    let count = text.lines().count();
    if count > MAX_FILE_LINES {
        report(count, format!("{count} lines; a file has at most {MAX_FILE_LINES}"));
    }
    for (index, line) in text.lines().enumerate() {
        let columns = line.chars().count();
        let names_a_page = line.trim_start().starts_with("//") && line.contains("://");
        if columns > MAX_COLUMNS && !names_a_page {
            report(index + 1, format!("{columns} columns; a line has at most {MAX_COLUMNS}"));
        }
    }
    for (line, length) in source.functions() {
        if length > MAX_FUNCTION_LINES {
            let rule = format!("{length} lines; a function has at most {MAX_FUNCTION_LINES}");
            report(line, rule);
        }
    }
}

fn check_leftovers(source: &Source, report: &mut impl FnMut(usize, String)) {
    for (words, text) in [(LEFT_IN_CODE, &source.code), (LEFT_IN_COMMENTS, &source.comments)] {
        for (index, line) in text.lines().enumerate() {
            for word in words.iter().filter(|word| source::has_word(line, word)) {
                report(index + 1, format!("{word} is left behind"));
            }
        }
    }
}

fn check_imports(path: &str, source: &Source, report: &mut impl FnMut(usize, String)) {
    let holds = |rule: &&Imports| {
        path.starts_with(rule.under) && !rule.except.iter().any(|except| path.starts_with(except))
    };
    for rule in IMPORTS.iter().filter(holds) {
        for (line, named) in source.paths(path) {
            for forbidden in rule.forbid.iter().filter(|one| source::names(&named, one)) {
                report(line, format!("{forbidden} is named; {}", rule.why));
            }
        }
    }
}

fn layer(module: &str) -> Option<usize> {
    LAYERS.iter().position(|layer| layer.contains(&module))
}

fn check_layers(path: &str, source: &Source, report: &mut impl FnMut(usize, String)) {
    let Some(inside) = path.strip_prefix(PROTO) else { return };
    let own = inside.split(['/', '.']).next().unwrap_or_default();
    if own == "lib" {
        return;
    }
    let Some(own_layer) = layer(own) else {
        return report(1, format!("{own} stands in no layer of clws-proto"));
    };
    for (line, named) in source.paths(path) {
        let [root, module, ..] = &*named else { continue };
        if root == "crate" && layer(module).is_some_and(|layer| layer < own_layer) {
            report(line, format!("{own} imports {module}, which stands above it"));
        }
    }
}

/// A package inherits the workspace's lints, which forbid `unsafe`.
fn check_manifest(path: &str, text: &str) -> Vec<Breach> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let section = |name: &str| {
        let from = lines.iter().position(|line| *line == name);
        from.map(|from| lines.iter().skip(from + 1).take_while(|line| !line.starts_with('[')))
    };
    let (name, line) = if lines.contains(&"[workspace]") {
        ("[workspace.lints.rust]", "unsafe_code = \"forbid\"")
    } else {
        ("[lints]", "workspace = true")
    };
    let fails = !section(name).is_some_and(|mut found| found.any(|one| *one == line));
    let rule = "unsafe code must be forbidden for every crate".to_owned();
    if fails { vec![Breach { file: path.to_owned(), line: 1, rule }] } else { Vec::new() }
}

/// Every source and manifest below `folder`, by its path from `root`.
fn files(root: &Path, folder: &Path, found: &mut Vec<(String, String)>) {
    let mut entries: Vec<_> =
        fs::read_dir(folder).unwrap().map(|one| one.unwrap().path()).collect();
    entries.sort();
    for path in entries {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "target" {
            files(root, &path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs") || name == "Cargo.toml" {
            let inside = path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/");
            found.push((inside, fs::read_to_string(&path).unwrap()));
        }
    }
}

#[test]
fn the_sources_are_tidy() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let manifest = fs::read_to_string(root.join("Cargo.toml")).unwrap();
    let mut found = vec![("Cargo.toml".to_owned(), manifest)];
    for folder in FOLDERS {
        files(&root, &root.join(folder), &mut found);
    }
    let roots = found.iter().filter(|(path, _)| path.ends_with("src/lib.rs")).count();
    assert!(roots >= 2 && found.len() > 20, "the sources were found");
    let breaches: Vec<String> = found
        .iter()
        .flat_map(|(path, text)| match path.strip_suffix("Cargo.toml") {
            Some(_) => check_manifest(path, text),
            None => check_source(path, text),
        })
        .map(|breach| format!("{}:{}: {}", breach.file, breach.line, breach.rule))
        .collect();
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

/// Each rule can fail: a made-up source, and the line and rule it breaks.
#[test]
fn every_rule_can_fail() {
    const FRAME: &str = "crates/clws-proto/src/frame.rs";
    const CLIENT: &str = "crates/clws/src/client.rs";
    const SESSION: &str = "crates/clws/src/session/live.rs";
    const WORKER: &str = "crates/clws/src/engine/worker.rs";
    let long_function = format!("fn a() {{\n{}}}\n", "    b();\n".repeat(69));
    for (path, text, line, rule) in [
        (FRAME, &*"//\n".repeat(801), 801, "801 lines"),
        (FRAME, &format!("\nconst A: u8 = {:>100};", 1), 2, "columns"),
        (FRAME, &format!("//{}\n\n{long_function}", "x".repeat(20)), 3, "71 lines; a function"),
        (FRAME, "fn a() {\n    todo!()\n}", 2, "todo!"),
        (FRAME, "fn a() { dbg!(1); }", 1, "dbg!"),
        (FRAME, "/* fine */\n// TODO: more", 2, "TODO"),
        (FRAME, "use clws::Client;", 1, "stands alone"),
        (FRAME, "use std::{\n    fmt,\n    net::TcpStream,\n};", 1, "no I/O"),
        (FRAME, "fn a() {\n    std::fs::read(\"x\");\n}", 2, "no I/O"),
        (FRAME, "fn a() { let now = Instant::now(); }", 1, "given the time"),
        (FRAME, "use crate::connection::Event;", 1, "frame imports connection"),
        (FRAME, "use super::message;", 1, "frame imports message"),
        ("crates/clws-proto/src/handshake/scan.rs", "use crate::connection::Config;", 1, "above"),
        ("crates/clws-proto/src/odd.rs", "", 1, "odd stands in no layer"),
        (CLIENT, "use mio::Poll;", 1, "the engine's"),
        (CLIENT, "use {\n    std::fmt,\n    socket2::Socket,\n};", 1, "the engine's"),
        (CLIENT, "fn a(b: std::net::TcpStream) {}", 1, "the engine's"),
        (CLIENT, "use std::net::{IpAddr, TcpListener as L};", 1, "the engine's"),
        (SESSION, "use crate::{client::Mail, engine::Worker};", 1, "no engine"),
        (SESSION, "fn a() { super::super::engine::run() }", 1, "no engine"),
        ("crates/clws/src/budget/ledger.rs", "use crate::session::Session;", 1, "whosever"),
        (SESSION, "use rustls::ServerConfig;", 1, "room of its own"),
        (WORKER, "use crate::tls::Keeper;", 1, "sealed or not"),
        (WORKER, "use crate::resource::Cause;", 1, "through sessions"),
        (WORKER, "fn a() -> crate::routes::Routes {}", 1, "through sessions"),
        ("crates/clws-cli/src/serve.rs", "use clws_proto::frame;", 1, "public face"),
    ] {
        let breaches = check_source(path, text);
        let [breach] = &*breaches else { panic!("{text:?}: {breaches:?}") };
        assert!(breach.rule.contains(rule), "{text:?}: {breach:?}");
        assert_eq!((&*breach.file, breach.line), (path, line), "{text:?}");
    }
}

#[test]
fn what_only_looks_like_a_breach() {
    const FRAME: &str = "crates/clws-proto/src/frame.rs";
    let long_link = format!("/// See <https://example.com/{}>", "x".repeat(100));
    let full_function = format!("fn a() {{\n{}}}\n", "    b();\n".repeat(68));
    for (path, text) in [
        (FRAME, &*"//\n".repeat(800)),
        (FRAME, &long_link),
        (FRAME, &full_function),
        (FRAME, "// use std::net::TcpStream; todo!()\nconst A: &str = \"use std::fs; TODO\";"),
        (FRAME, "const A: &str = r#\"\n\"use std::fs;\n\"#; const B: char = '\"';"),
        (FRAME, "#[cfg(test)]\nmod tests {\n    use super::*;\n    use std::io;\n}"),
        (FRAME, "#[cfg(test)]\nuse std::io;\nuse crate::mask;"),
        (FRAME, "use crate::error::ProtocolError;\nuse std::fmt;\nfn a<'a>(b: &'a str) {}"),
        ("crates/clws/src/server.rs", "use std::net::{SocketAddr, TcpListener};"),
        ("crates/clws/src/engine/mod.rs", "use mio::Waker;\nuse crate::hub::Hub;"),
        ("crates/clws/tests/echo.rs", "use std::net::TcpStream;\nuse socket2::Socket;"),
        ("crates/clws-cli/src/serve.rs", "use clws::Server;"),
    ] {
        assert_eq!(check_source(path, text), [], "{text:?}");
    }
}

#[test]
fn unsafe_code_must_be_forbidden() {
    let package = "[package]\nname = \"x\"\n\n[lints]\nworkspace = true\n";
    let root = "[workspace]\n\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n";
    for good in [package, root] {
        assert_eq!(check_manifest("Cargo.toml", good), []);
    }
    for bad in [
        "[package]\nname = \"x\"\n",
        "[lints]\n\n[other]\nworkspace = true\n",
        "[workspace]\n\n[workspace.lints.rust]\nunsafe_code = \"warn\"\n",
        "[workspace]\n",
    ] {
        assert_eq!(check_manifest("Cargo.toml", bad).len(), 1, "{bad:?}");
    }
}
