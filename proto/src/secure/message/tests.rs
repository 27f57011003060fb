//! All messages in their specified form, in both directions, and invalid ones.

use alloc::format;
use alloc::string::ToString;
use alloc::vec;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::*;

/// Base64url of `len` zero bytes.
fn zeros(len: usize) -> String {
    "A".repeat((len * 8).div_ceil(6))
}

fn text(json: Vec<u8>) -> String {
    String::from_utf8(json).unwrap()
}

#[track_caller]
fn message_is(message: &Message, kind: &str, json: &str) {
    assert_eq!(text(message.to_bytes()), json);
    assert_eq!(Message::parse(json.as_bytes()).as_ref(), Ok(message));
    assert_eq!(message.kind(), kind);
    assert_eq!(format!("{message:?}"), format!("Message({kind})"));
}

#[track_caller]
fn message_refused(json: &str, error: ParseError) {
    assert_eq!(Message::parse(json.as_bytes()), Err(error), "{json}");
}

#[test]
fn padding_is_cut_at_the_end_only() {
    assert_eq!(strict::trimmed(b" {} \n  "), b" {} \n");
    assert_eq!(strict::trimmed(b"   "), b"");
    assert_eq!(strict::trimmed(b""), b"");
}

#[test]
fn unknown_keys_white_space_order_and_escapes_do_not_matter() {
    let json = " {\"future\":{\"a\":[1.5,null]},\"why\":\"\\u006bean\",\n\"t\" : \"b\\u0079e\"}   ";
    let bye = Message::Bye {
        why: "kean".to_string(),
    };
    assert_eq!(Message::parse(json.as_bytes()), Ok(bye));
    assert_eq!(
        Message::parse(b"{\"n\":1,\"x\":{},\"t\":\"ping\"}"),
        Ok(Message::Ping { n: 1 })
    );
}

