//! What the log hears: under attack nothing above `debug`, of the program's own faults `error`, of
//! secrets nothing; and docs/logging.md names every event.

mod common;

use clws::{Limits, Origin};
use common::raw::{End, FIN, Raw, TEXT, request};
use common::{Heard, await_that};
use std::fmt::{Debug, Write};
use std::fs;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

/// One event: its level, its target, and everything it says.
type Entry = (Level, &'static str, String);

static LOG: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

struct Keeper;

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        write!(self.0, "{field}={value:?} ").expect("memory");
    }
}

impl Subscriber for Keeper {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("clws")
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(String::new());
        event.record(&mut text);
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        LOG.lock().unwrap_or_else(PoisonError::into_inner).push((level, target, text.0));
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

fn take() -> Vec<Entry> {
    std::mem::take(&mut *LOG.lock().unwrap_or_else(PoisonError::into_inner))
}

/// Says what would end a line or colour a terminal, wherever a peer can say something: three
/// handshakes that are refused, and a close.
fn write_into_the_log(server: &common::Running) {
    let headers = "Origin: http://\u{1b}[31mhush\r\nSec-WebSocket-Protocol: \u{1b}[31mhush\r\n";
    for path in ["/nothing", "/%0d%0a%1b[31mhush", "/\u{1b}[31mhush"] {
        let mut raw = Raw::connect(server.address);
        raw.send(request("localhost", path, headers).as_bytes());
        assert!(raw.answer().status >= 400, "{path}");
    }
    let mut raw = server.raw("/");
    raw.close(3000, "hush\r\n\u{1b}[31mhush");
    raw.closed();
}

/// Peers can make the log longer only where whoever runs the server asked for that.
#[test]
fn attacks_are_logged_at_debug_and_faults_at_error() {
    const ROUNDS: usize = 100;
    tracing::subscriber::set_global_default(Keeper).expect("no other");
    let (server, _events) = common::recording(Limits::default(), |_, heard| {
        assert!(!matches!(heard, Heard::Text("panic")), "a callback that panics on purpose");
    });
    let nobody = Origin::exact(["https://nobody.example"]);
    server.handle.register("/closed", nobody, common::Recorder::new(common::listen).0).unwrap();
    for _ in 0..ROUNDS {
        let secret = "Cookie: session=hush\r\nAuthorization: hush\r\nOrigin: http://hush\r\n";
        for path in ["/closed?token=hush", "/nothing?token=hush"] {
            let mut raw = Raw::connect(server.address);
            raw.send(request("localhost", path, secret).as_bytes());
            assert!(raw.answer().status >= 400);
        }
        let mut raw = Raw::connect(server.address);
        raw.send(b"\x16\x03\x01hush\r\n\r\n");
        assert_eq!(raw.answer().status, 400);
        let mut raw = Raw::connect(server.address);
        raw.upgrade("/?token=hush", secret);
        raw.send_frame(FIN | 0x70 | TEXT, b"hush");
        raw.closed();
        common::reset(server.raw("/").stream);
        write_into_the_log(&server);
    }
    await_that("all have left", || server.handle.client_count() == 0);
    let attacks = take();
    let loud: Vec<_> = attacks.iter().filter(|(level, ..)| *level < Level::DEBUG).collect();
    assert!(loud.is_empty(), "{loud:?}");
    let count = |what: &str| attacks.iter().filter(|(.., text)| text.contains(what)).count();
    assert_eq!(count("message=handshake refused"), 6 * ROUNDS);
    assert_eq!(count("message=the peer broke the protocol"), ROUNDS);
    assert_eq!(count("hush"), 0, "no secret is told");
    let forged = attacks.iter().find(|(.., text)| text.contains(char::is_control));
    assert_eq!(forged, None, "no line is ended and no colour is set");

    let mut raw = server.raw("/");
    raw.text("panic");
    assert_eq!(raw.frame().close().0, 1011);
    raw.close(1011, "");
    assert_eq!(raw.end(), End::Fin);
    let faults = take();
    let errors: Vec<_> = faults.iter().filter(|(level, ..)| *level == Level::ERROR).collect();
    assert_eq!(errors.len(), 1, "{faults:?}");
    assert!(errors[0].2.contains("a callback panicked"), "{errors:?}");
}

/// The events in the sources of the library: level and message.
fn events_in(folder: &Path, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).expect("sources") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            events_in(&path, found);
            continue;
        }
        let source = fs::read_to_string(&path).expect("a source");
        let (code, _) = source.split_once("#[cfg(test)]").unwrap_or((&source, ""));
        for call in code.split("tracing::").skip(1) {
            let Some((level, rest)) = call.split_once("!(") else { continue };
            let arguments = rest.split(");").next().unwrap_or_default();
            let message = arguments.rsplit('"').nth(1).expect("a message");
            found.push((level.to_owned(), message.to_owned()));
        }
    }
}

/// A row for each event, and an event for each row.
#[test]
fn the_page_about_logs_names_every_event() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut events = Vec::new();
    events_in(&root.join("src"), &mut events);
    let page = fs::read_to_string(root.join("../../docs/logging.md")).expect("the page");
    let mut rows: Vec<(String, String)> = page
        .lines()
        .filter(|line| line.starts_with("| `"))
        .map(|line| {
            let cells: Vec<_> = line.split('|').map(str::trim).collect();
            (cells[1].trim_matches('`').to_owned(), cells[2].to_owned())
        })
        .collect();
    for list in [&mut events, &mut rows] {
        list.sort();
        list.dedup();
    }
    assert_eq!(rows, events, "the rows of docs/logging.md and the events in src");
}
