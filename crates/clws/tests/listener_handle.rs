//! A listener's handle: calls, posted messages, and the ways in which a listener ends.

mod common;
#[path = "common/gate.rs"]
mod gate;

use clws::{Accept, CallError, Client, Closed, Connected, Listener, ListenerHandle};
use clws::{Origin, PostError, Queued, Receive, Reject, Request, Resource, Server};
use common::raw::Raw;
use common::{Running, await_that};
use gate::{Gate, quiet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;

/// Notes everything in one list. "block" waits at the gate, and a client "b" that is accepted
/// makes the next thing that happens a "block".
#[derive(Clone, Default)]
struct Notes {
    own: Arc<OnceLock<ListenerHandle<Notes>>>,
    list: Arc<Mutex<Vec<String>>>,
    gate: Gate,
    clients: Arc<Mutex<Vec<Client>>>,
}

impl Notes {
    fn add(&self, line: impl Into<String>) {
        self.list.lock().unwrap().push(line.into());
    }

    fn list(&self) -> Vec<String> {
        self.list.lock().unwrap().clone()
    }

    fn client(&self, index: usize) -> Client {
        await_that("the client is connected", || self.clients.lock().unwrap().len() > index);
        self.clients.lock().unwrap()[index].clone()
    }

    #[track_caller]
    fn await_line(&self, line: &str) {
        await_that(line, || self.list.lock().unwrap().iter().any(|one| one == line));
    }
}

impl Resource for Notes {
    fn accept(&self, request: &Request) -> Result<Accept, Reject> {
        if request.query_string() == Some("b") {
            self.own.get().unwrap().post("block").unwrap();
        }
        Ok(Accept::new())
    }

    fn connected(&self, client: &Client) -> Result<(), Reject> {
        self.add(format!("connected {}", client.query_string().unwrap_or_default()));
        self.clients.lock().unwrap().push(client.clone());
        Ok(())
    }

    fn text(&self, client: &Client, message: &str) {
        self.add(message);
        if message == "block" {
            self.gate.pass();
        }
        client.send_text(message);
    }

    fn disconnected(&self, client: &Client, closed: &Closed) {
        let name = client.query_string().unwrap_or_default();
        self.add(format!("disconnected {name} {} {:?}", closed.code, closed.cause));
    }

    fn ended(&self) {
        self.add("ended");
    }
}

impl Receive<&'static str> for Notes {
    fn receive(&self, message: &'static str) {
        assert_ne!(message, "panic", "on purpose");
        self.add(message);
        if message == "block" {
            self.gate.pass();
        }
    }

    fn receive_for(&self, client: &Client, message: &'static str) {
        assert_ne!(message, "panic", "on purpose");
        self.add(format!("{message} for {}", client.query_string().unwrap_or_default()));
        client.send_text(message);
    }
}

/// A second type of message.
impl Receive<usize> for Notes {
    fn receive(&self, message: usize) {
        self.add(message.to_string());
    }
}

fn serve(listener: Listener<Notes>) -> (Running, ListenerHandle<Notes>) {
    let handle = listener.handle();
    (Running::start(Server::builder().resource("/", Origin::any(), listener)), handle)
}

/// A client whose callback is blocking the listener's one thread.
fn blocked(notes: &Notes, server: &Running) -> Raw {
    let mut raw = server.raw("/?a");
    raw.text("block");
    notes.await_line("block");
    raw
}

#[test]
fn with_one_thread_posts_and_calls_come_in_order_with_all_events() {
    let notes = Notes::default();
    let (server, handle) = serve(Listener::new(notes.clone()));
    let mut two = server.raw("/?two");
    notes.client(0);
    let mut one = blocked(&notes, &server);
    one.text("one");
    await_that("it is queued", || handle.queued_events() == 2);
    handle.post("first").unwrap();
    two.text("two");
    await_that("it is queued", || handle.queued_events() == 3);
    handle.post(2_usize).unwrap();
    let (caller, inside) = (handle.clone(), notes.clone());
    let calling = thread::spawn(move || caller.call(move |_| inside.add("called")));
    let expected = ["connected two", "connected a", "block", "one", "first", "two", "2", "called"];
    notes.gate.open();
    assert_eq!(calling.join().unwrap(), Ok(()));
    assert_eq!((one.frame().text(), one.frame().text()), ("block", "one"));
    assert_eq!(two.frame().text(), "two");
    assert_eq!(notes.list(), expected);
}

