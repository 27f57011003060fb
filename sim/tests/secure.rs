//! Secure tunnels with adversaries on and off the path, and with NAT rebindings.

use sandhog_lab::record::{HostId, RecordKind};
use sandhog_lab::setup::Setup;
use sandhog_sim::Run;

use crate::support::{ALICE, AliceAndServer, MALLORY, SERVER, mallory, pings, records, run_both};

/// Alice gets her inner address from the server.
fn setup(duration: &str, steps: &str, rest: &str) -> Setup {
    let scenario = AliceAndServer {
        duration,
        inner: "",
        steps,
        link: "delay = \"10ms 5ms\"",
        rest,
        ..AliceAndServer::default()
    };
    scenario.setup()
}

/// Twenty pings while mallory, on the path, does this.
fn run_with_attack(act: &str) -> Run {
    let adversary = mallory(&format!("[[adversary.do]]\n{act}"));
    run_both(&setup("6s", &pings(20, "200ms", 1), &adversary), 7)
}

fn count(run: &Run, host: HostId, pick: fn(&RecordKind) -> bool) -> usize {
    records(run, host, pick).count()
}

fn attacks(run: &Run) -> usize {
    count(run, MALLORY, |kind| matches!(kind, RecordKind::Attack { .. }))
}

#[test]
fn a_session_follows_a_nat_that_rebinds_every_second() {
    let rest =
        "[[event]]\nat = \"1s\"\nevery = \"1s\"\ntimes = 4\nrebind = \"alice\"\nto = \"198.51.100.9:1234\"\n";
    let run = run_both(&setup("10s", &pings(50, "100ms", 45), rest), 7);
    let roamed = |kind: &RecordKind| matches!(kind, RecordKind::Roamed { .. });
    assert_eq!(count(&run, SERVER, roamed), 4);
    let logins = |kind: &RecordKind| matches!(kind, RecordKind::LoggedIn { .. });
    assert_eq!(count(&run, SERVER, logins), 1, "there is no second login");
}

/// The copies arrive after their originals. A copy that overtakes its original would be accepted.
#[test]
fn replayed_session_datagrams_change_nothing() {
    for (from, after) in [
        ("alice", "1ms"),
        ("alice", "1s"),
        ("own", "100ms"),
        ("random", "500ms"),
    ] {
        let run = run_with_attack(&format!(
            "replay = {{ kind = \"data\", by = \"alice\", from = \"{from}\", after = \"{after}\" }}"
        ));
        assert!(attacks(&run) > 10, "{from} {after}");
    }
}

#[test]
fn every_kind_of_message_may_be_replayed_and_reflected() {
    for kind in [
        "login",
        "login-cookie",
        "cookie",
        "ke2",
        "ke3",
        "settings",
        "data",
    ] {
        for act in ["replay", "reflect"] {
            let run = run_with_attack(&format!("{act} = {{ kind = \"{kind}\" }}"));
            assert!(attacks(&run) > 0, "{act} {kind}");
            assert_eq!(
                count(&run, ALICE, |kind| matches!(kind, RecordKind::Started { .. })),
                1
            );
        }
    }
}

#[test]
fn a_message_with_a_flipped_bit_is_rejected_and_its_retransmission_succeeds() {
    for kind in [
        "login",
        "login-cookie",
        "cookie",
        "ke2",
        "ke3",
        "settings",
        "data",
    ] {
        let run = run_with_attack(&format!("alter = {{ kind = \"{kind}\", nth = 1 }}"));
        assert!(attacks(&run) >= 1, "{kind}");
        assert_eq!(run.outcome, "connected", "{kind}");
    }
}

#[test]
fn datagrams_with_copied_headers_do_not_move_a_session() {
    let run = run_with_attack(
        "inject = { to = \"server\", from = \"random\", bytes = \"copied-header\", count = 500, every = \"5ms\", at = \"500ms\" }",
    );
    assert_eq!(attacks(&run), 500);
    assert_eq!(
        count(&run, SERVER, |kind| matches!(kind, RecordKind::Roamed { .. })),
        0
    );
}

#[test]
fn clients_log_in_during_a_flood_of_recorded_logins_from_random_addresses() {
    let flood = "[[adversary.do]]\nflood = { to = \"server\", kind = \"login\", rate = 5000, for = \"3s\", at = \"1s\" }\n";
    let restart = "[[event]]\nat = \"2s\"\nrestart = \"alice\"\n";
    let mut setup = setup(
        "8s",
        &pings(3, "200ms", 1),
        &format!("{}{restart}", mallory(flood)),
    );
    setup.ends_when_done = false;
    let run = run_both(&setup, 7);
    assert_eq!(attacks(&run), 15_000);
    assert_eq!(
        count(&run, SERVER, |kind| matches!(kind, RecordKind::LoggedIn { .. })),
        2
    );
}
