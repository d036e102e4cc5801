//! One message to many clients: each gets it in the form it agreed to, clients of one form get the
//! same bytes, and the report says who gets nothing.

mod common;

use clws::{
    Client, CloseCode, DeflateConfig, Dropped, Limits, Origin, Outcome, SendOptions, Server,
};
use clws::{send_binary_to, send_binary_to_with, send_text_to, send_text_to_with};
use common::hixie::{Frame, Hixie};
use common::packed::{ALONE, Packed, TAKEOVER};
use common::raw::{BINARY, CONTINUATION, Raw, TEXT, request};
use common::{Events, Heard, Recorder, Running, listen, narrow};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// A server of four workers for every wire form there is.
fn server() -> (Running, Events) {
    let (recorder, events) = Recorder::new(listen);
    let keeping = DeflateConfig {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        ..DeflateConfig::default()
    };
    let server = Server::builder().workers(4).hixie76(true).deflate(keeping);
    (Running::start(server.resource("/", Origin::any(), recorder)), events)
}

/// Two clients of each wire form, and more of those that share one.
struct Crowd {
    plain: Vec<Raw>,
    hixie: Vec<Hixie>,
    alone: Vec<Packed>,
    narrow: Vec<Packed>,
    takeover: Vec<Packed>,
    clients: Vec<Client>,
}

impl Crowd {
    fn gather(server: &Running, events: &Events) -> Self {
        let plain = [13, 8, 7, 13].map(|number| {
            let mut raw = Raw::connect(server.address);
            let request = request("localhost", "/", "");
            raw.send(request.replace("Version: 13", &format!("Version: {number}")).as_bytes());
            raw.upgraded();
            raw
        });
        let packed = |offer: &str| -> Vec<Packed> {
            (0..2).map(|_| Packed::open(server.address, "/", offer)).collect()
        };
        let mut crowd = Self {
            plain: plain.into(),
            hixie: (0..2).map(|_| Hixie::open(server.address, "/")).collect(),
            alone: packed(ALONE),
            narrow: packed(&format!("{ALONE}; server_max_window_bits=9")),
            takeover: packed(TAKEOVER),
            clients: Vec::new(),
        };
        crowd.clients.extend((0..12).map(|_| events.connected()));
        crowd
    }

    /// Reads the message from everyone who can have it.
    fn hears(&mut self, opcode: u8, content: &[u8]) -> Wires {
        for raw in &mut self.plain {
            let frame = raw.frame();
            assert!((frame.fin, frame.opcode) == (true, opcode) && frame.payload == content);
        }
        for hixie in self.hixie.iter_mut().filter(|_| opcode == TEXT) {
            assert_eq!(hixie.frame(), Frame::Text(String::from_utf8(content.to_vec()).unwrap()));
        }
        let wire = |packed: &mut Vec<Packed>| -> Vec<Vec<u8>> {
            let said = packed.iter_mut().map(|one| one.hears(opcode, content));
            said.map(|said| if said.compressed { said.joined() } else { Vec::new() }).collect()
        };
        Wires {
            alone: wire(&mut self.alone),
            narrow: wire(&mut self.narrow),
            takeover: wire(&mut self.takeover),
        }
    }
}

/// What the compressing clients read, as it was on the wire; empty where it was not compressed.
struct Wires {
    alone: Vec<Vec<u8>>,
    narrow: Vec<Vec<u8>>,
    takeover: Vec<Vec<u8>>,
}

/// Words that compress, of some length.
fn words(count: usize) -> String {
    let words = (0..count).map(|number| format!("word {} and ", number * number % 1000));
    words.collect::<Vec<_>>().concat()
}

#[test]
fn every_client_gets_a_text_in_its_own_form() {
    let (server, events) = server();
    let mut crowd = Crowd::gather(&server, &events);
    let text = words(2000);
    let mut first_takeover = 0;
    for round in 0..3 {
        let report = send_text_to(&crowd.clients, &text);
        assert_eq!((report.sent, report.backpressure), (12, 0));
        assert!(report.dropped.is_empty());
        let heard = crowd.hears(TEXT, text.as_bytes());
        // Compressed once for all that share a window, and for no others.
        assert!(!heard.alone[0].is_empty() && heard.alone[0] == heard.alone[1]);
        assert!(!heard.narrow[0].is_empty() && heard.narrow[0] == heard.narrow[1]);
        assert_ne!(heard.alone[0], heard.narrow[0]);
        // With takeover the history makes the same words shorter every time but the first.
        let len = heard.takeover[0].len();
        assert!(len > 0 && heard.takeover[1].len() == len);
        if round == 0 {
            first_takeover = len;
        } else {
            assert!(len < first_takeover, "{len}, at first {first_takeover}");
        }
    }
}

