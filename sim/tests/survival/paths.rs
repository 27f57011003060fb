//! Clients whose address changes while they are connected, and paths that carry less than they should: rows 50, 65 and 66.

use std::collections::BTreeSet;
use std::time::Duration;

use sandhog_lab::record::RecordKind;
use sandhog_lab::setup::Setup;
use sandhog_sim::Run;

use crate::support::{
    ALICE, SERVER, between, ends, logins, ms, pings, records, run, run_both, run_builtin, scenario, sent,
};

/// When the client was bound anew and where to.
fn rebound(run: &Run) -> Vec<(sandhog_proto::Instant, String)> {
    let all = run.records.iter().filter_map(|record| match &record.kind {
        RecordKind::Rebound { to } => Some((record.at, to.clone())),
        _ => None,
    });
    all.collect()
}

/// Checks that the server has followed each time, and at the first datagram from there.
#[track_caller]
fn is_followed(run: &Run) {
    let rebound = rebound(run);
    let roamed: Vec<_> = records(run, SERVER, |what| matches!(what, RecordKind::Roamed { .. })).collect();
    assert_eq!(roamed.len(), rebound.len());
    for (roamed, (at, address)) in roamed.iter().zip(&rebound) {
        let RecordKind::Roamed { to, .. } = &roamed.kind else {
            unreachable!()
        };
        assert_eq!(to, address);
        let heard = records(run, SERVER, |what| matches!(what, RecordKind::Received { .. }));
        let mut heard = heard.filter(|record| record.at > *at && record.id <= roamed.cause);
        let from_there = heard.find(|record| {
            let sent = run
                .record(record.cause)
                .and_then(|flight| run.record(flight.cause));
            sent.is_some_and(|sent| sent.at >= *at)
        });
        assert_eq!(
            from_there.map(|record| record.id),
            Some(roamed.cause),
            "the first from there moves it"
        );
    }
    assert_eq!(
        (logins(run).len(), sent(run, ALICE, "login").len()),
        (1, 1),
        "nobody logs in again"
    );
    assert_eq!(ends(run), []);
}

#[test]
fn an_upload_survives_a_nat_that_binds_anew_after_1_s_and_then_every_5_s() {
    for seed in 0..5 {
        let run = run_builtin("rebind-port", seed);
        assert_eq!(rebound(&run).len(), 2, "seed {seed}");
        is_followed(&run);
    }
}

#[test]
fn an_upload_survives_another_address_and_the_way_back() {
    for seed in 0..5 {
        let run = run_builtin("rebind-addr", seed);
        assert_eq!(rebound(&run).len(), 2, "seed {seed}");
        is_followed(&run);
    }
}

#[test]
fn a_download_waits_for_the_clients_next_word_and_completes() {
    let steps = "[[client.do]]\ndownload = { from = \"10.9.0.1:5001\", bytes = \"2 MiB\" }\n";
    let rebind = "[[event]]\nat = \"1s\"\nevery = \"30s\"\ntimes = 2\nrebind = \"alice\"\nto = \"198.51.100.2:50001\"\n";
    let link = "delay = \"20ms\"\nrate = \"1mbit\"";
    for seed in 0..3 {
        let run = run_both(&scenario("90s", steps, link, rebind), seed);
        is_followed(&run);
        // Who has nothing to say and hears nothing asks 10 s after their last word.
        let roamed = records(&run, SERVER, |what| matches!(what, RecordKind::Roamed { .. }));
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
fn packets_from_the_old_address_that_come_late_do_not_lead_the_session_back() {
    // What Alice sends in the last 100 ms at the old address takes half a second longer.
    let link =
        "delay = \"20ms\"\nforward = { late = [{ from = \"900ms\", until = \"1s\", by = \"500ms\" }] }";
    let rebind = "[[event]]\nat = \"1s\"\nrebind = \"alice\"\nto = \"203.0.113.80:61000\"\n";
    for seed in 0..3 {
        let run = run_both(&scenario("3s", &pings(100, "20ms", 90), link, rebind), seed);
        let late = records(&run, SERVER, |what| {
            matches!(what, RecordKind::Received { kind: "data", .. })
        });
        let late = late.filter(|record| {
            let flight = run.record(record.cause).unwrap();
            between(flight.at, record.at) > Duration::from_millis(500)
        });
        assert_eq!(late.count(), 5, "seed {seed}");
        is_followed(&run);
    }
}

#[test]
fn a_copy_of_an_older_datagram_from_elsewhere_does_not_lead_the_session_away_during_all_that() {
    let act = crate::support::mallory(
        "[[adversary.do]]\nreplay = { kind = \"data\", by = \"alice\", from = \"own\", after = \"3s\" }\n",
    );
    let steps = "[[client.do]]\nupload = { to = \"10.9.0.1:5001\", bytes = \"256 KiB\" }\n";
    let rebind = "[[event]]\nat = \"1s\"\nevery = \"1s\"\ntimes = 2\nrebind = \"alice\"\nto = \"203.0.113.80:61000\"\n";
    let setup = Setup::of(&scenario(
        "30s",
        steps,
        "delay = \"20ms\"\nrate = \"1mbit\"",
        &format!("{rebind}{act}"),
    ));
    for seed in 0..3 {
        let run = run(&setup, seed);
        let to_mallory =
            |what: &What| matches!(what, RecordKind::Roamed { to, .. } if to.starts_with("203.0.113.66:"));
        assert_eq!(records(&run, SERVER, to_mallory).count(), 0, "seed {seed}");
        let roamed = records(&run, SERVER, |what| matches!(what, RecordKind::Roamed { .. }));
        assert_eq!(roamed.count(), 2, "seed {seed}");
    }
}

#[test]
fn a_path_that_swallows_large_packets_is_found_out_before_a_download() {
    for seed in 0..5 {
        let run = run_builtin("path-mtu", seed);
        let told: Vec<_> = records(&run, ALICE, |what| matches!(what, RecordKind::SettingsChanged)).collect();
        assert_eq!(told.len(), 1, "seed {seed}: the MTU changes once");
        assert!(told[0].at < ms(4_000), "seed {seed}: {:?}", told[0].at);
        let lost = run
            .records
            .iter()
            .filter(|record| matches!(record.kind, RecordKind::Lost { .. }));
        let of_what = lost.filter_map(|record| match &run.record(record.cause)?.what {
            RecordKind::Sent { kind, .. } => Some(*kind),
            _ => None,
        });
        assert_eq!(
            of_what.collect::<BTreeSet<_>>(),
            BTreeSet::from(["probe"]),
            "seed {seed}: no packet is lost, neither before nor after"
        );
    }
}
