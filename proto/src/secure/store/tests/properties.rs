//! Property tests of stores and setups. The generator has a fixed seed, so a failure is the same for
//! everybody.

use alloc::string::String;
use alloc::vec::Vec;
use core::iter;
use core::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use super::samples::{record, setup, store};
use crate::secure::store::{User, UserStore, setup_from_text, setup_to_text};
use crate::secure::{Login, Suite};

fn config() -> Config {
    Config {
        cases: 512,
        rng_seed: RngSeed::Fixed(0x5a4d_0412),
        failure_persistence: None,
        ..Config::default()
    }
}

fn any_user() -> impl Strategy<Value = User> {
    let name = "[a-z0-9._@-]{1,64}".prop_map(|name| Login::new(&name).unwrap());
    let switches = (any::<bool>(), any::<bool>(), any::<Option<u64>>(), 1..=u16::MAX);
    let addresses = (any::<Option<u32>>(), any::<Option<u128>>());
    (name, 0..3usize, switches, addresses).prop_map(|(login, index, switches, (address4, address6))| {
        let (is_standard, disabled, expires, max_sessions) = switches;
        User {
            login,
            record: record(index),
            suite: if is_standard {
                Suite::Standard
            } else {
                Suite::Laboratory
            },
            disabled,
            expires,
            address4: address4.map(Ipv4Addr::from_bits),
            address6: address6.map(Ipv6Addr::from_bits),
            max_sessions,
        }
    })
}

/// A text made of pieces of a store, in any order.
fn any_pieces() -> impl Strategy<Value = String> {
    let text = store().to_text();
    let mut pieces: Vec<String> = text.split_inclusive('\n').map(Into::into).collect();
    pieces.extend(
        [
            "{", "}", "\"", ":", ",", "\n", "login", "\"end\":", "1", "-", "\u{feff}", "\\u0000", "é",
        ]
        .map(Into::into),
    );
    prop::collection::vec(prop::sample::select(pieces), 0..12).prop_map(|pieces| pieces.concat())
}

/// The text with `lost` characters after `at` replaced by `new`.
fn damaged(text: &str, at: prop::sample::Index, lost: usize, new: &str) -> String {
    let at = at.index(text.len());
    let (front, back) = text.split_at(at);
    let back = back.get(lost..).unwrap_or_default();
    iter::once(front).chain([new, back]).collect()
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_store_is_read_as_it_was_written(users in prop::collection::vec(any_user(), 0..8)) {
        let mut store = UserStore::new();
        for user in users {
            let _ = store.add(user);
        }
        let again = UserStore::parse(&store.to_text()).unwrap();
        prop_assert_eq!(again.to_text(), store.to_text());
        prop_assert_eq!(again.len(), store.len());
        for (read, written) in again.iter().zip(store.iter()) {
            prop_assert_eq!(&read.login, &written.login);
            prop_assert_eq!(read.record.to_bytes(), written.record.to_bytes());
            prop_assert_eq!(read.suite, written.suite);
            prop_assert_eq!(read.disabled, written.disabled);
            prop_assert_eq!(read.expires, written.expires);
            prop_assert_eq!((read.address4, read.address6), (written.address4, written.address6));
            prop_assert_eq!(read.max_sessions, written.max_sessions);
        }
        prop_assert!(again.fixed_addresses().eq(store.fixed_addresses()));
    }

    #[test]
    fn every_text_is_parsed_or_rejected(text in prop_oneof![any::<String>(), any_pieces()]) {
        match UserStore::parse(&text) {
            Ok(store) => {
                let again = UserStore::parse(&store.to_text()).unwrap();
                prop_assert_eq!(again.to_text(), store.to_text());
            }
            Err(error) => prop_assert!((1..=text.lines().count() + 1).contains(&error.line)),
        }
    }

    #[test]
    fn a_damaged_store_never_loses_a_user_silently(at: prop::sample::Index, lost in 0..600usize, new in "[ -~\n]{0,3}") {
        let whole = store();
        if let Ok(read) = UserStore::parse(&damaged(&whole.to_text(), at, lost, &new)) {
            prop_assert_eq!(read.len(), whole.len());
        }
    }

    #[test]
    fn every_text_is_a_setup_or_rejected(text: String, at: prop::sample::Index, lost in 0..200usize, new in "[ -~\n]{0,3}") {
        let _ = setup_from_text(&text);
        let damaged = damaged(&setup_to_text(&setup()), at, lost, &new);
        if let Ok(read) = setup_from_text(&damaged) {
            let again = setup_from_text(&setup_to_text(&read)).unwrap();
            prop_assert_eq!(*again.to_bytes(), *read.to_bytes());
        }
    }
}
