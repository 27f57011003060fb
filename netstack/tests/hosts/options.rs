//! Tests of TCP options: timeouts and outages, limits of a host, slow readers, half-closed connections, resets.

use std::time::Duration;

use sandhog_netstack::{Host, Limits, Service, Task, TaskError, TcpOptions};

use crate::network::{
    ALICE, BOB, BULK_PORT, Delivery, HTTP_PORT, Network, bob, config, download, ms, network, segment, upload,
};

const MINUTE: Duration = Duration::from_secs(60);

/// A network that loses everything that is sent from 100 ms on, for this time.
fn with_outage(outage: Duration) -> Network {
    network().with_delivery(move |sent| match sent.at {
        at if at >= ms(100) && at < ms(100) + outage => Delivery::Lost,
        _ => Delivery::Normal,
    })
}

/// One TCP segment on the wire.
struct Segment {
    from: usize,
    at: Duration,
    syn: bool,
    fin: bool,
    rst: bool,
    window: u16,
    len: usize,
}

/// All TCP segments that were sent, in order.
fn segments(network: &Network) -> Vec<Segment> {
    let segments = network.tap.iter().filter_map(|(from, at, packet)| {
        let tcp = segment(packet)?;
        Some(Segment {
            from: *from,
            at: *at,
            syn: tcp.syn(),
            fin: tcp.fin(),
            rst: tcp.rst(),
            window: tcp.window_len(),
            len: tcp.payload().len(),
        })
    });
    segments.collect()
}

/// Checks that neither host has a connection or deadline left after an hour.
#[track_caller]
fn is_idle_later(mut network: Network) {
    network.run(network.now + 60 * MINUTE);
    let deadlines = network
        .hosts
        .each_mut()
        .map(|host| host.poll_timeout(network.now));
    assert_eq!(deadlines, [None, None]);
}

#[test]
fn a_transfer_survives_an_outage_of_five_minutes() {
    for task in [download(5 << 20), upload(5 << 20)] {
        let mut network = with_outage(5 * MINUTE);
        network.keep_tap = false;
        let task = network.start(ALICE, task);
        network.finish(ALICE, task).unwrap();
        assert!(network.now < 7 * MINUTE, "{:?}", network.now);
    }
}

#[test]
fn a_connection_attempt_survives_an_outage_of_five_minutes() {
    let mut network = network().with_delivery(|sent| match sent.at {
        at if at < 5 * MINUTE => Delivery::Lost,
        _ => Delivery::Normal,
    });
    let task = network.start(ALICE, download(1000));
    network.finish(ALICE, task).unwrap();
}

#[test]
fn a_task_fails_at_its_own_timeout() {
    let options = TcpOptions {
        timeout: Some(ms(7500)),
        ..TcpOptions::default()
    };
    let mut network = network().with_delivery(|_| Delivery::Lost);
    let task = network.start(ALICE, download(1000).with_options(options));
    let error = network.finish(ALICE, task).unwrap_err();
    assert_eq!(error, TaskError::TimedOut { after: ms(7500) });
    assert_eq!(network.now, ms(7500));
    assert_eq!(error.to_string(), "nothing came from the other side for 7500 ms");
}

#[test]
fn a_host_with_a_shorter_timeout_forgets_a_silent_client_sooner() {
    let mut network = with_outage(60 * MINUTE);
    network.hosts[BOB].set_limits(Limits {
        timeout: MINUTE,
        ..Limits::default()
    });
    network.start(ALICE, download(5 << 20));
    network.run(ms(100) + MINUTE + ms(100));
    assert_eq!(network.hosts[BOB].poll_timeout(network.now), None);
}

#[test]
fn a_host_with_a_higher_limit_accepts_more_connections() {
    let mut server = Host::new(config(1));
    server.serve(Service::Bulk { port: BULK_PORT });
    server.set_limits(Limits {
        connections: 70,
        ..Limits::default()
    });
    let mut network = Network::new([Host::new(config(2)), server]);
    let tasks: Vec<_> = (0..71).map(|_| network.start(ALICE, download(20_000))).collect();
    let results = tasks.into_iter().map(|task| network.finish(ALICE, task).is_ok());
    assert_eq!(results.filter(|succeeded| *succeeded).count(), 70);
}

