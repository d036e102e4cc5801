//! The handle that user code holds: what it knows, sends from any thread and to any worker, and
//! what it does once the client is gone.

mod common;

use clws::{Accept, Client, CloseCode, Dropped, Limits, Origin, Outcome, Reject};
use clws::{Request, Resource, Server};
use common::raw::{BINARY, FIN, PONG, Raw, TEXT, frame};
use common::{Event, Heard, Recorder, Running, await_that, echo, listen, ws};
use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::thread;
use tokio_tungstenite::tungstenite::Message;

#[test]
fn a_client_tells_what_it_asked_for() {
    let (recorder, events) = Recorder::new(listen);
    let server = Running::start(Server::builder().resource("/room/*", Origin::any(), recorder));
    let headers = [("Origin", "http://page.example"), ("X-Own", "value")];
    let (ws, _) = ws::open_with(server.address, "/room/7?who=me", &headers);
    let client = events.connected();
    let local = ws.get_ref().local_addr().unwrap();
    assert_eq!((client.host(), client.port()), (Some(local.ip()), Some(local.port())));
    assert_eq!((client.resource_name(), client.query_string()), ("/room/7", Some("who=me")));
    assert_eq!((client.version(), client.subprotocol()), (13, None));
    let request = client.request();
    assert_eq!(request.header("x-own"), Some("value"));
    assert_eq!(request.origin(), Some("http://page.example"));
    assert_eq!(request.requested_host(), Some(&*server.address.to_string()));
    assert_eq!((request.method(), request.path()), ("GET", "/room/7"));
    assert!(client.headers().any(|(name, _)| name.eq_ignore_ascii_case("x-own")));
    assert!(client.is_open());
    assert_eq!(client.queued_bytes(), 0);
    assert_eq!(server.handle.clients(), [client]);
}

/// Queries and header values may be secrets, so printing a client shows none.
#[test]
fn printing_a_client_tells_no_secret() {
    let (server, events) = common::recording(Limits::default(), listen);
    let mut raw = Raw::connect(server.address);
    raw.upgrade("/?token=hush", "Cookie: session=hush\r\nOrigin: http://hush\r\n");
    let client = events.connected();
    let printed = format!("{client:?} {:?} {:?}", client.request(), server.handle);
    assert!(!printed.contains("hush"), "{printed}");
}

#[test]
#[allow(clippy::mutable_key_type, reason = "a client's number, its key, never changes")]
fn numbers_are_not_used_twice() {
    let (server, events) = common::recording(Limits::default(), listen);
    let mut seen = HashSet::new();
    let mut kept = Vec::new();
    for round in 0..20 {
        let raw = server.raw("/");
        let client = events.connected();
        assert!(seen.insert(client.id()));
        if round % 2 == 0 {
            kept.push((raw, client));
        } else {
            drop(raw);
            events.disconnected();
        }
    }
    let listed = server.handle.clients();
    assert!(listed.is_sorted_by_key(Client::id));
    assert_eq!(listed, kept.iter().map(|(_, client)| client.clone()).collect::<Vec<_>>());
    let set: HashSet<Client> = listed.iter().chain(&listed).cloned().collect();
    assert_eq!(set.len(), 10);
}

#[test]
fn data_attached_by_accept_stays_with_the_client() {
    struct User(String);
    struct Greeter;
    impl Resource for Greeter {
        fn accept(&self, request: &Request) -> Result<Accept, Reject> {
            Ok(Accept::new().data(User(request.query_string().unwrap_or_default().to_owned())))
        }
        fn text(&self, client: &Client, _: &str) {
            assert!(client.data::<String>().is_none());
            client.send_text(&client.data::<User>().unwrap().0);
        }
    }
    let server = Running::start(Server::builder().resource("/", Origin::any(), Greeter));
    for name in ["ada", "grace"] {
        let mut raw = server.raw(&format!("/?{name}"));
        raw.text("who am I?");
        assert_eq!(raw.frame().text(), name);
    }
}

/// An idle worker wakes up for what another thread sends.
#[test]
fn a_send_from_another_thread_reaches_an_idle_client() {
    let (server, events) = common::recording(Limits::default(), listen);
    let mut ws = server.ws("/");
    let client = events.connected();
    for round in 0..100 {
        let text = format!("round {round}");
        assert_eq!(client.send_text(&text), Outcome::Sent);
        assert_eq!(ws.read().unwrap(), Message::text(text));
    }
    assert_eq!(client.send_binary(&[1, 2]), Outcome::Sent);
    assert_eq!(ws.read().unwrap(), Message::binary(vec![1, 2]));
}