/// Messages of one sender keep their order and never run two at a time, on however many threads.
#[test]
fn with_several_threads_posts_and_calls_keep_their_order() {
    #[derive(Default)]
    struct Counting {
        next: AtomicUsize,
        busy: AtomicBool,
    }
    impl Counting {
        fn count(&self, expected: usize) {
            assert!(!self.busy.swap(true, Ordering::SeqCst));
            thread::yield_now();
            assert_eq!(self.next.fetch_add(1, Ordering::SeqCst), expected);
            self.busy.store(false, Ordering::SeqCst);
        }
    }
    impl Resource for Counting {}
    impl Receive<usize> for Counting {
        fn receive(&self, message: usize) {
            self.count(message);
        }
    }
    let listener = Listener::new(Counting::default()).threads(4).max_posts(10_000);
    let handle = listener.handle();
    for round in 0..1000 {
        if round % 10 == 9 {
            handle.call(move |counting| counting.count(round)).unwrap();
        } else {
            handle.post(round).unwrap();
        }
    }
    assert_eq!(handle.call(|counting| counting.next.load(Ordering::SeqCst)), Ok(1000));
}

#[test]
fn a_message_for_a_client_comes_in_order_with_its_events() {
    for threads in [1, 4] {
        let notes = Notes::default();
        let (server, handle) = serve(Listener::new(notes.clone()).threads(threads));
        let mut raw = blocked(&notes, &server);
        let client = notes.client(0);
        raw.text("before");
        await_that("it is queued", || handle.queued_events() == 2);
        handle.post_for(&client, "message").unwrap();
        raw.text("after");
        raw.close(1000, "");
        await_that("it has left", || !client.is_open() && handle.queued_events() == 3);
        let posted = handle.post_for(&client, "late");
        notes.gate.open();
        notes.await_line("disconnected a 1000 Peer");
        let mut expected = vec!["connected a", "block", "before", "message for a", "after"];
        // The end may be queued a moment after the client was seen to leave.
        if posted.is_ok() {
            expected.push("late for a");
        }
        expected.push("disconnected a 1000 Peer");
        assert_eq!(notes.list(), expected);
        await_that("it is gone", || {
            handle.post_for(&client, "later") == Err(PostError::Gone("later"))
        });
    }
}

#[test]
fn posts_are_bounded_and_given_back() {
    let notes = Notes::default();
    let (server, handle) = serve(Listener::new(notes.clone()).max_posts(2));
    let _raw = blocked(&notes, &server);
    handle.post("one").unwrap();
    handle.post_for(&notes.client(0), "two").unwrap();
    assert_eq!(handle.post("three"), Err(PostError::Full("three")));
    assert_eq!(handle.post_for(&notes.client(0), "four").unwrap_err().into_inner(), "four");
    notes.gate.open();
    notes.await_line("two for a");
    await_that("there is room", || handle.post("five").is_ok());
    notes.await_line("five");
}

#[test]
fn a_panic_in_a_post_or_a_call_costs_that_alone() {
    quiet();
    let notes = Notes::default();
    let (server, handle) = serve(Listener::new(notes.clone()));
    let mut one = server.raw("/?a");
    let client = notes.client(0);
    let mut two = server.raw("/?two");
    two.text("hello");
    assert_eq!(two.frame().text(), "hello");
    handle.post("panic").unwrap();
    assert_eq!(handle.call(|_| panic!("on purpose")), Err::<(), _>(CallError::Panicked));
    await_that("both are counted", || server.handle.metrics().panics == 2);
    handle.post_for(&client, "panic").unwrap();
    assert_eq!(one.frame().close().0, 1011);
    one.close(1011, "");
    notes.await_line("disconnected a 1011 Panic");
    assert_eq!(server.handle.metrics().panics, 3);
    two.text("still here");
    assert_eq!(two.frame().text(), "still here");
}

/// On its own thread a call does not wait for itself.
#[test]
fn a_listener_may_call_itself() {
    let notes = Notes::default();
    let (_server, handle) = serve(Listener::new(notes));
    let own = handle.clone();
    let called = handle.call(move |_| {
        own.join();
        own.post("later").unwrap();
        own.call(|notes| notes.list().len())
    });
    assert_eq!(called, Ok(Ok(0)));
    assert_eq!(handle.call(Notes::list), Ok(vec!["later".to_owned()]));
}

#[test]
fn a_stop_that_finishes_works_off_what_is_queued() {
    let notes = Notes::default();
    let (server, handle) = serve(Listener::new(notes.clone()));
    let mut raw = blocked(&notes, &server);
    raw.text("one");
    raw.text("two");
    await_that("all is queued", || handle.queued_events() == 3);
    handle.post("posted").unwrap();
    handle.stop(Queued::Finish);
    assert_eq!(handle.post("too late"), Err(PostError::Stopped("too late")));
    assert_eq!(handle.call(|_| ()), Err(CallError::Stopped));
    raw.text("dropped");
    let mut refused = Raw::connect(server.address);
    refused.send(common::raw::request("localhost", "/", "").as_bytes());
    assert_eq!(refused.answer().status, 503);
    notes.gate.open();
    for text in ["block", "one", "two"] {
        assert_eq!(raw.frame().text(), text);
    }
    assert_eq!(raw.frame().close(), (1001, "the resource has stopped"));
    raw.close(1001, "");
    handle.join();
    let left = "disconnected a 1001 Server";
    assert_eq!(notes.list(), ["connected a", "block", "one", "two", "posted", left]);
    assert_eq!((handle.queued_bytes(), handle.queued_events()), (0, 0));
    server.handle.shutdown();
    server.handle.join();
    assert_eq!(notes.list().last().unwrap(), "ended");
}

