//! Roaming clients, and paths with a small MTU: rows 50, 65 and 66.

use std::collections::BTreeSet;
use std::time::Duration;

use sandhog_lab::record::RecordKind;
use sandhog_peer::Instant;
use sandhog_sim::Run;

use super::scenario;
use crate::support::{
    ALICE, SERVER, between, ends, logins, mallory, ms, pings, records, run, run_both, run_builtin, sent,
};

/// The times of NAT rebindings, with the new addresses.
fn rebound(run: &Run) -> Vec<(Instant, String)> {
    let all = run.records.iter().filter_map(|record| match &record.kind {
        RecordKind::Rebound { to } => Some((record.at, to.clone())),
        _ => None,
    });
    all.collect()
}

/// Checks that the session has moved after each rebinding, at the first datagram from the new address.
#[track_caller]
fn has_followed(run: &Run) {
    let rebound = rebound(run);
    let roamed: Vec<_> = records(run, SERVER, |kind| matches!(kind, RecordKind::Roamed { .. })).collect();
    assert_eq!(roamed.len(), rebound.len());
    for (roamed, (at, address)) in roamed.iter().zip(&rebound) {
        let RecordKind::Roamed { to, .. } = &roamed.kind else {
            unreachable!()
        };
        assert_eq!(to, address);
        let received = records(run, SERVER, |kind| matches!(kind, RecordKind::Received { .. }));
        let mut received = received.filter(|record| record.at > *at && record.id <= roamed.cause);
        let first = received.find(|record| {
            let sent = run
                .record(record.cause)
                .and_then(|flight| run.record(flight.cause));
            sent.is_some_and(|sent| sent.at >= *at)
        });
        assert_eq!(
            first.map(|record| record.id),
            Some(roamed.cause),
            "the first datagram from the new address moves the session"
        );
    }
    assert_eq!(
        (logins(run).len(), sent(run, ALICE, "login").len()),
        (1, 1),
        "there is no second login"
    );
    assert_eq!(ends(run), []);
}

#[test]
fn an_upload_survives_nat_rebindings_after_1_s_and_then_every_5_s() {
    for seed in 0..5 {
        let run = run_builtin("rebind-port", seed);
        assert_eq!(rebound(&run).len(), 2, "seed {seed}");
        has_followed(&run);
    }
}

#[test]
fn an_upload_survives_a_change_of_address_and_the_change_back() {
    for seed in 0..5 {
        let run = run_builtin("rebind-addr", seed);
        assert_eq!(rebound(&run).len(), 2, "seed {seed}");
        has_followed(&run);
    }
}

#[test]
fn a_download_continues_after_the_next_ping_of_a_moved_client() {
    let steps = "[[client.do]]\ndownload = { from = \"10.9.0.1:5001\", bytes = \"2 MiB\" }\n";
    let rebind = "[[event]]\nat = \"1s\"\nevery = \"30s\"\ntimes = 2\nrebind = \"alice\"\nto = \"198.51.100.2:50001\"\n";
    // The last acknowledgements are lost, so the server does not learn the new address from them.
    let lost =
        |from: &str, until: &str| format!("{{ kind = \"data\", from = \"{from}\", until = \"{until}\" }}");
    let link = format!(
        "delay = \"20ms\"\nrate = \"1mbit\"\nforward = {{ drop = [{}, {}] }}",
        lost("1s", "1100ms"),
        lost("31s", "31100ms")
    );
    for seed in 0..3 {
        let run = run_both(&scenario("90s", steps, &link, rebind).setup(), seed);
        has_followed(&run);
        // A client that sends and receives nothing sends a ping 10 s after its last datagram.
        let roamed = records(&run, SERVER, |kind| matches!(kind, RecordKind::Roamed { .. }));
        for (roamed, (at, _)) in roamed.zip(rebound(&run)) {
            let after = between(at, roamed.at);
            assert!(
                after > Duration::from_secs(9) && after < Duration::from_secs(11),
                "seed {seed}: {after:?}"
            );
        }
    }
}

#[test]
fn late_packets_from_the_old_address_do_not_move_the_session_back() {
    // Datagrams of the last 100 ms at the old address take half a second longer.
    let link =
        "delay = \"20ms\"\nforward = { late = [{ from = \"900ms\", until = \"1s\", by = \"500ms\" }] }";
    let rebind = "[[event]]\nat = \"1s\"\nrebind = \"alice\"\nto = \"203.0.113.80:61000\"\n";
    for seed in 0..3 {
        let run = run_both(
            &scenario("3s", &pings(100, "20ms", 90), link, rebind).setup(),
            seed,
        );
        let late = records(&run, SERVER, |kind| {
            matches!(kind, RecordKind::Received { kind: "data", .. })
        });
        let late = late.filter(|record| {
            let flight = run.record(record.cause).unwrap();
            between(flight.at, record.at) > Duration::from_millis(500)
        });
        assert_eq!(late.count(), 5, "seed {seed}");
        has_followed(&run);
    }
}

#[test]
fn replays_from_another_address_do_not_move_a_roaming_session() {
    let adversary = mallory(
        "[[adversary.do]]\nreplay = { kind = \"data\", by = \"alice\", from = \"own\", after = \"3s\" }\n",
    );
    let steps = "[[client.do]]\nupload = { to = \"10.9.0.1:5001\", bytes = \"256 KiB\" }\n";
    let rebind = "[[event]]\nat = \"1s\"\nevery = \"1s\"\ntimes = 2\nrebind = \"alice\"\nto = \"203.0.113.80:61000\"\n";
    let setup = scenario(
        "30s",
        steps,
        "delay = \"20ms\"\nrate = \"1mbit\"",
        &format!("{rebind}{adversary}"),
    )
    .setup();
    for seed in 0..3 {
        let run = run(&setup, seed);
        let to_mallory = |kind: &RecordKind| matches!(kind, RecordKind::Roamed { to, .. } if to.starts_with("203.0.113.66:"));
        assert_eq!(records(&run, SERVER, to_mallory).count(), 0, "seed {seed}");
        let roamed = records(&run, SERVER, |kind| matches!(kind, RecordKind::Roamed { .. }));
        assert_eq!(roamed.count(), 2, "seed {seed}");
    }
}

#[test]
fn a_path_that_drops_large_packets_is_detected_before_a_download() {
    for seed in 0..5 {
        let run = run_builtin("path-mtu", seed);
        let changes: Vec<_> =
            records(&run, ALICE, |kind| matches!(kind, RecordKind::SettingsChanged)).collect();
        assert_eq!(changes.len(), 1, "seed {seed}: the MTU changes once");
        assert!(changes[0].at < ms(4_000), "seed {seed}: {:?}", changes[0].at);
        let lost = run
            .records
            .iter()
            .filter(|record| matches!(record.kind, RecordKind::Lost { .. }));
        let kinds = lost.filter_map(|record| match &run.record(record.cause)?.kind {
            RecordKind::Sent { kind, .. } => Some(*kind),
            _ => None,
        });
        assert_eq!(
            kinds.collect::<BTreeSet<_>>(),
            BTreeSet::from(["probe"]),
            "seed {seed}: no packet is lost"
        );
    }
}
