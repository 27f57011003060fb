//! Two hosts in memory: Alice pings Bob and downloads a file from his HTTP server, in virtual time.
//!
//! Run it with `cargo run -p sandhog-netstack --example two_hosts`. It prints the same lines on every machine.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use sandhog_netstack::{Config, Event, EventKind, Host, Service, Task};

/// Delay of the link in one direction.
const DELAY: Duration = Duration::from_millis(12);
const ALICE: usize = 0;

fn main() {
    let (mut alice, mut bob) = (Host::new(config(2)), Host::new(config(1)));

    let page = vec![b'x'; 100_000];
    let files = BTreeMap::from([("/page.html".to_owned(), page.into())]);
    bob.serve(Service::Http { port: 80, files });

    let ping = Task::Ping {
        to: [10, 9, 0, 1].into(),
        count: 3,
        interval: Duration::from_secs(1),
        payload_len: 56,
        timeout: Duration::from_secs(2),
    };
    let get = Task::HttpGet {
        from: ([10, 9, 0, 1], 80).into(),
        path: "/page.html".to_owned(),
    };
    alice.start(Duration::ZERO, ping);
    alice.start(Duration::ZERO, get);
    run([alice, bob]);
}

fn config(last: u8) -> Config {
    Config {
        addresses: vec![([10, 9, 0, last].into(), 24)],
        mtu: 1400,
        seed: u64::from(last),
        canary: *b"sixteen bytes...",
    }
}

/// Connects two hosts by a link without loss, until both have nothing more to do.
fn run(mut hosts: [Host; 2]) {
    let mut now = Duration::ZERO;
    // Time of arrival, receiver and bytes of each packet on the link.
    let mut in_flight: VecDeque<(Duration, usize, Vec<u8>)> = VecDeque::new();
    loop {
        // Output of the hosts.
        for (sender, host) in hosts.iter_mut().enumerate() {
            let mut packet = Vec::new();
            while host.poll_packet(&mut packet) {
                in_flight.push_back((now + DELAY, 1 - sender, packet.clone()));
            }
        }
        while let Some(event) = hosts[ALICE].poll_event() {
            print(now, &event);
        }

        // Virtual time jumps to the next arrival or deadline.
        let arrival = in_flight.front().map(|(at, ..)| *at);
        let deadlines = hosts.each_mut().map(|host| host.poll_timeout(now));
        let Some(next) = deadlines.into_iter().flatten().chain(arrival).min() else {
            return;
        };
        now = now.max(next);

        // Input of the hosts.
        while let Some((_, receiver, packet)) = in_flight.pop_front_if(|(at, ..)| *at <= now) {
            hosts[receiver].handle_packet(now, &packet);
        }
        for host in &mut hosts {
            host.handle_timeout(now);
        }
    }
}

fn print(now: Duration, event: &Event) {
    let text = match &event.kind {
        EventKind::PingReply { seq, rtt } => format!("ping {seq}: reply after {rtt:?}"),
        EventKind::Connected => "connected".to_owned(),
        EventKind::Done(summary) => format!("done, {} bytes", summary.bytes),
        EventKind::Failed(error) => format!("failed: {error}"),
        other => format!("{other:?}"),
    };
    println!("{now:>8?}  task {}: {text}", event.task.0);
}
