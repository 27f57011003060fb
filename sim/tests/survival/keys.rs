//! Rekeys and timers: rows 19, 56 to 58, 63 and 64.

use std::time::Duration;

use sandhog_lab::record::{HostId, RecordKind};
use sandhog_peer::Instant;
use sandhog_sim::{Run, Scenario};

use super::scenario;
use crate::support::{
    ALICE, SERVER, between, ends, logins, ms, pings, records, run, run_both, run_builtin, sent, started,
    statuses, work_end,
};

/// The epochs of the keys that `host` sealed with, and their start times.
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
fn repeated_and_late_rekey_messages_leave_both_sides_with_the_same_keys() {
    // The client retransmits a request after 5 to 5.33 s. The first and the third reply arrive later than that. They take effect
    // while the reply to the retransmission is in flight, which arrives at least 800 ms after the retransmission.
    let late = |nth| format!("{{ kind = \"rekeyed\", nth = {nth}, by = \"4700ms\" }}");
    let link = format!(
        "delay = \"400ms\"\nforward = {{ double = [{{ kind = \"rekey\" }}] }}\n\
         backward = {{ double = [{{ kind = \"rekeyed\" }}], late = [{}, {}] }}",
        late(1),
        late(3)
    );
    let setup = scenario("500s", &pings(480, "1s", 480), &link, "").setup();
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
        let requests = sent(&run, ALICE, "rekey").len();
        assert_eq!(
            requests,
            alice.len() + 2,
            "seed {seed}: there are two retransmissions"
        );
        assert_eq!((logins(&run).len(), ends(&run)), (1, vec![]), "seed {seed}");
    }
}

#[test]
fn a_new_login_of_the_same_device_replaces_its_older_session() {
    let sleep = "[[event]]\nat = \"5s\"\nsleep = \"alice\"\n[[event]]\nat = \"25s\"\nwake = \"alice\"\n";
    for seed in 0..5 {
        let run = run_both(
            &scenario("40s", &pings(35, "1s", 10), "delay = \"40ms 30ms\"", sleep).setup(),
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
            "seed {seed}: the end of the old session causes no login"
        );
        assert_eq!(statuses(&run, ALICE).last().unwrap().1, "connected");
    }
}

#[test]
fn a_transfer_loses_no_packet_during_a_rekey() {
    let steps = "[[client.do]]\ndownload = { from = \"10.9.0.1:5001\", bytes = \"16 MiB\" }\n";
    // The queue holds all datagrams of TCP in flight, about four seconds.
    let link = "delay = \"20ms 10ms\"\nrate = \"1mbit\"";
    let setup = scenario("160s", steps, link, "").setup();
    for seed in 0..2 {
        let run = run(&setup, seed);
        let [(_, 1), (changed, 2)] = epochs(&run, ALICE)[..] else {
            panic!("seed {seed}: {:?}", epochs(&run, ALICE))
        };
        assert_eq!(epochs(&run, SERVER).len(), 2, "seed {seed}");
        let none = |pick: fn(&RecordKind) -> bool| !run.records.iter().any(|record| pick(&record.kind));
        assert!(
            none(|kind| matches!(kind, RecordKind::Lost { .. } | RecordKind::Dropped { .. })),
            "seed {seed}"
        );
        let entered = |kind: &RecordKind| matches!(kind, RecordKind::InnerOut { .. });
        let left = |kind: &RecordKind| matches!(kind, RecordKind::InnerIn { .. });
        assert_eq!(
            count(&run, SERVER, entered),
            count(&run, ALICE, left),
            "seed {seed}"
        );
        assert_eq!(
            count(&run, ALICE, entered),
            count(&run, SERVER, left),
            "seed {seed}"
        );
        let sent_around = |host| {
            let within = |at: &Instant| {
                *at + Duration::from_secs(1) > changed && *at < changed + Duration::from_secs(1)
            };
            sent(&run, host, "data").into_iter().filter(within).count()
        };
        assert!(
            sent_around(SERVER) > 100 && sent_around(ALICE) > 50,
            "seed {seed}: data in both directions during the rekey"
        );
    }
}

