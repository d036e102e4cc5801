//! Both roles together, and a client's checks of the answer (RFC 6455 §4.1).

use clws_proto::handshake::{
    ClientHandshake, ClientHandshakeError, ExtraHeaders, HandshakeLimits, Request, RequestReader,
    check_upgrade,
};

/// The nonce of RFC 6455 §1.3: `the sample nonce`.
const NONCE: [u8; 16] = *b"the sample nonce";

/// The lines of a legal answer to it.
const LEGAL: [&str; 4] = [
    "HTTP/1.1 101 Switching Protocols",
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
];

fn client(subprotocols: &[&str]) -> ClientHandshake {
    ClientHandshake::new("h:81", "/p?q", NONCE, subprotocols, None, &ExtraHeaders::new())
        .expect("legal")
}

/// What a client that offers `chat` and `raw` makes of these lines.
fn answer(lines: &[&str]) -> Result<Option<String>, ClientHandshakeError> {
    let bytes = format!("{}\r\n\r\n", lines.join("\r\n"));
    let found = client(&["chat", "raw"])
        .handle_bytes(bytes.as_bytes(), &HandshakeLimits::default())?
        .expect("a whole answer");
    assert_eq!(found.1, bytes.len());
    Ok(found.0.subprotocol().map(str::to_owned))
}

fn replaced(prefix: &str, lines: &[&str]) -> Result<Option<String>, ClientHandshakeError> {
    let at = LEGAL.iter().position(|line| line.starts_with(prefix)).expect("a legal line");
    answer(&[&LEGAL[..at], lines, &LEGAL[at + 1..]].concat())
}

fn with(line: &str) -> Result<Option<String>, ClientHandshakeError> {
    answer(&[&LEGAL[..], &[line]].concat())
}

fn parsed(bytes: &[u8]) -> Request {
    let found = RequestReader::new().handle_bytes(bytes, &HandshakeLimits::default());
    found.expect("legal").expect("complete").0
}

#[test]
fn client_and_server_agree() {
    let mut extra = ExtraHeaders::new();
    extra.push("Authorization", "Bearer t").expect("legal");
    let origin = Some("http://o");
    let mut client =
        ClientHandshake::new("[::1]:81", "/p?q", NONCE, &["raw", "chat"], origin, &extra)
            .expect("legal");
    let mut wire = Vec::new();
    client.write_request(&mut wire);
    let request = parsed(&wire);
    assert_eq!(
        (request.path(), request.query(), request.host()),
        ("/p", Some("q"), Some("[::1]:81"))
    );
    assert_eq!(request.origin(), Some(&b"http://o"[..]));
    assert_eq!(request.header("authorization"), Some("Bearer t"));
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["raw", "chat"]);

    let upgrade = check_upgrade(&request).expect("an opening handshake");
    let mut added = ExtraHeaders::new();
    added.push("X-Server", "clws").expect("legal");
    let mut wire = Vec::new();
    upgrade.write_response(Some("chat"), &added, &mut wire).expect("a token");
    let size = wire.len();
    wire.extend_from_slice(b"\x81\x00");
    for cut in 0..size {
        let early = client.clone().handle_bytes(&wire[..cut], &HandshakeLimits::default());
        assert!(matches!(early, Ok(None)), "cut at {cut}");
    }
    let found = client.handle_bytes(&wire, &HandshakeLimits::default());
    let (answer, consumed) = found.expect("legal").expect("complete");
    assert_eq!((answer.subprotocol(), consumed), (Some("chat"), size));
    assert_eq!(answer.header("x-server"), Some("clws"));
    assert_eq!(answer.headers().count(), 5);
    assert!(!format!("{answer:?} {client:?}").contains("Bearer"));
}

#[test]
fn scenario_a14_a_subprotocol_that_is_no_token_never_reaches_the_wire() {
    let mut wire = Vec::new();
    client(&[]).write_request(&mut wire);
    let upgrade = check_upgrade(&parsed(&wire)).expect("an opening handshake");
    for name in ["", "a\r\nX: y", "a\nb", "a\0", "a b", "a,b"] {
        let mut out = Vec::new();
        assert!(upgrade.write_response(Some(name), &ExtraHeaders::new(), &mut out).is_err());
        assert!(out.is_empty(), "{name:?}");
    }
}