#[test]
fn the_strict_check_runs_before_the_parser() {
    let (twice, trailing) = (r#"{"t":"regOk","x":1,"x":2}"#, r#"{"t":"regOk"} x"#);
    for json in [
        twice,
        trailing,
        "",
        "[2,\"regOk\"]",
        r#"{"t":"regOk","a":[[[[]]]]}"#,
    ] {
        message_refused(json, ParseError::Malformed);
    }
}

fn accepted(settings: TunnelSettings) -> Message {
    Message::Settings(Box::new(Accepted {
        settings,
        time: Some(1_800_000_000_123),
        ticket: Some([0; 32]),
    }))
}

fn settings() -> TunnelSettings {
    TunnelSettings {
        address4: Some("10.9.0.2/24".parse().unwrap()),
        address6: Some("fd00::2/64".parse().unwrap()),
        mtu: 1420,
        dns: vec!["10.9.0.1".parse().unwrap(), "fd00::1".parse().unwrap()],
        search: vec!["example.org".to_string()],
        routes: vec!["0.0.0.0/0".parse().unwrap(), "::/0".parse().unwrap()],
        keepalive: 25,
    }
}

#[test]
fn session_messages_are_written_as_specified() {
    let json = concat!(
        r#"{"isOK":true,"addr4":"10.9.0.2/24","addr6":"fd00::2/64","mtu":1420,"dns":["10.9.0.1","fd00::1"],"#,
        r#""search":["example.org"],"routes":["0.0.0.0/0","::/0"],"keepalive":25,"time":1800000000123,"ticket":""#
    );
    let json = format!("{json}{}\"}}", zeros(32));
    message_is(&accepted(settings()), "settings", &json);
    for refusal in [Refusal::Disabled, Refusal::Expired, Refusal::Full] {
        let json = format!(r#"{{"isOK":false,"error":"{}"}}"#, refusal.name());
        message_is(&Message::Refused(refusal), "refused", &json);
    }
    message_is(&Message::Ping { n: 0 }, "ping", r#"{"t":"ping","n":0}"#);
    let n = u64::MAX;
    message_is(
        &Message::Pong { n },
        "pong",
        &format!(r#"{{"t":"pong","n":{n}}}"#),
    );
    let why = "stopped: \"x\"".to_string();
    message_is(
        &Message::Bye { why },
        "bye",
        r#"{"t":"bye","why":"stopped: \"x\""}"#,
    );
}

#[test]
fn messages_of_a_password_change_are_written_as_specified() {
    let prove1 = Message::Prove1(Box::new([0; 96]));
    message_is(
        &prove1,
        "prove1",
        &format!(r#"{{"t":"prove1","ke1":"{}"}}"#, zeros(96)),
    );
    let prove2 = Message::Prove2(Box::new([0; 320]));
    message_is(
        &prove2,
        "prove2",
        &format!(r#"{{"t":"prove2","ke2":"{}"}}"#, zeros(320)),
    );
    let prove3 = Message::Prove3 {
        ke3: Box::new([0; 64]),
        reg1: [0; 32],
        mac: [0; 32],
    };
    let (b32, b64) = (zeros(32), zeros(64));
    let json = format!(r#"{{"t":"prove3","ke3":"{b64}","reg1":"{b32}","mac":"{b32}"}}"#);
    message_is(&prove3, "prove3", &json);
    let reg2 = Message::Reg2 {
        reg2: Box::new([0; 64]),
        mac: [0; 32],
    };
    message_is(
        &reg2,
        "reg2",
        &format!(r#"{{"t":"reg2","reg2":"{b64}","mac":"{b32}"}}"#),
    );
    let reg3 = Message::Reg3 {
        record: Box::new([0; 192]),
        mac: [0; 32],
    };
    let json = format!(r#"{{"t":"reg3","reg3":"{}","mac":"{}"}}"#, zeros(192), zeros(32));
    message_is(&reg3, "reg3", &json);
    message_is(&Message::RegOk(None), "reg-ok", r#"{"t":"regOk"}"#);
    let json = format!(r#"{{"t":"regOk","ticket":"{}"}}"#, zeros(32));
    message_is(&Message::RegOk(Some([0; 32])), "reg-ok", &json);
}

fn new_key<const N: usize>(cipher: Cipher) -> NewKey<N> {
    NewKey {
        n: 1,
        index: 9,
        cipher,
        pk: [0xaa; 32],
        kem: Box::new([0xbb; N]),
    }
}

#[test]
fn rekey_messages_are_written_as_specified() {
    for (cipher, byte) in [(Cipher::ChaCha20Poly1305, 0), (Cipher::Aes256Gcm, 1)] {
        let head = |first: u8| [&[first, 0, 0, 0, 1, 0, 0, 0, 9, byte][..], &[0xaa; 32]].concat();
        let bytes = [&head(1)[..], &[0xbb; PUBLIC_LEN]].concat();
        assert_eq!(Message::Rekey(new_key(cipher)).to_bytes(), bytes);
        assert_eq!(binary_len(1), Some(bytes.len()));
        assert_eq!(Message::parse(&bytes), Ok(Message::Rekey(new_key(cipher))));
        let bytes = [&head(2)[..], &[0xbb; CIPHERTEXT_LEN]].concat();
        assert_eq!(Message::Rekeyed(new_key(cipher)).to_bytes(), bytes);
        assert_eq!(binary_len(2), Some(bytes.len()));
        assert_eq!(Message::parse(&bytes), Ok(Message::Rekeyed(new_key(cipher))));
    }
}

#[test]
fn a_rekey_message_of_another_length_is_malformed() {
    let messages = [
        Message::Rekey(new_key(Cipher::default())).to_bytes(),
        Message::Rekeyed(new_key(Cipher::default())).to_bytes(),
    ];
    for bytes in messages {
        for len in [1, 9, bytes.len() / 2, bytes.len() - 1] {
            assert_eq!(Message::parse(&bytes[..len]), Err(ParseError::Malformed), "{len}");
        }
        let longer = [&bytes[..], b" "].concat();
        assert_eq!(Message::parse(&longer), Err(ParseError::Malformed));
        let mut of_index_0 = bytes;
        of_index_0[5..9].fill(0);
        assert_eq!(Message::parse(&of_index_0), Err(ParseError::Malformed));
    }
}

#[test]
fn an_unknown_cipher_is_ignored_in_a_request_and_rejected_in_an_answer() {
    let mut request = Message::Rekey(new_key(Cipher::Aes256Gcm)).to_bytes();
    request[9] = 2;
    assert_eq!(
        Message::parse(&request),
        Ok(Message::Rekey(new_key(Cipher::ChaCha20Poly1305)))
    );
    let mut answer = Message::Rekeyed(new_key(Cipher::Aes256Gcm)).to_bytes();
    answer[9] = 2;
    assert_eq!(Message::parse(&answer), Err(ParseError::Malformed));
}

#[test]
fn fields_of_session_messages_are_checked() {
    for json in [
        "{}",
        r#"{"t":null}"#,
        r#"{"t":1}"#,
        r#"{"t":"ping"}"#,
        r#"{"t":"ping","n":-1}"#,
        r#"{"t":"ping","n":1.5}"#,
        r#"{"t":"ping","n":18446744073709551616}"#,
        r#"{"t":"ping","n":1,"isOK":true}"#,
        r#"{"isOK":1}"#,
        r#"{"isOK":false}"#,
        r#"{"isOK":false,"error":"bored"}"#,
        r#"{"t":"bye"}"#,
        r#"{"t":"bye","why":"\u001b[2J"}"#,
        r#"{"t":"bye","why":"\u009b2J"}"#,
        r#"{"t":"prove1","ke1":"AA"}"#,
        r#"{"isOK":true,"mtu":1420,"keepalive":25,"time":-1}"#,
        r#"{"isOK":true,"mtu":1420,"keepalive":25,"ticket":"AA"}"#,
    ] {
        message_refused(json, ParseError::Malformed);
    }
    message_refused(r#"{"t":"hello"}"#, ParseError::Unexpected);
    message_refused(r#"{"t":"rekey"}"#, ParseError::Unexpected);
}

#[test]
fn a_bye_reason_has_at_most_64_bytes() {
    let bye = |why: &str| Message::Bye { why: why.to_string() };
    let longest = bye(&"x".repeat(64));
    assert_eq!(Message::parse(&longest.to_bytes()), Ok(longest.clone()));
    let json = format!(r#"{{"t":"bye","why":"{}"}}"#, "x".repeat(65));
    message_refused(&json, ParseError::Malformed);
    assert_eq!(bye(&"x".repeat(65)).to_bytes(), longest.to_bytes());
    let cut = bye(&format!("{}ä", "x".repeat(63))).to_bytes();
    assert_eq!(
        Message::parse(&cut),
        Ok(bye(&"x".repeat(63))),
        "characters are never split"
    );
}

#[test]
fn settings_out_of_bounds_are_rejected() {
    type Change = fn(&mut TunnelSettings);
    let cases: [(Change, SettingsError); 13] = [
        (|it| it.address4 = it.address6, SettingsError::AddressFamily),
        (|it| it.address6 = it.address4, SettingsError::AddressFamily),
        (|it| it.mtu = 1279, SettingsError::Mtu),
        (|it| it.mtu = 0, SettingsError::Mtu),
        (|it| it.dns = vec![it.dns[0]; 9], SettingsError::TooManyDns),
        (|it| it.search = vec!["a".into(); 9], SettingsError::TooManySearch),
        (|it| it.search[0] = "a".repeat(254), SettingsError::SearchDomain),
        (|it| it.search[0] = String::new(), SettingsError::SearchDomain),
        (|it| it.search[0] = "-o".into(), SettingsError::SearchDomain),
        (|it| it.search[0] = "a b".into(), SettingsError::SearchDomain),
        (|it| it.search[0] = "a\nb".into(), SettingsError::SearchDomain),
        (
            |it| it.routes = vec![it.routes[0]; 33],
            SettingsError::TooManyRoutes,
        ),
        (|it| it.keepalive = 601, SettingsError::Keepalive),
    ];
    for (change, error) in cases {
        let mut settings = settings();
        change(&mut settings);
        assert_eq!(settings.check(), Err(error));
        let json = text(accepted(settings).to_bytes());
        message_refused(&json, ParseError::Malformed);
    }
}

#[test]
fn settings_at_their_bounds_are_accepted() {
    let widest = TunnelSettings {
        mtu: u16::MAX,
        dns: vec!["fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse().unwrap(); MAX_DNS],
        search: vec!["a".repeat(253); MAX_SEARCH],
        routes: vec!["fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128".parse().unwrap(); MAX_ROUTES],
        keepalive: MAX_KEEPALIVE,
        ..settings()
    };
    let json = accepted(widest.clone()).to_bytes();
    assert!(json.len() <= strict::MAX_LEN, "{} bytes", json.len());
    assert_eq!(Message::parse(&json), Ok(accepted(widest)));
    let barest = br#"{"isOK":true,"mtu":1280,"keepalive":0}"#;
    let Ok(Message::Settings(read)) = Message::parse(barest) else {
        panic!("lists, addresses, time and ticket may be missing");
    };
    assert_eq!((read.time, read.ticket), (None, None));
    let read = read.settings;
    assert_eq!((read.address4, read.mtu, read.keepalive), (None, MIN_MTU, 0));
    assert!(read.dns.is_empty() && read.search.is_empty() && read.routes.is_empty());
}

#[test]
fn invalid_addresses_in_settings_are_rejected() {
    for json in [
        r#"{"isOK":true,"mtu":1420,"keepalive":25,"addr4":"10.9.0"}"#,
        r#"{"isOK":true,"mtu":1420,"keepalive":25,"addr4":"10.9.0.2/33"}"#,
        r#"{"isOK":true,"mtu":1420,"keepalive":25,"dns":["10.9.0.1/24"]}"#,
        r#"{"isOK":true,"mtu":1420,"keepalive":25,"dns":"10.9.0.1"}"#,
        r#"{"isOK":true,"mtu":1420,"keepalive":25,"routes":["default"]}"#,
        r#"{"isOK":true,"mtu":65536,"keepalive":25}"#,
        r#"{"isOK":true,"mtu":1420,"keepalive":-1}"#,
        r#"{"isOK":true,"mtu":1420}"#,
    ] {
        message_refused(json, ParseError::Malformed);
    }
}

/// JSON and invalid JSON with many difficult tokens.
fn almost_json() -> impl Strategy<Value = String> {
    let token = prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        "\"",
        "\\",
        "\"t\"",
        "\"v\"",
        "\"n\"",
        "\"idx\"",
        "\"isOK\"",
        "\"login\"",
        "\"ping\"",
        "\"settings\"",
        "2",
        "0",
        "-1",
        "1e9",
        "true",
        "false",
        "null",
        " ",
        "\\u00",
        "\u{0}",
        "ä",
    ]);
    prop::collection::vec(token, 0..60).prop_map(|tokens| tokens.concat())
}

proptest! {
    #![proptest_config(Config {
        cases: 512,
        rng_seed: RngSeed::Fixed(0x5a4d_0259),
        failure_persistence: None,
        ..Config::default()
    })]

    #[test]
    fn arbitrary_input_is_parsed_without_a_panic(json in almost_json(), raw in prop::collection::vec(any::<u8>(), 0..80)) {
        for text in [json.as_bytes(), &raw] {
            if let Ok(message) = Message::parse(text) {
                prop_assert_eq!(Message::parse(&message.to_bytes()), Ok(message));
            }
        }
    }
}
