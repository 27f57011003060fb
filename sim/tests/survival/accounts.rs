//! Passwords, accounts, devices and another server: rows 14 to 18 and 20.

use std::fmt::Write;
use std::time::Duration;

use sandhog_lab::record::RecordKind;
use sandhog_lab::report::sightings;
use sandhog_lab::setup::Control;
use sandhog_peer::Instant;
use sandhog_sim::Scenario;

use super::scenario;
use crate::support::{
    ALICE, SERVER, between, ends, logins, ms, parse, pings, records, retries, run, run_any, run_both,
    run_builtin, sent, started, statuses,
};

#[test]
fn a_tunnel_that_was_never_up_sends_nothing_after_a_wrong_password() {
    let mut scenario = Scenario::builtin("wrong-password").unwrap();
    scenario.duration.0 = Duration::from_secs(1000);
    scenario.ends_early = false;
    for seed in 0..10 {
        let run = run(&scenario.setup(), seed);
        assert_eq!(started(&run, ALICE), Some((ms(80), "authentication-rejected")));
        let last = records(&run, ALICE, |kind| matches!(kind, RecordKind::Sent { .. }))
            .last()
            .unwrap();
        assert_eq!(last.at, ms(40), "the last datagram is the reply to the cookie");
        assert_eq!(retries(&run, ALICE), []);
    }
}

#[test]
fn an_unknown_user_and_a_wrong_password_look_the_same_on_the_wire() {
    for seed in 0..10 {
        let [wrong, unknown] = ["wrong-password", "unknown-user"].map(|name| run_builtin(name, seed));
        for host in [SERVER, ALICE] {
            assert_eq!(sightings(&wrong, host), sightings(&unknown, host), "seed {seed}");
        }
        assert_eq!(started(&wrong, ALICE), started(&unknown, ALICE));
    }
}

