//! Attacks with a reused nonce. Row 7 of the table in `SECURITY.md`. `proto/benches/endurance.rs` runs the
//! same over ten million packets.

use std::time::Duration;

use sandhog_proto::secure::Code;

use crate::audit::{Audit, Deliveries, INNER_SERVER, audited, numbered};
use crate::support::Net;

/// Attack 7: nonce reuse.
#[test]
fn no_nonce_is_used_twice_under_one_key_in_a_hundred_thousand_packets() {
    let audit = audited(100_000, Duration::from_secs(1200));
    assert!(audit.datagrams >= 90_000, "{}", audit.datagrams);
    assert!(audit.keys() >= 2 * 10, "{} keys", audit.keys());
    assert!(audit.rekeys >= 7, "{} rekeys", audit.rekeys);
    let [at_server, at_client] = audit.delivered;
    assert!(
        at_server.count >= 40_000 && at_client.count >= 40_000,
        "{} and {} packets were delivered",
        at_server.count,
        at_client.count
    );
}

/// Checks that the auditor detects a fault.
#[test]
#[should_panic = "was delivered before"]
fn the_auditor_detects_a_packet_that_is_delivered_twice() {
    let (client, server) = (["10.9.0.2".to_owned()], [INNER_SERVER.to_owned()]);
    let mut deliveries = Deliveries::default();
    for round in [0, 2, 1, 2] {
        deliveries.look(&numbered("10.9.0.2", INNER_SERVER, round), &client, &server);
    }
}

/// Checks that the auditor detects a fault.
#[test]
#[should_panic = "nobody has sent this packet"]
fn the_auditor_detects_a_changed_packet() {
    let (client, server) = (["10.9.0.2".to_owned()], [INNER_SERVER.to_owned()]);
    let mut changed = numbered("10.9.0.2", INNER_SERVER, 1);
    changed[9] ^= 1;
    Deliveries::default().look(&changed, &client, &server);
}

/// Attack 7: checks that the auditor detects a reused nonce.
#[test]
#[should_panic = "was used before"]
fn the_auditor_detects_a_reused_nonce() {
    let net = Net::connected();
    let mut audit = Audit::default();
    let sealed = net
        .log
        .iter()
        .filter(|seen| seen.bytes[0] == Code::Session.byte());
    sealed.clone().chain(sealed).for_each(|seen| audit.look(seen));
}