#[test]
fn rfc_6455_4_1_a_legal_answer_in_any_case_is_taken() {
    assert_eq!(answer(&LEGAL), Ok(None));
    assert_eq!(replaced("Upgrade", &["UPGRADE: WebSocket"]), Ok(None));
    assert_eq!(replaced("Connection", &["connection: keep-alive, upgrade"]), Ok(None));
    assert_eq!(replaced("HTTP", &["HTTP/1.1 101 "]), Ok(None));
    assert_eq!(replaced("HTTP", &["HTTP/1.1 101"]), Ok(None));
    assert_eq!(with("Sec-WebSocket-Protocol: raw"), Ok(Some("raw".to_owned())));
}

#[test]
fn rfc_6455_4_1_answers_that_fail_the_connection() {
    let rows = [
        replaced("HTTP", &["HTTP/1.0 101 Switching Protocols"]),
        replaced("Upgrade", &[]),
        replaced("Upgrade", &["Upgrade: h2c"]),
        replaced("Upgrade", &["Upgrade: websocket, h2c"]),
        replaced("Connection", &[]),
        replaced("Connection", &["Connection: close"]),
        replaced("Sec-", &[]),
        replaced("Sec-", &["Sec-WebSocket-Accept:"]),
        replaced("Sec-", &["Sec-WebSocket-Accept: S3pPLMBiTxaQ9kYGzzhZRbK+xOo="]),
        replaced("Sec-", &[LEGAL[3], LEGAL[3]]),
        with("Sec-WebSocket-Extensions: permessage-deflate"),
        with("Sec-WebSocket-Protocol: other"),
        with("Sec-WebSocket-Protocol: Chat"),
        with("Sec-WebSocket-Protocol: chat, raw"),
        with("Sec-WebSocket-Protocol:"),
        with("Sec-WebSocket-Protocol: chat\r\nSec-WebSocket-Protocol: chat"),
    ];
    for (row, result) in rows.iter().enumerate() {
        assert!(matches!(result, Err(ClientHandshakeError::Answer(_))), "row {row}: {result:?}");
    }
}

#[test]
fn other_statuses_and_what_is_not_http_are_told_apart() {
    for (line, status) in [("HTTP/1.1 403 Forbidden", 403), ("HTTP/1.0 200 OK", 200)] {
        assert_eq!(replaced("HTTP", &[line]), Err(ClientHandshakeError::Refused(status)));
    }
    for line in ["HTTP/2.0 101 x", "HTTP/1.1 1o1 x", "HTTP/1.1", "SSH-2.0-x", "HTTP/1.1 101 \0"] {
        let result = replaced("HTTP", &[line]);
        assert!(matches!(result, Err(ClientHandshakeError::Malformed(_))), "{line}: {result:?}");
    }
    let long = format!("X: {}", "x".repeat(20_000));
    assert_eq!(with(&long), Err(ClientHandshakeError::TooLarge));
}

#[test]
fn what_can_not_be_sent_is_an_error_before_it_is_written() {
    let new = |host, path, subprotocols: &[&str], origin| {
        ClientHandshake::new(host, path, NONCE, subprotocols, origin, &ExtraHeaders::new())
    };
    for (host, path, subprotocols, origin) in [
        ("", "/", &[][..], None),
        ("a\r\nX: y", "/", &[], None),
        ("a@b", "/", &[], None),
        ("a", "", &[], None),
        ("a", "p", &[], None),
        ("a", "http://a/", &[], None),
        ("a", "/ HTTP/1.1\r\nX: y", &[], None),
        ("a", "/#f", &[], None),
        ("a", "/", &["a b"], None),
        ("a", "/", &["a", "b", "a"], None),
        ("a", "/", &[""], None),
        ("a", "/", &[], Some("a\r\nX: y")),
    ] {
        let result = new(host, path, subprotocols, origin);
        assert!(matches!(result, Err(ClientHandshakeError::Request(_))), "{host} {path}");
    }
    assert!(new("a", "//p?q", &["a", "A"], Some("null")).is_ok());
}