/// A client that reads 20,000 bytes a second.
const SLOW: TcpOptions = TcpOptions {
    timeout: None,
    read_rate: Some(20_000),
    half_close: false,
    reset_after: None,
};

#[test]
fn a_slow_reader_closes_its_window_and_opens_it_again() {
    let mut network = network();
    let task = network.start(ALICE, download(100_000).with_options(SLOW));
    network.finish(ALICE, task).unwrap();
    let windows: Vec<u16> = segments(&network)
        .iter()
        .filter(|segment| segment.from == ALICE && !segment.syn)
        .map(|segment| segment.window)
        .collect();
    let closed = windows
        .iter()
        .position(|window| *window == 0)
        .expect("a window of 0");
    assert!(windows[closed..].iter().any(|window| *window > 0));
}

#[test]
fn a_slow_reader_reads_at_its_rate() {
    let path = "/every-byte".to_owned();
    let get = Task::HttpGet {
        from: bob(HTTP_PORT),
        path,
    };
    for task in [download(100_000), get] {
        let mut network = network();
        let task = network.start(ALICE, task.with_options(SLOW));
        let elapsed = network.finish(ALICE, task).unwrap().elapsed;
        assert!((ms(5000)..ms(5400)).contains(&elapsed), "{elapsed:?}");
    }
}

#[test]
fn a_slow_reader_does_not_time_out_while_data_waits() {
    let options = TcpOptions {
        timeout: Some(ms(5000)),
        read_rate: Some(1000),
        ..TcpOptions::default()
    };
    let mut network = network();
    network.hosts[BOB].set_limits(Limits {
        timeout: MINUTE,
        ..Limits::default()
    });
    let task = network.start(ALICE, download(100_000).with_options(options));
    let result = network.finish(ALICE, task);
    assert!(result.is_ok(), "{result:?}");
}

/// A client that closes its half of the connection when it has sent everything.
const HALF_CLOSE: TcpOptions = TcpOptions {
    timeout: None,
    read_rate: None,
    half_close: true,
    reset_after: None,
};

#[test]
fn a_half_closed_client_sends_its_fin_first_and_receives_everything() {
    let get = Task::HttpGet {
        from: bob(HTTP_PORT),
        path: "/every-byte".into(),
    };
    for task in [download(100_000), get] {
        let mut network = network();
        let task = network.start(ALICE, task.with_options(HALF_CLOSE));
        network.finish(ALICE, task).unwrap();
        let segments = segments(&network);
        let fin = segments
            .iter()
            .find(|segment| segment.from == ALICE && segment.fin)
            .unwrap();
        let received: usize = segments
            .iter()
            .filter(|segment| segment.from == BOB && segment.at > fin.at)
            .map(|segment| segment.len)
            .sum();
        assert!(received >= 100_000, "{received} bytes after the FIN");
        assert!(!segments.iter().any(|segment| segment.rst));
        is_idle_later(network);
    }
}

#[test]
fn a_half_closed_upload_still_receives_the_report() {
    let mut network = network();
    let task = network.start(ALICE, upload(100_000).with_options(HALF_CLOSE));
    network.finish(ALICE, task).unwrap();
    let segments = segments(&network);
    let fin = segments
        .iter()
        .position(|segment| segment.from == ALICE && segment.fin)
        .unwrap();
    let is_report = |segment: &Segment| segment.from == BOB && segment.len == 40;
    assert!(segments[fin..].iter().any(is_report));
    is_idle_later(network);
}

#[test]
fn a_client_that_resets_its_connection_sends_a_rst_and_no_fin() {
    let options = TcpOptions {
        reset_after: Some(30_000),
        ..TcpOptions::default()
    };
    for task in [download(500_000), upload(500_000)] {
        let mut network = network();
        network.rate = 10_000_000;
        let task = network.start(ALICE, task.with_options(options));
        let summary = network.finish(ALICE, task).unwrap();
        assert!((30_000..100_000).contains(&summary.bytes), "{}", summary.bytes);
        assert_eq!(summary.sha256, None);
        network.run(network.now + ms(1000));
        let segments = segments(&network);
        assert!(
            segments
                .iter()
                .any(|segment| segment.from == ALICE && segment.rst)
        );
        assert!(!segments.iter().any(|segment| segment.fin));
        is_idle_later(network);
    }
}
