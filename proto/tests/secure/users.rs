//! Change of the users of a running server: sessions, addresses and stored records.

use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use sandhog_proto::secure::{ConfigError, Server, Suite, User, UserStore, register};
use sandhog_proto::{EventKind, Peer, TunnelStatus};

use crate::support::{Net, client_config, ip, login, packet, server_config, setup, store, user};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Connected clients of kean and anna.
fn two() -> Net {
    let clients = [client_config("kean", 1), client_config("anna", 3)];
    let mut net = Net::new(server_config(), clients);
    net.start(0);
    net.run_for(secs(1));
    net.start(1);
    net.run_for(secs(1));
    assert_eq!(
        (net.inner(0), net.inner(1)),
        ("10.9.0.2".into(), "10.9.0.3".into())
    );
    net
}

/// A user with this name and this reserved IPv4 address.
fn fixed(name: &str, address: &str) -> User {
    let mut user = user(name);
    user.address4 = Some(address.parse().unwrap());
    user
}

fn set(net: &mut Net, users: UserStore) {
    let now = net.now;
    net.server.set_users(now, users).unwrap();
    // The byes are sent with the next turn of the server.
    net.server_sends(packet("10.9.0.1", "192.0.2.1", b"to nobody"));
}

/// Users whose sessions the server has ended, with the reasons.
fn ended(net: &Net) -> Vec<(&str, &'static str)> {
    let events = net.server_events.iter();
    let ends = events.filter_map(|(_, kind)| match kind {
        EventKind::SessionEnded { login, reason } => Some((&**login, *reason)),
        _ => None,
    });
    ends.collect()
}

#[test]
fn only_the_sessions_of_removed_users_end() {
    let mut net = two();
    set(&mut net, store([user("anna"), user("zoe")]));
    net.run_for(secs(10));
    assert_eq!(ended(&net), [("kean", "removed")]);
    assert_eq!(net.status(1), TunnelStatus::Connected);
    assert_eq!(
        net.count("login"),
        3,
        "a new login gets the same reply as an unknown user"
    );
    assert_eq!(net.server.session_count(), 1);
}

#[test]
fn an_address_reserved_for_another_user_is_taken_from_the_current_session() {
    let mut net = two();
    set(&mut net, store([user("kean"), fixed("anna", "10.9.0.2")]));
    net.run_for(secs(5));
    assert_eq!(ended(&net), [("kean", "readdressed"), ("anna", "readdressed")]);
    assert_eq!(net.status(0), TunnelStatus::Connected);
    assert_eq!(
        (net.inner(0), net.inner(1)),
        ("10.9.0.4".into(), "10.9.0.2".into())
    );
    let told = |(_, kind): &&(_, EventKind)| matches!(kind, EventKind::SettingsChanged(_));
    assert_eq!(net.clients[0].events.iter().filter(told).count(), 1);
    net.server_sends(packet("10.9.0.1", "10.9.0.2", b"for anna"));
    net.run_for(secs(1));
    assert_eq!(
        (net.clients[0].packets.len(), net.clients[1].packets.len()),
        (0, 1)
    );
}

#[test]
fn an_address_that_is_no_longer_reserved_is_assigned_like_any_other() {
    let mut config = server_config();
    config.users = store([fixed("kean", "10.9.0.2"), user("anna")]);
    let mut net = Net::new(config, [client_config("kean", 1), client_config("anna", 3)]);
    net.start(0);
    net.run_for(secs(1));
    assert_eq!(net.inner(0), "10.9.0.2");
    set(&mut net, store([fixed("kean", "10.9.0.7"), user("anna")]));
    net.run_for(secs(5));
    net.start(1);
    net.run_for(secs(1));
    assert_eq!(
        (net.inner(0), net.inner(1)),
        ("10.9.0.7".into(), "10.9.0.2".into())
    );
    // A user without a reserved address any more gets an unused address of the pool.
    set(&mut net, store([user("kean"), user("anna")]));
    net.run_for(secs(5));
    assert_eq!(
        (net.inner(0), net.inner(1)),
        ("10.9.0.3".into(), "10.9.0.2".into())
    );
    assert_eq!(ended(&net), [("kean", "readdressed"), ("kean", "readdressed")]);
}

