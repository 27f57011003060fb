//! Tests of stores of users.

mod properties;
pub(super) mod samples;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;

use self::samples::{login, record, store, user};
use super::*;

#[test]
fn users_are_found_and_listed_by_name() {
    let store = store();
    let names: Vec<_> = store.iter().map(|user| user.login.as_str()).collect();
    assert_eq!(names, ["alice", "kean", "m-._@0"]);
    assert_eq!((store.len(), store.is_empty()), (3, false));
    assert_eq!(store.get(&login("kean")).unwrap().max_sessions, u16::MAX);
    assert!(store.get(&login("nobody")).is_none());
    let fixed: Vec<_> = store.fixed_addresses().collect();
    assert_eq!(
        fixed,
        ["10.9.0.7".parse::<IpAddr>().unwrap(), "fd00::7".parse().unwrap()]
    );
}

#[test]
fn a_name_can_be_added_only_once() {
    let mut store = store();
    let again = User {
        disabled: true,
        ..user("kean")
    };
    assert_eq!(store.add(again), Err(StoreOpError::AlreadyThere));
    assert!(!store.get(&login("kean")).unwrap().disabled);
}

#[test]
fn an_address_has_one_user_and_is_free_after_its_user_is_removed() {
    let mut store = store();
    let bob = User {
        address4: Some([10, 9, 0, 8].into()),
        address6: Some("fd00::7".parse().unwrap()),
        ..user("bob")
    };
    let taken = StoreOpError::AddressTaken("fd00::7".parse().unwrap());
    assert_eq!(store.add(bob.clone()), Err(taken));
    assert_eq!(
        (store.len(), store.fixed_addresses().count()),
        (3, 2),
        "a failed call adds nothing"
    );
    assert_eq!(store.remove(&login("alice")).unwrap().login, login("alice"));
    assert_eq!(store.add(bob), Ok(()));
}

#[test]
fn a_user_without_sessions_is_not_added() {
    let nobody = User {
        max_sessions: 0,
        ..user("nobody")
    };
    assert_eq!(store().add(nobody), Err(StoreOpError::NoSessions));
}

#[test]
fn a_user_is_disabled_and_enabled() {
    let mut store = store();
    for _ in 0..2 {
        assert_eq!(store.disable(&login("kean")), Ok(()));
        assert!(store.get(&login("kean")).unwrap().disabled);
    }
    assert_eq!(store.enable(&login("kean")), Ok(()));
    assert!(!store.get(&login("kean")).unwrap().disabled);
}

#[test]
fn a_changed_password_changes_the_record_and_nothing_else() {
    let mut store = store();
    let before = store.get(&login("kean")).unwrap().clone();
    assert_eq!(store.change(&login("kean"), record(2)), Ok(()));
    let after = store.get(&login("kean")).unwrap();
    assert_ne!(after.record.to_bytes(), before.record.to_bytes());
    assert_eq!(after.record.to_bytes(), record(2).to_bytes());
    assert_eq!((after.address4, after.expires), (before.address4, before.expires));
}

#[test]
fn debug_shows_no_record() {
    let record = record(0).to_bytes();
    let shown = format!("{:?}", store());
    assert!(shown.contains("kean"));
    for bytes in record.chunks(4) {
        let list = format!("{bytes:?}");
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        for secret in [
            list.trim_matches(['[', ']']),
            &hex,
            &hex.to_uppercase(),
            &BASE64.encode(bytes)[..5],
        ] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
}

#[test]
fn an_unknown_user_cannot_be_changed() {
    let mut store = store();
    let nobody = login("nobody");
    let missing = Err(StoreOpError::NoSuchUser);
    assert_eq!(store.remove(&nobody).map(drop), missing);
    assert_eq!(store.disable(&nobody), missing);
    assert_eq!(store.enable(&nobody), missing);
    assert_eq!(store.change(&nobody, record(2)), missing);
    assert_eq!(store.len(), 3);
}