#[test]
fn the_eleventh_guess_in_a_minute_gets_no_reply_and_does_not_delay_the_user() {
    for seed in 0..5 {
        let run = run_builtin("user-guess-flood", seed);
        let is_reply = |kind: &RecordKind| {
            matches!(
                kind,
                RecordKind::Sent {
                    kind: "ke2",
                    to: Some(2),
                    ..
                }
            )
        };
        assert_eq!(records(&run, SERVER, is_reply).count(), 10, "seed {seed}");
        let is_limited = |kind: &RecordKind| {
            matches!(
                kind,
                RecordKind::Dropped {
                    reason: "login-limited"
                }
            )
        };
        assert!(records(&run, SERVER, is_limited).count() > 0, "seed {seed}");
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
fn guesses_from_many_addresses_share_a_limit_of_ten_and_then_one_a_minute() {
    const ADDRESSES: u64 = 14;
    let mut rest = String::new();
    for number in 0..ADDRESSES {
        let _ = write!(
            rest,
            "[[client]]\nname = \"m{number}\"\naddress = \"203.0.{number}.66:666\"\ninner = [\"10.9.0.2/24\"]\n\
             server = \"server\"\nlogin = \"alice\"\npassword = \"wrong {number}\"\nonce = true\nstart = \"{start}ms\"\n\
             [[event]]\nat = \"{again}ms\"\nevery = \"11s\"\ntimes = 11\nstart = \"m{number}\"\n\
             [[expect]]\nclient = \"m{number}\"\noutcome = \"authentication-rejected\"\nor = \"connection-timed-out\"\n",
            start = 1000 + number,
            again = 12_000 + number,
        );
    }
    rest += "[[event]]\nat = \"125s\"\nrestart = \"alice\"\n";
    let run = run(&scenario("130s", "", "delay = \"20ms\"", &rest).setup(), 7);
    let guesses = (0..ADDRESSES).map(|number| {
        let own = records(&run, ALICE + 1 + number as u16, |kind| {
            matches!(kind, RecordKind::Command { command: "start" })
        });
        own.count()
    });
    assert_eq!(guesses.sum::<usize>(), 14 * 12);
    let is_reply = |kind: &RecordKind| matches!(kind, RecordKind::Sent { kind: "ke2", to: Some(to), .. } if *to != ALICE);
    let replies: Vec<_> = records(&run, SERVER, is_reply).map(|record| record.at).collect();
    assert_eq!(replies.iter().filter(|at| **at < ms(60_000)).count(), 10);
    assert_eq!(replies.len(), 12);
    let up = statuses(&run, ALICE)
        .into_iter()
        .filter(|(_, status)| *status == "connected");
    assert_eq!(up.map(|(at, _)| at).collect::<Vec<_>>(), [ms(120), ms(125_120)]);
}

/// Tables of a change of the account of alice after 3 s, and of the status of her tunnel at the end.
fn account(change: &str, finally: &str) -> String {
    format!(
        "[[event]]\nat = \"3s\"\naccount = {{ server = \"server\", login = \"alice\", {change} }}\n\
         [[expect]]\nclient = \"alice\"\noutcome = \"connected\"\nfinally = \"{finally}\"\nmay-be-down = {may_be_down}\n",
        may_be_down = finally != "connected"
    )
}

#[test]
fn a_removed_user_loses_the_session_at_once_and_is_rejected_at_the_next_login() {
    let rest = account("becomes = \"removed\"", "reasserting");
    for seed in 0..3 {
        let run = run_both(&scenario("40s", "", "delay = \"20ms\"", &rest).setup(), seed);
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
            (2, ms(3100)),
            "the second one is half a minute later"
        );
        assert!(
            (30_000..=30_334).contains(&between(retries[0].0, sent(&run, ALICE, "login")[2]).as_millis())
        );
        assert_eq!(logins(&run).len(), 1);
    }
}

#[test]
fn a_user_who_is_enabled_again_logs_in_after_the_next_pause() {
    let rest = account("becomes = \"disabled\"", "connected")
        + "[[event]]\nat = \"10s\"\naccount = { server = \"server\", login = \"alice\", becomes = \"enabled\" }\n";
    for seed in 0..3 {
        let run = run_both(&scenario("40s", "", "delay = \"20ms\"", &rest).setup(), seed);
        assert_eq!(ends(&run), [(ms(3000), "removed")]);
        assert_eq!(retries(&run, ALICE), [(ms(3140), "account-disabled")]);
        let again = logins(&run)[1].as_millis();
        assert!((33_280..=33_614).contains(&again), "seed {seed}: {again}");
    }
}

#[test]
fn a_new_password_ends_the_session_until_the_old_password_is_set_again() {
    let rest = account("password = \"a new horse\"", "connected")
        + "[[event]]\nat = \"10s\"\naccount = { server = \"server\", login = \"alice\", password = \"correct horse\" }\n";
    for seed in 0..3 {
        let run = run_both(
            &scenario("40s", &pings(2, "1s", 2), "delay = \"20ms\"", &rest).setup(),
            seed,
        );
        assert_eq!(ends(&run), [(ms(3000), "removed")]);
        assert_eq!(retries(&run, ALICE), [(ms(3100), "authentication-rejected")]);
        let again = logins(&run)[1].as_millis();
        assert!((33_240..=33_574).contains(&again), "seed {seed}: {again}");
    }
}

#[test]
fn of_two_devices_that_start_together_the_last_to_use_its_session_keeps_it() {
    let text = include_str!("../../scenarios/simultaneous-init.toml");
    assert_eq!(text.matches("delay = \"20ms\"").count(), 2);
    let text = text.replace("delay = \"20ms\"", "delay = \"40ms 39ms\"");
    let text = text
        .split("[[expect]]")
        .next()
        .unwrap()
        .replace("duration = \"10s\"", "duration = \"200s\"\nends-early = false");
    let setup = parse(&text).unwrap().setup();
    let mut won = [0, 0];
    for seed in 0..40 {
        // The checks of the other device may fail here.
        let run = run_any(&setup, seed);
        let last = [ALICE, ALICE + 1].map(|host| statuses(&run, host).last().unwrap().1);
        let winner = last.iter().position(|status| *status == "connected").unwrap();
        assert_eq!(last[1 - winner], "disconnected", "seed {seed}");
        won[winner] += 1;
        let logins = records(&run, SERVER, |kind| matches!(kind, RecordKind::LoggedIn { .. }));
        let newest = logins.last().and_then(|record| match record.kind {
            RecordKind::LoggedIn { from, .. } => from,
            _ => None,
        });
        assert_eq!(
            newest,
            Some([ALICE, ALICE + 1][winner]),
            "seed {seed}: the session that was used first last"
        );
        let replaced = |kind: &RecordKind| {
            matches!(
                kind,
                RecordKind::SessionEnded {
                    reason: "replaced",
                    ..
                }
            )
        };
        let replaced = records(&run, SERVER, replaced).count();
        assert_eq!(replaced, 1, "seed {seed}: no other session is replaced");
    }
    assert!(won[0] > 0 && won[1] > 0, "{won:?}");
}

#[test]
fn a_server_with_another_password_is_rejected_until_the_right_one_is_back() {
    let impostor = r#"
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
    let scenario = scenario("75s", &pings(70, "1s", 20), "delay = \"20ms\"", impostor);
    let mut setup = scenario.setup();
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
        let errors: Vec<_> = retries(&run, alice).into_iter().map(|(_, error)| error).collect();
        assert_eq!(errors, ["authentication-rejected"], "seed {seed}");
        let at_impostor = |kind| {
            let is_received = move |record: &RecordKind| matches!(record, RecordKind::Received { kind: found, .. } if *found == kind);
            records(&run, impostor, is_received).count()
        };
        assert!(
            at_impostor("login-cookie") > 0 && at_impostor("data") > 0,
            "seed {seed}: it received datagrams"
        );
        assert_eq!(at_impostor("ke3"), 0, "seed {seed}: it receives no proof (KE3)");
        let delivered = records(&run, impostor, |kind| matches!(kind, RecordKind::InnerIn { .. }));
        assert_eq!(delivered.count(), 0, "seed {seed}: it reads no packet");
        let logins: Vec<_> =
            records(&run, server, |kind| matches!(kind, RecordKind::LoggedIn { .. })).collect();
        assert_eq!(logins.len(), 2, "seed {seed}");
        assert!(logins[1].at > at(40));
    }
}