#[test]
fn binary_goes_to_those_who_can_have_it() {
    let (server, events) = server();
    let mut crowd = Crowd::gather(&server, &events);
    for len in [0, 10, 5000, 100_000] {
        let bytes: Vec<u8> = (0..len).map(|number: usize| (number / 100) as u8).collect();
        let report = send_binary_to(&crowd.clients, &bytes);
        assert_eq!((report.sent, report.dropped.len()), (10, 2));
        for (client, why) in &report.dropped {
            assert_eq!((client.version(), *why), (0, Dropped::Unsupported));
            assert!(client.is_open());
        }
        let heard = crowd.hears(BINARY, &bytes);
        assert_eq!(heard.alone[0].is_empty(), len < 1024, "short ones are not compressed");
    }
    // Those who could not have it are as well as before.
    send_text_to(&crowd.clients, "all");
    crowd.hears(TEXT, b"all");
}

/// In fragments too, compressed or not, cut alike for all of a form; draft 76 gets them whole.
#[test]
fn fragments_go_to_many() {
    let (server, events) = server();
    let mut crowd = Crowd::gather(&server, &events);
    let text = words(500);
    let options = SendOptions::new().frame_size(200);
    assert_eq!(send_text_to_with(&crowd.clients, &text, options).sent, 12);
    for raw in &mut crowd.plain {
        let mut joined = Vec::new();
        loop {
            let frame = raw.frame();
            assert_eq!(frame.opcode, if joined.is_empty() { TEXT } else { CONTINUATION });
            assert!(frame.fin || frame.payload.len() == 200);
            joined.extend(frame.payload);
            if frame.fin {
                break;
            }
        }
        assert!(joined == text.as_bytes());
    }
    for hixie in &mut crowd.hixie {
        assert_eq!(hixie.heard(), text);
    }
    for packed in crowd.alone.iter_mut().chain(&mut crowd.narrow).chain(&mut crowd.takeover) {
        let said = packed.hears(TEXT, text.as_bytes());
        assert!(said.compressed && said.wire.len() > 1);
        assert!(said.wire.iter().all(|piece| piece.len() <= 200));
    }
    // Not compressed where that is not wanted.
    let report = send_binary_to_with(&crowd.clients, text.as_bytes(), options.uncompressed());
    assert_eq!((report.sent, report.dropped.len()), (10, 2));
    for packed in crowd.alone.iter_mut().chain(&mut crowd.narrow).chain(&mut crowd.takeover) {
        let said = packed.hears(BINARY, text.as_bytes());
        assert!(!said.compressed);
        assert_eq!(said.wire.len(), text.len().div_ceil(200));
    }
}

/// Messages to many and messages to one, from one thread, arrive in the order they were sent.
#[test]
fn a_message_to_many_keeps_its_place_among_others() {
    let (server, events) = server();
    let mut crowd = Crowd::gather(&server, &events);
    let long = words(300);
    for round in 0..20 {
        let line = |what: &str| format!("{round} {what} {long}");
        for client in &crowd.clients {
            client.send_text(&line("before"));
        }
        send_text_to(&crowd.clients, &line("all"));
        send_text_to(&crowd.clients, &line("once more"));
        for client in &crowd.clients {
            client.send_text(&line("after"));
        }
        for what in ["before", "all", "once more", "after"] {
            crowd.hears(TEXT, line(what).as_bytes());
        }
    }
}

/// The same from a callback, which is among those it sends to.
#[test]
fn a_callback_may_send_to_many_and_to_itself() {
    let everyone = Arc::new(Mutex::new(Vec::<Client>::new()));
    let all = Arc::clone(&everyone);
    let (server, events) = common::recording(Limits::default(), move |client, heard| {
        let mut all = all.lock().unwrap();
        match heard {
            Heard::Connected => all.push(client.clone()),
            Heard::Text(text) => {
                client.send_text("you first");
                let report = send_text_to(all.iter().filter(|one| one.is_open()), text);
                assert_eq!(report.sent, 3);
                client.send_text("you last");
            }
            _ => {}
        }
    });
    let mut raws: Vec<Raw> = (0..3).map(|_| server.raw("/")).collect();
    (0..3).for_each(|_| _ = events.connected());
    for round in 0..100 {
        let text = round.to_string();
        raws[round % 3].text(&text);
        for (number, raw) in raws.iter_mut().enumerate() {
            let own: &[&str] = if number == round % 3 { &["you first", "you last"] } else { &[] };
            if let [first, _] = own {
                assert_eq!(raw.frame().text(), *first);
            }
            assert_eq!(raw.frame().text(), text);
            if let [_, last] = own {
                assert_eq!(raw.frame().text(), *last);
            }
        }
    }
    assert_eq!(server.handle.metrics().panics, 0);
}