#[test]
fn a_minute_without_rekey_messages_has_no_effect() {
    let link = "forward = { drop = [{ kind = \"rekey\", from = \"105s\", until = \"165s\" }] }\n";
    let setup = scenario(
        "240s",
        &pings(230, "1s", 230),
        &format!("delay = \"20ms\"\n{link}"),
        "",
    )
    .setup();
    for seed in 0..10 {
        let run = run(&setup, seed);
        assert!(run.counters["lost.scripted"] >= 9, "seed {seed}");
        let [(_, 1), (at, 2)] = epochs(&run, ALICE)[..] else {
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
fn data_stops_at_a_key_age_of_180_s_and_continues_after_the_next_login() {
    let link = "forward = { drop = [{ kind = \"rekey\", until = \"200s\" }, \
                { kind = \"login\", from = \"100s\", until = \"200s\" }] }\n";
    let setup = scenario(
        "240s",
        &pings(230, "1s", 180),
        &format!("delay = \"20ms\"\n{link}"),
        "",
    )
    .setup();
    for seed in 0..10 {
        let run = run(&setup, seed);
        let data: Vec<u64> = sent(&run, ALICE, "data")
            .iter()
            .map(|at| at.as_millis())
            .collect();
        let position = data.iter().position(|at| *at > 180_080).unwrap();
        let (last, first) = (data[position - 1], data[position]);
        // The age of the keys counts from the client's proof (KE3), which was sent at 80 ms.
        assert!((179_000..180_080).contains(&last), "seed {seed}: {last}");
        assert_eq!(
            statuses(&run, ALICE)[2],
            (ms(180_080), "reasserting"),
            "seed {seed}"
        );
        // Each attempt takes 10 s, and the third pause at most 4 s.
        assert!((200_000..205_000).contains(&first), "seed {seed}: {first}");
        assert_eq!(logins(&run).len(), 2, "seed {seed}");
    }
}

#[test]
fn an_idle_client_sends_a_ping_exactly_every_25_s() {
    let run = run_both(&idle("105s", "", "").setup(), 7);
    let until = work_end(&run);
    let of = |host, kind| {
        let times = sent(&run, host, kind).into_iter().filter(|at| *at < until);
        times.map(|at| at.as_millis()).collect::<Vec<_>>()
    };
    assert_eq!(of(ALICE, "ping"), [120, 160, 25_160, 50_160, 75_160, 100_160]);
    assert_eq!(of(SERVER, "pong"), [140, 180, 25_180, 50_180, 75_180, 100_180]);
    let datagrams = run
        .records
        .iter()
        .filter(|record| matches!(record.kind, RecordKind::Sent { .. }) && record.at < until);
    assert_eq!(
        datagrams.count(),
        6 + 2 + 12,
        "the login, the first rekey and these"
    );
}

#[test]
fn a_sent_packet_delays_the_next_ping_and_a_received_packet_does_not() {
    // The first packet in each direction is at 20.12 s.
    let steps = "[[client.do]]\nat = \"20120ms\"\nping = { to = \"10.9.0.1\", count = 1 }\n";
    let run = run_both(&scenario("75s", steps, "delay = \"20ms\"", "").setup(), 7);
    let pings: Vec<u64> = sent(&run, ALICE, "ping")
        .iter()
        .map(|at| at.as_millis())
        .collect();
    assert_eq!(pings, [120, 160, 45_120, 70_120]);
}

#[test]
fn a_silent_server_is_pinged_each_second_from_10_s_and_given_up_at_15_s() {
    let crash = "[[event]]\nat = \"30s\"\ncrash = \"server\"\n[[expect]]\nclient = \"alice\"\noutcome = \"connected\"\n\
                 finally = \"reasserting\"\n";
    let run = run_both(&idle("70s", "", crash).setup(), 7);
    let pings: Vec<u64> = sent(&run, ALICE, "ping")
        .iter()
        .map(|at| at.as_millis())
        .collect();
    // The keepalive at 50.16 s gets no reply. From 10 s after it, the client sends one ping each second.
    assert_eq!(
        pings,
        [120, 160, 25_160, 50_160, 60_160, 61_160, 62_160, 63_160, 64_160]
    );
    assert_eq!(statuses(&run, ALICE).last(), Some(&(ms(65_160), "reasserting")));
}

#[test]
fn a_session_without_received_datagrams_ends_when_its_keys_are_180_s_old() {
    let crash = "[[event]]\nat = \"1s\"\ncrash = \"alice\"\n";
    let run = run_both(&idle("200s", "", crash).setup(), 7);
    let [(at, _)] = ends(&run)[..] else {
        panic!("{:?}", ends(&run))
    };
    assert_eq!(
        at,
        ms(180_180),
        "the first datagram under the new keys arrived at 180 ms"
    );
    assert_eq!(
        count(&run, SERVER, |kind| matches!(kind, RecordKind::Sent { .. })),
        6,
        "the server sends nothing else"
    );
}

/// Number of datagrams of an idle tunnel from its login at `up` until `end`, with rekeys at these times.
///
/// The login, the ping and the pong are 8 datagrams. Each rekey has four (rekey, rekeyed, ping, pong). Each 25 s without a
/// datagram of the client cost a ping and a pong.
fn expected_datagrams(up: Instant, rekeys: &[Instant], end: Instant) -> usize {
    let pings = |from, to: Instant| between(from, to).as_millis().saturating_sub(1) / 25_000;
    let mut last_sent = up;
    let mut keepalives = 0;
    for rekey in rekeys {
        keepalives += pings(last_sent, *rekey);
        // The reply takes 40 ms. The ping with the new keys follows at once.
        last_sent = *rekey + Duration::from_millis(40);
    }
    keepalives += pings(last_sent, end);
    8 + 4 * rekeys.len() + 2 * keepalives as usize
}

#[test]
fn a_day_of_silence_costs_exactly_the_keepalives_and_the_rekeys() {
    let setup = idle("24h", "", "").setup();
    for seed in 0..5 {
        let run = run(&setup, seed);
        let end = ms(24 * 3600 * 1000);
        let before_the_end = |at: &Instant| *at < end;
        let rekeys: Vec<_> = sent(&run, ALICE, "rekey")
            .into_iter()
            .filter(before_the_end)
            .collect();
        // 110 to 120 s after the reply to the previous one.
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
fn the_cipher_that_both_sides_prefer_is_used_after_a_rekey_without_any_loss() {
    for seed in 0..5 {
        let run = run_builtin("cipher-change", seed);
        let [(client, 1)] = epochs(&run, ALICE)[..] else {
            panic!("seed {seed}: {:?}", epochs(&run, ALICE))
        };
        let [(server, 1)] = epochs(&run, SERVER)[..] else {
            panic!("seed {seed}: {:?}", epochs(&run, SERVER))
        };
        assert!(client < server, "seed {seed}: the client uses the cipher first");
        let requests = sent(&run, ALICE, "rekey");
        assert_eq!(requests.len(), 2, "seed {seed}: the first reply was lost");
        let (connected, _) = statuses(&run, ALICE)[1];
        assert_eq!(requests[0], connected, "seed {seed}: the request follows at once");
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
