//! Reports of a run without a scenario file.

use std::time::Duration;

use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use sandhog_lab::record::RecordKind;
use sandhog_lab::setup::{Control, Setup};
use sandhog_lab::{Detail, Run, RunOptions, report, run_setup};
use sandhog_peer::Instant;
use serde_json::{Value, json};

use crate::support::{CLIENT, SERVER, address, arq, run};

#[test]
fn a_run_lists_its_hosts_and_links_from_the_setup() {
    let run = run(&arq());
    let hosts = run
        .hosts
        .iter()
        .map(|host| (host.name.as_str(), host.role.name(), host.address));
    assert_eq!(
        hosts.collect::<Vec<_>>(),
        [
            ("server", "server", address(SERVER)),
            ("client", "client", address(CLIENT))
        ]
    );
    assert_eq!(run.hosts[1].inner, ["10.9.0.2/24"]);
    let [link] = &run.links[..] else {
        panic!("{:?}", run.links)
    };
    assert_eq!(
        (link.a, link.b, link.description.as_str()),
        (
            SERVER,
            CLIENT,
            "server → client: delay 20ms; client → server: delay 20ms, mtu 1400"
        )
    );
}

#[test]
fn a_capture_has_two_interfaces_for_each_host_and_all_datagrams() {
    let run = run(&arq());
    let capture = report::capture(&run);
    let mut reader = PcapNgReader::new(&capture[..]).unwrap();
    let (mut outer, mut inner) = (0, 0);
    while let Some(block) = reader.next_block() {
        if let Block::EnhancedPacket(packet) = block.unwrap() {
            match packet.interface_id % 2 {
                0 => outer += 1,
                _ => inner += 1,
            }
        }
    }
    let mut names = Vec::new();
    for interface in reader.interfaces() {
        names.extend(interface.options.iter().filter_map(|option| match option {
            InterfaceDescriptionOption::IfName(name) => Some(name.to_string()),
            _ => None,
        }));
    }
    assert_eq!(
        names,
        ["server.outer", "server.inner", "client.outer", "client.inner"]
    );
    let count =
        |matches: fn(&RecordKind) -> bool| run.records.iter().filter(|record| matches(&record.kind)).count();
    assert_eq!(
        outer,
        count(|kind| matches!(kind, RecordKind::Sent { .. } | RecordKind::Received { .. }))
    );
    assert_eq!(
        inner,
        count(|kind| matches!(kind, RecordKind::InnerOut { .. } | RecordKind::InnerIn { .. }))
    );
}

#[test]
fn a_mermaid_diagram_has_the_title_the_hosts_and_the_datagrams() {
    let diagram = report::mermaid(&run(&arq()));
    for line in [
        "title: \"A title & more\"",
        "    participant client\n    participant server\n",
        "    client->>server: 0.000 s hello 1",
        "    Note over client: 0.040 s is connected",
        "    Note over client,server: ",
    ] {
        assert!(diagram.contains(line), "{line} in {diagram}");
    }
}

#[test]
fn an_svg_diagram_has_the_title_the_hosts_and_the_digest() {
    let run = run(&arq());
    let svg = report::svg(&run);
    assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
    let digest = format!("seed 1, digest {}", run.digest);
    for text in [
        ">A title &amp; more</text>",
        ">client</text>",
        ">server</text>",
        &digest,
        "hello 1",
    ] {
        assert!(svg.contains(text), "{text} in {svg}");
    }
}

#[test]
fn the_json_for_the_page_has_hosts_links_and_all_records() {
    let run = run(&arq());
    let page: Value = serde_json::from_str(&report::page_json(&run)).unwrap();
    assert_eq!(page["scenario"], "test");
    assert_eq!(
        page["hosts"][0],
        json!({ "name": "server", "role": "server", "address": "192.0.2.1:4000", "inner": ["10.9.0.1/24"] })
    );
    assert_eq!(
        page["links"],
        json!([{
            "a": "server",
            "b": "client",
            "description": "server → client: delay 20ms; client → server: delay 20ms, mtu 1400",
        }])
    );
    assert_eq!(page["records"].as_array().unwrap().len() as u64, run.record_count);
    assert_eq!(page["digest"], run.digest.to_string());
}

#[test]
fn a_run_without_records_has_empty_reports() {
    let options = RunOptions {
        detail: Detail::Digest,
        ..RunOptions::default()
    };
    let short = run_setup(&arq(), &options).unwrap();
    assert_eq!(short.digest, run(&arq()).digest);
    assert_eq!(
        (report::story(&short), report::trace_jsonl(&short)),
        (String::new(), String::new())
    );
    assert!(report::sightings(&short, SERVER).is_empty());
}

