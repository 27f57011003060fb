//! Passwords, users and devices: rows 14 to 18 and 20.

use std::fmt::Write;
use std::time::Duration;

use sandhog_lab::record::RecordKind;
use sandhog_lab::report::sightings;
use sandhog_lab::setup::{Control, Setup};
use sandhog_proto::Instant;
use sandhog_sim::{Detail, Engine, RunOptions};
use sandhog_sim::{Scenario, run_setup};

use crate::support::{
    ALICE, SERVER, between, consequences, ends, logins, ms, parse, pings, records, retries, run, run_both,
    run_builtin, scenario, sent, started, statuses,
};

#[test]
fn after_a_wrong_password_a_tunnel_that_never_was_up_says_nothing_more() {
    let mut scenario = Scenario::builtin("wrong-password").unwrap();
    scenario.duration.0 = Duration::from_secs(1000);
    scenario.ends_early = false;
    for seed in 0..10 {
        let run = run(&scenario.setup(), seed);
        assert_eq!(started(&run, ALICE), Some((ms(1080), "authentication-rejected")));
        let last = records(&run, ALICE, |what| matches!(what, RecordKind::Sent { .. }))
            .last()
            .unwrap();
        assert_eq!(last.at, ms(40), "what she sent last is the answer to the cookie");
        assert_eq!(retries(&run, ALICE), []);
    }
}

#[test]
fn an_unknown_user_looks_from_outside_like_a_wrong_password() {
    for seed in 0..10 {
        let [wrong, unknown] = ["wrong-password", "unknown-user"].map(|name| run_builtin(name, seed));
        for host in [SERVER, ALICE] {
            assert_eq!(sightings(&wrong, host), sightings(&unknown, host), "seed {seed}");
        }
        assert_eq!(started(&wrong, ALICE), started(&unknown, ALICE));
    }
}

#[test]
fn the_eleventh_guess_in_a_minute_is_not_answered_and_the_user_is_in_as_fast_as_ever() {
    for seed in 0..5 {
        let run = run_builtin("user-guess-flood", seed);
        let answered = |what: &What| {
            matches!(
                what,
                RecordKind::Sent {
                    kind: "ke2",
                    to: Some(2),
                    ..
                }
            )
        };
        assert_eq!(records(&run, SERVER, answered).count(), 10, "seed {seed}");
        let limited = |what: &What| {
            matches!(
                what,
                RecordKind::Dropped {
                    reason: "login-limited"
                }
            )
        };
        assert!(records(&run, SERVER, limited).count() > 0, "seed {seed}");
        let up = statuses(&run, ALICE)
            .into_iter()
            .filter(|(_, status)| *status == "connected");
        assert_eq!(
            up.map(|(at, _)| at).collect::<Vec<_>>(),
            [ms(120), ms(15_120)],
            "seed {seed}"
        );
    }
}

#[test]
fn guesses_from_many_places_share_one_limit_of_ten_and_then_one_a_minute() {
    const PLACES: u64 = 14;
    let mut rest = String::new();
    for place in 0..PLACES {
        let _ = write!(
            rest,
            "[[client]]\nname = \"m{place}\"\naddress = \"203.0.{place}.66:666\"\ninner = [\"10.9.0.2/24\"]\n\
             server = \"server\"\nlogin = \"alice\"\npassword = \"wrong {place}\"\nstart = \"{start}ms\"\n\
             [[event]]\nat = \"{again}ms\"\nevery = \"11s\"\ntimes = 11\nstart = \"m{place}\"\n\
             [[expect]]\nclient = \"m{place}\"\noutcome = \"authentication-rejected\"\nor = \"connection-timed-out\"\n",
            start = 1000 + place,
            again = 12_000 + place,
        );
    }
    rest += "[[event]]\nat = \"125s\"\nrestart = \"alice\"\n";
    let run = run(&Setup::of(&scenario("130s", "", "delay = \"20ms\"", &rest)), 7);
    let guesses = (0..PLACES).map(|place| {
        let own = records(&run, ALICE + 1 + place as u16, |what| {
            matches!(what, RecordKind::Command { command: "start" })
        });
        own.count()
    });
    assert_eq!(guesses.sum::<usize>(), 14 * 12);
    let answered =
        |what: &What| matches!(what, RecordKind::Sent { kind: "ke2", to: Some(to), .. } if *to != ALICE);
    let answered: Vec<_> = records(&run, SERVER, answered).map(|record| record.at).collect();
    assert_eq!(answered.iter().filter(|at| **at < ms(60_000)).count(), 10);
    assert_eq!(answered.len(), 12);
    let up = statuses(&run, ALICE)
        .into_iter()
        .filter(|(_, status)| *status == "connected");
    assert_eq!(up.map(|(at, _)| at).collect::<Vec<_>>(), [ms(120), ms(125_120)]);
}

