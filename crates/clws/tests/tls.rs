//! Servers over TLS: who is shown which certificate, who is let in, and files that change.

#![cfg(feature = "tls")]

#[path = "common/certs.rs"]
#[allow(dead_code, unreachable_pub, reason = "the library's own tests use it too")]
mod certs;
mod common;
#[path = "common/secure.rs"]
#[allow(unreachable_pub, reason = "as in the rest of common")]
mod secure;

use clws::{Accept, Cause, ClientCertificates, Limits, Origin, Pending, Resource, Server, Tls};
use common::raw::{self, CLOSE, FIN, Raw, TEXT, close_payload, frame};
use common::{Event, Events, Recorder, Running, echo, reset};
use rustls::HandshakeKind;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secure::{Authority, Folder, Pair, Secure, config};
use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// A server with an echo at `/echo`, by TLS.
struct Served {
    server: Running,
    address: SocketAddr,
    events: Events,
}

fn serve(tls: Tls) -> Served {
    let (recorder, events) = Recorder::new(echo);
    let server = Server::builder().workers(2).hixie76(true).limits(Limits::default());
    let server = server.resource("/echo", Origin::any(), recorder);
    let server = Running::start(server.bind_tls("127.0.0.1:0", tls).expect("a free port"));
    let address = server.handle.tls_addresses().next().expect("it listens");
    Served { server, address, events }
}

fn der(pair: &Pair) -> Vec<u8> {
    CertificateDer::from_pem_slice(pair.certificate.as_bytes()).expect("a certificate").to_vec()
}

fn files(folder: &Folder, authority: &Authority, names: &[&str]) -> Tls {
    let (certificate, key) = authority.server(names).write(folder, names[0]);
    Tls::from_files(certificate, key).expect("good files")
}

#[test]
fn plain_and_tls_listeners_stand_side_by_side() {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let served = serve(files(&folder, &authority, &["localhost", "127.0.0.1"]));
    let addresses = served.server.handle.local_addresses();
    assert_eq!(addresses.len(), 2);
    assert_eq!(served.server.handle.tls_addresses().collect::<Vec<_>>(), [served.address]);
    let plain = addresses.iter().find(|one| **one != served.address).expect("two of them");
    let mut raw = Raw::open(*plain, "/echo");
    raw.text("plain");
    assert_eq!(raw.frame().text(), "plain");
    assert_eq!(served.events.connected().tls(), None);
    served.events.text();

    let mut client = config(&authority, None);
    let mut opened = Vec::new();
    for (name, alpn) in [("localhost", None), ("127.0.0.1", Some("http/1.1"))] {
        client.alpn_protocols = alpn.iter().map(|name: &&str| name.as_bytes().to_vec()).collect();
        let client = Arc::new(client.clone());
        let mut secure = Secure::open(served.address, &client, name, "/echo").unwrap();
        let connected = served.events.connected();
        let tls = connected.tls().expect("it came by TLS");
        let asked = (name == "localhost").then_some(name);
        assert_eq!((tls.version(), tls.server_name(), tls.alpn()), ("TLS 1.3", asked, alpn));
        assert_eq!((tls.peer_certificates().len(), tls.peer_subject()), (0, None));
        secure.echo(b"hello").unwrap();
        assert!(matches!(served.events.next(), Event::Binary(_, bytes) if bytes == b"hello"));
        opened.push(secure);
    }
}

#[test]
fn another_protocol_is_refused() {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let served = serve(files(&folder, &authority, &["localhost"]));
    let mut client = config(&authority, None);
    client.alpn_protocols = vec![b"h2".to_vec()];
    let opened = Secure::open(served.address, &Arc::new(client), "localhost", "/echo");
    let told = opened.err().expect("a refusal").to_string();
    assert!(told.contains("NoApplicationProtocol"), "{told}");
}

