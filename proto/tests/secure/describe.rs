//! Descriptions of a client and a server: equal states are equal, and each kind of event makes a difference.

use std::collections::BTreeMap;
use std::time::Duration;

use sandhog_proto::aead::Cipher;
use sandhog_proto::secure::Server;
use sandhog_proto::{Command, Instant, Peer, State, StateSink};

use crate::support::{
    DELAY, Net, Seen, Wire, client_address, client_config, packet, server_address, server_config, store, user,
};

/// A description in which each secret is replaced by its place among all secrets.
#[derive(Default)]
struct Described {
    parts: Vec<u64>,
    secrets: BTreeMap<Vec<u8>, u64>,
}

impl StateSink for Described {
    fn number(&mut self, number: u64) {
        self.parts.push(number);
    }

    fn secret(&mut self, bytes: &[u8]) {
        let next = self.secrets.len() as u64;
        let number = *self.secrets.entry(bytes.to_vec()).or_insert(next);
        self.parts.push(number);
    }
}

/// Description of the server and of all clients.
fn described(net: &Net) -> Vec<u64> {
    let mut sink = Described::default();
    let mut state = State::new(net.now, &mut sink);
    assert!(net.server.describe(&mut state));
    for client in &net.clients {
        assert!(client.peer.describe(&mut state));
    }
    sink.parts
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Starts the first client, and returns the network 60 s after its login.
fn a_minute_after_login(mut net: Net) -> Net {
    net.start(0);
    net.run_for(secs(5));
    let (at, result) = net.started(0).expect("the login has ended");
    result.expect("the login was accepted");
    let end = at + secs(60);
    net.run_for(end.saturating_duration_since(net.now));
    net
}

/// A network that loses the first datagram of this kind.
fn losing_the_first(kind: &'static str) -> Wire {
    let mut is_lost = false;
    Box::new(move |seen| {
        if seen.kind == kind && !is_lost {
            is_lost = true;
            return vec![];
        }
        vec![(DELAY, seen.clone())]
    })
}

#[test]
fn a_login_with_a_lost_datagram_leads_to_the_same_state_later() {
    let expected = a_minute_after_login(Net::pair());
    for kind in ["login", "cookie", "login-cookie", "ke2"] {
        let mut net = Net::pair();
        net.wire = losing_the_first(kind);
        let net = a_minute_after_login(net);
        assert!(net.now > expected.now, "{kind} was repeated");
        assert_eq!(described(&net), described(&expected), "{kind}");
    }
}

#[test]
fn other_random_numbers_lead_to_the_same_state() {
    let expected = a_minute_after_login(Net::pair());
    let mut server = server_config();
    server.seed = [77; 32];
    let net = a_minute_after_login(Net::new(server, [client_config("kean", 78)]));
    assert_eq!(net.now, expected.now);
    assert_eq!(described(&net), described(&expected));
}

#[test]
fn a_repeated_datagram_leads_to_the_same_state() {
    let expected = a_minute_after_login(Net::pair());
    let mut net = Net::pair();
    net.wire = Box::new(|seen| vec![(DELAY, seen.clone()), (DELAY * 2, seen.clone())]);
    let net = a_minute_after_login(net);
    assert!(net.log.len() > 6);
    assert_eq!(described(&net), described(&expected));
}

type Step = fn(&mut Net);

/// Runs `before`, and then each of the two steps in a network of its own.
fn both(net: fn() -> Net, before: Step, steps: [Step; 2]) -> [Net; 2] {
    steps.map(|step| {
        let mut net = net();
        before(&mut net);
        step(&mut net);
        net
    })
}

/// Name, network, the events before, and two steps whose results differ.
type Row = (&'static str, fn() -> Net, Step, [Step; 2]);

fn nothing(_: &mut Net) {}

/// Loses datagrams of these kinds from now on.
fn lose(net: &mut Net, kinds: &'static [&'static str]) {
    net.wire = Box::new(move |seen| {
        if kinds.contains(&seen.kind) {
            vec![]
        } else {
            vec![(DELAY, seen.clone())]
        }
    });
}

/// Delivers the `n`th datagram of a kind, or a copy of it.
fn deliver(net: &mut Net, kind: &str, n: usize) {
    let Seen { from, to, bytes, .. } = net
        .log
        .iter()
        .filter(|seen| seen.kind == kind)
        .nth(n)
        .expect("it was sent")
        .clone();
    net.inject(from, to, &bytes);
}

fn send_data(net: &mut Net) {
    net.client_sends(0, packet("10.9.0.2", "10.9.0.1", b"data"));
}

/// Sends two packets, which are lost.
fn lose_two_packets(net: &mut Net) {
    lose(net, &["data"]);
    send_data(net);
    send_data(net);
}

fn with_mtu_search() -> Net {
    let mut config = client_config("kean", 1);
    config.mtu_search = true;
    Net::new(server_config(), [config])
}

fn with_a_guesser() -> Net {
    let mut guesser = client_config("anna", 2);
    guesser.password = "wrong".to_owned().into();
    Net::new(server_config(), [client_config("kean", 1), guesser])
}

const LOGIN: [Row; 7] = [
    ("status", Net::pair, nothing, [nothing, |net| net.start(0)]),
    (
        "cookie",
        Net::pair,
        |net| {
            lose(net, &["cookie"]);
            net.start(0);
            net.run_for(DELAY);
        },
        [nothing, |net| deliver(net, "cookie", 0)],
    ),
    (
        "half-open login",
        Net::pair,
        |net| {
            lose(net, &["login-cookie"]);
            net.start(0);
            net.run_for(DELAY * 2);
        },
        [nothing, |net| deliver(net, "login-cookie", 0)],
    ),
    (
        "password stretching",
        Net::pair,
        |net| {
            lose(net, &["ke2"]);
            net.clients[0].is_busy = true;
            net.start(0);
            net.run_for(DELAY * 3);
        },
        [nothing, |net| deliver(net, "ke2", 0)],
    ),
    (
        "unconfirmed session",
        Net::pair,
        |net| {
            lose(net, &["ke3"]);
            net.start(0);
            net.run_for(DELAY * 4);
        },
        [nothing, |net| deliver(net, "ke3", 0)],
    ),
    (
        "restarted server",
        Net::pair,
        |net| {
            lose(net, &["login-cookie"]);
            net.start(0);
            net.run_for(DELAY * 2);
        },
        [nothing, |net| {
            let mut config = server_config();
            config.seed = [9; 32];
            net.server = Server::new(config).unwrap();
        }],
    ),
    (
        "guessed password",
        with_a_guesser,
        nothing,
        [
            |net| net.run_for(secs(20)),
            |net| {
                net.start(1);
                net.run_for(secs(20));
            },
        ],
    ),
];

const SESSION: [Row; 11] = [
    (
        "replay window",
        Net::connected,
        lose_two_packets,
        [
            |net| {
                deliver(net, "data", 0);
                deliver(net, "data", 1);
            },
            |net| deliver(net, "data", 1),
        ],
    ),
    (
        "roamed address",
        Net::connected,
        lose_two_packets,
        [
            |net| deliver(net, "data", 0),
            |net| {
                let seen = net.first("data");
                net.inject(client_address(7), server_address(), &seen.bytes);
            },
        ],
    ),
    (
        "pending rekey",
        Net::connected,
        |net| {
            lose(net, &["rekey", "data"]);
            net.run_for(secs(120));
            send_data(net);
        },
        [|net| deliver(net, "data", 0), |net| deliver(net, "rekey", 1)],
    ),
    (
        "new keys",
        Net::connected,
        |net| {
            lose(net, &["rekeyed"]);
            net.run_for(secs(120));
        },
        [nothing, |net| deliver(net, "rekeyed", 1)],
    ),
    (
        "unanswered packet",
        Net::connected,
        |net| lose(net, &["data"]),
        [nothing, send_data],
    ),
    (
        "sleep",
        Net::connected,
        nothing,
        [nothing, |net| net.command(0, Command::Sleep)],
    ),
    (
        "lost session",
        Net::connected,
        |net| lose(net, &["bye"]),
        [nothing, |net| {
            let now = net.now;
            net.server.shut_down(now);
        }],
    ),
    (
        "disabled user",
        Net::connected,
        nothing,
        [nothing, |net| {
            let mut anna = user("anna");
            anna.disabled = true;
            let now = net.now;
            net.server.set_users(now, store([user("kean"), anna])).unwrap();
        }],
    ),
    (
        "password change",
        Net::connected,
        nothing,
        [nothing, |net| {
            let now = net.now;
            let password = "new".to_owned().into();
            net.clients[0].peer.change_password(now, password).unwrap();
        }],
    ),
    (
        "preferred cipher",
        Net::connected,
        nothing,
        [nothing, |net| {
            net.clients[0].peer.set_cipher(Cipher::Aes256Gcm);
        }],
    ),
    (
        "path MTU",
        with_mtu_search,
        |net| net.start(0),
        [
            |net| net.run_for(secs(20)),
            |net| {
                lose(net, &["probe"]);
                net.run_for(secs(20));
            },
        ],
    ),
];

fn change_password(net: &mut Net) {
    let now = net.now;
    let password = "new".to_owned().into();
    net.clients[0].peer.change_password(now, password).unwrap();
    // A turn, in which the first message is sent.
    net.command(0, Command::NetworkChanged);
}

/// Steps of a password change, and of a login that begins again.
const CHANGE: [Row; 7] = [
    (
        "proof begun",
        Net::connected,
        |net| {
            lose(net, &["prove1"]);
            change_password(net);
            net.run_for(DELAY);
        },
        [nothing, |net| deliver(net, "prove1", 0)],
    ),
    (
        "old password stretching",
        Net::connected,
        |net| {
            lose(net, &["prove2"]);
            change_password(net);
            net.run_for(DELAY * 2);
            net.clients[0].is_busy = true;
        },
        [nothing, |net| deliver(net, "prove2", 0)],
    ),
    (
        "proof given",
        Net::connected,
        |net| {
            lose(net, &["prove3"]);
            change_password(net);
            net.run_for(DELAY * 3);
        },
        [nothing, |net| deliver(net, "prove3", 0)],
    ),
    (
        "new password stretching",
        Net::connected,
        |net| {
            lose(net, &["reg2"]);
            change_password(net);
            net.run_for(DELAY * 4);
            net.clients[0].is_busy = true;
        },
        [nothing, |net| deliver(net, "reg2", 0)],
    ),
    (
        "record being stored",
        Net::connected,
        |net| {
            lose(net, &["reg3"]);
            change_password(net);
            net.run_for(DELAY * 5);
            net.disk_is_slow = true;
        },
        [nothing, |net| deliver(net, "reg3", 0)],
    ),
    (
        "record stored",
        Net::connected,
        |net| {
            lose(net, &["reg-ok"]);
            change_password(net);
            net.run_for(DELAY * 6);
        },
        [nothing, |net| deliver(net, "reg-ok", 0)],
    ),
    (
        "login begun again",
        Net::pair,
        |net| {
            net.wire = Box::new({
                let mut cookies = 0;
                move |seen| {
                    cookies += usize::from(seen.kind == "cookie");
                    let is_lost = seen.kind == "settings" || (seen.kind == "cookie" && cookies > 1);
                    if is_lost {
                        vec![]
                    } else {
                        vec![(DELAY, seen.clone())]
                    }
                }
            });
            net.start(0);
            net.run_for(Duration::from_millis(2_500));
        },
        [nothing, |net| deliver(net, "settings", 0)],
    ),
];

#[test]
fn each_kind_of_event_makes_a_difference() {
    for (name, net, before, steps) in LOGIN.into_iter().chain(SESSION).chain(CHANGE) {
        let [left, right] = both(net, before, steps);
        assert_eq!(left.now, right.now, "{name}");
        assert_ne!(described(&left), described(&right), "{name}");
        let [again, _] = both(net, before, steps);
        assert_eq!(described(&left), described(&again), "{name}");
    }
}

#[test]
fn a_description_does_not_depend_on_the_number_of_packets() {
    let [few, many] = both(
        || a_minute_after_login(Net::pair()),
        send_data,
        [send_data, |net| (0..100).for_each(|_| send_data(net))],
    )
    .map(|mut net| {
        net.run_for(secs(1));
        described(&net)
    });
    assert_eq!(few, many);
}

#[test]
fn the_age_of_the_keys_makes_a_difference() {
    let early = a_minute_after_login(Net::pair());
    let mut late = a_minute_after_login(Net::pair());
    late.run_for(secs(25));
    assert_ne!(described(&early), described(&late));
    let mut shifted = Net::pair();
    shifted.run_for(secs(1000));
    assert_eq!(shifted.now, Instant::from_secs(1000));
    assert_eq!(described(&early), described(&a_minute_after_login(shifted)));
}

#[test]
fn the_jitter_of_a_rekey_counts_from_the_earliest_time_that_it_allows() {
    let described_at = |seed, seconds: u64| {
        let mut net = a_minute_after_login(Net::new(server_config(), [client_config("kean", seed)]));
        net.run_for(secs(seconds - 60));
        assert_eq!(net.count("rekey"), 1, "seed {seed}, {seconds} s");
        described(&net)
    };
    assert_eq!(described_at(1, 109), described_at(3, 109));
    assert_ne!(described_at(1, 111), described_at(3, 111));
}
