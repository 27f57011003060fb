//! Descriptions of a client and a server: equal states are equal, and each kind of event makes a difference.

use std::collections::BTreeMap;
use std::time::Duration;

use sandhog_proto::classic::{Client, Server};
use sandhog_proto::{Datagram, Instant, Peer, State, StateSink};

use crate::support::{
    LOGIN, PASSWORD, auth_request, auth_response, client, client_address, client_config, connected_client,
    events, finish_jobs, from, log_in, packet, server, turn,
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

fn described(now: Instant, peer: &impl Peer) -> Vec<u64> {
    let mut sink = Described::default();
    assert!(peer.describe(&mut State::new(now, &mut sink)));
    sink.parts
}

fn secs(seconds: u64) -> Instant {
    Instant::from_secs(seconds)
}

/// A client of this seed that logged in at `start`, after `lost` datagrams were lost.
fn connected(seed: u8, start: Instant, lost: u64) -> (Instant, Client) {
    let mut client = Client::new(client_config(seed));
    client.start(start).unwrap();
    let mut now = start;
    for _ in 0..lost {
        let (at, _) = turn(&mut client, now, vec![], vec![]).deadline.unwrap();
        now = at;
    }
    turn(&mut client, now, vec![auth_response(true)], vec![]);
    events(&mut client);
    (now, client)
}

#[test]
fn a_login_with_lost_datagrams_leads_to_the_same_state() {
    let (now, client) = connected(1, Instant::ZERO, 0);
    let expected = described(now, &client);
    for (seed, start, lost) in [(1, secs(0), 1), (1, secs(0), 3), (7, secs(1000), 2)] {
        let (now, client) = connected(seed, start, lost);
        assert_eq!(
            described(now, &client),
            expected,
            "seed {seed}, start {start}, {lost} lost"
        );
    }
}

#[test]
fn a_repeated_request_leads_the_server_to_the_same_state() {
    let remote = client_address(0);
    let mut once = server();
    log_in(&mut once, remote, LOGIN, PASSWORD);
    let mut twice = server();
    let request = || from(remote, auth_request(LOGIN, PASSWORD));
    for requests in [vec![request(), request()], vec![request()]] {
        turn(&mut twice, secs(5), requests, vec![]);
        finish_jobs(&mut twice, secs(5));
        events(&mut twice);
    }
    assert_eq!(
        described(Instant::ZERO, &once),
        described(secs(5), &twice),
        "a replayed login changes nothing"
    );
}

#[test]
fn each_kind_of_event_makes_a_difference_to_a_client() {
    type Step = fn() -> Client;
    let started = || {
        let mut client = client();
        client.start(Instant::ZERO).unwrap();
        turn(&mut client, Instant::ZERO, vec![], vec![]);
        events(&mut client);
        client
    };
    let steps: [(&str, Step); 7] = [
        ("new", client),
        ("started", started),
        ("repeated", || {
            let mut client = client();
            client.start(Instant::ZERO).unwrap();
            let (at, _) = turn(&mut client, Instant::ZERO, vec![], vec![]).deadline.unwrap();
            turn(&mut client, at, vec![], vec![]);
            events(&mut client);
            client
        }),
        ("connected", connected_client),
        ("asleep", || {
            let mut client = connected_client();
            client.sleep(Instant::ZERO).unwrap();
            client
        }),
        ("on another network", || {
            let mut client = connected_client();
            client.network_changed(Instant::ZERO).unwrap();
            turn(&mut client, Instant::ZERO, vec![], vec![]);
            events(&mut client);
            client
        }),
        ("with a packet that was not taken", || {
            let mut client = connected_client();
            let packet = packet("10.9.0.2", "10.9.0.1", 40);
            client.handle_packet(Instant::ZERO, packet).unwrap();
            client
        }),
    ];
    let all: Vec<_> = steps
        .into_iter()
        .map(|(name, step)| (name, described(secs(2), &step())))
        .collect();
    all_differ(&all);
}

#[track_caller]
fn all_differ(all: &[(&str, Vec<u64>)]) {
    for (n, (name, one)) in all.iter().enumerate() {
        for (other_name, other) in &all[n + 1..] {
            assert_ne!(one, other, "{name}, {other_name}");
        }
    }
}

#[test]
fn each_kind_of_event_makes_a_difference_to_a_server() {
    let request = |n, password| -> Datagram { from(client_address(n), auth_request(LOGIN, password)) };
    let after = |requests: Vec<Datagram>| -> Server {
        let mut server = server();
        turn(&mut server, Instant::ZERO, requests, vec![]);
        server
    };
    let logged_in = |n, login, password| {
        let mut server = server();
        log_in(&mut server, client_address(n), login, password);
        server
    };
    let polled = {
        let mut server = after(vec![request(0, PASSWORD)]);
        assert!(server.poll_job().is_some());
        server
    };
    let servers = [
        ("new", server()),
        ("request", after(vec![request(0, PASSWORD)])),
        (
            "two requests",
            after(vec![request(0, PASSWORD), request(0, PASSWORD)]),
        ),
        ("wrong password", after(vec![request(0, "wrong")])),
        ("other source", after(vec![request(1, PASSWORD)])),
        ("running job", polled),
        ("session", logged_in(0, LOGIN, PASSWORD)),
        ("session at another address", logged_in(1, LOGIN, PASSWORD)),
        ("session of another user", logged_in(0, "anna", "secret")),
    ];
    let all: Vec<_> = servers
        .iter()
        .map(|(name, server)| (*name, described(secs(2), server)))
        .collect();
    all_differ(&all);
}

#[test]
fn a_deadline_is_described_as_the_time_from_now() {
    let started_at = |start: Instant| {
        let mut client = client();
        client.start(start).unwrap();
        turn(&mut client, start, vec![], vec![]);
        events(&mut client);
        described(start + Duration::from_millis(500), &client)
    };
    assert_eq!(started_at(secs(0)), started_at(secs(300)));
}
