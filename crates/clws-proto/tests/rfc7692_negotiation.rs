//! RFC 7692 §5 and §7.1: which offers are accepted, and with which answer.

use clws_proto::deflate::{
    Agreed, DeflateConfig, MalformedExtensions, ResponseError, accept_response, negotiate, offer,
};
use proptest::prelude::*;

const OPEN: DeflateConfig = DeflateConfig {
    enabled: true,
    level: 1,
    min_size: 0,
    server_no_context_takeover: false,
    client_no_context_takeover: false,
    server_max_window_bits: 15,
    client_max_window_bits: 15,
};
const SMALL: DeflateConfig =
    DeflateConfig { server_max_window_bits: 10, client_max_window_bits: 12, ..OPEN };
const FRESH: DeflateConfig =
    DeflateConfig { server_no_context_takeover: true, client_no_context_takeover: true, ..OPEN };

/// The answer's value without the name, `-` for a declined offer, `!` for a malformed header.
fn answer(config: &DeflateConfig, values: &[&[u8]]) -> String {
    match negotiate(values.iter().copied(), config) {
        Ok(Some(agreed)) => {
            let mut value = Vec::new();
            agreed.write_response_value(&mut value);
            let value = String::from_utf8(value).expect("ASCII");
            let rest = value.strip_prefix("permessage-deflate").expect("the name");
            rest.strip_prefix("; ").unwrap_or(rest).to_owned()
        }
        Ok(None) => "-".to_owned(),
        Err(MalformedExtensions) => "!".to_owned(),
    }
}

/// Checks rows of parameters, answer: the offer is permessage-deflate with these parameters.
fn check(config: &DeflateConfig, rows: &[(&str, &str)]) {
    for (parameters, expected) in rows {
        let offered = format!("permessage-deflate{parameters}");
        assert_eq!(answer(config, &[offered.as_bytes()]), *expected, "{offered}");
    }
}

#[test]
fn scenario_c4_every_offer_is_answered_or_declined_by_the_rfc() {
    check(
        &OPEN,
        &[
            ("", ""),
            ("; server_no_context_takeover", "server_no_context_takeover"),
            ("; client_no_context_takeover", "client_no_context_takeover"),
            (
                "; client_no_context_takeover; server_no_context_takeover",
                "server_no_context_takeover; client_no_context_takeover",
            ),
            ("; server_max_window_bits=15", "server_max_window_bits=15"),
            ("; server_max_window_bits=9", "server_max_window_bits=9"),
            ("; server_max_window_bits=8", "-"),
            ("; server_max_window_bits=7", "-"),
            ("; server_max_window_bits=0", "-"),
            ("; server_max_window_bits=16", "-"),
            ("; server_max_window_bits=19", "-"),
            ("; server_max_window_bits=100", "-"),
            ("; server_max_window_bits=015", "-"),
            ("; server_max_window_bits=08", "-"),
            ("; server_max_window_bits=+9", "-"),
            ("; server_max_window_bits=-9", "-"),
            ("; server_max_window_bits=9.0", "-"),
            ("; server_max_window_bits=0x9", "-"),
            ("; server_max_window_bits=1", "-"),
            ("; server_max_window_bits=1a", "-"),
            ("; server_max_window_bits=99999999999999999999", "-"),
            ("; server_max_window_bits", "-"),
            ("; server_max_window_bits=\"12\"", "server_max_window_bits=12"),
            ("; server_max_window_bits=\"1\\2\"", "server_max_window_bits=12"),
            ("; server_max_window_bits=\"\\9\"", "server_max_window_bits=9"),
            ("; server_max_window_bits=\"09\"", "-"),
            ("; client_max_window_bits", ""),
            ("; client_max_window_bits=15", ""),
            ("; client_max_window_bits=8", ""),
            ("; client_max_window_bits=\"10\"", ""),
            ("; client_max_window_bits=7", "-"),
            ("; client_max_window_bits=16", "-"),
            ("; client_max_window_bits=010", "-"),
            ("; client_max_window_bits=x", "-"),
            ("; server_no_context_takeover=1", "-"),
            ("; server_no_context_takeover=\"true\"", "-"),
            ("; client_no_context_takeover=1", "-"),
            ("; server_no_context_takeover; server_no_context_takeover", "-"),
            ("; client_no_context_takeover; client_no_context_takeover", "-"),
            ("; server_max_window_bits=9; server_max_window_bits=9", "-"),
            ("; client_max_window_bits; client_max_window_bits", "-"),
            ("; client_max_window_bits; client_max_window_bits=9", "-"),
            ("; unknown", "-"),
            ("; unknown=1", "-"),
            ("; mode=\"fast\"", "-"),
            ("; Server_No_Context_Takeover", "-"),
            (" \t;\tclient_max_window_bits \t=\t9 ", ""),
            ("; unknown, permessage-deflate", ""),
            ("; server_max_window_bits=8, permessage-deflate; server_max_window_bits=9", {
                "server_max_window_bits=9"
            }),
            ("; client_no_context_takeover, permessage-deflate", "client_no_context_takeover"),
            (", permessage-deflate; client_no_context_takeover", ""),
            (", x-other; a=\"b,c\"", "!"),
            (", x-other; a=\"bc\"", ""),
        ],
    );
}

