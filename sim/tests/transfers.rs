//! TCP steps of scenarios: timeouts, limits of a server, slow readers, half-closed connections, resets.

use sandhog_lab::record::{HostId, RecordKind};
use sandhog_sim::{Run, ScenarioError};
use smoltcp::wire::{Ipv4Packet, TcpPacket};

use crate::support::{ALICE, AliceAndServer, SERVER, failed, ms, run_both};

/// Alice at a distance of 10 ms with this step.
fn scenario(step: &str) -> AliceAndServer<'_> {
    AliceAndServer {
        duration: "60s",
        steps: step,
        ..AliceAndServer::default()
    }
}

/// Runs the step in both engines. All checks must pass.
#[track_caller]
fn run(step: &str) -> Run {
    run_both(&scenario(&format!("[[client.do]]\n{step}\n")).setup(), 7)
}

/// One TCP segment that entered the tunnel.
struct Segment {
    host: HostId,
    fin: bool,
    rst: bool,
    syn: bool,
    window: u16,
    len: usize,
}

/// The TCP segments on the inner wire, in order.
fn segments(run: &Run) -> Vec<Segment> {
    let records = run
        .records
        .iter()
        .filter(|record| matches!(record.kind, RecordKind::InnerOut { .. }));
    let segments = records.filter_map(|record| {
        let ip = Ipv4Packet::new_checked(run.packet(record.id)?).ok()?;
        let tcp = TcpPacket::new_checked(ip.payload()).ok()?;
        Some(Segment {
            host: record.host?,
            fin: tcp.fin(),
            rst: tcp.rst(),
            syn: tcp.syn(),
            window: tcp.window_len(),
            len: tcp.payload().len(),
        })
    });
    segments.collect()
}

