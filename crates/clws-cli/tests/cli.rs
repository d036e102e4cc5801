//! The program `clws` from the outside: flags, what it prints, its exit codes, and what it serves.

#[path = "../../clws/tests/common/raw.rs"]
#[allow(dead_code, unreachable_pub, reason = "the library's tests use it too, and more of it")]
mod raw;
mod serving;

use raw::{End, Raw, request};
use serving::{Serving, clws};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Output, Stdio};

const FLAGS: [&str; 28] = [
    "--listen",
    "--tls-cert",
    "--tls-key",
    "--tls-self-signed",
    "--tls-listen",
    "--tls-client-ca",
    "--workers",
    "--origin",
    "--host",
    "--max-message-size",
    "--max-clients",
    "--max-per-address",
    "--max-accept-rate",
    "--trusted-proxy",
    "--proxy-protocol",
    "--memory-budget",
    "--ping-interval",
    "--pong-timeout",
    "--idle-timeout",
    "--max-lifetime",
    "--drain-over",
    "--drain-deadline",
    "--deflate",
    "--deflate-min-size",
    "--deflate-takeover",
    "--deflate-window-bits",
    "--hixie76",
    "--log",
];

/// Runs to the end.
fn run(arguments: &[&str]) -> Output {
    clws().args(arguments).stdin(Stdio::null()).output().expect("the program runs")
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).expect("UTF-8")
}

#[test]
fn help_names_every_flag() {
    for arguments in [&["serve", "--help"][..], &["help", "serve"]] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0));
        let help = text(output.stdout);
        for flag in FLAGS {
            assert!(help.contains(flag), "{flag} is missing in\n{help}");
        }
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
        assert_eq!(text(output.stderr), "");
    }
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    assert!(text(output.stdout).contains("serve"));
    let output = run(&["--version"]);
    assert_eq!(text(output.stdout), concat!("clws ", env!("CARGO_PKG_VERSION"), "\n"));
}

/// No flag is forgotten in the list above.
#[test]
fn help_names_no_other_flag() {
    let help = text(run(&["serve", "--help"]).stdout);
    let named = |line: &str| {
        let flag = line.trim_start().split([' ', ',']).find(|word| word.starts_with("--"));
        flag.filter(|_| line.trim_start().starts_with('-')).map(str::to_owned)
    };
    let mut flags: Vec<String> = help.lines().filter_map(named).collect();
    flags.retain(|flag| !["--help", "--version"].contains(&&**flag));
    assert_eq!(flags, FLAGS, "{help}");
}

#[test]
fn who_does_not_read_on_is_no_trouble() {
    for (arguments, code) in [(&["serve", "--help"][..], 0), (&["serve", "--no-such"], 2)] {
        let closed = || std::io::pipe().expect("a pipe").1;
        let status = clws().args(arguments).stdout(closed()).stderr(closed()).status();
        assert_eq!(status.expect("the program runs").code(), Some(code), "{arguments:?}");
    }
}

/// One line for a person on stderr, nothing on stdout, and the exit code.
#[track_caller]
fn fails(arguments: &[&str], code: i32, mentions: &str) {
    let output = run(arguments);
    let error = text(output.stderr);
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {error}");
    assert_eq!(error.lines().count(), 1, "{arguments:?}: {error}");
    assert!(error.starts_with("clws: ") && error.contains(mentions), "{arguments:?}: {error}");
    assert_eq!(text(output.stdout), "", "{arguments:?}");
}

#[test]
fn wrong_flags_exit_with_2() {
    fails(&["serve", "--wrong"], 2, "--wrong");
    fails(&["serve", "--max-message-size", "huge"], 2, "huge");
    fails(&["serve", "--max-message-size", "0"], 2, "--max-message-size");
    fails(&["serve", "--max-message-size"], 2, "--max-message-size");
    fails(&["serve", "--origin", "example.com"], 2, "example.com");
    fails(&["serve", "--origin", "https://example.com/page"], 2, "https://example.com/page");
    fails(&["serve", "--workers", "0"], 2, "--workers");
    fails(&["serve", "--max-clients", "-1"], 2, "-1");
    fails(&["serve", "--max-per-address", "0"], 2, "--max-per-address");
    fails(&["serve", "--max-accept-rate", "0"], 2, "--max-accept-rate");
    fails(&["serve", "--trusted-proxy", "10.0.0.0/40"], 2, "10.0.0.0/40");
    fails(&["serve", "--trusted-proxy", "proxy.example"], 2, "--trusted-proxy");
    fails(&["serve", "--memory-budget", "1023k"], 2, "1023k");
    fails(&["serve", "--ping-interval", "soon"], 2, "soon");
    fails(&["serve", "--deflate-takeover", "all"], 2, "all");
    fails(&["serve", "--deflate-window-bits", "8"], 2, "--deflate-window-bits");
    fails(&["serve", "--pong-timeout", "off"], 2, "off");
    fails(&["serve", "--idle-timeout", "0"], 2, "--idle-timeout");
    fails(&["serve", "--log", "loud"], 2, "loud");
    fails(&["serve", "more"], 2, "more");
    fails(&["severe"], 2, "severe");
}

