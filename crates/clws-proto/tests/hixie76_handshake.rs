//! The opening handshake of draft-hixie-thewebsocketprotocol-76, by its recorded examples.

use clws_proto::handshake::{
    ExtraHeaders, HandshakeLimits, Refusal, Request, RequestReader, Response, check_upgrade,
};
use clws_proto::version::{Version, Versions};
use proptest::prelude::*;

/// The draft's §1.2, in the order it has there.
const DEMO: &str = "GET /demo HTTP/1.1\r\n\
    Host: example.com\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Key2: 12998 5 Y3 1  .P00\r\n\
    Sec-WebSocket-Protocol: sample\r\n\
    Upgrade: WebSocket\r\n\
    Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n\
    Origin: http://example.com\r\n\r\n^n:ds[4U";
const DEMO_ANSWER: &str = "HTTP/1.1 101 WebSocket Protocol Handshake\r\n\
    Upgrade: WebSocket\r\n\
    Connection: Upgrade\r\n\
    Sec-WebSocket-Origin: http://example.com\r\n\
    Sec-WebSocket-Location: ws://example.com/demo\r\n\
    Sec-WebSocket-Protocol: sample\r\n\r\n8jKS'y:G*Co,Wxa-";

const ON: Versions = Versions { hixie76: true };

fn try_read(bytes: &[u8], versions: Versions) -> Result<Option<(Request, usize)>, Refusal> {
    RequestReader::with_versions(versions).handle_bytes(bytes, &HandshakeLimits::default())
}

fn read(text: &str) -> Request {
    try_read(text.as_bytes(), ON).expect("HTTP").expect("a whole request").0
}

fn answer(request: &Request, subprotocol: Option<&str>, tls: bool) -> Vec<u8> {
    let upgrade = check_upgrade(request).expect("an opening handshake").with_tls(tls);
    assert_eq!((upgrade.version(), upgrade.accept()), (Version::Hixie76, None));
    let mut out = Vec::new();
    upgrade.write_response(subprotocol, &ExtraHeaders::new(), &mut out).expect("legal");
    out
}

fn digest(text: &str) -> Vec<u8> {
    let out = answer(&read(text), None, false);
    out.rsplit(|&byte| byte == b'\n').next().expect("a body").to_vec()
}

#[test]
fn the_request_of_the_draft_gets_the_answer_of_the_draft() {
    let (request, consumed) = try_read(DEMO.as_bytes(), ON).expect("HTTP").expect("whole");
    assert_eq!(consumed, DEMO.len());
    assert_eq!(request.version(), Some(Version::Hixie76));
    assert_eq!((request.path(), request.query()), ("/demo", None));
    assert_eq!(request.origin(), Some(&b"http://example.com"[..]));
    assert_eq!(request.subprotocols().collect::<Vec<_>>(), ["sample"]);
    assert_eq!(request.headers().count(), 7);
    let out = answer(&request, Some("sample"), false);
    assert_eq!(String::from_utf8(out).expect("text"), DEMO_ANSWER);
}

#[test]
fn the_other_examples_of_the_draft() {
    for (key1, key2, challenge, expected) in [
        ("3e6b263  4 17 80", "17  9 G`ZD9   2 2b 7X 3 /r90", "WjN}|M(6", "n`9eBk9z$R8pOtVb"),
        (
            "18x 6]8vM;54 *(5:  {   U1]8  z [  8",
            "1_ tx7X d  <  nw  334J702) 7]o}` 0",
            "Tm[K T2u",
            "fQJ,fN/4F4!~K~MH",
        ),
    ] {
        let text = DEMO
            .replace("4 @1  46546xW%0l 1 5", key1)
            .replace("12998 5 Y3 1  .P00", key2)
            .replace("^n:ds[4U", challenge);
        assert_eq!(digest(&text), expected.as_bytes(), "{key1}");
    }
}

#[test]
fn every_cut_waits_for_the_eight_bytes_and_takes_no_more() {
    let bytes = [DEMO.as_bytes(), b"\0hello\xff"].concat();
    let limits = HandshakeLimits::default();
    for cut in 0..bytes.len() {
        let mut reader = RequestReader::with_versions(ON);
        let first = reader.handle_bytes(&bytes[..cut], &limits).expect("HTTP");
        assert_eq!(first.is_some(), cut >= DEMO.len(), "cut at {cut}");
        let found = match first {
            None => reader.handle_bytes(&bytes, &limits).expect("HTTP"),
            found => found,
        };
        let (request, consumed) = found.expect("whole");
        assert_eq!(consumed, DEMO.len());
        assert_eq!(answer(&request, Some("sample"), false), DEMO_ANSWER.as_bytes());
        assert!(reader.handle_bytes(&bytes, &limits).expect("spent").is_none());
    }
    let mut reader = RequestReader::with_versions(ON);
    for end in 0..DEMO.len() {
        assert!(reader.handle_bytes(&bytes[..end], &limits).expect("HTTP").is_none(), "{end}");
    }
    assert!(reader.handle_bytes(&bytes[..DEMO.len()], &limits).expect("HTTP").is_some());
}

