//! Endurance test: ten million packets between a client and a server, with rekeys, roaming, retransmissions
//! and new logins. No nonce may be used twice under one key, and each packet must arrive unchanged and at
//! most once. `cargo bench --package sandhog-proto --bench endurance`. As a test it runs a hundredth of the
//! packets.

use std::time::Duration;

#[path = "../tests/secure/audit.rs"]
mod audit;
#[path = "../tests/secure/support.rs"]
#[expect(dead_code, reason = "only the tests use all of it")]
mod support;

fn main() {
    // Some packets are dropped because the tunnel is down at times.
    let (packets, life) = if std::env::args().any(|argument| argument == "--bench") {
        (10_600_000, Duration::from_secs(2700))
    } else {
        (106_000, Duration::from_secs(2700))
    };
    let audit = audit::audited(packets, life);
    let delivered: u64 = audit.delivered.iter().map(|side| side.count).sum();
    println!(
        "{} datagrams under {} keys, {} rekeys: no nonce came twice; {delivered} packets \
         came out, none twice, none changed",
        audit.datagrams,
        audit.keys(),
        audit.rekeys
    );
    assert!(audit.datagrams >= packets / 106 * 100);
    // One datagram in 23 is lost.
    assert!(delivered >= packets / 106 * 95);
    assert!(audit.rekeys >= 20);
}