/// The texts of the step.
fn texts(run: &Run) -> Vec<&str> {
    let texts = run.records.iter().filter_map(|record| match &record.kind {
        RecordKind::Task { step: 1, text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[test]
fn a_download_goes_on_after_an_outage_of_five_minutes() {
    let rest = "[[event]]\nat = \"1s\"\npartition = [\"alice\", \"server\"]\n\
                [[event]]\nat = \"301s\"\nrepair = [\"alice\", \"server\"]\n";
    let scenario = AliceAndServer {
        duration: "10min",
        link: "delay = \"10ms\"\nrate = \"8mbit\"",
        rest,
        ..scenario("[[client.do]]\ndownload = { from = \"10.9.0.1:5001\", bytes = \"2 MiB\" }\n")
    };
    let run = run_both(&scenario.setup(), 7);
    assert!(run.end < ms(370_000), "{:?}", run.end);
}

#[test]
fn a_transfer_fails_after_the_timeout_of_its_step() {
    let rest = "[[event]]\nat = \"1s\"\npartition = [\"alice\", \"server\"]\n";
    let scenario = AliceAndServer {
        link: "delay = \"10ms\"\nrate = \"8mbit\"",
        rest,
        ..scenario(
            "[[client.do]]\ndownload = { from = \"10.9.0.1:5001\", bytes = \"2 MiB\", timeout = \"7s\" }\n",
        )
    };
    let run = crate::support::run_any(&scenario.setup(), 7);
    assert_eq!(failed(&run), ["alice finishes 1 step"]);
    assert_eq!(
        texts(&run).last(),
        Some(&"download fails: nothing came from the other side for 7 s")
    );
}

#[test]
fn a_slow_reader_announces_a_window_of_0_in_the_tunnel() {
    let run = run("download = { from = \"10.9.0.1:5001\", bytes = \"100 KiB\", read-rate = \"160kbit\" }");
    let is_closed = |segment: &Segment| segment.host == ALICE && !segment.syn && segment.window == 0;
    assert!(segments(&run).iter().any(is_closed));
    assert!(
        run.end > ms(5100),
        "100 KiB at 20,000 bytes a second: {:?}",
        run.end
    );
    assert!(
        texts(&run)[0].ends_with(", reads at most 20000 B a second"),
        "{}",
        texts(&run)[0]
    );
}

#[test]
fn a_half_closed_download_receives_its_content_after_its_fin() {
    let run = run("download = { from = \"10.9.0.1:5001\", bytes = \"100 KiB\", half-close = true }");
    let segments = segments(&run);
    let is_fin = |segment: &Segment| segment.host == ALICE && segment.fin;
    let fin = segments.iter().position(is_fin).expect("a FIN of alice");
    let later = segments[fin..].iter().filter(|segment| segment.host == SERVER);
    assert!(later.map(|segment| segment.len).sum::<usize>() >= 100 << 10);
    assert!(!segments.iter().any(|segment| segment.rst));
}

#[test]
fn a_reset_upload_ends_with_a_rst_and_the_step_succeeds() {
    let run = run("upload = { to = \"10.9.0.1:5001\", bytes = \"4 MiB\", reset-after = \"64 KiB\" }");
    let segments = segments(&run);
    assert!(
        segments
            .iter()
            .any(|segment| segment.host == ALICE && segment.rst)
    );
    assert!(!segments.iter().any(|segment| segment.fin));
    let last = texts(&run).pop().unwrap();
    assert!(
        last.ends_with(", then the client resets the connection"),
        "{last}"
    );
}

#[track_caller]
fn is_rejected(parsed: Result<sandhog_sim::Scenario, ScenarioError>, message: &str) {
    assert_eq!(parsed.expect_err("a mistake").message, message);
}

#[test]
fn mistakes_in_tcp_steps_are_rejected() {
    let download = "download = { from = \"10.9.0.1:5001\", bytes = \"1 KiB\"";
    for (keys, message) in [
        ("timeout = \"0s\"", "`timeout` must be longer than 0"),
        (
            "read-rate = \"7bit\"",
            "`read-rate` must be at least 8bit, one byte a second",
        ),
        (
            "reset-after = \"1 KiB\"",
            "`reset-after` must be less than `bytes`, which is 1 KiB",
        ),
    ] {
        let step = format!("[[client.do]]\n{download}, {keys} }}\n");
        is_rejected(scenario(&step).parse(), message);
    }
}

/// `count` downloads of alice that start at the same time, and a server with this key in `serve`.
fn downloads(count: usize, key: &str) -> String {
    let download = "[[client.do]]\nmeanwhile = true\n\
                    download = { from = \"10.9.0.1:5001\", bytes = \"1 KiB\" }\n";
    let steps = download.repeat(count);
    let text = scenario(&steps).text();
    text.replace("bulk = 5001 }", &format!("bulk = 5001{key} }}"))
}

#[test]
fn a_scenario_that_needs_more_connections_than_the_limit_is_rejected() {
    let text = downloads(65, "");
    let error = crate::support::parse(&text).expect_err("a mistake");
    assert_eq!(
        error.to_string(),
        "test.toml:11:9: `server` accepts 64 TCP connections at the same time, and its clients may need 65; set \
         `connections = 65` in its `serve`"
    );
    assert!(crate::support::parse(&downloads(64, "")).is_ok());
}

#[test]
fn a_server_with_a_higher_limit_accepts_all_connections() {
    let scenario = crate::support::parse(&downloads(80, ", connections = 80")).expect("a scenario");
    crate::support::run(&scenario.setup(), 7);
}

#[test]
fn steps_one_after_another_need_one_connection() {
    let text = downloads(65, ", connections = 1").replace("meanwhile = true", "meanwhile = false");
    assert!(crate::support::parse(&text).is_ok());
}

#[test]
fn a_ping_without_replies_needs_a_reply_to_every_request() {
    let step = |keys: &str| {
        format!("[[client.do]]\nping = {{ to = \"10.9.0.1\", count = 4, every = \"100ms\"{keys} }}\n")
    };
    let run = |keys: &str| {
        let steps = step(keys);
        let scenario = AliceAndServer {
            link: "delay = \"10ms\"\nforward = { drop = [{ kind = \"data\", nth = 2 }] }",
            ..scenario(&steps)
        };
        crate::support::run_any(&scenario.setup(), 7)
    };
    assert_eq!(failed(&run("")), ["alice finishes 1 step"]);
    assert!(failed(&run(", replies = 3")).is_empty());
}

#[test]
fn lossy_login_passes_also_if_the_link_loses_every_ping() {
    let lost_all = [185, 290, 415, 500].map(|seed| {
        let run = crate::support::run_builtin("lossy-login", seed);
        texts(&run).contains(&"ping: 0 of 8 answered")
    });
    assert!(lost_all.contains(&true), "{lost_all:?}");
}

#[test]
fn a_link_that_no_datagram_fits_into_or_without_a_queue_is_rejected() {
    let with_link = |link: &str| {
        let scenario = AliceAndServer {
            link,
            ..AliceAndServer::default()
        };
        scenario.parse()
    };
    let no_rate = "`limit` is the length of the queue for `rate`; add a `rate`";
    for (link, message) in [
        (
            "mtu = 28",
            "no datagram fits into packets of 28 bytes; `mtu` must be at least 29, for the headers of IP and UDP and \
             one byte",
        ),
        (
            "forward = { mtu = 0 }",
            "no datagram fits into packets of 0 bytes; `mtu` must be at least 29, for the headers of IP and UDP and one \
             byte",
        ),
        ("limit = 5", no_rate),
        ("forward = { limit = 5 }", no_rate),
        (
            "backward = { rate = \"1mbit\" }\nforward = { limit = 5 }",
            no_rate,
        ),
    ] {
        is_rejected(with_link(link), message);
    }
    for link in [
        "mtu = 29",
        "limit = 5\nrate = \"1mbit\"",
        "limit = 5\nforward = { rate = \"1mbit\" }",
        "rate = \"1mbit\"\nforward = { limit = 5 }",
    ] {
        assert!(with_link(link).is_ok(), "{link}");
    }
}
