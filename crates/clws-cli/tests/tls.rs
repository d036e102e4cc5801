//! `clws serve` over TLS: its flags, what it says when they are wrong, SIGHUP.

#[path = "../../clws/tests/common/certs.rs"]
#[allow(dead_code, unreachable_pub, reason = "the library's tests use it too, and more of it")]
mod certs;
#[path = "../../clws/tests/common/raw.rs"]
#[allow(dead_code, unreachable_pub, reason = "the library's tests use it too, and more of it")]
mod raw;
#[path = "../../clws/tests/common/secure.rs"]
#[allow(dead_code, unreachable_pub, reason = "the library's tests use it too, and more of it")]
mod secure;
mod serving;

use secure::{Authority, Folder, Pair, Secure, config};
use serving::{Serving, clws};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Instant;

/// Files with a certificate for this machine, and who vouches for it.
fn files() -> (Folder, Authority, String, String) {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let (certificate, key) = authority.server(&["localhost"]).write(&folder, "served");
    let [certificate, key] = [certificate, key].map(|path| name(&path));
    (folder, authority, certificate, key)
}

fn name(path: &Path) -> String {
    path.to_str().expect("UTF-8").to_owned()
}

/// Starts it with one plain and one TLS listener.
fn start(arguments: &[&str]) -> Serving {
    let own = ["serve", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"];
    Serving::start_on(2, &[&own, arguments].concat())
}

fn open(serving: &Serving, authority: &Authority, own: Option<&Pair>) -> std::io::Result<Secure> {
    let client = Arc::new(config(authority, own));
    let mut secure = Secure::open(serving.secure[0], &client, "localhost", "/echo")?;
    secure.echo(b"hello").map(|()| secure)
}

#[test]
fn the_page_and_the_echo_are_served_by_tls_too() {
    let (_folder, authority, certificate, key) = files();
    let serving = start(&["--tls-cert", &certificate, "--tls-key", &key]);
    let mut raw = serving.raw("/echo");
    raw.text("plain");
    assert_eq!(raw.frame().text(), "plain");
    open(&serving, &authority, None).unwrap();

    let client = Arc::new(config(&authority, None));
    let mut secure = Secure::connect(serving.secure[0], &client, "localhost");
    secure.0.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut page = String::new();
    // An end without close_notify would be an error here.
    secure.0.read_to_string(&mut page).unwrap();
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("wss:"), "{page}");

    // Its own page may connect, by the name it was asked for.
    let mut secure = Secure::connect(serving.secure[0], &client, "localhost");
    let own = format!("localhost:{}", serving.secure[0].port());
    let origin = format!("Origin: https://{own}\r\n");
    secure.0.write_all(raw::request(&own, "/echo", &origin).as_bytes()).unwrap();
    assert!(secure.head().unwrap().starts_with("HTTP/1.1 101 "));
}

#[test]
fn a_made_up_certificate_comes_with_a_warning() {
    let serving = start(&["--tls-self-signed"]);
    let warning = serving.errors.recv_timeout(raw::PATIENCE).unwrap();
    assert!(warning.contains("WARN") && warning.contains("nobody vouches for it"), "{warning}");
    assert!(open(&serving, &Authority::new("A"), None).is_err());
}

#[test]
fn clients_can_be_asked_for_certificates() {
    let (folder, authority, certificate, key) = files();
    let (other, needed) = (Authority::new("B"), folder.path("clients.pem"));
    folder.write("clients.pem", &other.pem());
    let needed = ["--tls-client-ca", &name(&needed)];
    let serving = start(&[&["--tls-cert", &certificate, "--tls-key", &key], &needed[..]].concat());
    open(&serving, &authority, Some(&other.client("alice"))).unwrap();
    assert!(open(&serving, &authority, None).is_err());
    assert!(open(&serving, &authority, Some(&authority.client("mallory"))).is_err());
}