#[test]
fn the_certificate_is_chosen_by_name() {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let pairs = [&["first.example", "127.0.0.1"][..], &["second.example", "*.wild.example"]]
        .map(|names| authority.server(names));
    let [first, second] = ["first", "second"].map(|name| (name, folder.path(name)));
    let mut written = pairs.iter().zip([first.0, second.0]).map(|(pair, n)| pair.write(&folder, n));
    let (certificate, key) = written.next().unwrap();
    let tls = Tls::from_files(certificate, key).unwrap();
    let (certificate, key) = written.next().unwrap();
    let served = serve(tls.add_certificate(certificate, key).unwrap());
    let client = Arc::new(config(&authority, None));
    for (name, expected) in [
        ("first.example", &pairs[0]),
        ("second.example", &pairs[1]),
        ("SECOND.example", &pairs[1]),
        ("a.wild.example", &pairs[1]),
        ("127.0.0.1", &pairs[0]),
    ] {
        let secure = Secure::open(served.address, &client, name, "/echo").unwrap();
        assert_eq!(secure.server_certificate(), der(expected), "{name}");
    }
    // A name nobody has gets the first, which the client does not take.
    assert!(Secure::open(served.address, &client, "third.example", "/echo").is_err());
}

#[test]
fn sessions_are_resumed_also_after_a_reload() {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let served = serve(files(&folder, &authority, &["localhost"]));
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let client = Arc::new(secure::config_of(&[version], &authority, None));
        for round in 0..4 {
            let mut secure = Secure::open(served.address, &client, "localhost", "/echo").unwrap();
            secure.echo(b"x").unwrap();
            let kind = secure.0.conn.handshake_kind().unwrap();
            assert_eq!(kind == HandshakeKind::Resumed, round > 0, "{version:?} {round}: {kind:?}");
            let connected = served.events.connected();
            assert_eq!(connected.tls().unwrap().server_name(), Some("localhost"));
            served.events.next();
            served.server.handle.reload_tls().unwrap();
            drop(secure);
            served.events.skip_to_disconnected();
        }
    }
}

#[test]
fn clients_may_have_to_prove_who_they_are() {
    let folder = Folder::new();
    let (authority, other) = (Authority::new("A"), Authority::new("B"));
    let trusted = folder.write("authorities.pem", &other.pem());
    let (alice, mallory) = (other.client("alice"), authority.client("mallory"));
    for needed in [ClientCertificates::Required, ClientCertificates::Optional] {
        let tls = files(&folder, &authority, &["localhost"]);
        let served = serve(tls.client_certificates(&trusted, needed).unwrap());
        let open = |own: Option<&Pair>| {
            let client = Arc::new(config(&authority, own));
            let mut secure = Secure::open(served.address, &client, "localhost", "/echo")?;
            secure.echo(b"x").map(|()| (secure, client))
        };
        let (secure, client) = open(Some(&alice)).unwrap();
        let connected = served.events.connected();
        let tls = connected.request().tls().unwrap();
        assert_eq!(tls.peer_certificates().collect::<Vec<_>>(), [der(&alice)]);
        assert_eq!(tls.peer_subject().unwrap(), "CN=alice,O=Example");
        drop(secure);
        served.events.skip_to_disconnected();
        // Resumed, the client is still alice.
        Secure::open(served.address, &client, "localhost", "/echo").unwrap();
        let connected = served.events.connected();
        assert_eq!(connected.tls().unwrap().peer_subject().unwrap(), "CN=alice,O=Example");
        served.events.skip_to_disconnected();

        assert!(open(Some(&mallory)).is_err());
        let nobody = open(None);
        assert_eq!(nobody.is_ok(), needed == ClientCertificates::Optional);
        if nobody.is_ok() {
            assert_eq!(served.events.connected().tls().unwrap().peer_subject(), None);
        }
        assert_eq!(served.events.so_far().len() % 2, usize::from(nobody.is_ok()));
    }
}

/// One line that says what is wrong and with which file.
#[track_caller]
fn says(result: clws::Result<Tls>, words: &[&str]) {
    let message = result.expect_err("it is wrong").to_string();
    assert!(words.iter().all(|word| message.contains(word)), "{message}");
    assert_eq!(message.lines().count(), 1, "{message}");
}