/// What Alice's operator does after 3 s, and how her tunnel ends up.
fn account(change: &str, finally: &str) -> String {
    format!(
        "[[event]]\nat = \"3s\"\naccount = {{ server = \"server\", login = \"alice\", {change} }}\n\
         [[expect]]\nclient = \"alice\"\noutcome = \"connected\"\nfinally = \"{finally}\"\n"
    )
}

#[test]
fn a_removed_user_is_sent_away_at_once_and_rejected_like_any_stranger() {
    let rest = account("becomes = \"removed\"", "reasserting");
    for seed in 0..3 {
        let run = run_both(&scenario("40s", "", "delay = \"20ms\"", &rest), seed);
        assert_eq!(ends(&run), [(ms(3000), "removed")]);
        assert_eq!(statuses(&run, ALICE).last(), Some(&(ms(3020), "reasserting")));
        let retries = retries(&run, ALICE);
        assert!(
            retries
                .iter()
                .all(|(_, error)| *error == "authentication-rejected")
        );
        assert_eq!(
            (retries.len(), retries[0].0),
            (2, ms(4100)),
            "a second one comes after half a minute"
        );
        assert!(
            (30_000..=30_334).contains(&between(retries[0].0, sent(&run, ALICE, "login")[2]).as_millis())
        );
        assert_eq!(logins(&run).len(), 1);
    }
}

#[test]
fn a_disabled_user_who_is_enabled_again_comes_back_within_the_next_wait() {
    let rest = account("becomes = \"disabled\"", "connected")
        + "[[event]]\nat = \"10s\"\naccount = { server = \"server\", login = \"alice\", becomes = \"enabled\" }\n";
    for seed in 0..3 {
        let run = run_both(&scenario("40s", "", "delay = \"20ms\"", &rest), seed);
        assert_eq!(ends(&run), [(ms(3000), "removed")]);
        assert_eq!(retries(&run, ALICE), [(ms(3140), "account-disabled")]);
        let again = logins(&run)[1].as_millis();
        assert!((33_280..=33_614).contains(&again), "seed {seed}: {again}");
    }
}

#[test]
fn another_password_ends_the_session_and_only_the_right_one_brings_it_back() {
    let rest = account("password = \"a new horse\"", "connected")
        + "[[event]]\nat = \"10s\"\naccount = { server = \"server\", login = \"alice\", password = \"correct horse\" }\n";
    for seed in 0..3 {
        let run = run_both(
            &scenario("40s", &pings(2, "1s", 2), "delay = \"20ms\"", &rest),
            seed,
        );
        assert_eq!(ends(&run), [(ms(3000), "removed")]);
        assert_eq!(retries(&run, ALICE), [(ms(4100), "authentication-rejected")]);
        let again = logins(&run)[1].as_millis();
        assert!((34_240..=34_574).contains(&again), "seed {seed}: {again}");
    }
}