#[test]
fn an_address_that_can_not_be_listened_on_exits_with_1() {
    fails(&["serve", "--listen", "nonsense"], 1, "nonsense");
    fails(&["serve", "--listen", "127.0.0.1:99999"], 1, "127.0.0.1:99999");
    fails(&["serve", "--listen", "127.0.0.1"], 1, "127.0.0.1");
    fails(&["serve", "--listen", ""], 1, "127.0.0.1:12345");
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let busy = taken.local_addr().expect("an address").to_string();
    fails(&["serve", "--listen", &busy], 1, &busy);
    // One that can't be had is enough, wherever it stands.
    fails(&["serve", "--listen", "127.0.0.1:0", "--listen", &busy], 1, &busy);
}

/// RFC 7692 §7.1: what is answered to an offer that leaves everything to the server.
#[test]
fn flags_decide_what_is_agreed_about_compression() {
    let alone = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let windows = "server_max_window_bits=10; client_max_window_bits=10";
    let row = |flags: &[&str], answer: Option<&str>| {
        let serving = Serving::start(flags);
        let mut raw = Raw::connect(serving.addresses[0]);
        let offer = "permessage-deflate; client_max_window_bits";
        let told = raw.upgrade("/echo", &format!("Sec-WebSocket-Extensions: {offer}\r\n"));
        assert_eq!(told.header("Sec-WebSocket-Extensions"), answer, "{flags:?}");
    };
    row(&[], Some(alone));
    row(&["--deflate", "off"], None);
    row(&["--deflate-takeover", "both"], Some("permessage-deflate"));
    let server = Some("permessage-deflate; client_no_context_takeover");
    row(&["--deflate-takeover", "server"], server);
    let client = Some("permessage-deflate; server_no_context_takeover");
    row(&["--deflate-takeover", "client"], client);
    row(&["--deflate-window-bits", "10"], Some(&format!("{alone}; {windows}")));
}

/// SIGTERM and Ctrl-C: clients are told, and the exit is a success.
#[test]
fn a_signal_stops_it_in_order() {
    for signal in ["TERM", "INT"] {
        let serving = Serving::start(&[]);
        let mut clients = [serving.raw("/echo"), serving.raw("/chat")];
        assert!(clients[1].frame().text().contains("joined"));
        serving.signal(signal);
        for raw in &mut clients {
            assert_eq!(raw.frame().close().0, 1001, "{signal}");
            raw.close(1001, "");
            assert_eq!(raw.end(), End::Fin);
        }
        assert_eq!(serving.wait().code(), Some(0), "{signal}");
    }
}

/// A second signal does not wait for clients that do not answer.
#[test]
fn a_second_signal_stops_it_at_once() {
    let serving = Serving::start(&[]);
    let mut raw = serving.raw("/echo");
    serving.signal("TERM");
    assert_eq!(raw.frame().close().0, 1001);
    serving.signal("TERM");
    assert_eq!(serving.wait().code(), Some(130));
}