/// A run of two clients, one behind a partition from 0.3 s to 3 s.
fn partitioned() -> Run {
    let mut setup = arq();
    setup.controls = vec![
        (Instant::from_millis(300), Control::Partition(SERVER, CLIENT)),
        (Instant::from_secs(3), Control::Repair(SERVER, CLIENT)),
    ];
    run(&setup)
}

#[test]
fn a_ping_without_a_reply_is_reported_with_the_time_of_its_request() {
    let story = report::story(&partitioned());
    let line = "client  ping 3, sent at 0.440 s: no answer within 2.000 s\n";
    assert!(story.contains(line), "{line} in {story}");
}

#[test]
fn the_story_has_plainer_texts_than_the_trace() {
    let run = partitioned();
    let (story, trace) = (report::story(&run), report::trace_jsonl(&run));
    for (text, plainer) in [
        (
            "all faults heal; a ping must pass",
            "all faults are switched off; a ping must pass",
        ),
        (
            "server and client are cut off from each other",
            "server and client cannot reach each other",
        ),
        (
            "pings 10.9.0.1 until an answer comes",
            "pings 10.9.0.1 until a reply arrives",
        ),
    ] {
        assert!(
            trace.contains(text) && !trace.contains(plainer),
            "{text} in {trace}"
        );
        assert!(
            story.contains(plainer) && !story.contains(text),
            "{plainer} in {story}"
        );
    }
}

#[test]
fn losses_of_two_clients_are_counted_by_link() {
    let peers = two_clients();
    let run = run(&peers);
    let story = report::story(&run);
    let lines: Vec<_> = story.lines().filter(|line| line.contains('…')).collect();
    let of_both = |line: &&str| line.contains("alice ↔ server: ") && line.contains("; bob ↔ server: ");
    assert!(lines.iter().any(of_both), "{story}");
    let lost = lines.iter().filter(|line| line.contains("lost (random)"));
    assert!(lost.clone().count() > 0, "{story}");
    for line in lost {
        let alice = line.split("; bob").next().unwrap();
        assert!(alice.contains("alice ↔ server: "), "{line}");
        assert!(
            alice.contains("lost (random)") && !line.contains("bob ↔ server: 1 lost"),
            "{line}"
        );
    }
}

/// Two clients that ping each other's servers, one over a lossy link.
fn two_clients() -> Setup {
    use sandhog_lab::setup::{HostSpec, Rules};
    use std::sync::Arc;

    let ticker = |to: Option<u16>| -> sandhog_lab::setup::MakePeer {
        Arc::new(move |_| {
            Box::new(Ticker {
                to,
                next: Instant::ZERO,
            })
        })
    };
    let client = |name: &str, id| {
        HostSpec::new(name, address(id), ticker(Some(SERVER)))
            .with_script(sandhog_lab::setup::Script::new([10, 9, 0, 1].into()))
    };
    Setup {
        hosts: vec![
            HostSpec::new("server", address(SERVER), ticker(None)),
            client("alice", 1),
            client("bob", 2),
        ],
        links: vec![(1, SERVER, "loss 20%".parse().unwrap())],
        duration: Duration::from_secs(2),
        rules: Rules::plain(),
        counted_kinds: vec!["tick"],
        ..Setup::default()
    }
}

/// Sends one datagram every 10 ms.
struct Ticker {
    to: Option<u16>,
    next: Instant,
}

impl sandhog_peer::Peer for Ticker {
    fn turn(
        &mut self,
        now: Instant,
        input: &mut sandhog_peer::Batch,
        output: &mut sandhog_peer::Batch,
    ) -> Option<(Instant, sandhog_peer::Reason)> {
        input.clear();
        let remote = address(self.to?);
        if self.next <= now {
            output.datagrams.push(sandhog_peer::Datagram {
                remote,
                kind: "tick",
                payload: sandhog_peer::PacketBuf::copied_from(b"tick"),
            });
            self.next = now + Duration::from_millis(10);
        }
        Some((self.next, sandhog_peer::Reason::Other("tick")))
    }

    fn poll_event(&mut self) -> Option<sandhog_peer::Event> {
        None
    }

    fn command(&mut self, _: Instant, _: sandhog_peer::Command) -> Result<(), sandhog_peer::ApiMisuse> {
        Ok(())
    }

    fn counters(&self) -> sandhog_peer::Counters {
        sandhog_peer::Counters::default()
    }
}