#[test]
fn what_is_wrong_with_files_is_said_in_one_line() {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let (certificate, key) = authority.server(&["a"]).write(&folder, "good");
    let (_, foreign) = authority.server(&["a"]).write(&folder, "foreign");
    let empty = folder.write("empty.pem", "");
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAA==\n-----END ENCRYPTED PRIVATE KEY-----";
    let older = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: X\n\nAA==\n";
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let broken = folder.write("broken.pem", broken);
    let missing = folder.path("missing.pem");
    says(Tls::from_files(&missing, &key), &["cannot read", "missing.pem", "No such file"]);
    says(Tls::from_files(&certificate, &missing), &["cannot read", "missing.pem"]);
    says(Tls::from_files(&empty, &key), &["empty.pem holds no certificate"]);
    says(Tls::from_files(&key, &key), &["good.key holds no certificate"]);
    says(Tls::from_files(&certificate, &certificate), &["good.pem holds no private key"]);
    says(Tls::from_files(&broken, &key), &["broken.pem"]);
    says(Tls::from_files(&certificate, &foreign), &["foreign.key does not belong to", "good.pem"]);
    for text in [encrypted, older] {
        let file = folder.write("locked.key", text);
        says(Tls::from_files(&certificate, file), &["locked.key is encrypted"]);
    }
    let good = || Tls::from_files(&certificate, &key).unwrap();
    assert!(good().add_certificate(&certificate, &key).is_ok());
    says(good().add_certificate(&missing, &key), &["missing.pem"]);
    let optional = ClientCertificates::Optional;
    says(good().client_certificates(&missing, optional), &["missing.pem"]);
    says(good().client_certificates(&empty, optional), &["empty.pem holds no certificate"]);
    says(good().client_certificates(&broken, optional), &["broken.pem"]);
}

/// Certificates change a thousand times, every third time for bad ones, while clients come and go
/// as fast as they can.
#[test]
fn no_handshake_fails_while_files_are_read_again() {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let pairs = [authority.server(&["localhost"]), authority.server(&["localhost"])];
    let (certificate, key) = pairs[0].write(&folder, "served");
    let served = serve(Tls::from_files(&certificate, &key).unwrap());
    let client = Arc::new(config(&authority, None));
    let mut early = Secure::open(served.address, &client, "localhost", "/echo").unwrap();
    let (done, shaken) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    // Each a whole handshake, by a client that was never here.
                    let client = Arc::new(config(&authority, None));
                    let opened = Secure::open(served.address, &client, "localhost", "/echo");
                    let mut secure = opened.expect("a handshake");
                    secure.echo(b"x").expect("an echo");
                    shaken.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        for round in 0..1000 {
            match round % 3 {
                2 => {
                    folder.write("served.key", "no key at all");
                    let error = served.server.handle.reload_tls().expect_err("a bad file");
                    assert!(error.to_string().contains("served.key holds no private key"));
                }
                which => {
                    pairs[which].write(&folder, "served");
                    served.server.handle.reload_tls().expect("good files");
                }
            }
        }
        done.store(true, Ordering::Release);
    });
    assert!(shaken.into_inner() > 0);
    early.echo(b"still here").unwrap();
    assert_eq!(served.server.handle.metrics().tls_errors, 0);
}

#[test]
fn a_bad_file_changes_nothing_and_a_good_one_is_for_new_clients() {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let [old, new] = [(); 2].map(|()| authority.server(&["localhost"]));
    let (certificate, key) = old.write(&folder, "served");
    let served = serve(Tls::from_files(&certificate, &key).unwrap());
    let shown = || {
        let client = Arc::new(config(&authority, None));
        let secure = Secure::open(served.address, &client, "localhost", "/echo").unwrap();
        secure.server_certificate()
    };
    // Half of the new pair: the key does not belong to it.
    folder.write("served.pem", &new.certificate);
    assert!(served.server.handle.reload_tls().is_err());
    assert_eq!(shown(), der(&old));
    folder.write("served.key", &new.key);
    served.server.handle.reload_tls().unwrap();
    assert_eq!(shown(), der(&new));
}

#[test]
fn files_that_were_written_are_read_without_being_told() {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let [old, new] = [&["localhost"][..], &["localhost", "another.name.example"]]
        .map(|names| authority.server(names));
    let (certificate, key) = old.write(&folder, "served");
    let served = serve(Tls::from_files(&certificate, &key).unwrap());
    new.write(&folder, "served");
    let started = std::time::Instant::now();
    loop {
        // A client that resumed its session would not look at the certificate.
        let client = Arc::new(config(&authority, None));
        let secure = Secure::open(served.address, &client, "localhost", "/echo").unwrap();
        if secure.server_certificate() == der(&new) {
            break;
        }
        assert!(started.elapsed() < raw::PATIENCE, "it still shows the old one");
    }
}