#[test]
fn the_page_is_served_and_nothing_else() {
    let serving = Serving::start(&[]);
    let get = |path: &str| {
        let mut raw = Raw::connect(serving.addresses[0]);
        raw.send(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        let answer = raw.answer();
        assert_eq!(raw.end(), End::Fin);
        answer
    };
    let page = get("/");
    assert_eq!(page.status, 200);
    assert_eq!(page.header("Content-Type"), Some("text/html; charset=utf-8"));
    assert!(page.header("Content-Security-Policy").is_some());
    assert!(page.body.contains("<html") && page.body.contains("WebSocket"));
    assert_eq!((get("/echo").status, get("/favicon.ico").status), (426, 404));
}

#[test]
fn the_echo_echoes() {
    let serving = Serving::start(&[]);
    let mut raw = serving.raw("/echo");
    raw.text("gr\u{fc}n");
    assert_eq!(raw.frame().text(), "gr\u{fc}n");
    raw.send_frame(raw::FIN | raw::BINARY, &[0, 255]);
    let answer = raw.frame();
    assert_eq!((answer.opcode, &*answer.payload), (raw::BINARY, &[0, 255][..]));
}

#[test]
fn in_the_chat_all_hear_each_other() {
    let serving = Serving::start(&["--workers", "2"]);
    let mut first = serving.raw("/chat");
    let joined = first.frame();
    let me = joined.text().strip_suffix(" joined (1 here)").expect("who joined");
    let me = me.strip_prefix("* ").expect("who joined").to_owned();
    let mut second = serving.raw("/chat");
    let joined = second.frame();
    let you = joined.text().strip_suffix(" joined (2 here)").expect("who joined");
    let you = you.strip_prefix("* ").expect("who joined").to_owned();
    assert_ne!(me, you);
    assert_eq!(first.frame(), joined);
    first.text("hello");
    for raw in [&mut first, &mut second] {
        assert_eq!(raw.frame().text(), format!("{me}: hello"));
    }
    second.text("gr\u{fc}\u{df}e");
    for raw in [&mut first, &mut second] {
        assert_eq!(raw.frame().text(), format!("{you}: gr\u{fc}\u{df}e"));
    }
    second.close(1000, "");
    second.closed();
    assert_eq!(first.frame().text(), format!("* {you} left (1 here)"));
}

/// The status of an upgrade with this origin.
fn status(serving: &Serving, origin: &str) -> u16 {
    let mut raw = Raw::connect(serving.addresses[0]);
    let origin = if origin.is_empty() { String::new() } else { format!("Origin: {origin}\r\n") };
    let request = request(&raw.host(), "/echo", &origin);
    raw.send(request.as_bytes());
    raw.answer().status
}

#[test]
fn the_own_page_may_connect_and_others_may_not() {
    let serving = Serving::start(&[]);
    let own = format!("http://{}", serving.addresses[0]);
    let other_port = "http://127.0.0.1:1";
    for (origin, expected) in [
        (&*own, 101),
        ("", 101),
        (other_port, 403),
        ("http://127.0.0.1", 403),
        ("https://evil.example", 403),
        ("null", 403),
        (&format!("{own}.evil.example"), 403),
    ] {
        assert_eq!(status(&serving, origin), expected, "{origin}");
    }
}

#[test]
fn origins_can_be_named() {
    let serving = Serving::start(&["--origin", "https://a.example", "--origin", "http://b:81"]);
    for (origin, expected) in [
        ("https://a.example", 101),
        ("http://b:81", 101),
        ("http://a.example", 403),
        ("http://b:82", 403),
    ] {
        assert_eq!(status(&serving, origin), expected, "{origin}");
    }
    let serving = Serving::start(&["--origin", "any"]);
    for origin in ["https://a.example", "null", ""] {
        assert_eq!(status(&serving, origin), 101, "{origin}");
    }
}

#[test]
fn it_listens_on_every_address_given() {
    let listen = ["--listen", "127.0.0.1:0"].repeat(2);
    let serving = Serving::start_on(3, &[&["serve", "--listen", "[::1]:0"], &*listen].concat());
    let mut addresses = serving.addresses.clone();
    addresses.dedup();
    assert_eq!(addresses.len(), 3);
    assert!(addresses[0].is_ipv6());
    for address in addresses {
        let mut raw = Raw::open(address, "/echo");
        raw.text("here");
        assert_eq!(raw.frame().text(), "here");
    }
}

/// The file is there while it serves, and an address may stand beside it.
#[cfg(unix)]
#[test]
fn it_listens_on_a_file() {
    use std::io::{Read, Write};
    let path = std::env::temp_dir().join(format!("clws-cli-{}", std::process::id()));
    let listen = format!("unix:{}", path.display());
    let serving = Serving::start_on(2, &["serve", "--listen", &listen, "--listen", "127.0.0.1:0"]);
    assert_eq!(serving.paths, [&*path]);
    let mut stream = std::os::unix::net::UnixStream::connect(&path).expect("it listens");
    stream.write_all(b"GET / HTTP/1.1\r\nHost: clws.example\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).expect("a page and the end");
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("<html"), "{page}");
    fails(&["serve", "--listen", &listen], 1, &listen);
    let nowhere = format!("{listen}.nowhere/socket");
    fails(&["serve", "--listen", &nowhere], 1, "make its directory first");
    assert_eq!(serving.raw("/echo").host(), serving.addresses[0].to_string());
    serving.signal("TERM");
    assert_eq!(serving.wait().code(), Some(0));
    assert!(!path.exists());
}

#[test]
fn limits_are_what_the_flags_say() {
    let serving = Serving::start(&["--max-message-size", "1k", "--max-clients", "1"]);
    let mut raw = serving.raw("/echo");
    assert_eq!(status(&serving, ""), 503);
    raw.text(&"x".repeat(1024));
    assert_eq!(raw.frame().text().len(), 1024);
    raw.text(&"x".repeat(1025));
    assert_eq!(raw.frame().close().0, 1009);
}

/// A proxy tells the address by a header of its own, and that address has so many places.
#[test]
fn a_proxy_tells_whose_a_connection_is() {
    let serving = Serving::start(&[
        "--proxy-protocol",
        "--trusted-proxy",
        "127.0.0.0/8",
        "--max-per-address",
        "1",
        "--max-accept-rate",
        "1000",
    ]);
    let open = |header: &str| {
        let mut raw = Raw::connect(serving.addresses[0]);
        raw.send(format!("{header}{}", request(&raw.host(), "/echo", "")).as_bytes());
        raw
    };
    let mut first = open("PROXY TCP4 203.0.113.5 192.0.2.1 4711 80\r\n");
    first.upgraded();
    open("PROXY TCP4 203.0.113.5 192.0.2.1 4712 80\r\n").skip_to_end();
    open("PROXY TCP4 203.0.113.6 192.0.2.1 4713 80\r\n").upgraded();
    open("").skip_to_end();
    first.text("still here");
    assert_eq!(first.frame().text(), "still here");
}

/// An idle client is pinged as often as asked for.
#[test]
fn the_ping_interval_is_what_the_flag_says() {
    let serving = Serving::start(&["--ping-interval", "100ms"]);
    let mut raw = serving.raw("/echo");
    for _ in 0..2 {
        let ping = raw.frame();
        assert_eq!(ping.opcode, raw::PING);
        raw.send_frame(raw::FIN | raw::PONG, &ping.payload);
    }
}

/// Who does not answer a ping is dropped, who idles or stays for too long is closed.
#[test]
fn silent_idle_and_old_clients_leave_as_the_flags_say() {
    let serving = Serving::start(&["--ping-interval", "100ms", "--pong-timeout", "100ms"]);
    let mut raw = serving.raw("/echo");
    assert_eq!(raw.frame().opcode, raw::PING);
    assert_eq!(raw.end(), End::Fin);
    for flag in ["--idle-timeout", "--max-lifetime"] {
        let serving = Serving::start(&[flag, "200ms"]);
        assert_eq!(serving.raw("/echo").frame().close().0, 1001, "{flag}");
    }
}

/// The log goes to stderr, and only as much of it as asked for.
#[test]
fn the_log_tells_what_was_asked_for() {
    for (level, expected) in [("info", true), ("error", false)] {
        let mut serving = Serving::start(&["--log", level]);
        serving.signal("TERM");
        serving.child.wait().expect("it ends");
        let log: Vec<String> = serving.errors.iter().collect();
        assert_eq!(log.iter().any(|line| line.contains("stopp")), expected, "{log:?}");
        assert!(log.iter().all(|line| !line.contains('\u{1b}')), "no colours in a pipe: {log:?}");
    }
}

/// F4: a worker that waited for the reader of the log would hold up its clients.
#[test]
fn a_log_that_nobody_reads_holds_nobody_up() {
    let mut serving = Serving::start_unread(&["--log", "debug"]);
    // Each refusal is a line; together they are more than the pipe and the queue hold.
    for _ in 0..4000 {
        let mut raw = Raw::connect(serving.addresses[0]);
        raw.send(request(&raw.host(), "/nowhere", "").as_bytes());
        assert_eq!(raw.answer().status, 404);
    }
    let mut raw = serving.raw("/echo");
    raw.text("still served");
    assert_eq!(raw.frame().text(), "still served");
    let pipe = serving.child.stderr.take().expect("a pipe");
    let mut log = BufReader::new(pipe).lines().map_while(Result::ok);
    assert!(log.any(|line| line.ends_with("lines of the log were left out")));
}
