//! Keys that change and times that are kept: rows 19, 56 to 58, 63 and 64.

use std::time::Duration;

use sandhog_lab::record::{HostId, RecordKind};
use sandhog_lab::setup::Setup;
use sandhog_proto::Instant;
use sandhog_sim::{Run, Scenario};

use crate::support::{
    ALICE, SERVER, between, ends, healed, logins, ms, pings, records, run, run_both, run_builtin, scenario,
    sent, started, statuses,
};

/// When `host` began to seal with the keys of which epoch.
fn epochs(run: &Run, host: HostId) -> Vec<(Instant, u32)> {
    let own = run.records.iter().filter(|record| record.host == Some(host));
    let epochs = own.filter_map(|record| match record.kind {
        RecordKind::Rekeyed { epoch } => Some((record.at, epoch)),
        _ => None,
    });
    epochs.collect()
}

fn count(run: &Run, host: HostId, pick: fn(&RecordKind) -> bool) -> usize {
    records(run, host, pick).count()
}

fn idle(duration: &str, link: &str, rest: &str) -> Scenario {
    scenario(duration, "", &format!("delay = \"20ms\"\n{link}"), rest)
}

#[test]
fn crossing_and_late_messages_of_a_rekey_leave_both_sides_with_one_pair_of_keys() {
    // The first and the third answer are so late that the client has asked again, after 5 s and up to a third, and take
    // effect while the answer to that is on its way: 800 ms later at the earliest.
    let late = |nth| format!("{{ kind = \"rekeyed\", nth = {nth}, by = \"4700ms\" }}");
    let link = format!(
        "delay = \"400ms\"\nforward = {{ double = [{{ kind = \"rekey\" }}] }}\n\
         backward = {{ double = [{{ kind = \"rekeyed\" }}], late = [{}, {}] }}",
        late(1),
        late(3)
    );
    let setup = Setup::of(&scenario("500s", &pings(480, "1s", 480), &link, ""));
    for seed in 0..5 {
        let run = run(&setup, seed);
        let [alice, server] = [ALICE, SERVER].map(|host| epochs(&run, host));
        let numbers = |epochs: &[(Instant, u32)]| epochs.iter().map(|(_, epoch)| *epoch).collect::<Vec<_>>();
        assert_eq!(numbers(&alice), numbers(&server), "seed {seed}");
        assert_eq!(numbers(&alice)[..3], [1, 2, 3], "seed {seed}");
        for ((client, _), (server, _)) in alice.iter().zip(&server) {
            let after = between(*client, *server);
            assert_eq!(
                after.as_millis(),
                400,
                "seed {seed}: the first datagram under the new keys"
            );
        }
        let asked = sent(&run, ALICE, "rekey").len();
        assert_eq!(asked, alice.len() + 2, "seed {seed}: twice it was asked again");
        assert_eq!((logins(&run).len(), ends(&run)), (1, vec![]), "seed {seed}");
    }
}

#[test]
fn a_login_that_crosses_an_older_session_of_the_same_device_leaves_one() {
    let sleep = "[[event]]\nat = \"5s\"\nsleep = \"alice\"\n[[event]]\nat = \"25s\"\nwake = \"alice\"\n";
    for seed in 0..5 {
        let run = run_both(
            &scenario("40s", &pings(35, "1s", 10), "delay = \"40ms 30ms\"", sleep),
            seed,
        );
        let ends = ends(&run);
        assert_eq!(
            (logins(&run).len(), ends.len(), ends[0].1),
            (2, 1, "replaced"),
            "seed {seed}"
        );
        assert_eq!(
            sent(&run, ALICE, "login").len(),
            2,
            "seed {seed}: the end of the old one starts nothing"
        );
        assert_eq!(statuses(&run, ALICE).last().unwrap().1, "connected");
    }
}

#[test]
fn a_transfer_over_a_change_of_keys_loses_not_one_packet() {
    let steps = "[[client.do]]\ndownload = { from = \"10.9.0.1:5001\", bytes = \"16 MiB\" }\n";
    // The queue holds all that TCP has on its way, some four seconds of it.
    let link = "delay = \"20ms 10ms\"\nrate = \"1mbit\"";
    let setup = Setup::of(&scenario("160s", steps, link, ""));
    for seed in 0..2 {
        let run = run(&setup, seed);
        let [(changed, 1)] = epochs(&run, ALICE)[..] else {
            panic!("seed {seed}: {:?}", epochs(&run, ALICE))
        };
        assert_eq!(epochs(&run, SERVER).len(), 1, "seed {seed}");
        let none = |pick: fn(&RecordKind) -> bool| !run.records.iter().any(|record| pick(&record.kind));
        assert!(
            none(|what| matches!(what, RecordKind::Lost { .. } | RecordKind::Dropped { .. })),
            "seed {seed}"
        );
        let went = |what: &What| matches!(what, RecordKind::InnerOut { .. });
        let came = |what: &What| matches!(what, RecordKind::InnerIn { .. });
        assert_eq!(count(&run, SERVER, went), count(&run, ALICE, came), "seed {seed}");
        assert_eq!(count(&run, ALICE, went), count(&run, SERVER, came), "seed {seed}");
        let busy = |host| {
            let within = |at: &Instant| {
                *at + Duration::from_secs(1) > changed && *at < changed + Duration::from_secs(1)
            };
            sent(&run, host, "data").into_iter().filter(within).count()
        };
        assert!(
            busy(SERVER) > 100 && busy(ALICE) > 50,
            "seed {seed}: data both ways while the keys change"
        );
    }
}