/// Who is gone, closing or full is named, with the reason, and keeps nobody else from the message.
#[test]
fn the_report_names_those_who_get_nothing() {
    let mut limits = Limits::default();
    limits.send_timeout = Duration::from_mins(10);
    limits.send_queue_high = 256 * 1024;
    let (server, events) = common::recording(limits, listen);
    let mut well = server.raw("/");
    let well_client = events.connected();
    let gone = server.raw("/");
    let gone_client = events.connected();
    drop(gone);
    events.disconnected();
    let _closing = server.raw("/");
    let closing_client = events.connected();
    closing_client.close(CloseCode::NORMAL, "");
    let mut full = narrow(server.address);
    full.upgrade("/", "");
    let full_client = events.connected();
    // More than the system takes for it.
    assert_eq!(full_client.send_binary(&vec![0; 16 * 1024 * 1024]), Outcome::Backpressure);

    let clients = vec![gone_client, closing_client, full_client, well_client];
    let report = send_text_to(&clients, "who is well?");
    assert_eq!((report.sent, report.backpressure), (1, 0));
    let dropped: Vec<_> = report.dropped.iter().map(|(one, why)| (one.id(), *why)).collect();
    let [gone, closing, full] = [0, 1, 2].map(|index: usize| clients[index].id());
    let closed = Dropped::Closed;
    assert_eq!(dropped, [(gone, closed), (closing, closed), (full, Dropped::Overrun)]);
    assert_eq!(well.frame().text(), "who is well?");
}

/// Those whose queue reaches its mark with this message are counted.
#[test]
fn the_report_counts_those_who_are_slow() {
    let mut limits = Limits::default();
    limits.send_timeout = Duration::from_mins(10);
    let (server, events) = common::recording(limits, listen);
    let mut raws: Vec<Raw> = (0..4).map(|_| server.raw("/")).collect();
    let clients: Vec<Client> = (0..4).map(|_| events.connected()).collect();
    let large = vec![7; 2 * 1024 * 1024];
    let report = send_binary_to(&clients, &large);
    assert_eq!((report.sent, report.backpressure, report.dropped.len()), (4, 4, 0));
    for raw in &mut raws {
        assert!(raw.frame().payload == large);
    }
}

#[test]
fn clients_come_in_any_collection_even_none() {
    let (server, events) = common::recording(Limits::default(), listen);
    let mut raw = server.raw("/");
    let client = events.connected();
    assert_eq!(send_text_to([] as [Client; 0], "x").sent, 0);
    assert_eq!(send_text_to([&client], "by reference").sent, 1);
    assert_eq!(send_text_to(server.handle.clients(), "by value").sent, 1);
    assert_eq!(send_text_to(std::iter::repeat_n(client, 2), "twice").sent, 2);
    for expected in ["by reference", "by value", "twice", "twice"] {
        assert_eq!(raw.frame().text(), expected);
    }
}

/// Several threads send to the same crowd: everyone gets everything, each sender's in order.
#[test]
fn threads_may_send_to_the_same_crowd() {
    const COUNT: usize = 200;
    let (server, events) = server();
    let mut crowd = Crowd::gather(&server, &events);
    let senders: Vec<_> = (0..3)
        .map(|number| {
            let clients = crowd.clients.clone();
            let send = move |count| send_text_to(&clients, &format!("{number} {count}")).sent;
            thread::spawn(move || assert!((0..COUNT).all(|count| send(count) == 12)))
        })
        .collect();
    for raw in &mut crowd.plain {
        let mut next = [0; 3];
        for _ in 0..3 * COUNT {
            let frame = raw.frame();
            let (number, count) = frame.text().split_once(' ').unwrap();
            let number: usize = number.parse().unwrap();
            assert_eq!(count, next[number].to_string());
            next[number] += 1;
        }
    }
    for sender in senders {
        sender.join().unwrap();
    }
}
