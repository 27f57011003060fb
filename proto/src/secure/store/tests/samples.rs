//! Test users with genuine records.

extern crate std;

use std::sync::OnceLock;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;

use crate::secure::setup::{ServerSetup, register};
use crate::secure::store::*;

// The curve is slow in a debug build, so values that need it are made once.

pub(in crate::secure::store) fn setup() -> ServerSetup {
    static SETUP: OnceLock<ServerSetup> = OnceLock::new();
    let make = || ServerSetup::generate(&mut ChaCha20Rng::from_seed([7; 32]));
    SETUP.get_or_init(make).clone()
}

pub(in crate::secure::store) fn login(name: &str) -> Login {
    Login::new(name).unwrap()
}

/// One of three different records, 0 to 2.
pub(in crate::secure::store) fn record(index: usize) -> Record {
    static RECORDS: OnceLock<[Record; 3]> = OnceLock::new();
    let records = RECORDS.get_or_init(|| {
        let mut rng = ChaCha20Rng::from_seed([1; 32]);
        ["a", "b", "c"].map(|password| {
            register(&setup(), Suite::Laboratory, &login("kean"), password, &mut rng).unwrap()
        })
    });
    records[index].clone()
}

pub(in crate::secure::store) fn user(name: &str) -> User {
    User {
        login: login(name),
        record: record(0),
        suite: Suite::Laboratory,
        disabled: false,
        expires: None,
        address4: None,
        address6: None,
        max_sessions: 1,
    }
}

/// Three users with all kinds of values.
pub(in crate::secure::store) fn store() -> UserStore {
    let mut store = UserStore::new();
    for user in [
        User {
            expires: Some(u64::MAX),
            address4: Some([10, 9, 0, 7].into()),
            max_sessions: u16::MAX,
            ..user("kean")
        },
        User {
            disabled: true,
            suite: Suite::Standard,
            record: record(1),
            address6: Some("fd00::7".parse().unwrap()),
            ..user("alice")
        },
        user("m-._@0"),
    ] {
        store.add(user).unwrap();
    }
    store
}