#[test]
fn the_eight_bytes_count_to_no_limit() {
    let limits = HandshakeLimits { max_header_size: DEMO.len() - 8, ..HandshakeLimits::default() };
    let mut reader = RequestReader::with_versions(ON);
    assert!(reader.handle_bytes(&DEMO.as_bytes()[..DEMO.len() - 8], &limits).is_ok());
    assert!(reader.handle_bytes(DEMO.as_bytes(), &limits).expect("at the limit").is_some());
}

#[test]
fn it_is_off_by_default_and_refused_with_what_is_spoken() {
    let block = &DEMO[..DEMO.len() - 8];
    for bytes in [block, DEMO, &DEMO.replace("4 @1", "no")] {
        let (request, consumed) = try_read(bytes.as_bytes(), Versions::default())
            .expect("HTTP")
            .expect("nothing to wait for");
        assert_eq!(consumed, bytes.find("\r\n\r\n").expect("an end") + 4);
        assert_eq!(request.version(), Some(Version::Hixie76));
        let refusal = check_upgrade(&request).expect_err("off");
        assert_eq!(refusal.status(), 400);
        assert!(refusal.reason().contains("13, 8 and 7"), "{refusal}");
        let mut out = Vec::new();
        Response::from(&refusal).write_to(false, &mut out);
        let text = String::from_utf8(out).expect("text");
        assert!(text.starts_with("HTTP/1.1 400 "), "{text}");
        assert!(text.contains("\r\nSec-WebSocket-Version: 13, 8, 7\r\n"), "{text}");
    }
}

#[test]
fn later_versions_are_read_alike_where_it_is_on() {
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    let text = DEMO.replace("Origin:", &format!("{key}Origin:"));
    let (request, consumed) = try_read(text.as_bytes(), ON).expect("HTTP").expect("whole");
    assert_eq!(consumed, text.len() - 8);
    let upgrade = check_upgrade(&request).expect("version 13");
    assert_eq!(upgrade.version(), Version::Rfc6455);
    let plain = "GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Key1: 1 x\r\n\r\n";
    let (request, _) = try_read(plain.as_bytes(), ON).expect("HTTP").expect("whole");
    assert_eq!((request.is_upgrade(), request.version()), (false, None));
}

#[test]
fn section_5_2_keys_that_break_the_rules_are_400() {
    for key in ["12x34", "", "x y", "1 2 3", "4294967296 x", "999999999999999999999 x"] {
        let refusal =
            check_upgrade(&read(&DEMO.replace("4 @1  46546xW%0l 1 5", key))).expect_err(key);
        assert_eq!(refusal.status(), 400, "{key}");
        assert!(refusal.headers().contains(&("Sec-WebSocket-Version", "13, 8, 7")));
    }
    let line = "Sec-WebSocket-Key1: 4 @1  46546xW%0l 1 5\r\n";
    for lines in ["", &line.repeat(2)] {
        let refusal = check_upgrade(&read(&DEMO.replace(line, lines))).expect_err("a broken key");
        assert_eq!(refusal.status(), 400, "{lines}");
    }
}

#[test]
fn what_is_asked_of_every_handshake_is_asked_here() {
    for (from, to, status) in [
        ("GET", "POST", 405),
        ("Connection: Upgrade", "Connection: close", 400),
        ("Protocol: sample", "Protocol: a/b", 400),
        ("HTTP/1.1", "HTTP/1.0", 400),
        ("Upgrade: WebSocket", "Upgrade: h2c", 426),
    ] {
        let text = DEMO.replace(from, to);
        let (request, _) = try_read(text.as_bytes(), ON).expect("HTTP").expect("whole");
        assert_eq!(check_upgrade(&request).expect_err(to).status(), status, "{to}");
    }
    for (from, to) in [
        ("Host: example.com\r\n", ""),
        ("Origin:", "Origin: a\r\nOrigin:"),
        ("Origin:", "Content-Length: 9\r\nOrigin:"),
        ("example.com\r\nConn", "a\r\r\nConn"),
    ] {
        let refusal = try_read(DEMO.replace(from, to).as_bytes(), ON).expect_err(to);
        assert_eq!(refusal.status(), 400, "{to}");
    }
}

#[test]
fn the_eight_bytes_may_be_called_a_body() {
    let text = DEMO.replace("Origin:", "Content-Length: 8\r\nOrigin:");
    assert_eq!(digest(&text), b"8jKS'y:G*Co,Wxa-");
    let (request, _) =
        try_read(text.as_bytes(), Versions::default()).expect("HTTP").expect("whole");
    assert_eq!(check_upgrade(&request).expect_err("off").status(), 400);
    let twice = text.replace("Origin:", "Transfer-Encoding: chunked\r\nOrigin:");
    assert_eq!(try_read(twice.as_bytes(), ON).expect_err("a body").status(), 400);
}