#[test]
fn a_server_adds_what_it_wants_itself() {
    check(
        &SMALL,
        &[
            ("", "server_max_window_bits=10"),
            ("; server_max_window_bits=9", "server_max_window_bits=9"),
            ("; server_max_window_bits=12", "server_max_window_bits=10"),
            ("; client_max_window_bits", "server_max_window_bits=10; client_max_window_bits=12"),
            ("; client_max_window_bits=14", "server_max_window_bits=10; client_max_window_bits=12"),
            ("; client_max_window_bits=8", "server_max_window_bits=10; client_max_window_bits=8"),
        ],
    );
    let both = "server_no_context_takeover; client_no_context_takeover";
    check(
        &FRESH,
        &[
            ("", both),
            ("; client_max_window_bits", both),
            ("; server_no_context_takeover", both),
            ("; client_no_context_takeover; client_max_window_bits=8", both),
            ("; server_max_window_bits=8", "-"),
        ],
    );
}

#[test]
fn what_browsers_and_libraries_offer_is_accepted() {
    let rows = [
        ("Chrome, Safari", "permessage-deflate; client_max_window_bits"),
        ("Firefox", "permessage-deflate"),
        ("ws, Node.js", "permessage-deflate; client_max_window_bits"),
        ("websockets", "permessage-deflate; client_max_window_bits=12; server_max_window_bits=12"),
        ("old Safari", "x-webkit-deflate-frame, permessage-deflate"),
        ("Java", "permessage-deflate;client_max_window_bits=15;server_max_window_bits=15"),
    ];
    for (name, offered) in rows {
        let found = answer(&DeflateConfig::default(), &[offered.as_bytes()]);
        assert!(found.starts_with("server_no_context_takeover; client_no"), "{name}: {found}");
    }
}

#[test]
fn headers_that_break_the_grammar_are_no_offers() {
    for value in [
        "permessage-deflate;",
        "permessage-deflate; ;client_max_window_bits",
        "permessage-deflate; =1",
        "permessage-deflate; client_max_window_bits=",
        "permessage-deflate; client_max_window_bits=\"\"",
        "permessage-deflate; client_max_window_bits=\"10",
        "permessage-deflate; client_max_window_bits=\"10\\",
        "permessage-deflate; client_max_window_bits=\"1 0\"",
        "permessage-deflate; client_max_window_bits=\"10\"x",
        "permessage-deflate; client_max_window_bits 10",
        "permessage-deflate client_max_window_bits",
        "permessage-deflate/1",
        ";",
        "=",
        "\"permessage-deflate\"",
        "permessage-deflate, b\u{e4}",
        "permessage-deflate\0",
        "permessage-deflate\n",
    ] {
        assert_eq!(answer(&OPEN, &[value.as_bytes()]), "!", "{value:?}");
        let disabled = DeflateConfig { enabled: false, ..OPEN };
        assert_eq!(answer(&disabled, &[value.as_bytes()]), "!", "{value:?}, disabled");
    }
}

#[test]
fn no_offer_of_ours_is_no_agreement() {
    for values in [
        &[][..],
        &[""],
        &[" , ,\t,"],
        &["permessage-bzip2; level=9", "mux"],
        &["Permessage-Deflate"],
        &["permessage-deflate2"],
    ] {
        let values: Vec<_> = values.iter().map(|value| value.as_bytes()).collect();
        assert_eq!(answer(&OPEN, &values), "-", "{values:?}");
    }
    let disabled = DeflateConfig { enabled: false, ..OPEN };
    assert_eq!(answer(&disabled, &[b"permessage-deflate"]), "-");
    assert_eq!(offer(&disabled), None);
}

#[test]
fn several_headers_are_one_list() {
    let values: [&[u8]; 3] = [b"foo; a", b"permessage-deflate; x, ,", b"permessage-deflate"];
    assert_eq!(answer(&OPEN, &values), "");
}

#[test]
fn scenario_c4_of_500_offers_the_last_is_found() {
    let mut header = "permessage-deflate; x=\"\\y\",".repeat(500);
    header += "permessage-deflate; server_max_window_bits=11";
    assert!(header.len() < 16 * 1024);
    assert_eq!(answer(&OPEN, &[header.as_bytes()]), "server_max_window_bits=11");
}

#[test]
fn configured_windows_outside_9_to_15_count_as_the_nearest() {
    let low = DeflateConfig { server_max_window_bits: 0, client_max_window_bits: 8, ..OPEN };
    let high = DeflateConfig { server_max_window_bits: 16, client_max_window_bits: 255, ..OPEN };
    let offered: [&[u8]; 1] = [b"permessage-deflate; client_max_window_bits"];
    assert_eq!(answer(&low, &offered), "server_max_window_bits=9; client_max_window_bits=9");
    assert_eq!(answer(&high, &offered), "");
}

