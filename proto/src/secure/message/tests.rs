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

fn login(cookie: Option<[u8; 16]>) -> Control {
    Control::Login {
        index: 7,
        login: Login::new("kean").unwrap(),
        ke1: Box::new([0; 96]),
        cookie,
    }
}

#[track_caller]
fn control_is(code: Code, control: &Control, kind: &str, json: &str) {
    assert_eq!(text(control.to_json()), json);
    assert_eq!(Control::parse(code, json.as_bytes()).as_ref(), Ok(control));
    assert_eq!(control.kind(), kind);
    assert_eq!(format!("{control:?}"), format!("Control({kind})"));
    let other = if code == Code::Up { Code::Down } else { Code::Up };
    for code in [other, Code::Session] {
        assert_eq!(
            Control::parse(code, json.as_bytes()),
            Err(ParseError::Unexpected),
            "the other direction rejects it"
        );
    }
}

#[track_caller]
fn message_is(message: &Message, kind: &str, json: &str) {
    assert_eq!(text(message.to_json()), json);
    assert_eq!(Message::parse(json.as_bytes()).as_ref(), Ok(message));
    assert_eq!(message.kind(), kind);
    assert_eq!(format!("{message:?}"), format!("Message({kind})"));
}

#[track_caller]
fn control_refused(json: &str, error: ParseError) {
    assert_eq!(Control::parse(Code::Up, json.as_bytes()), Err(error), "{json}");
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
fn control_messages_are_written_as_specified() {
    let (b16, b64, b96, b320) = (zeros(16), zeros(64), zeros(96), zeros(320));
    let head = r#""v":2,"t":"login","idx":7,"login":"kean","ke1":"#;
    control_is(Code::Up, &login(None), "login", &format!(r#"{{{head}"{b96}"}}"#));
    control_is(
        Code::Up,
        &login(Some([0; 16])),
        "login-cookie",
        &format!(r#"{{{head}"{b96}","cookie":"{b16}"}}"#),
    );
    let cookie = Control::Cookie {
        to: 7,
        cookie: [0; 16],
    };
    control_is(
        Code::Down,
        &cookie,
        "cookie",
        &format!(r#"{{"v":2,"t":"cookie","to":7,"cookie":"{b16}"}}"#),
    );
    let ke2 = Control::Ke2 {
        to: 7,
        index: 8,
        ke2: Box::new([0; 320]),
    };
    control_is(
        Code::Down,
        &ke2,
        "ke2",
        &format!(r#"{{"v":2,"t":"ke2","to":7,"idx":8,"ke2":"{b320}"}}"#),
    );
    let ke3 = Control::Ke3 { to: 8, ke3: [0; 64] };
    control_is(
        Code::Up,
        &ke3,
        "ke3",
        &format!(r#"{{"v":2,"t":"ke3","to":8,"ke3":"{b64}"}}"#),
    );
}

#[test]
fn the_longest_control_messages_fit_their_datagram() {
    let longest = [
        Control::Login {
            index: u32::MAX,
            login: Login::new(&"a".repeat(64)).unwrap(),
            ke1: Box::new([0xff; 96]),
            cookie: Some([0xff; 16]),
        },
        Control::Ke2 {
            to: u32::MAX,
            index: u32::MAX,
            ke2: Box::new([0xff; 320]),
        },
    ];
    for control in longest {
        assert!(control.to_json().len() <= super::super::frame::CONTROL_BODY_LEN);
    }
}

#[test]
fn an_unsupported_version_is_reported_before_any_other_error() {
    for v in ["0", "1", "3", "18446744073709551615"] {
        control_refused(
            &format!(r#"{{"t":7,"idx":0,"v":{v}}}"#),
            ParseError::UnsupportedVersion,
        );
    }
    for v in ["-2", "2.0", "\"2\"", "null", "[2]", "18446744073709551616"] {
        control_refused(&format!(r#"{{"v":{v},"t":"login"}}"#), ParseError::Malformed);
    }
    control_refused(r#"{"t":"login"}"#, ParseError::Malformed);
}

#[test]
fn an_unknown_control_type_is_unexpected_and_a_missing_one_malformed() {
    for t in ["hello", "", "Login", "login "] {
        control_refused(&format!(r#"{{"v":2,"t":"{t}"}}"#), ParseError::Unexpected);
    }
    for json in [r#"{"v":2}"#, r#"{"v":2,"t":null}"#, r#"{"v":2,"t":1}"#] {
        control_refused(json, ParseError::Malformed);
    }
}

#[test]
fn unknown_keys_white_space_order_and_escapes_do_not_matter() {
    let json = format!(
        " {{\"future\":{{\"a\":[1.5,null]}},\"ke1\":\"{}\",\"\\u006cogin\":\"\\u006bean\",\n\"idx\" : 7,\"t\":\"log\\u0069n\",\"v\":2}}   ",
        zeros(96)
    );
    assert_eq!(Control::parse(Code::Up, json.as_bytes()), Ok(login(None)));
    assert_eq!(
        Message::parse(b"{\"n\":1,\"x\":{},\"t\":\"ping\"}"),
        Ok(Message::Ping { n: 1 })
    );
}

/// A login message with one of its fields replaced.
fn login_with(key: &str, value: &str) -> String {
    let (b16, b96) = (zeros(16), zeros(96));
    let fields = [
        ("v", "2".to_string()),
        ("t", "\"login\"".to_string()),
        ("idx", "7".to_string()),
        ("login", "\"kean\"".to_string()),
        ("ke1", format!("\"{b96}\"")),
        ("cookie", format!("\"{b16}\"")),
    ];
    let fields: Vec<String> = fields
        .iter()
        .map(|(name, is)| format!("\"{name}\":{}", if *name == key { value } else { is }))
        .collect();
    format!("{{{}}}", fields.join(","))
}

#[test]
fn every_field_of_a_login_is_checked() {
    assert_eq!(
        Control::parse(Code::Up, login_with("", "").as_bytes()),
        Ok(login(Some([0; 16])))
    );
    for idx in ["0", "-1", "1.0", "1e0", "4294967296", "\"7\"", "null", "[7]"] {
        control_refused(&login_with("idx", idx), ParseError::Malformed);
    }
    let too_long = format!("\"{}\"", "a".repeat(65));
    for login in [
        "\"\"",
        "\"Kean\"",
        "\"k n\"",
        "\"k\\u0000\"",
        "\"ä\"",
        "null",
        &too_long,
    ] {
        control_refused(&login_with("login", login), ParseError::Malformed);
    }
    for len in [0, 95, 97] {
        control_refused(
            &login_with("ke1", &format!("\"{}\"", zeros(len))),
            ParseError::Malformed,
        );
    }
    for cookie in [zeros(15), zeros(17), zeros(16) + "==", zeros(21) + "/"] {
        control_refused(
            &login_with("cookie", &format!("\"{cookie}\"")),
            ParseError::Malformed,
        );
    }
    assert_eq!(
        Control::parse(Code::Up, login_with("cookie", "null").as_bytes()),
        Ok(login(None)),
        "null means absent"
    );
}

#[test]
fn the_strict_check_runs_before_the_parser() {
    let (twice, trailing) = (r#"{"v":2,"t":"ke3","x":1,"x":2}"#, r#"{"v":3,"t":"ke3"} x"#);
    for json in [twice, trailing, "", "[2,\"login\"]", r#"{"v":3,"a":[[[[]]]]}"#] {
        control_refused(json, ParseError::Malformed);
        message_refused(json, ParseError::Malformed);
    }
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
        r#""search":["example.org"],"routes":["0.0.0.0/0","::/0"],"keepalive":25}"#
    );
    message_is(&Message::Settings(settings()), "settings", json);
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
    for (cipher, said) in [
        (Cipher::ChaCha20Poly1305, ""),
        (Cipher::Aes256Gcm, r#","cipher":"aes-256-gcm""#),
    ] {
        let new = NewKey {
            n: 1,
            index: 9,
            pk: [0; 32],
            cipher,
        };
        let body = format!(r#""n":1,"idx":9,"pk":"{}"{said}"#, zeros(32));
        message_is(
            &Message::Rekey(new),
            "rekey",
            &format!(r#"{{"t":"rekey",{body}}}"#),
        );
        message_is(
            &Message::Rekeyed(new),
            "rekeyed",
            &format!(r#"{{"t":"rekeyed",{body}}}"#),
        );
    }
    let why = "stopped: \"x\"".to_string();
    message_is(
        &Message::Bye { why },
        "bye",
        r#"{"t":"bye","why":"stopped: \"x\""}"#,
    );
    let reg = |n: u8, len| format!(r#"{{"t":"reg{n}","reg{n}":"{}"}}"#, zeros(len));
    message_is(&Message::Reg1([0; 32]), "reg1", &reg(1, 32));
    message_is(&Message::Reg2([0; 64]), "reg2", &reg(2, 64));
    message_is(&Message::Reg3(Box::new([0; 192])), "reg3", &reg(3, 192));
    message_is(&Message::RegOk, "reg-ok", r#"{"t":"regOk"}"#);
}

#[test]
fn an_unknown_cipher_is_ignored_in_a_request_and_rejected_in_an_answer() {
    for name in ["null", "AES-256-GCM", ""] {
        let json = |t| {
            format!(
                r#"{{"t":"{t}","n":1,"idx":9,"pk":"{}","cipher":"{name}"}}"#,
                zeros(32)
            )
        };
        let Ok(Message::Rekey(wish)) = Message::parse(json("rekey").as_bytes()) else {
            panic!("not a rekey request");
        };
        assert_eq!(wish.cipher, Cipher::ChaCha20Poly1305, "{name}");
        let choice = Message::parse(json("rekeyed").as_bytes());
        assert_eq!(choice, Err(ParseError::Malformed), "{name}");
    }
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
        r#"{"t":"reg1","reg1":"AA"}"#,
    ] {
        message_refused(json, ParseError::Malformed);
    }
    for (n, index) in [("1", "0"), ("1", "-1"), ("4294967296", "1"), ("-1", "1")] {
        let json = format!(r#"{{"t":"rekey","n":{n},"idx":{index},"pk":"{}"}}"#, zeros(32));
        message_refused(&json, ParseError::Malformed);
    }
    message_refused(r#"{"t":"hello"}"#, ParseError::Unexpected);
    message_refused(r#"{"t":"login"}"#, ParseError::Unexpected);
}

#[test]
fn a_bye_reason_has_at_most_64_bytes() {
    let bye = |why: &str| Message::Bye { why: why.to_string() };
    let longest = bye(&"x".repeat(64));
    assert_eq!(Message::parse(&longest.to_json()), Ok(longest.clone()));
    let json = format!(r#"{{"t":"bye","why":"{}"}}"#, "x".repeat(65));
    message_refused(&json, ParseError::Malformed);
    assert_eq!(bye(&"x".repeat(65)).to_json(), longest.to_json());
    let cut = bye(&format!("{}ä", "x".repeat(63))).to_json();
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
        let json = text(Message::Settings(settings).to_json());
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
    let json = Message::Settings(widest.clone()).to_json();
    assert!(json.len() <= strict::MAX_LEN, "{} bytes", json.len());
    assert_eq!(Message::parse(&json), Ok(Message::Settings(widest)));
    let barest = br#"{"isOK":true,"mtu":1280,"keepalive":0}"#;
    let Ok(Message::Settings(read)) = Message::parse(barest) else {
        panic!("lists and addresses may be missing");
    };
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

fn index() -> impl Strategy<Value = u32> {
    1..=u32::MAX
}

fn bytes<const N: usize>() -> impl Strategy<Value = [u8; N]> {
    prop::collection::vec(any::<u8>(), N).prop_map(|bytes| bytes.try_into().unwrap())
}

fn control() -> impl Strategy<Value = (Code, Control)> {
    prop_oneof![
        (index(), "[a-z0-9._@-]{1,64}", bytes(), prop::option::of(bytes())).prop_map(
            |(index, login, ke1, cookie)| {
                let login = Login::new(&login).unwrap();
                let ke1 = Box::new(ke1);
                let message = Control::Login {
                    index,
                    login,
                    ke1,
                    cookie,
                };
                (Code::Up, message)
            }
        ),
        (index(), bytes()).prop_map(|(to, cookie)| (Code::Down, Control::Cookie { to, cookie })),
        (index(), index(), bytes()).prop_map(|(to, index, ke2)| {
            let ke2 = Box::new(ke2);
            (Code::Down, Control::Ke2 { to, index, ke2 })
        }),
        (index(), bytes()).prop_map(|(to, ke3)| (Code::Up, Control::Ke3 { to, ke3 })),
    ]
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
    fn control_is_read_as_it_was_written((code, control) in control(), padding in 0..100usize) {
        let mut json = control.to_json();
        prop_assert!(json.len() <= super::super::frame::CONTROL_BODY_LEN);
        json.resize(json.len() + padding, b' ');
        prop_assert_eq!(Control::parse(code, &json), Ok(control));
    }

    #[test]
    fn arbitrary_input_is_parsed_without_a_panic(json in almost_json(), raw in prop::collection::vec(any::<u8>(), 0..80)) {
        for text in [json.as_bytes(), &raw] {
            for code in [Code::Up, Code::Down, Code::Session] {
                let _ = Control::parse(code, text);
            }
            if let Ok(message) = Message::parse(text) {
                prop_assert_eq!(Message::parse(&message.to_json()), Ok(message));
            }
        }
    }

    /// Changes, removes or adds one byte of a valid message. Every result that still parses is parsed again
    /// to the same value.
    #[test]
    fn changed_messages_are_rejected_or_parsed_as_written(
        (code, control) in control(),
        place in any::<prop::sample::Index>(),
        byte in any::<u8>(),
        how in 0..3,
    ) {
        let mut json = control.to_json();
        let place = place.index(json.len());
        match how {
            0 => json[place] = byte,
            1 => drop(json.remove(place)),
            _ => json.insert(place, byte),
        }
        if let Ok(read) = Control::parse(code, &json) {
            prop_assert_eq!(Control::parse(code, &read.to_json()), Ok(read));
        }
    }
}
