//! Texts that people see: each error names its cause, and no value shows a secret.

use std::fmt::{Debug, Display};

use sandhog_proto::aead::{AeadError, Cipher};
use sandhog_proto::kem::Seed;
use sandhog_proto::secure::{
    ConfigError, DataPeer, OpenError, PoolError, PskError, SealError, SettingsError, StoreOpError,
};

use crate::support::{Net, ip, setup};

/// The text contains each word, and is one line.
#[track_caller]
fn names(error: &dyn Display, words: &[&str]) {
    let text = error.to_string();
    assert!(words.iter().all(|word| text.contains(word)), "{text}");
    assert!(!text.contains('\n') && !text.is_empty(), "{text}");
}

#[test]
fn errors_of_a_server_configuration_name_the_wrong_value_and_its_correction() {
    let prefix = "10.9.0.0/31".parse().unwrap();
    names(&ConfigError::EqualKeys, &["equal", "openssl rand"]);
    names(&ConfigError::Addresses, &["10.9.0.1/24", "fd00::1/64"]);
    names(
        &ConfigError::Pool(prefix, PoolError::NoRoom(prefix)),
        &["10.9.0.0/31", "shorter"],
    );
    names(&PoolError::NotAHost(prefix), &["10.9.0.0/31", "10.9.0.1/24"]);
    names(&PoolError::PrefixTooLong(prefix), &["10.9.0.0/31"]);
    names(&ConfigError::SettingsTooLong, &["one datagram", "fewer routes"]);
    names(&ConfigError::Suite("kean".to_owned()), &["kean"]);
    for error in [
        ConfigError::FixedAddressOutside,
        ConfigError::FixedAddressOfServer,
    ] {
        names(&error("kean".to_owned(), ip("10.9.0.7")), &["kean", "10.9.0.7"]);
    }
}

#[test]
fn errors_of_settings_name_the_limit() {
    let errors = [
        (SettingsError::AddressFamily, "IP version"),
        (SettingsError::Mtu, "1280"),
        (SettingsError::TooManyDns, "8"),
        (SettingsError::TooManySearch, "8"),
        (SettingsError::SearchDomain, "domain"),
        (SettingsError::TooManyRoutes, "32"),
        (SettingsError::Keepalive, "600"),
    ];
    for (error, limit) in errors {
        names(&error, &[limit]);
        names(&ConfigError::Settings(error), &[limit]);
    }
}

#[test]
fn errors_of_keys_and_users_name_their_cause() {
    names(&PskError::WrongLength(31), &["31 bytes", "openssl rand"]);
    names(&PskError::NotBase64, &["base64", "openssl rand"]);
    names(&PskError::AllZero, &["zeros", "openssl rand"]);
    names(&PskError::Published, &["everyone knows", "openssl rand"]);
    names(&StoreOpError::AlreadyThere, &["already exists"]);
    names(&StoreOpError::NoSuchUser, &["no user"]);
    names(&StoreOpError::AddressTaken(ip("10.9.0.7")), &["10.9.0.7"]);
    names(&StoreOpError::NoSessions, &["session"]);
}

#[test]
fn each_reason_why_a_datagram_is_not_sealed_or_opened_has_another_text() {
    let mut texts = vec![AeadError.to_string()];
    texts.extend([SealError::Exhausted, SealError::TooLarge].map(|error| error.to_string()));
    let errors = [
        OpenError::Malformed,
        OpenError::WrongIndex,
        OpenError::Replayed,
        OpenError::Exhausted,
        OpenError::NotIp,
    ];
    texts.extend(errors.map(|error| error.to_string()));
    let count = texts.len();
    texts.sort_unstable();
    texts.dedup();
    assert_eq!(texts.len(), count);
    assert_eq!(OpenError::AuthenticationFailed.to_string(), AeadError.to_string());
}

#[test]
fn values_with_secrets_hide_them() {
    let seed = Seed::new([0xab; 64]);
    let (secret, public) = seed.key_pair();
    let mut net = Net::connected();
    let paths = net.clients[0].peer.data_paths();
    let shown: [&dyn Debug; 5] = [&seed, &secret, &public, &setup(), &paths];
    for value in shown {
        let text = format!("{value:?}");
        assert!(!text.contains("abab") && !text.contains("171, 171"), "{text}");
    }
    assert!(
        format!("{paths:?}").contains("203.0.113.1:9999"),
        "the address of the server is no secret"
    );
    assert_eq!(
        format!("{:?}", setup().server_key()),
        format!("ServerKey({})", setup().server_key().to_base64())
    );
    assert_eq!(Cipher::Aes256Gcm.to_string(), "aes-256-gcm");
}

#[test]
fn a_number_that_a_data_plane_stores_is_in_every_later_snapshot() {
    let mut net = Net::connected();
    let number = |paths: &sandhog_proto::secure::DataPaths| {
        let packet = crate::support::packet("10.9.0.2", "10.9.0.1", b"");
        paths.route(&packet).map(|path| path.user_data())
    };
    let first = net.clients[0].peer.data_paths();
    assert_eq!(number(&first), Ok(0));
    let packet = crate::support::packet("10.9.0.2", "10.9.0.1", b"");
    first.route(&packet).unwrap().set_user_data(7);
    net.run_for(std::time::Duration::from_secs(130));
    assert_eq!(
        number(&net.clients[0].peer.data_paths()),
        Ok(7),
        "also after a rekey"
    );
}
