//! Versions 7 and 8: the handshake of RFC 6455 under another number and another origin header.

use clws_proto::handshake::{
    ExtraHeaders, HandshakeLimits, Refusal, Request, RequestReader, check_upgrade,
};
use clws_proto::version::Version;

/// draft-ietf-hybi-thewebsocketprotocol-07 §1.2.
const DRAFT_07: &str = "GET /chat HTTP/1.1\r\n\
    Host: server.example.com\r\n\
    Upgrade: websocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Origin: http://example.com\r\n\
    Sec-WebSocket-Protocol: chat, superchat\r\n\
    Sec-WebSocket-Version: 7\r\n\r\n";

fn read(text: &str) -> Result<Request, Refusal> {
    let answer = RequestReader::new().handle_bytes(text.as_bytes(), &HandshakeLimits::default())?;
    let (request, consumed) = answer.expect("a whole header block");
    assert_eq!(consumed, text.len());
    Ok(request)
}

fn with_version(version: &str) -> String {
    DRAFT_07.replace("Version: 7", &format!("Version: {version}"))
}

#[test]
fn the_request_of_draft_07_gets_the_answer_of_draft_07() {
    let request = read(DRAFT_07).expect("legal");
    assert_eq!(request.version(), Some(Version::Hybi07));
    assert_eq!(request.origin(), Some(&b"http://example.com"[..]));
    let upgrade = check_upgrade(&request).expect("an opening handshake");
    assert_eq!(upgrade.version(), Version::Hybi07);
    assert_eq!(upgrade.accept(), Some(b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    let mut out = Vec::new();
    upgrade.write_response(Some("chat"), &ExtraHeaders::new(), &mut out).expect("a token");
    let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\
        Sec-WebSocket-Protocol: chat\r\n\r\n";
    assert_eq!(String::from_utf8(out).expect("text"), answer);
}

#[test]
fn each_version_is_told_by_its_number() {
    for (number, version) in
        [("13", Version::Rfc6455), ("8", Version::Hybi08), ("7", Version::Hybi07)]
    {
        let request = read(&with_version(number)).expect("legal");
        assert_eq!(request.version(), Some(version));
        assert_eq!(check_upgrade(&request).expect("spoken").version(), version);
    }
    for number in ["0", "6", "9", "10", "12", "14", "08", "7, 8"] {
        let request = read(&with_version(number)).expect("HTTP");
        assert_eq!(request.version(), None);
        let refusal = check_upgrade(&request).expect_err(number);
        assert_eq!(refusal.status(), 426);
        assert!(refusal.headers().contains(&("Sec-WebSocket-Version", "13, 8, 7")));
    }
}

#[test]
fn an_origin_is_read_from_the_header_of_its_version() {
    let old = "Sec-WebSocket-Origin: http://example.com";
    for (version, line, origin) in [
        ("7", old, Some("http://example.com")),
        ("8", old, Some("http://example.com")),
        ("13", old, None),
        ("14", old, None),
        ("7", "Origin: http://example.com", Some("http://example.com")),
        ("8", "Origin: http://example.com", Some("http://example.com")),
        ("13", "Origin: http://example.com", Some("http://example.com")),
        ("8", "Origin: http://a\r\nSec-WebSocket-Origin: http://b", Some("http://b")),
        ("13", "Sec-WebSocket-Origin: http://b\r\nOrigin: http://a", Some("http://a")),
        ("8", "sec-websocket-ORIGIN: null", Some("null")),
        ("8", "X: y", None),
    ] {
        let text = with_version(version).replace(old, line);
        let request = read(&text).expect("legal");
        assert_eq!(request.origin(), origin.map(str::as_bytes), "{version} {line}");
    }
}

#[test]
fn a_repeated_origin_is_400() {
    let old = "Sec-WebSocket-Origin: http://example.com\r\n";
    for version in ["7", "8"] {
        let text = with_version(version);
        let twice = text.replace(old, &old.repeat(2));
        assert_eq!(read(&twice).expect_err("two origins").status(), 400);
        let both = text.replace(old, "Origin: a\r\nOrigin: a\r\n");
        assert_eq!(read(&both).expect_err("two origins").status(), 400);
    }
}

#[test]
fn what_rfc_6455_asks_besides_is_asked_of_the_drafts_too() {
    for (from, to, status) in [
        ("GET", "POST", 405),
        ("Connection: Upgrade", "Connection: close", 400),
        ("dGhlIHNhbXBsZSBub25jZQ==", "dGhl", 400),
        ("chat, superchat", "a b", 400),
        ("Upgrade: websocket", "Upgrade: h2c", 426),
    ] {
        let request = read(&DRAFT_07.replace(from, to)).expect("HTTP");
        assert_eq!(check_upgrade(&request).expect_err(to).status(), status, "{to}");
    }
}