fn lines_of(request: &str, tls: bool) -> String {
    let out = answer(&read(request), None, tls);
    let end = out.len() - 16;
    assert!(out[..end].ends_with(b"\r\n\r\n"));
    String::from_utf8_lossy(&out[..end]).into_owned()
}

#[test]
fn the_location_is_the_url_that_was_asked_for() {
    for (target, host, tls, location) in [
        ("/demo", "example.com:81", false, "ws://example.com:81/demo"),
        ("/a?b=c?d&e", "example.com", true, "wss://example.com/a?b=c?d&e"),
        ("/?", "[::1]:8080", false, "ws://[::1]:8080/?"),
        ("//x/../%20", "a", false, "ws://a//x/../%20"),
        ("http://other:82/p", "a", false, "ws://other:82/p"),
    ] {
        let text = DEMO.replace("/demo", target).replace("Host: example.com", "Host: ??");
        let lines = lines_of(&text.replace("??", host), tls);
        assert!(lines.contains(&format!("\r\nSec-WebSocket-Location: {location}\r\n")), "{lines}");
    }
}

#[test]
fn an_origin_is_repeated_and_a_missing_one_is_null() {
    let line = "Origin: http://example.com\r\n";
    let lines = lines_of(&DEMO.replace(line, ""), false);
    assert!(lines.contains("\r\nSec-WebSocket-Origin: null\r\n"), "{lines}");
    assert_eq!(read(&DEMO.replace(line, "")).origin(), None);
    let old = DEMO.replace("\r\nOrigin:", "\r\nSec-WebSocket-Origin:");
    assert_eq!(read(&old).origin(), None);
    let lines = lines_of(&DEMO.replace("http://example.com", "file:// \u{e9}"), false);
    assert!(lines.contains("\r\nSec-WebSocket-Origin: file:// \u{e9}\r\n"), "{lines}");
}

#[test]
fn extra_headers_stand_before_the_sixteen_bytes() {
    let mut extra = ExtraHeaders::new();
    extra.push("Set-Cookie", "a=b").expect("legal");
    let mut out = Vec::new();
    let upgrade = check_upgrade(&read(DEMO)).expect("legal");
    upgrade.write_response(None, &extra, &mut out).expect("legal");
    assert!(out.ends_with(b"\r\nSet-Cookie: a=b\r\n\r\n8jKS'y:G*Co,Wxa-"));
}

fn verdict(bytes: &[u8], ends: impl IntoIterator<Item = usize>) -> Option<(String, usize)> {
    let mut reader = RequestReader::with_versions(ON);
    for end in ends {
        match reader.handle_bytes(&bytes[..end], &HandshakeLimits::default()) {
            Ok(None) => {}
            Err(refusal) => return Some((refusal.to_string(), 0)),
            Ok(Some((request, consumed))) => {
                let verdict = match check_upgrade(&request) {
                    Ok(_) => answer(&request, None, false).escape_ascii().to_string(),
                    Err(refusal) => refusal.to_string(),
                };
                return Some((verdict, consumed));
            }
        }
    }
    None
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, failure_persistence: None,
        ..ProptestConfig::default() })]

    #[test]
    fn any_keys_and_eight_bytes_get_one_verdict_however_cut(
        key1 in "[ -~]{0,40}",
        key2 in "[0-9 ]{1,11}x",
        challenge in prop::collection::vec(any::<u8>(), 8),
        origin in prop::collection::vec(any::<u8>(), 0..12),
    ) {
        let head = format!(
            "GET /a HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\
             Sec-WebSocket-Key1: {key1}\r\nSec-WebSocket-Key2: {key2}\r\nOrigin: "
        );
        let bytes = [head.as_bytes(), &origin, b"\r\n\r\n", &challenge].concat();
        let whole = verdict(&bytes, [bytes.len()]);
        prop_assert!(whole.is_some());
        prop_assert_eq!(verdict(&bytes, 1..=bytes.len()), whole);
    }

    #[test]
    fn a_key_made_as_the_draft_says_is_admitted(
        part in 0_u32..=u32::MAX / 12,
        spaces in 1_u32..=12,
        chaff in "[!-/:-~]{1,12}",
        at in prop::collection::vec(any::<prop::sample::Index>(), 12),
    ) {
        let mut key = (part * spaces).to_string();
        for (letter, at) in chaff.chars().zip(&at) {
            key.insert(at.index(key.len() + 1), letter);
        }
        key.insert(0, chaff.chars().next().unwrap());
        key.push('~');
        for at in at.iter().take(spaces as usize) {
            key.insert(1 + at.index(key.len() - 1), ' ');
        }
        let request = read(&DEMO.replace("4 @1  46546xW%0l 1 5", &key));
        prop_assert!(check_upgrade(&request).is_ok(), "{}", key);
    }
}