/// What reached the resource of a client that ended amid a message.
#[track_caller]
fn cut_short(served: &Served) {
    let (client, closed) = served.events.skip_to_disconnected();
    assert_eq!((closed.code, closed.cause, closed.clean), (1006, Cause::Lost, false));
    assert!(!client.is_open());
    assert_eq!(served.events.so_far().len(), 0);
}

#[test]
fn a_stream_may_end_amid_a_record() {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let served = serve(files(&folder, &authority, &["localhost"]));
    let client = Arc::new(config(&authority, None));
    for end in [0, 1, 4, 5, 6, 500] {
        for with_reset in [false, true] {
            let Secure(opened) =
                Secure::open(served.address, &client, "localhost", "/echo").unwrap();
            served.events.connected();
            let (mut tls, mut stream) = opened.into_parts();
            tls.writer().write_all(&frame(FIN | TEXT, &[b'x'; 2000])).unwrap();
            let mut record = Vec::new();
            while tls.wants_write() {
                tls.write_tls(&mut record).unwrap();
            }
            stream.write_all(&record[..end]).unwrap();
            if with_reset {
                reset(stream);
            } else {
                drop(stream);
            }
            cut_short(&served);
        }
    }
}

#[test]
fn a_close_of_the_client_is_answered_and_ends_in_order() {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let served = serve(files(&folder, &authority, &["localhost"]));
    let client = Arc::new(config(&authority, None));
    let mut secure = Secure::open(served.address, &client, "localhost", "/echo").unwrap();
    secure.0.write_all(&frame(FIN | CLOSE, &close_payload(1000, "done"))).unwrap();
    let mut rest = Vec::new();
    // An end without close_notify would be an error here.
    secure.0.read_to_end(&mut rest).unwrap();
    assert_eq!(rest, [0x88, 2, 3, 0xe8]);
    let (_, closed) = served.events.skip_to_disconnected();
    assert_eq!((closed.code, closed.cause, closed.clean), (1000, Cause::Peer, true));
}

/// Decides about every handshake elsewhere.
struct Late(Mutex<Vec<Pending>>);

impl Resource for Late {
    fn accept_later(&self, pending: Pending) -> Option<Pending> {
        self.0.lock().unwrap().push(pending);
        None
    }

    fn text(&self, client: &clws::Client, message: &str) {
        client.send_text(message);
    }
}

#[test]
fn frames_behind_a_request_wait_for_the_decision() {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let late = Late(Mutex::default());
    let server = Server::builder().resource("/late", Origin::any(), late);
    let tls = files(&folder, &authority, &["localhost"]);
    let server = Running::start(server.bind_tls("127.0.0.1:0", tls).unwrap());
    let address = server.handle.tls_addresses().next().unwrap();
    let client = Arc::new(config(&authority, None));
    let mut secure = Secure::connect(address, &client, "localhost");
    secure.0.write_all(raw::request("localhost", "/late", "").as_bytes()).unwrap();
    // Records of their own.
    for text in [b"1", b"2", b"3"] {
        secure.0.write_all(&frame(FIN | TEXT, text)).unwrap();
    }
    let late = server.handle.find::<Late>("/late").unwrap();
    let pending = loop {
        if let Some(pending) = late.0.lock().unwrap().pop() {
            break pending;
        }
        thread::yield_now();
    };
    assert_eq!(pending.request().tls().unwrap().server_name(), Some("localhost"));
    pending.decide(Ok(Accept::default()));
    assert!(secure.head().unwrap().starts_with("HTTP/1.1 101 "));
    let mut answers = [0; 9];
    secure.0.read_exact(&mut answers).unwrap();
    assert_eq!(&answers, b"\x81\x011\x81\x012\x81\x013");
}

#[test]
fn draft_76_is_told_a_secure_location() {
    let (folder, authority) = (Folder::new(), Authority::new("A"));
    let served = serve(files(&folder, &authority, &["localhost"]));
    let client = Arc::new(config(&authority, None));
    let mut secure = Secure::connect(served.address, &client, "localhost");
    let request = "GET /echo HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\nUpgrade: WebSocket\r\n\
        Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\nOrigin: https://localhost\r\n\r\n^n:ds[4U";
    secure.0.write_all(request.as_bytes()).unwrap();
    let head = secure.head().unwrap();
    assert!(head.contains("\r\nSec-WebSocket-Location: wss://localhost/echo\r\n"), "{head}");
}