#[test]
fn a_stop_that_drops_closes_at_once() {
    for finish_first in [false, true] {
        let notes = Notes::default();
        let (server, handle) = serve(Listener::new(notes.clone()));
        assert!(notes.own.set(handle.clone()).is_ok());
        let mut raw = server.raw("/?a");
        notes.client(0);
        // Of this one the resource has not heard, and will not.
        let mut unheard = server.raw("/?b");
        notes.await_line("block");
        raw.text("one");
        await_that("it is queued", || handle.queued_events() == 1);
        handle.post("posted").unwrap();
        let caller = handle.clone();
        let (began, begins) = channel();
        let calling = thread::spawn(move || {
            began.send(()).unwrap();
            caller.call(|_| ())
        });
        begins.recv().unwrap();
        if finish_first {
            handle.stop(Queued::Finish);
        }
        handle.stop(Queued::Drop);
        // The callback is still blocking.
        for raw in [&mut raw, &mut unheard] {
            assert_eq!(raw.frame().close(), (1001, "the resource has stopped"));
            raw.close(1001, "");
        }
        notes.gate.open();
        handle.join();
        assert_eq!(calling.join().unwrap(), Err(CallError::Stopped));
        assert_eq!(notes.list(), ["connected a", "block", "disconnected a 1001 Server"]);
    }
}

/// The end of the server waits for what is queued, and ends the threads.
#[test]
fn the_end_of_the_server_is_the_end_of_its_listeners() {
    let notes = Notes::default();
    let (server, handle) = serve(Listener::new(notes.clone()).threads(3));
    let mut raw = blocked(&notes, &server);
    raw.text("one");
    await_that("all is queued", || handle.queued_events() == 2);
    server.handle.shutdown();
    assert_eq!(raw.frame().close().0, 1001);
    raw.close(1001, "");
    notes.gate.open();
    server.handle.join();
    handle.join();
    let expected = ["connected a", "block", "one", "disconnected a 1001 Shutdown", "ended"];
    assert_eq!(notes.list(), expected);
    assert_eq!(handle.post("late"), Err(PostError::Stopped("late")));
    notes.clients.lock().unwrap().clear();
    drop((server, handle));
    await_that("nothing holds the resource", || Arc::strong_count(&notes.list) == 1);
}

/// A listener whose resource was taken from the server: its clients stay until they leave, then
/// its threads end; handles of clients that the program keeps change nothing about the latter.
#[test]
fn an_unregistered_listener_ends_with_its_last_client_or_its_server() {
    for keep in [false, true] {
        let notes = Notes::default();
        let (server, handle) = serve(Listener::new(notes.clone()));
        let mut raw = server.raw("/?a");
        let client = notes.client(0);
        assert!(server.handle.unregister("/", Connected::Stay));
        raw.text("still here");
        assert_eq!(raw.frame().text(), "still here");
        raw.close(1000, "");
        raw.closed();
        if keep {
            notes.await_line("disconnected a 1000 Peer");
            assert_eq!(handle.call(|_| 1), Ok(1));
            server.handle.shutdown();
        } else {
            notes.clients.lock().unwrap().clear();
            drop(client);
        }
        handle.join();
        assert_eq!(handle.call(|_| 1), Err(CallError::Stopped));
    }
}

#[test]
fn a_listener_that_is_never_registered_works_until_it_is_dropped() {
    let notes = Notes::default();
    let listener = Listener::new(notes.clone());
    let handle = listener.handle().clone();
    assert_eq!(handle.call(|notes| notes.list().len()), Ok(0));
    handle.post("posted").unwrap();
    drop(listener);
    handle.join();
    assert_eq!(notes.list(), ["posted"]);
    assert_eq!(handle.call(|_| ()), Err(CallError::Stopped));
    // One that never had anything to do ends too.
    let idle = Listener::new(notes);
    let handle = idle.handle();
    drop(idle);
    handle.join();
}

/// What a server gives back of a listener is the listener.
#[test]
fn a_registered_listener_is_found() {
    let notes = Notes::default();
    let (server, _) = serve(Listener::new(notes.clone()));
    let found = server.handle.find::<Listener<Notes>>("/").unwrap();
    found.handle().post("found").unwrap();
    notes.await_line("found");
    assert!(found.resource().list().len() == 1);
}
