//! Attacks on a nonce that comes twice. Row 7 of the table in `SECURITY.md`; `proto/benches/endurance.rs` runs the same
//! over ten million packets.

use std::time::Duration;

use sandhog_proto::secure::Code;

use crate::audit::{Audit, audited};
use crate::support::Net;

/// Attack 7: nonce reuse.
#[test]
fn no_key_sees_a_nonce_twice_over_a_hundred_thousand_packets_rekeys_roams_repeats_and_new_logins() {
    let audit = audited(100_000, Duration::from_secs(1200));
    assert!(audit.datagrams >= 90_000, "{}", audit.datagrams);
    assert!(audit.keys() >= 2 * 10, "{} keys", audit.keys());
    assert!(audit.rekeys >= 7, "{} rekeys", audit.rekeys);
    assert!(audit.repeats >= 1, "{} repeats", audit.repeats);
}

/// Attack 7: the auditor sees what it is there to see.
#[test]
#[should_panic = "was there before"]
fn the_auditor_finds_a_nonce_that_comes_twice() {
    let net = Net::connected();
    let mut audit = Audit::default();
    let sealed = net
        .log
        .iter()
        .filter(|seen| seen.bytes[0] == Code::Session.byte());
    sealed.clone().chain(sealed).for_each(|seen| audit.look(seen));
}