fn response(config: &DeflateConfig, value: &str) -> Result<Option<Agreed>, ResponseError> {
    accept_response(value.split('|').map(str::as_bytes), config)
}

#[test]
fn a_client_offers_what_it_wants() {
    let value = |config| offer(config).expect("enabled");
    assert_eq!(value(&OPEN), "permessage-deflate; client_max_window_bits");
    assert_eq!(
        value(&FRESH),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         client_max_window_bits"
    );
    assert_eq!(
        value(&SMALL),
        "permessage-deflate; server_max_window_bits=10; client_max_window_bits=12"
    );
}

#[test]
fn a_client_takes_legal_answers_only() {
    use ResponseError::{Ignored, Malformed, NotOffered, Parameters};
    let rows = [
        (&OPEN, "permessage-deflate", Ok(true)),
        (&OPEN, "", Ok(false)),
        (&OPEN, "permessage-deflate; server_max_window_bits=8", Ok(true)),
        (&OPEN, "permessage-deflate; client_max_window_bits=8", Ok(true)),
        (&OPEN, "permessage-deflate; client_max_window_bits", Err(Parameters)),
        (&OPEN, "permessage-deflate; server_max_window_bits", Err(Parameters)),
        (&OPEN, "permessage-deflate; server_max_window_bits=16", Err(Parameters)),
        (&OPEN, "permessage-deflate; unknown", Err(Parameters)),
        (&OPEN, "permessage-deflate; server_no_context_takeover=1", Err(Parameters)),
        (&OPEN, "permessage-deflate, permessage-deflate", Err(NotOffered)),
        (&OPEN, "permessage-deflate|permessage-deflate", Err(NotOffered)),
        (&OPEN, "permessage-bzip2", Err(NotOffered)),
        (&OPEN, "permessage-deflate, mux", Err(NotOffered)),
        (&OPEN, "mux, permessage-deflate", Err(NotOffered)),
        (&OPEN, "permessage-deflate;", Err(Malformed)),
        (&FRESH, "permessage-deflate", Err(Ignored)),
        (&FRESH, "permessage-deflate; server_no_context_takeover", Ok(true)),
        (&SMALL, "permessage-deflate", Err(Ignored)),
        (&SMALL, "permessage-deflate; server_max_window_bits=11", Err(Ignored)),
        (&SMALL, "permessage-deflate; server_max_window_bits=9", Ok(true)),
        (
            &SMALL,
            "permessage-deflate; server_max_window_bits=9; client_max_window_bits=13",
            Err(Parameters),
        ),
    ];
    for (config, value, expected) in rows {
        assert_eq!(response(config, value).map(|agreed| agreed.is_some()), expected, "{value}");
    }
    let disabled = DeflateConfig { enabled: false, ..OPEN };
    assert_eq!(response(&disabled, "permessage-deflate"), Err(NotOffered));
}

#[test]
fn a_client_keeps_its_own_promises_without_an_answer_to_them() {
    let config = DeflateConfig { client_no_context_takeover: true, ..SMALL };
    let agreed = response(&config, "permessage-deflate; server_max_window_bits=10");
    let agreed = agreed.expect("legal").expect("accepted");
    assert!(agreed.client_no_context_takeover() && !agreed.server_no_context_takeover());
    assert_eq!((agreed.client_max_window_bits(), agreed.server_max_window_bits()), (12, 10));
}

fn config() -> impl Strategy<Value = DeflateConfig> {
    (any::<bool>(), any::<bool>(), 9_u8..=15, 9_u8..=15).prop_map(
        |(server, client, server_bits, client_bits)| DeflateConfig {
            server_no_context_takeover: server,
            client_no_context_takeover: client,
            server_max_window_bits: server_bits,
            client_max_window_bits: client_bits,
            ..OPEN
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn both_ends_agree_on_the_same(server in config(), client in config()) {
        let offered = offer(&client).expect("enabled");
        let agreed = negotiate([offered.as_bytes()].into_iter(), &server).expect("legal");
        let agreed = agreed.expect("accepted");
        let answer = agreed.to_string();
        let found = accept_response([answer.as_bytes()].into_iter(), &client);
        let found = found.expect("legal").expect("accepted");
        prop_assert!(found.client_max_window_bits() <= agreed.client_max_window_bits());
        prop_assert_eq!(found.server_max_window_bits(), agreed.server_max_window_bits());
        prop_assert_eq!(
            (found.server_no_context_takeover(), found.client_no_context_takeover()),
            (agreed.server_no_context_takeover(), agreed.client_no_context_takeover())
        );
    }

    #[test]
    fn any_bytes_get_a_verdict(
        bytes in prop::collection::vec(any::<u8>(), 0..80),
        text in
            "(permessage-deflate|; ?|, ?|=|(server|client)_max_window_bits|\"|\\\\|[0-9]){0,12}",
    ) {
        for value in [&bytes[..], text.as_bytes()] {
            let _ = negotiate([value].into_iter(), &OPEN);
            let _ = accept_response([value].into_iter(), &SMALL);
        }
    }
}