/// Sends of one thread keep their order, whatever others send meanwhile.
#[test]
fn sends_from_several_threads_keep_each_threads_order() {
    const THREADS: usize = 4;
    const COUNT: usize = 2000;
    let (server, events) = common::recording(Limits::default(), echo);
    let mut raw = server.raw("/");
    let client = events.connected();
    let senders: Vec<_> = (0..THREADS)
        .map(|number| {
            let client = client.clone();
            thread::spawn(move || {
                for count in 0..COUNT {
                    let outcome = client.send_text(&format!("{number} {count}"));
                    assert!(!matches!(outcome, Outcome::Dropped(_)), "{outcome:?}");
                }
            })
        })
        .collect();
    // The client's own callbacks send on their way too.
    let mut own = Raw::over(raw.stream.try_clone().unwrap());
    let own = thread::spawn(move || {
        for count in 0..COUNT {
            own.text(&format!("{THREADS} {count}"));
        }
    });
    let mut next = [0; THREADS + 1];
    for _ in 0..COUNT * (THREADS + 1) {
        let frame = raw.frame();
        let (number, count) = frame.text().split_once(' ').unwrap();
        let number: usize = number.parse().unwrap();
        assert_eq!(count, next[number].to_string(), "thread {number}");
        next[number] += 1;
    }
    senders.into_iter().chain([own]).for_each(|sender| sender.join().unwrap());
}

/// A callback's answers and what it sends through other threads' queues stay in order too.
#[test]
fn a_callback_that_sends_to_itself_while_letters_wait_keeps_the_order() {
    let (server, events) = common::recording(Limits::default(), |client, heard| {
        if let Heard::Text(text) = heard {
            client.send_text(&format!("{text} a"));
            let (other, line) = (client.clone(), format!("{text} b"));
            thread::spawn(move || other.send_text(&line)).join().unwrap();
            client.send_text(&format!("{text} c"));
        }
    });
    let mut raw = server.raw("/");
    let _client = events.connected();
    for round in 0..100 {
        raw.text(&round.to_string());
        for letter in ["a", "b", "c"] {
            assert_eq!(raw.frame().text(), format!("{round} {letter}"));
        }
    }
}

#[derive(Default)]
struct Chat(Mutex<Vec<Client>>);

