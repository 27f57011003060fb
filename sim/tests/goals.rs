//! Attacks of adversaries that hold keys: each goal of the protocol that is not the subject of another file.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use sandhog_lab::record::RecordKind;
use sandhog_peer::Instant;
use sandhog_sim::{Run, Scenario};

use crate::support::{
    ALICE, AliceAndServer, MALLORY, SERVER, ends, logins, mallory_with, ms, parse, run_both, run_both_any,
    sent, started,
};

/// The times at which the server sent datagrams of this kind to mallory.
fn answers(run: &Run, kind: &str) -> Vec<Instant> {
    let to_mallory = run.records.iter().filter(|record| record.host == Some(SERVER));
    let of_kind = to_mallory.filter(|record| match &record.kind {
        RecordKind::Sent {
            to: Some(MALLORY),
            kind: other,
            ..
        } => *other == kind,
        _ => false,
    });
    of_kind.map(|record| record.at).collect()
}

/// The largest number of times in any interval of a second.
fn most_in_a_second(times: &[Instant]) -> usize {
    let mut seconds = BTreeMap::<u64, usize>::new();
    for at in times {
        *seconds.entry(at.as_millis() / 1000).or_default() += 1;
    }
    seconds.values().copied().max().unwrap_or_default()
}

/// Alice starts at 2 s. The keys and acts of mallory follow.
fn alice_at_2_s(keys: &str, speak: &str, rest: &str) -> Scenario {
    let act = format!("[[adversary.do]]\nspeak = {{ to = \"server\", {speak} }}");
    let rest = format!("{rest}{}", mallory_with(keys, &act));
    let base = AliceAndServer {
        duration: "14s",
        rest: &rest,
        ..AliceAndServer::default()
    };
    let client = "server = \"server\"\nlogin = \"alice\"";
    let text = base
        .text()
        .replacen(client, &format!("start = \"2s\"\n{client}"), 1);
    parse(&text).unwrap_or_else(|error| panic!("{error}"))
}

/// Goal 12: requests of one session are limited.
#[test]
fn a_user_who_floods_a_session_gets_one_rekey_a_second_and_few_proofs() {
    let speak = "as = \"insider\", login = \"bob\", password = \"battery staple\"";
    let run = run_both(&alice_at_2_s("budget = 5000", speak, "").setup(), 7);
    let asked = ["rekey", "prove1"].map(|kind| sent(&run, MALLORY, kind).len());
    assert!(asked.iter().all(|count| *count > 100), "{asked:?}");
    let rekeyed = answers(&run, "rekeyed");
    assert!(
        !rekeyed.is_empty() && most_in_a_second(&rekeyed) <= 2,
        "{rekeyed:?}"
    );
    assert!(
        rekeyed.len() as u64 <= run.sim_time().as_secs() + 1,
        "{rekeyed:?}"
    );
    let proofs = answers(&run, "prove2");
    assert!(!proofs.is_empty() && proofs.len() <= 11, "{proofs:?}");
    assert!(started(&run, ALICE).is_some_and(|(at, result)| result == "connected" && at < ms(2_500)));
}

/// Goal 7: the ticket of a user has a limit of its own.
#[test]
fn an_owner_logs_in_at_once_while_others_guess_after_a_restart() {
    for guesses in [10, 400] {
        let speak = format!(
            "as = \"key-holder\", login = \"alice\", count = {guesses}, every = \"3ms\", at = \"700ms\""
        );
        let restart = "[[event]]\nat = \"600ms\"\nrestart = \"server\"\n";
        for seed in 0..2 {
            let run = run_both(&alice_at_2_s("budget = 100000", &speak, restart).setup(), seed);
            let (at, result) = started(&run, ALICE).unwrap();
            assert_eq!(result, "connected", "{guesses} guesses, seed {seed}");
            assert!(at < ms(3_000), "{guesses} guesses, seed {seed}: {at}");
            assert!(answers(&run, "ke2").len() <= 11, "{guesses} guesses, seed {seed}");
        }
    }
}

/// Goal 9: begun logins are kept fairly by source prefix.
#[test]
fn two_hundred_begun_logins_a_second_do_not_delay_an_honest_one() {
    let speak = "as = \"key-holder\", count = 1000, every = \"5ms\"";
    let run = run_both(&alice_at_2_s("budget = 100000", speak, "").setup(), 7);
    let (at, result) = started(&run, ALICE).unwrap();
    assert_eq!((result, at < ms(2_500)), ("connected", true), "{at}");
    assert!(
        answers(&run, "ke2").len() > 100,
        "the server answers strangers too"
    );
}