#[test]
fn a_minute_without_any_message_of_a_rekey_is_not_noticed() {
    let link = "forward = { drop = [{ kind = \"rekey\", from = \"105s\", until = \"165s\" }] }\n";
    let setup = Setup::of(&scenario(
        "240s",
        &pings(230, "1s", 230),
        &format!("delay = \"20ms\"\n{link}"),
        "",
    ));
    for seed in 0..10 {
        let run = run(&setup, seed);
        assert!(run.counters["lost.scripted"] >= 9, "seed {seed}");
        let [(at, 1)] = epochs(&run, ALICE)[..] else {
            panic!("seed {seed}: {:?}", epochs(&run, ALICE))
        };
        assert!(
            at >= ms(165_000) && at < ms(165_000 + 5_334 + 41),
            "seed {seed}: {at}"
        );
        assert_eq!((logins(&run).len(), ends(&run)), (1, vec![]), "seed {seed}");
    }
}

#[test]
fn without_new_keys_data_stops_at_180_s_and_goes_on_when_a_login_gets_through() {
    let link = "forward = { drop = [{ kind = \"rekey\", until = \"200s\" }, \
                { kind = \"login\", from = \"100s\", until = \"200s\" }] }\n";
    let setup = Setup::of(&scenario(
        "240s",
        &pings(230, "1s", 180),
        &format!("delay = \"20ms\"\n{link}"),
        "",
    ));
    for seed in 0..10 {
        let run = run(&setup, seed);
        let data: Vec<u64> = sent(&run, ALICE, "data")
            .iter()
            .map(|at| at.as_millis())
            .collect();
        let position = data.iter().position(|at| *at > 180_080).unwrap();
        let (last, first) = (data[position - 1], data[position]);
        // The keys are as old as the proof, which left at 80 ms.
        assert!((179_000..180_080).contains(&last), "seed {seed}: {last}");
        assert_eq!(
            statuses(&run, ALICE)[2],
            (ms(180_080), "reasserting"),
            "seed {seed}"
        );
        // Each attempt lasts 10 s, and the third wait at most 4 s.
        assert!((200_000..205_000).contains(&first), "seed {seed}: {first}");
        assert_eq!(logins(&run).len(), 2, "seed {seed}");
    }
}

#[test]
fn a_silent_tunnel_is_pinged_every_25_s_exactly_and_at_no_other_time() {
    let run = run_both(&idle("105s", "", ""), 7);
    let until = healed(&run);
    let of = |host, kind| {
        let times = sent(&run, host, kind).into_iter().filter(|at| *at < until);
        times.map(|at| at.as_millis()).collect::<Vec<_>>()
    };
    assert_eq!(of(ALICE, "ping"), [120, 25_120, 50_120, 75_120, 100_120]);
    assert_eq!(of(SERVER, "pong"), [140, 25_140, 50_140, 75_140, 100_140]);
    let datagrams = run
        .records
        .iter()
        .filter(|record| matches!(record.kind, RecordKind::Sent { .. }) && record.at < until);
    assert_eq!(datagrams.count(), 6 + 10, "the login and these");
}

#[test]
fn a_packet_puts_the_next_ping_off_and_an_answer_does_not() {
    // At 20.12 s a packet each way, and nothing before.
    let steps = "[[client.do]]\nat = \"20120ms\"\nping = { to = \"10.9.0.1\", count = 1 }\n";
    let run = run_both(&scenario("75s", steps, "delay = \"20ms\"", ""), 7);
    let pings: Vec<u64> = sent(&run, ALICE, "ping")
        .iter()
        .map(|at| at.as_millis())
        .collect();
    assert_eq!(pings, [120, 45_120, 70_120]);
}