impl Chat {
    fn all(&self) -> Vec<Client> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Resource for Chat {
    fn connected(&self, client: &Client) -> Result<(), Reject> {
        self.0.lock().unwrap().push(client.clone());
        client.send_text("welcome");
        Ok(())
    }

    fn text(&self, _: &Client, message: &str) {
        for client in self.all() {
            client.send_text(message);
        }
    }
}

/// What callbacks send to clients of all workers arrives everywhere, each speaker's lines in order.
#[test]
fn a_chat_reaches_the_clients_of_all_workers() {
    const CLIENTS: usize = 8;
    const LINES: usize = 200;
    let server = Server::builder().workers(4).resource("/", Origin::any(), Chat::default());
    let server = Running::start(server);
    let mut clients: Vec<Raw> = (0..CLIENTS).map(|_| server.raw("/")).collect();
    for raw in &mut clients {
        assert_eq!(raw.frame().text(), "welcome");
    }
    let talkers: Vec<_> = clients
        .into_iter()
        .enumerate()
        .map(|(number, mut raw)| {
            let mut speaker = Raw::over(raw.stream.try_clone().unwrap());
            let speaking = thread::spawn(move || {
                (0..LINES).for_each(|line| speaker.text(&format!("{number} {line}")));
            });
            let hearing = thread::spawn(move || {
                let mut next = [0; CLIENTS];
                for _ in 0..CLIENTS * LINES {
                    let frame = raw.frame();
                    let (speaker, line) = frame.text().split_once(' ').unwrap();
                    let speaker: usize = speaker.parse().unwrap();
                    assert_eq!(line, next[speaker].to_string(), "speaker {speaker}");
                    next[speaker] += 1;
                }
                raw
            });
            (speaking, hearing)
        })
        .collect();
    for (speaking, hearing) in talkers {
        speaking.join().unwrap();
        hearing.join().unwrap();
    }
}

#[test]
fn pings_of_user_code_are_answered_to_pong() {
    let (server, events) = common::recording(Limits::default(), |client, heard| {
        if let Heard::Connected = heard {
            assert_eq!(client.ping(b"from the callback"), Outcome::Sent);
        }
    });
    // The client's library answers pings while it reads.
    let mut ws = server.ws("/");
    assert_eq!(ws.read().unwrap(), Message::Ping("from the callback".into()));
    ws.flush().unwrap();
    let client = events.connected();
    assert!(matches!(events.next(), Event::Pong(_, payload) if payload == b"from the callback"));
    assert_eq!(client.ping(&[7; 125]), Outcome::Sent);
    assert_eq!(client.ping(&[7; 126]), Outcome::Dropped(Dropped::TooLong));
    assert_eq!(ws.read().unwrap(), Message::Ping(vec![7; 125].into()));
    ws.flush().unwrap();
    assert!(matches!(events.next(), Event::Pong(_, payload) if payload == [7; 125]));
}

/// RFC 6455 §5.5.3: a pong nobody asked for is legal.
#[test]
fn unasked_pongs_are_told() {
    let (server, events) = common::recording(Limits::default(), listen);
    let mut raw = server.raw("/");
    events.connected();
    raw.send_frame(FIN | PONG, b"unasked");
    assert!(matches!(events.next(), Event::Pong(_, payload) if payload == b"unasked"));
}

#[test]
fn a_closed_client_stays_valid_and_drops_what_is_sent() {
    let dropped = Outcome::Dropped(Dropped::Closed);
    let (server, events) = common::recording(Limits::default(), move |client, heard| {
        if let Heard::Disconnected(_) = heard {
            assert_eq!(client.send_text("after the end"), dropped);
            client.close(CloseCode::NORMAL, "twice");
        }
    });
    let mut raw = server.raw("/?q");
    let client = events.connected();
    raw.close(1000, "");
    raw.closed();
    events.disconnected();
    assert!(!client.is_open());
    assert_eq!(client.send_text("x"), dropped);
    assert_eq!(client.send_binary(b"x"), dropped);
    assert_eq!(client.ping(b"x"), dropped);
    client.close(CloseCode::NORMAL, "again");
    assert_eq!((client.query_string(), client.queued_bytes()), (Some("q"), 0));
    // The next client may sit in the same place; what the old handle sends must not get there.
    let mut next = server.raw("/");
    let successor = events.connected();
    assert_eq!(client.send_text("astray"), dropped);
    successor.send_text("for you");
    assert_eq!(next.frame().text(), "for you");
    assert_eq!(server.handle.metrics().panics, 0);
}

/// Handles outlive the server.
#[test]
fn a_client_of_a_server_that_ended() {
    let (server, events) = common::recording(Limits::default(), listen);
    let raw = server.raw("/");
    let client = events.connected();
    server.handle.shutdown();
    drop(raw);
    server.handle.join();
    assert_eq!(client.send_text("x"), Outcome::Dropped(Dropped::Closed));
    client.close(CloseCode::NORMAL, "");
    assert_eq!(server.handle.clients(), []);
}

/// Sends while the client leaves: each is sent or dropped, none gets to another client.
#[test]
fn sends_that_cross_the_end_of_their_client_are_dropped() {
    let (server, events) = common::recording(Limits::default(), listen);
    for round in 0..50 {
        let raw = server.raw("/");
        let client = events.connected();
        let sender = client.clone();
        let sending = thread::spawn(move || {
            while !matches!(sender.send_text("mine"), Outcome::Dropped(_)) {
                thread::yield_now();
            }
        });
        if round % 2 == 0 {
            common::reset(raw.stream);
        } else {
            drop(raw);
        }
        events.disconnected();
        sending.join().unwrap();
        await_that("nothing is queued", || client.queued_bytes() == 0);
    }
    let mut last = server.raw("/");
    events.connected().send_text("last");
    assert_eq!(last.frame().text(), "last");
}

/// Control frames and messages that other threads send never stand inside one another.
#[test]
fn answers_and_foreign_sends_do_not_mix() {
    // Room for everything: this is not about queues that are full.
    let mut limits = Limits::default();
    limits.send_queue_high = 64 * 1024 * 1024;
    let (server, events) = common::recording(limits, echo);
    let mut raw = server.raw("/");
    let client = events.connected();
    let sending = thread::spawn(move || {
        let large = vec![b'y'; 50_000];
        for _ in 0..200 {
            client.send_binary(&large);
        }
    });
    let mut speaker = Raw::over(raw.stream.try_clone().unwrap());
    let large = vec![b'x'; 40_000];
    let speaking = thread::spawn(move || {
        let frame = frame(FIN | TEXT, &large);
        (0..200).for_each(|_| speaker.send(&frame));
    });
    let (mut echoes, mut pushed) = (0, 0);
    while (echoes, pushed) != (200, 200) {
        let frame = raw.frame();
        if frame.opcode == TEXT {
            assert!(frame.payload == vec![b'x'; 40_000]);
            echoes += 1;
        } else {
            assert_eq!(frame.opcode, BINARY);
            assert!(frame.payload == vec![b'y'; 50_000]);
            pushed += 1;
        }
    }
    sending.join().unwrap();
    speaking.join().unwrap();
}