/// Goal 3: a false server learns no password, even if it has guessed it.
#[test]
fn a_tunnel_is_never_up_with_a_false_server() {
    let speak = "as = \"false-server\", login = \"alice\", password = \"correct horse\"";
    let keys = "on-path = [\"alice\", \"server\"]\nbudget = 10000";
    let run = run_both_any(&alice_at_2_s(keys, speak, "").setup(), 7);
    assert_eq!(answers(&run, "ke2"), []);
    assert!(
        sent(&run, ALICE, "ke3").iter().all(|at| *at > ms(14_000)),
        "no proof while it answers"
    );
    assert!(sent(&run, MALLORY, "settings").is_empty());
}

/// Goal 16: addresses of silent sessions are free for others.
#[test]
fn a_lost_bye_does_not_keep_the_last_address_for_more_than_half_a_minute() {
    let users = "addresses = [\"10.9.0.2\"] },\n  { login = \"bob\", password = \"battery staple\", addresses = [\"10.9.0.3\"] },";
    let base = AliceAndServer {
        duration: "60s",
        inner: "",
        ends_early: false,
        rest: "[[client]]\nname = \"bob\"\naddress = \"198.51.100.3:50000\"\nserver = \"server\"\nlogin = \"bob\"\n\
               password = \"battery staple\"\n[[event]]\nat = \"5s\"\ncrash = \"bob\"\n\
               [[event]]\nat = \"6s\"\nstop = \"alice\"\n[[event]]\nat = \"7s\"\nevery = \"5s\"\nstart = \"alice\"\n\
               [[expect]]\nclient = \"alice\"\noutcome = \"server-full\"\nor = \"connected\"\n",
        ..AliceAndServer::default()
    };
    let text = base.text().replacen("10.9.0.1/24", "10.9.0.1/30", 1);
    let text = text.replacen(
        users,
        "addresses = [] },\n  { login = \"bob\", password = \"battery staple\", addresses = [] },",
        1,
    );
    let text = text.replacen(
        "server = \"server\"\nlogin = \"alice\"",
        "start = \"1s\"\nserver = \"server\"\nlogin = \"alice\"",
        1,
    );
    let run = run_both_any(&parse(&text).unwrap().setup(), 7);
    assert_eq!(
        started(&run, ALICE).map(|(_, result)| result),
        Some("server-full"),
        "bob has the only address"
    );
    let of_alice: Vec<_> = logins(&run).into_iter().filter(|at| *at > ms(5_000)).collect();
    assert!(
        of_alice.first().is_some_and(|at| *at < ms(35_000)),
        "{of_alice:?}"
    );
    assert!(ends(&run).iter().any(|(_, reason)| *reason == "silent"));
}

/// Goal 8: the limits of guesses show nobody which names exist, or have logged in before.
#[cfg(not(target_family = "wasm"))]
mod twins {
    use std::num::NonZeroUsize;

    use sandhog_lab::compare::Second;
    use sandhog_lab::search::{SweepOptions, sweep};
    use sandhog_sim::Engine;

    use super::*;

    /// Mallory guesses at `login`, 14 times over 40 s from random addresses. Alice has logged in before and does nothing.
    fn guesses(login: &str, alice_comes_first: bool) -> Scenario {
        let speak =
            format!("as = \"key-holder\", login = \"{login}\", count = 14, every = \"3s\", at = \"2s\"");
        let start = if alice_comes_first { "0s" } else { "50s" };
        let act = format!("[[adversary.do]]\nspeak = {{ to = \"server\", {speak} }}");
        let rest = mallory_with("budget = 10000", &act);
        let base = AliceAndServer {
            duration: "60s",
            ends_early: false,
            rest: &rest,
            ..AliceAndServer::default()
        };
        let client = "server = \"server\"\nlogin = \"alice\"";
        let text = base
            .text()
            .replacen(client, &format!("start = \"{start}\"\n{client}"), 1);
        parse(&text).unwrap()
    }

    #[test]
    fn guesses_at_a_user_and_at_an_unknown_name_look_alike() {
        for alice_comes_first in [true, false] {
            let options = SweepOptions {
                seeds: 1..6,
                jobs: NonZeroUsize::MIN,
                engine: Engine::Event,
                swarm: None,
                second: Some(Second::Twin(Box::new(
                    guesses("nobody", alice_comes_first).setup(),
                ))),
            };
            let first = guesses("alice", alice_comes_first).setup();
            let result = sweep(&[first], &options, |_| ControlFlow::Continue(())).unwrap();
            let failed: Vec<_> = result.failing.iter().map(|seed| &seed.failure.detail).collect();
            assert!(failed.is_empty(), "{failed:?}");
        }
    }
}