#[test]
fn of_two_devices_that_start_together_the_last_has_the_session_and_the_other_goes_down_for_good() {
    let text = include_str!("../../scenarios/simultaneous-init.toml");
    assert_eq!(text.matches("delay = \"20ms\"").count(), 2);
    let text = text.replace("delay = \"20ms\"", "delay = \"40ms 39ms\"");
    let text = text
        .split("[[expect]]")
        .next()
        .unwrap()
        .replace("duration = \"10s\"", "duration = \"200s\"\nends-early = false");
    let setup = Setup::of(&parse(&text));
    let mut won = [0, 0];
    for seed in 0..40 {
        let options = RunOptions {
            seed,
            engine: Engine::Event,
            detail: Detail::Full,
        };
        // The loser's steps and ping are not what is asked here.
        let run = run_setup(&setup, &options).unwrap();
        let last = [ALICE, ALICE + 1].map(|host| statuses(&run, host).last().unwrap().1);
        let winner = last.iter().position(|status| *status == "connected").unwrap();
        assert_eq!(last[1 - winner], "disconnected", "seed {seed}");
        won[winner] += 1;
        let proofs = records(&run, SERVER, |what| {
            matches!(what, RecordKind::Received { kind: "ke3", .. })
        });
        let newest = proofs.last().map(|record| match record.kind {
            RecordKind::Received { from, .. } => usize::from(from - ALICE),
            _ => usize::MAX,
        });
        assert_eq!(newest, Some(winner), "seed {seed}: whose proof came last");
        // A goodbye that overtakes the settings is not understood. Then the loser finds out after 15 s, logs in, and wins.
        let replaced = |what: &What| {
            matches!(
                what,
                RecordKind::SessionEnded {
                    reason: "replaced",
                    ..
                }
            )
        };
        let replaced = records(&run, SERVER, replaced).count();
        let missed = |host| {
            let byes = records(&run, host, |what| {
                matches!(what, RecordKind::Received { kind: "bye", .. })
            });
            byes.filter(|bye| {
                consequences(&run, bye.id).any(|what| matches!(what, RecordKind::Dropped { .. }))
            })
            .count()
        };
        assert_eq!(
            replaced,
            1 + missed(ALICE) + missed(ALICE + 1),
            "seed {seed}: once, and no more"
        );
    }
    assert!(won[0] > 0 && won[1] > 0, "{won:?}");
}

#[test]
fn another_server_in_the_right_ones_place_is_rejected_and_the_right_one_is_found_again() {
    let other = r#"
[[server]]
name = "impostor"
address = "192.0.2.99:4000"
inner = ["10.9.0.1/24"]
user = [{ login = "alice", password = "not her password", addresses = ["10.9.0.2"] }]

[[expect]]
client = "alice"
outcome = "connected"
finally = "connected"
"#;
    let text = scenario("75s", &pings(70, "1s", 20), "delay = \"20ms\"", other);
    let mut setup = text.setup();
    let (server, impostor, alice) = (0, 1, 2);
    let [right, wrong, away] =
        ["192.0.2.1:4000", "192.0.2.99:4000", "192.0.2.2:4000"].map(|text| text.parse().unwrap());
    let at = |seconds: u64| Instant::from_millis(seconds * 1000);
    setup.controls = vec![
        (at(5), Control::Rebind(server, away)),
        (at(5), Control::Rebind(impostor, right)),
        (at(40), Control::Rebind(impostor, wrong)),
        (at(40), Control::Rebind(server, right)),
    ];
    for seed in 0..5 {
        let run = run(&setup, seed);
        let told: Vec<_> = retries(&run, alice).into_iter().map(|(_, error)| error).collect();
        assert_eq!(told, ["authentication-rejected"], "seed {seed}");
        let at_impostor = |kind| {
            let got =
                move |what: &What| matches!(what, RecordKind::Received { kind: found, .. } if *found == kind);
            records(&run, impostor, got).count()
        };
        assert!(
            at_impostor("login-cookie") > 0 && at_impostor("data") > 0,
            "seed {seed}: it was asked"
        );
        assert_eq!(at_impostor("ke3"), 0, "seed {seed}: it gets no proof");
        let delivered = records(&run, impostor, |what| matches!(what, RecordKind::InnerIn { .. }));
        assert_eq!(delivered.count(), 0, "seed {seed}: and reads nothing");
        let logins: Vec<_> =
            records(&run, server, |what| matches!(what, RecordKind::LoggedIn { .. })).collect();
        assert_eq!(logins.len(), 2, "seed {seed}");
        assert!(logins[1].at > at(40));
    }
}
