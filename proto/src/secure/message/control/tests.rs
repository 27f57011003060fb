//! All control messages in their specified form, in both directions, and invalid ones.

use alloc::format;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::*;
use crate::secure::frame::CONTROL_BODY_LEN;

fn bytes<const N: usize>(first: u8) -> [u8; N] {
    core::array::from_fn(|n| first.wrapping_add(n as u8))
}

fn request() -> LoginRequest {
    LoginRequest {
        index: 7,
        cookie: bytes(1),
        ephemeral: bytes(2),
        sealed: Box::new(bytes(3)),
    }
}

/// One message of each kind, with the code of its direction.
fn all() -> [(Code, Control, &'static str); 5] {
    let cookie = Control::Cookie {
        to: 7,
        cookie: bytes(1),
        fingerprint: bytes(4),
        key_half: Box::new(bytes(5)),
    };
    let ke2 = Control::Ke2(Ke2Reply {
        to: 7,
        index: 8,
        sealed: Box::new(bytes(6)),
    });
    let ke3 = Control::Ke3(Proof {
        to: 8,
        ke3: bytes(7),
        ciphertext: Box::new(bytes(8)),
        mac: bytes(9),
    });
    [
        (Code::Up, Control::Hello { time: 1, index: 7 }, "login"),
        (Code::Down, cookie, "cookie"),
        (
            Code::Up,
            Control::Login {
                time: 0x0102_0304_0506_0708,
                request: request(),
            },
            "login-cookie",
        ),
        (Code::Down, ke2, "ke2"),
        (Code::Up, ke3, "ke3"),
    ]
}

#[test]
fn control_messages_are_written_as_specified() {
    let [hello, cookie, login, ke2, ke3] = all().map(|(_, message, _)| message.to_bytes());
    assert_eq!(hello, [0x31, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 7]);
    let index = [0, 0, 0, 7];
    let expected = [
        &[0x32],
        &index[..],
        &bytes::<16>(1),
        &bytes::<32>(4),
        &bytes::<592>(5),
    ]
    .concat();
    assert_eq!(cookie, expected);
    let time = [1, 2, 3, 4, 5, 6, 7, 8];
    let expected = [
        &[0x33],
        &time[..],
        &index,
        &bytes::<16>(1),
        &bytes::<32>(2),
        &bytes::<209>(3),
    ]
    .concat();
    assert_eq!(login, expected);
    assert_eq!(
        ke2,
        [&[0x34], &index[..], &[0, 0, 0, 8], &bytes::<960>(6)].concat()
    );
    let expected = [
        &[0x35],
        &[0, 0, 0, 8][..],
        &bytes::<64>(7),
        &bytes::<1088>(8),
        &bytes::<14>(9),
    ]
    .concat();
    assert_eq!(ke3, expected);
    assert_eq!(ke3.len(), CONTROL_BODY_LEN, "M3 fills the datagram");
}

#[test]
fn each_message_is_accepted_in_its_own_direction_only() {
    for (code, message, kind) in all() {
        let mut body = message.to_bytes();
        body.resize(CONTROL_BODY_LEN, 0);
        assert_eq!(Control::parse(code, &body).as_ref(), Ok(&message));
        assert_eq!((message.code(), message.kind()), (code, kind));
        assert_eq!(format!("{message:?}"), format!("Control({kind})"));
        let other = if code == Code::Up { Code::Down } else { Code::Up };
        for code in [other, Code::Session] {
            assert_eq!(Control::parse(code, &body), Err(ParseError::Unexpected), "{kind}");
        }
    }
}

#[test]
fn another_version_is_reported_before_any_other_error() {
    for first in [b'{', 0x00, 0x21, 0x2f, 0x40, 0xff] {
        for body in [&[first][..], &[first; 1171]] {
            assert_eq!(
                Control::parse(Code::Up, body),
                Err(ParseError::UnsupportedVersion)
            );
        }
    }
    for first in [0x30, 0x36, 0x3f] {
        assert_eq!(
            Control::parse(Code::Up, &[first; 1171]),
            Err(ParseError::Unexpected)
        );
    }
    assert_eq!(Control::parse(Code::Up, &[]), Err(ParseError::Malformed));
}

#[test]
fn a_message_cut_at_any_byte_is_malformed() {
    for (code, message, kind) in all() {
        let body = message.to_bytes();
        for len in 1..body.len() {
            assert_eq!(
                Control::parse(code, &body[..len]),
                Err(ParseError::Malformed),
                "{kind} {len}"
            );
        }
    }
}

#[test]
fn the_padding_must_be_zero() {
    for (code, message, kind) in all().into_iter().take(4) {
        let mut body = message.to_bytes();
        body.resize(CONTROL_BODY_LEN, 0);
        *body.last_mut().unwrap() = 1;
        assert_eq!(Control::parse(code, &body), Err(ParseError::Malformed), "{kind}");
    }
}

#[test]
fn index_0_is_malformed() {
    for (code, message, kind) in all() {
        let mut body = message.to_bytes();
        let place = if matches!(kind, "login" | "login-cookie") {
            9
        } else {
            1
        };
        body[place..place + 4].fill(0);
        assert_eq!(Control::parse(code, &body), Err(ParseError::Malformed), "{kind}");
    }
}

proptest! {
    #![proptest_config(Config {
        cases: 512,
        rng_seed: RngSeed::Fixed(0x5a4d_0259),
        failure_persistence: None,
        ..Config::default()
    })]

    /// Every body that parses has one written form.
    #[test]
    fn changed_messages_are_rejected_or_parsed_as_written(
        kind in 0..5usize,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4),
    ) {
        let (code, message, _) = all()[kind].clone();
        let mut body = message.to_bytes();
        body.resize(CONTROL_BODY_LEN, 0);
        for (place, byte) in changes {
            let place = place.index(body.len());
            body[place] = byte;
        }
        if let Ok(read) = Control::parse(code, &body) {
            let mut again = read.to_bytes();
            again.resize(CONTROL_BODY_LEN, 0);
            prop_assert_eq!(again, body);
        }
    }

    #[test]
    fn arbitrary_input_is_parsed_without_a_panic(raw in prop::collection::vec(any::<u8>(), 0..1200), first in 0x2fu8..0x37) {
        let mut raw = raw;
        if let Some(byte) = raw.first_mut() {
            *byte = first;
        }
        for code in [Code::Up, Code::Down, Code::Session] {
            let _ = Control::parse(code, &raw);
        }
    }
}
