//! What becomes of each kind of request: a table of statuses, named by the rule they follow.

use clws_proto::handshake::{HandshakeLimits, Refusal, Request, RequestReader, check_upgrade};
use clws_proto::version::Version;

const KEY: &str = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

/// The lines of a legal opening handshake, after RFC 6455 §1.2.
const LEGAL: [&str; 6] = [
    "GET /chat HTTP/1.1",
    "Host: server.example.com",
    "Upgrade: websocket",
    "Connection: Upgrade",
    KEY,
    "Sec-WebSocket-Version: 13",
];

fn read(bytes: &[u8]) -> Result<Request, Refusal> {
    let answer = RequestReader::new().handle_bytes(bytes, &HandshakeLimits::default())?;
    let (request, consumed) = answer.expect("a whole header block");
    assert_eq!(consumed, bytes.len());
    Ok(request)
}

/// The status that answers the request.
fn status(bytes: &[u8]) -> u16 {
    match read(bytes).and_then(|request| check_upgrade(&request)) {
        Ok(upgrade) => {
            assert_eq!(upgrade.version(), Version::Rfc6455);
            101
        }
        Err(refusal) => {
            assert!(!refusal.reason().is_empty());
            refusal.status()
        }
    }
}

fn block(lines: &[&str]) -> Vec<u8> {
    format!("{}\r\n\r\n", lines.join("\r\n")).into_bytes()
}

/// The legal request with the line that begins like `prefix` replaced (by nothing: removed).
fn replaced(prefix: &str, lines: &[&str]) -> Vec<u8> {
    let at = LEGAL.iter().position(|line| line.starts_with(prefix)).expect("a legal line");
    block(&[&LEGAL[..at], lines, &LEGAL[at + 1..]].concat())
}

fn with(line: &str) -> Vec<u8> {
    block(&[&LEGAL[..], &[line]].concat())
}

fn with_target(target: &str) -> Vec<u8> {
    replaced("GET", &[&format!("GET {target} HTTP/1.1")])
}

fn check(prefix: &str, rows: &[(&[&str], u16)]) {
    for (lines, expected) in rows {
        assert_eq!(status(&replaced(prefix, lines)), *expected, "{lines:?}");
    }
}

#[test]
fn a_legal_request_is_101() {
    assert_eq!(status(&block(&LEGAL)), 101);
}

#[test]
fn rfc_6455_4_2_1_item_1_method_and_version_of_http() {
    check(
        "GET",
        &[
            (&["POST /chat HTTP/1.1"], 405),
            (&["HEAD /chat HTTP/1.1"], 405),
            (&["get /chat HTTP/1.1"], 405),
            (&["GET /chat HTTP/1.0"], 400),
            (&["GET /chat HTTP/2.0"], 505),
            (&["GET /chat HTTP/0.9"], 505),
            (&["GET /chat HTTP/11"], 400),
            (&["GET /chat http/1.1"], 400),
            (&["GET /chat"], 400),
            (&["GET"], 400),
            (&["GET  /chat HTTP/1.1"], 400),
            (&["GET /chat  HTTP/1.1"], 400),
            (&["GET /chat HTTP/1.1 "], 400),
            (&[" GET /chat HTTP/1.1"], 400),
            (&["GET\t/chat HTTP/1.1"], 400),
            (&["GET /ch at HTTP/1.1"], 400),
            (&["G@T /chat HTTP/1.1"], 400),
        ],
    );
}

#[test]
fn rfc_6455_4_2_1_item_2_host() {
    check(
        "Host",
        &[
            (&[], 400),
            (&["Host: a", "Host: a"], 400),
            (&["Host:"], 400),
            (&["Host: [::1"], 400),
            (&["Host: [::1]:99999"], 400),
            (&["Host: a:99999"], 400),
            (&["Host: a b"], 400),
            (&["Host: user@a"], 400),
            (&["Host: a, b"], 400),
            (&["Host: \u{ff}"], 400),
            (&["Host: a\0"], 400),
            (&["Host: [::1]:8080"], 101),
            (&["hOST:\ta:80 \t"], 101),
        ],
    );
}

#[test]
fn rfc_6455_4_2_1_item_3_upgrade() {
    check(
        "Upgrade",
        &[
            (&[], 426),
            (&["Upgrade: h2c"], 426),
            (&["Upgrade: websockets"], 426),
            (&["Upgrade: WebSocket"], 101),
            (&["Upgrade: h2c, WEBSOCKET,"], 101),
            (&["Upgrade: h2c", "Upgrade: websocket"], 101),
        ],
    );
    let plain = read(&replaced("Upgrade", &["Upgrade: h2c"])).expect("plain HTTP");
    assert!(!plain.is_upgrade());
}