#[test]
fn users_with_unavailable_addresses_are_rejected_and_nothing_changes() {
    let mut in_v6 = user("kean");
    in_v6.address6 = Some("fd01::2".parse().unwrap());
    let outside = |address: &str| ConfigError::FixedAddressOutside("kean".into(), ip(address));
    let of_server = |address: &str| ConfigError::FixedAddressOfServer("kean".into(), ip(address));
    let cases = [
        (fixed("kean", "10.9.1.2"), outside("10.9.1.2")),
        (fixed("kean", "10.9.0.0"), outside("10.9.0.0")),
        (fixed("kean", "10.9.0.255"), outside("10.9.0.255")),
        (in_v6, outside("fd01::2")),
        (fixed("kean", "10.9.0.1"), of_server("10.9.0.1")),
    ];
    for (user, error) in cases {
        let mut net = two();
        let (before, now) = (net.server.users().to_text(), net.now);
        let mut config = server_config();
        config.users = store([user]);
        assert_eq!(
            net.server.set_users(now, config.users.clone()),
            Err(error.clone())
        );
        assert_eq!(net.server.users().to_text(), before);
        assert_eq!(net.server.session_count(), 2);
        assert_eq!(Server::new(config).err(), Some(error.clone()));
        assert!(error.to_string().contains("of kean is"), "{error}");
    }
    // A server without IPv6 cannot use such an address.
    let mut config = server_config();
    config.addresses.truncate(1);
    let mut in_v6 = user("kean");
    in_v6.address6 = Some("fd00::7".parse().unwrap());
    config.users = store([in_v6]);
    assert_eq!(Server::new(config).err(), Some(outside("fd00::7")));
}

/// A client whose new password is being stored when `users` replace the users, and is stored afterwards.
fn changed_meanwhile(users: UserStore) -> Net {
    let mut net = two();
    net.disk_is_slow = true;
    let now = net.now;
    let peer = &mut net.clients[0].peer;
    peer.change_password(now, "battery staple".to_owned().into())
        .unwrap();
    net.run_for(secs(2));
    set(&mut net, users);
    net.finish_saves();
    net.run_for(secs(12));
    net
}

/// Result of the password change.
fn change(net: &Net) -> Option<bool> {
    net.clients[0].events.iter().find_map(|(_, kind)| match kind {
        EventKind::PasswordChanged(result) => Some(result.is_ok()),
        _ => None,
    })
}

#[test]
fn a_password_change_being_stored_is_kept_when_the_users_are_replaced() {
    let old = user("kean").record.to_bytes();
    let net = changed_meanwhile(store([user("kean"), user("anna"), user("zoe")]));
    assert_eq!(change(&net), Some(true));
    let users = net.server.users();
    assert!(users.get(&login("zoe")).is_some(), "the new users are kept");
    assert_ne!(users.get(&login("kean")).unwrap().record.to_bytes(), old);
    assert_eq!(net.saved.len(), 2, "the first text lacked the new user");
    assert_eq!(net.saved.last(), Some(&users.to_text()));
}

#[test]
fn a_user_removed_while_the_new_password_is_stored_stays_removed() {
    let net = changed_meanwhile(store([user("anna")]));
    assert_eq!(change(&net), Some(false));
    assert_eq!(ended(&net), [("kean", "removed")]);
    assert!(net.server.users().get(&login("kean")).is_none());
    assert_eq!(net.saved.len(), 2, "the first text contained the user");
    assert_eq!(net.saved.last(), Some(&net.server.users().to_text()));
}

#[test]
fn a_password_set_by_an_administrator_overrides_a_change_being_stored() {
    let mut rng = ChaCha20Rng::from_seed([11; 32]);
    let mut reset = user("kean");
    reset.record = register(
        &setup(),
        Suite::Laboratory,
        &login("kean"),
        "by the administrator",
        &mut rng,
    )
    .unwrap();
    let record = reset.record.to_bytes();
    let net = changed_meanwhile(store([reset, user("anna")]));
    let users = net.server.users();
    assert_eq!(users.get(&login("kean")).unwrap().record.to_bytes(), record);
    assert_eq!(net.saved.last(), Some(&users.to_text()));
    assert_eq!(ended(&net), [("kean", "removed")]);
    assert_eq!(change(&net), Some(false));
}

#[test]
fn a_session_ends_only_if_the_password_was_changed_by_an_administrator() {
    let mut net = two();
    let same = net.server.users().clone();
    set(&mut net, same);
    assert_eq!(ended(&net), []);
    net.disk_is_slow = true;
    let now = net.now;
    let peer = &mut net.clients[0].peer;
    peer.change_password(now, "battery staple".to_owned().into())
        .unwrap();
    net.run_for(secs(2));
    let job = net.server.poll_job().expect("the new password is to be stored");
    let stored = UserStore::parse(job.text_to_save().unwrap()).unwrap();
    set(&mut net, stored.clone());
    net.server.handle_job(now, job.run()).unwrap();
    net.finish_saves();
    net.run_for(secs(2));
    assert_eq!(ended(&net), []);
    assert_eq!(change(&net), Some(true));
    assert_eq!(net.server.users().to_text(), stored.to_text());
    set(&mut net, store([user("kean"), user("anna")]));
    assert_eq!(ended(&net), [("kean", "removed")]);
}
