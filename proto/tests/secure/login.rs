//! Messages and duration of a login.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use sandhog_proto::{EventKind, TunnelStatus};

use crate::support::{DELAY, Net, client_config, packet, server_config};

#[test]
fn a_login_takes_six_datagrams_and_three_round_trips() {
    let mut net = Net::pair();
    net.start(0);
    net.run_for(Duration::from_secs(1));
    assert_eq!(
        net.kinds(),
        [
            "login",
            "cookie",
            "login-cookie",
            "ke2",
            "ke3",
            "settings",
            "ping",
            "rekey",
            "pong",
            "rekeyed",
            "ping",
            "pong"
        ]
    );
    let (at, result) = net.started(0).unwrap();
    assert_eq!((at.as_millis(), result), (120, Ok(())));
    assert_eq!(net.status(0), TunnelStatus::Connected);
}

#[test]
fn no_datagram_is_longer_than_1200_bytes_before_the_tunnel_is_up() {
    let mut net = Net::pair();
    net.start(0);
    net.run_for(Duration::from_secs(1));
    let (up, _) = net.started(0).unwrap();
    let before = net.log.iter().filter(|seen| seen.at < up);
    assert!(before.clone().count() >= 6 && before.clone().all(|seen| seen.bytes.len() <= 1200));
    // A rekey is as long as a packet of 1280 bytes, the smallest MTU.
    assert_eq!(net.first("rekey").bytes.len(), 1280 + 29);
    assert_eq!(net.first("rekeyed").bytes.len(), 1152 + 29);
}

#[test]
fn packets_arrive_unchanged_in_both_directions() {
    let mut net = Net::connected();
    let inner = net.inner(0);
    assert_eq!(inner, "10.9.0.2");
    let there = packet(&inner, "10.9.0.1", b"there");
    let back = packet("10.9.0.1", &inner, b"and back");
    net.client_sends(0, there.clone());
    net.server_sends(back.clone());
    net.run_for(Duration::from_millis(100));
    assert_eq!(
        net.server_packets.iter().map(|p| p.to_vec()).collect::<Vec<_>>(),
        [there.to_vec()]
    );
    assert_eq!(
        net.clients[0]
            .packets
            .iter()
            .map(|p| p.to_vec())
            .collect::<Vec<_>>(),
        [back.to_vec()]
    );
}

#[test]
fn keys_change_at_least_every_two_minutes() {
    let mut net = Net::connected();
    net.run_for(Duration::from_secs(1200));
    let epochs: Vec<u32> = net.clients[0]
        .events
        .iter()
        .filter_map(|(_, kind)| match kind {
            EventKind::Rekeyed { epoch } => Some(*epoch),
            _ => None,
        })
        .collect();
    assert_eq!(epochs, (1..=11).collect::<Vec<_>>());
    assert_eq!(net.status(0), TunnelStatus::Connected);
}

#[test]
fn at_30_percent_loss_each_way_at_most_two_of_2000_logins_fail() {
    // On WebAssembly, a sample is enough, because a login takes about ten times as long as natively.
    let stride = if cfg!(target_family = "wasm") { 10 } else { 1 };
    let mut failed = 0;
    for seed in (0..2000u64).step_by(stride) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut burst = 0;
        let mut config = client_config("kean", 1);
        config.seed[..8].copy_from_slice(&seed.to_be_bytes());
        let mut net = Net::new(server_config(), [config]);
        net.wire = Box::new(move |seen| {
            // Three out of ten, but at most three in a row.
            let is_lost = rng.next_u32() % 10 < 3 && burst < 3;
            burst = if is_lost { burst + 1 } else { 0 };
            if is_lost {
                vec![]
            } else {
                vec![(DELAY, seen.clone())]
            }
        });
        net.start(0);
        net.run_for(Duration::from_secs(10));
        failed += usize::from(net.status(0) != TunnelStatus::Connected);
    }
    assert!(failed <= 2, "{failed} of 2000 logins failed");
}