#[test]
fn rfc_6455_4_2_1_item_4_connection_in_every_case_mix() {
    check(
        "Connection",
        &[
            (&[], 400),
            (&["Connection: close"], 400),
            (&["Connection: upgraded"], 400),
            (&["Connection: keep-alive", "Connection: Upgrade"], 101),
            (&["Connection: ,\t,Upgrade ,"], 101),
        ],
    );
    for mix in 0..1 << "upgrade".len() {
        let token: String = "upgrade"
            .char_indices()
            .map(|(at, c)| if mix >> at & 1 == 1 { c.to_ascii_uppercase() } else { c })
            .collect();
        for line in [format!("Connection: keep-alive, {token}"), format!("CONNECTION:{token}")] {
            assert_eq!(status(&replaced("Connection", &[&line])), 101, "{line}");
        }
    }
}

#[test]
fn rfc_6455_4_2_1_item_5_key() {
    check(
        "Sec-WebSocket-Key",
        &[
            (&[], 400),
            (&[KEY, KEY], 400),
            (&["Sec-WebSocket-Key:"], 400),
            (&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25j"], 400),
            (&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZWVl"], 400),
            (&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ"], 400),
            (&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=a"], 400),
            (&["Sec-WebSocket-Key: dGhlIHNhbXBsZSB_-_5jZQ=="], 400),
            (&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==, a"], 400),
            (&["Sec-WebSocket-Key: dGhl IHNhbXBsZSBub25jZQ=="], 400),
            (&["Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZR=="], 101),
            (&["Sec-WebSocket-Key:dGhlIHNhbXBsZSBub25jZQ==  "], 101),
        ],
    );
}

#[test]
fn rfc_6455_4_2_1_item_6_version() {
    check("Sec-WebSocket-Version", &[(&[], 426), (&["sec-websocket-version:13"], 101)]);
    check(
        "Sec-WebSocket-Version",
        &[(&["Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 13"], 426)],
    );
    for value in ["", "0", "6", "9", "12", "14", "013", "+13", "13, 13", "13, 8", "269"] {
        let bytes = replaced("Sec-WebSocket-V", &[&format!("Sec-WebSocket-Version: {value}")]);
        let refusal = check_upgrade(&read(&bytes).expect("HTTP")).expect_err(value);
        assert_eq!(refusal.status(), 426, "{value}");
        assert!(refusal.headers().contains(&("Sec-WebSocket-Version", "13, 8, 7")));
    }
}

#[test]
fn rfc_6455_4_2_1_item_7_origin() {
    assert_eq!(read(&block(&LEGAL)).expect("legal").origin(), None);
    for value in [&b"http://a"[..], b"", b"null", b"\xff", b"a b"] {
        let mut bytes = with("Origin: ");
        bytes.truncate(bytes.len() - 4);
        bytes.extend_from_slice(value);
        bytes.extend_from_slice(b"\r\n\r\n");
        assert_eq!(read(&bytes).expect("legal").origin(), Some(value));
    }
    assert_eq!(status(&with("Origin: a\r\nOrigin: a")), 400);
    assert_eq!(status(&with("Origin: \0")), 400);
}

#[test]
fn rfc_6455_4_2_1_item_8_subprotocols_in_order_over_repeated_headers() {
    let request = read(&with(
        "Sec-WebSocket-Protocol: ,,v2.chat , \t,v1.chat\r\nX: y\r\nsec-websocket-protocol: raw",
    ))
    .expect("legal");
    let offers: Vec<_> = request.subprotocols().collect();
    assert_eq!(offers, ["v2.chat", "v1.chat", "raw"]);
    assert!(check_upgrade(&request).is_ok());
    for value in ["a b", "a;b", "a/b", "\"a\"", "\u{e9}", "ok, (x)"] {
        assert_eq!(status(&with(&format!("Sec-WebSocket-Protocol: {value}"))), 400, "{value}");
    }
}

#[test]
fn scenario_a7_lists_full_of_nothing_are_answered() {
    let nothing = ",".repeat(15 * 1024);
    assert_eq!(status(&with(&format!("Sec-WebSocket-Protocol: {nothing}"))), 101);
    assert_eq!(status(&with(&format!("Sec-WebSocket-Protocol: {}", " ".repeat(15_000)))), 101);
    let offers = "x-a, ".repeat(3_000);
    let request = read(&with(&format!("Sec-WebSocket-Extensions: {offers}"))).expect("legal");
    assert_eq!(request.header("sec-websocket-extensions").map(str::len), Some(offers.len() - 1));
    assert!(check_upgrade(&request).is_ok());
}

#[test]
fn scenario_a10_a_body_in_any_guise_is_400() {
    for line in [
        "Content-Length: 5",
        "Content-Length: +5",
        "Content-Length: +0",
        "Content-Length: -0",
        "Content-Length: 00",
        "Content-Length: 0, 0",
        "Content-Length:",
        "Content-Length: 0x0",
        "Content-Length: 18446744073709551616",
        "Content-Length: 0\r\nContent-Length: 0",
        "Content-Length: 0\r\ncontent-length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: identity",
        "Transfer-Encoding:",
    ] {
        assert_eq!(status(&with(line)), 400, "{line:?}");
    }
    assert_eq!(status(&with("Content-Length: 0")), 101);
}

#[test]
fn scenario_a10_rfc_9112_lines_that_parsers_read_differently_are_400() {
    for line in [
        "X : a",
        "X\t: a",
        " X: a",
        ": a",
        "X",
        "X y: a",
        "X: a\r\n folded",
        "X: a\r\n\tfolded",
        "X: a\r\n ",
        "X: a\nY: b",
        "X: a\rY: b",
        "X: a\0",
        "X: a\x01b",
        "X: a\x7f",
        "X\0: a",
        "\u{e9}: a",
        "X: \x1b[31m",
        "X: a\r\r",
        "\n",
        "(X): a",
    ] {
        assert_eq!(refused(&with(line)), 400, "{line:?}");
    }
    for line in ["X: a\tb", "X:", "X:   ", "X: \u{e9}", "!#$%&'*+-.^_`|~9: a", "X: a:b"] {
        assert_eq!(status(&with(line)), 101, "{line:?}");
    }
    assert_eq!(refused(b"GET / HTTP/1.1\nHost: a\n\n"), 400);
    assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: a\r\n\n"), 400);
    assert_eq!(refused(b"GET / HTTP/1.1\r\nHost: a\n\r\n"), 400);
}

/// The status of a request refused before or at its end.
fn refused(bytes: &[u8]) -> u16 {
    let answer = RequestReader::new().handle_bytes(bytes, &HandshakeLimits::default());
    answer.expect_err("a malformed request").status()
}

#[test]
fn rfc_9112_2_2_one_empty_line_before_the_request_is_ignored() {
    let bytes = block(&LEGAL);
    assert_eq!(status(&[b"\r\n", &bytes[..]].concat()), 101);
    for lead in [&b"\r\n\r\n"[..], b"\n", b"\r", b" ", b"\0", b"\xef\xbb\xbf"] {
        assert_eq!(refused(&[lead, &bytes[..]].concat()), 400, "{lead:?}");
    }
}

#[test]
fn scenario_a13_targets() {
    for (target, path, query, host) in [
        ("/", "/", None, "server.example.com"),
        ("//x", "//x", None, "server.example.com"),
        ("/../a/./%2e", "/../a/./%2e", None, "server.example.com"),
        ("/a?b?c=%00", "/a", Some("b?c=%00"), "server.example.com"),
        ("/a?", "/a", Some(""), "server.example.com"),
        ("http://other:81/p?q", "/p", Some("q"), "other:81"),
        ("HTTPS://[::1]", "/", None, "[::1]"),
    ] {
        let request = read(&with_target(target)).expect(target);
        assert_eq!((request.path(), request.query()), (path, query), "{target}");
        assert_eq!(request.host(), Some(host), "{target}");
        assert_eq!(request.header("host"), Some("server.example.com"));
        assert!(check_upgrade(&request).is_ok(), "{target}");
    }
    for target in [
        "*",
        "a:443",
        "chat",
        "ws://a/",
        "http://",
        "http:///p",
        "http://u@a/",
        "http://[::1/",
        "http://a:99999/",
        "/%00",
        "/a%00b?c",
        "/a#b",
        "/?a#b",
        "/\u{e9}",
        "/a\0",
        "/\x7f",
    ] {
        assert_eq!(status(&with_target(target)), 400, "{target}");
    }
}

#[test]
fn rfc_9112_3_2_a_request_of_http_1_0_may_lack_host() {
    let request = read(b"GET /health HTTP/1.0\r\n\r\n").expect("plain HTTP/1.0");
    assert_eq!((request.host(), request.is_http_1_1()), (None, false));
    assert!(!request.is_upgrade());
}

#[test]
fn a_request_gives_back_its_parts_and_hides_its_secrets_from_debug() {
    let request = read(
        b"GET /p?token=s3cret HTTP/1.1\r\nHost: h\r\nCookie:  a=s3cret \r\n\
          X: \xff\r\nCOOKIE: b\r\n\r\n",
    )
    .expect("legal");
    assert_eq!(request.method(), "GET");
    assert_eq!(request.header("cookie"), Some("a=s3cret"));
    assert_eq!(request.header("x"), None);
    assert_eq!(request.header("y"), None);
    let cookies: Vec<_> = request.header_values("Cookie").collect();
    assert_eq!(cookies, [&b"a=s3cret"[..], b"b"]);
    let names: Vec<_> = request.headers().map(|(name, _)| name).collect();
    assert_eq!(names, ["Host", "Cookie", "X", "COOKIE"]);
    let debug = format!("{request:?} {:?}", request.headers());
    assert!(debug.contains("/p") && !debug.contains("s3cret"), "{debug}");
}