#[test]
fn a_silent_server_is_asked_from_10_s_on_each_second_and_left_at_15_s() {
    let crash = "[[event]]\nat = \"30s\"\ncrash = \"server\"\n[[expect]]\nclient = \"alice\"\noutcome = \"connected\"\n\
                 finally = \"reasserting\"\n";
    let run = run_both(&idle("70s", "", crash), 7);
    let pings: Vec<u64> = sent(&run, ALICE, "ping")
        .iter()
        .map(|at| at.as_millis())
        .collect();
    // The keepalive that stays unanswered, and from 10 s after it on one a second.
    assert_eq!(
        pings,
        [120, 25_120, 50_120, 60_120, 61_120, 62_120, 63_120, 64_120]
    );
    assert_eq!(statuses(&run, ALICE).last(), Some(&(ms(65_120), "reasserting")));
}

#[test]
fn a_session_from_which_nothing_comes_ends_180_s_after_its_keys_began() {
    let crash = "[[event]]\nat = \"1s\"\ncrash = \"alice\"\n";
    let run = run_both(&idle("200s", "", crash), 7);
    let [(at, _)] = ends(&run)[..] else {
        panic!("{:?}", ends(&run))
    };
    assert_eq!(at, ms(180_100), "the proof came at 100 ms");
    assert_eq!(
        count(&run, SERVER, |what| matches!(what, RecordKind::Sent { .. })),
        4,
        "nobody is asked"
    );
}

/// How many datagrams a client and a server need for an idle tunnel that came up at `up` and changed its keys at
/// `rekeys`, until `end`: the login with its ping and pong, four for each rekey (rekey, rekeyed, ping, pong), and a ping
/// and a pong for each 25 s in which the client has sent nothing.
fn expected_datagrams(up: Instant, rekeys: &[Instant], end: Instant) -> usize {
    let quiet = |from, to: Instant| between(from, to).as_millis().saturating_sub(1) / 25_000;
    let mut spoken = up;
    let mut keepalives = 0;
    for rekey in rekeys {
        keepalives += quiet(spoken, *rekey);
        // The answer takes 40 ms; the ping under the new keys follows at once.
        spoken = *rekey + Duration::from_millis(40);
    }
    keepalives += quiet(spoken, end);
    8 + 4 * rekeys.len() + 2 * keepalives as usize
}

#[test]
fn a_day_of_silence_costs_the_pings_and_the_rekeys_and_not_one_datagram_more() {
    let setup = Setup::of(&idle("24h", "", ""));
    for seed in 0..5 {
        let run = run(&setup, seed);
        let end = ms(24 * 3600 * 1000);
        let before_the_end = |at: &Instant| *at < end;
        let rekeys: Vec<_> = sent(&run, ALICE, "rekey")
            .into_iter()
            .filter(before_the_end)
            .collect();
        // From 110 to 120 s after the answer to the one before.
        for pair in rekeys.windows(2) {
            assert!(
                (110_040..=120_041).contains(&between(pair[0], pair[1]).as_millis()),
                "seed {seed}"
            );
        }
        let datagrams = run
            .records
            .iter()
            .filter(|record| matches!(record.kind, RecordKind::Sent { .. }));
        let datagrams = datagrams.filter(|record| record.at < end).count();
        let up = started(&run, ALICE).unwrap().0;
        assert_eq!(
            datagrams,
            expected_datagrams(up, &rekeys, end),
            "seed {seed}: {} rekeys",
            rekeys.len()
        );
        assert_eq!((logins(&run).len(), ends(&run)), (1, vec![]), "seed {seed}");
    }
}

#[test]
fn a_cipher_that_both_would_rather_have_is_agreed_on_in_the_middle_of_a_download_without_a_loss() {
    for seed in 0..5 {
        let run = run_builtin("cipher-change", seed);
        let [(client, 1)] = epochs(&run, ALICE)[..] else {
            panic!("seed {seed}: {:?}", epochs(&run, ALICE))
        };
        let [(server, 1)] = epochs(&run, SERVER)[..] else {
            panic!("seed {seed}: {:?}", epochs(&run, SERVER))
        };
        assert!(client < server, "seed {seed}: the client is first to use it");
        let asked = sent(&run, ALICE, "rekey");
        assert_eq!(asked.len(), 2, "seed {seed}: the first answer was lost");
        let (came_up, _) = statuses(&run, ALICE)[1];
        assert_eq!(asked[0], came_up, "seed {seed}: asked at once");
        assert!(
            sent(&run, SERVER, "data").iter().any(|at| *at > server),
            "seed {seed}: the download has not ended yet"
        );
        let dropped = run
            .records
            .iter()
            .filter(|record| matches!(record.kind, RecordKind::Dropped { .. }));
        assert_eq!(dropped.count(), 0, "seed {seed}");
    }
}