#[test]
fn a_hangup_reads_certificates_again_and_stops_nothing() {
    let (folder, authority, certificate, key) = files();
    let serving = start(&["--tls-cert", &certificate, "--tls-key", &key]);
    let mut early = open(&serving, &authority, None).unwrap();
    let shown = early.server_certificate();
    let told = |word: &str| {
        serving.signal("HUP");
        // The same may be said twice: the files' times are watched too.
        while !serving.errors.recv_timeout(raw::PATIENCE).expect("a line").contains(word) {}
    };
    folder.write("served.key", "no key");
    told("served.key holds no private key");
    assert_eq!(open(&serving, &authority, None).unwrap().server_certificate(), shown);
    authority.server(&["localhost"]).write(&folder, "served");
    told("certificates read again");
    assert_ne!(open(&serving, &authority, None).unwrap().server_certificate(), shown);
    early.echo(b"still here").unwrap();
    serving.signal("TERM");
    let mut head = [0; 4];
    early.0.read_exact(&mut head).unwrap();
    assert_eq!((head[0], &head[2..]), (0x88, &1001_u16.to_be_bytes()[..]));
    drop(early);
    assert_eq!(serving.wait().code(), Some(0));
}

/// However many listeners show them: files are read once for a signal, and told of once.
#[test]
fn listeners_with_the_same_certificates_share_them() {
    let (folder, authority, certificate, key) = files();
    let files = ["--tls-cert", &certificate, "--tls-key", &key];
    let arguments = [&files[..], &["--tls-listen", "127.0.0.1:0"].repeat(2)].concat();
    let own = ["serve", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0"];
    let serving = Serving::start_on(4, &[&own[..], &arguments].concat());
    let mut lines = Vec::new();
    for _ in 0..3 {
        serving.signal("HUP");
        while lines.pop_if(|line: &mut String| line.contains("read again")).is_none() {
            lines.push(serving.errors.recv_timeout(raw::PATIENCE).expect("a line"));
        }
    }
    authority.server(&["localhost", "new.example"]).write(&folder, "served");
    let shows_new = |address: &SocketAddr| {
        // A client that resumed its session would not look at the certificate.
        let client = Arc::new(config(&authority, None));
        Secure::open(*address, &client, "new.example", "/echo").is_ok()
    };
    let started = Instant::now();
    while !serving.secure.iter().all(shows_new) {
        assert!(started.elapsed() < raw::PATIENCE, "it still shows the old one");
    }
    serving.signal("TERM");
    lines.extend(serving.errors.iter());
    let again = lines.iter().filter(|line| line.contains("read again")).count();
    assert_eq!(again, 1, "{lines:#?}");
    assert_eq!(serving.wait().code(), Some(0));
}

#[test]
fn without_certificate_files_a_hangup_stops_it() {
    let serving = Serving::start(&[]);
    serving.signal("HUP");
    assert_eq!(serving.wait().code(), Some(0));
}

/// One line for a person on stderr, and the exit code.
#[track_caller]
fn fails(arguments: &[&str], code: i32, mentions: &str) {
    let own = ["serve", "--listen", "127.0.0.1:0"];
    let output = clws().args([&own, arguments].concat()).stdin(Stdio::null()).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!((output.status.code(), error.lines().count()), (Some(code), 1), "{error}");
    assert!(error.starts_with("clws: ") && error.contains(mentions), "{error}");
}

#[test]
fn what_does_not_fit_together_is_said_in_one_line() {
    let (folder, _, certificate, key) = files();
    let missing = name(&folder.path("missing"));
    let pair = ["--tls-cert", &certificate, "--tls-key", &key];
    fails(&pair[..2], 2, "--tls-key");
    fails(&pair[2..], 2, "--tls-cert");
    fails(&["--tls-listen", "127.0.0.1:0"], 2, "--tls-cert");
    fails(&["--tls-client-ca", &missing], 2, "--tls-cert");
    fails(&[&pair, &["--tls-self-signed"][..]].concat(), 2, "--tls-self-signed");
    fails(&[&pair, &pair[..2]].concat(), 1, "as many --tls-key as --tls-cert");
    fails(&["--tls-cert", &certificate, "--tls-key", &certificate], 1, "holds no private key");
    fails(&["--tls-cert", &missing, "--tls-key", &key], 1, "cannot read");
    fails(&[&pair, &["--tls-client-ca", &key][..]].concat(), 1, "holds no certificate");
    fails(&[&pair, &["--tls-listen", "nonsense"][..]].concat(), 1, "nonsense");
}
