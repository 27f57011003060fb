//! Reports of a run: capture, trace, diagrams and sightings.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use pcap_file::pcapng::blocks::enhanced_packet::EnhancedPacketOption;
use pcap_file::pcapng::blocks::interface_description::InterfaceDescriptionOption;
use pcap_file::pcapng::{Block, PcapNgReader};
use sandhog_lab::record::RecordKind;
use sandhog_sim::{Run, Scenario, builtin, report};
use serde_json::Value;
use smoltcp::wire::{IpProtocol, Ipv4Packet, TcpPacket, UdpPacket};

use crate::support::run_any;

fn run(name: &str) -> Run {
    run_any(&Scenario::builtin(name).unwrap().setup(), 7)
}

/// A packet of a capture.
struct Packet {
    interface: usize,
    comment: String,
    at_ns: u128,
    data: Vec<u8>,
}

/// The names of the interfaces, and the packets.
fn parsed(capture: &[u8]) -> (Vec<String>, Vec<Packet>) {
    let mut reader = PcapNgReader::new(capture).unwrap();
    let mut packets = Vec::new();
    while let Some(block) = reader.next_block() {
        let Block::EnhancedPacket(block) = block.unwrap() else {
            continue;
        };
        let comments = block.options.iter().filter_map(|option| match option {
            EnhancedPacketOption::Comment(comment) => Some(comment.to_string()),
            _ => None,
        });
        packets.push(Packet {
            interface: usize::try_from(block.interface_id).unwrap(),
            comment: comments.collect(),
            at_ns: block.timestamp.as_nanos(),
            data: block.data.to_vec(),
        });
    }
    let name = |options: &[InterfaceDescriptionOption<'_>]| {
        let names = options.iter().find_map(|option| match option {
            InterfaceDescriptionOption::IfName(name) => Some(name.to_string()),
            _ => None,
        });
        names.unwrap()
    };
    let interfaces = reader
        .interfaces()
        .iter()
        .map(|interface| name(&interface.options));
    (interfaces.collect(), packets)
}

#[test]
fn a_capture_has_an_outer_and_an_inner_interface_for_each_host() {
    let run = run("first-light");
    let (interfaces, packets) = parsed(&report::capture(&run));
    assert_eq!(
        interfaces,
        ["server.outer", "server.inner", "alice.outer", "alice.inner"]
    );
    let used: BTreeSet<usize> = packets.iter().map(|packet| packet.interface).collect();
    assert_eq!(used, BTreeSet::from([0, 1, 2, 3]));
    let times: Vec<u128> = packets.iter().map(|packet| packet.at_ns).collect();
    assert!(times.is_sorted() && times.last() <= Some(&u128::from(run.end.as_nanos())));
}

#[test]
fn every_lost_datagram_of_a_capture_has_its_reason_as_comment() {
    let run = run("first-light");
    let (_, packets) = parsed(&report::capture(&run));
    let lost = packets
        .iter()
        .filter(|packet| packet.comment == "lost: random")
        .count();
    assert!(lost > 0);
    assert_eq!(lost as u64, run.counters["lost.random"]);
}

#[test]
fn a_capture_marks_corrupted_dropped_and_duplicated_datagrams() {
    let run = run("reordered");
    let (_, packets) = parsed(&report::capture(&run));
    let comments: BTreeSet<&str> = packets.iter().map(|packet| packet.comment.as_str()).collect();
    for comment in ["duplicated", "corrupted", "dropped: authentication-failed"] {
        assert!(comments.contains(comment), "{comment} in {comments:?}");
    }
}

#[test]
fn captured_packets_have_valid_addresses_and_checksums() {
    let run = run("first-light");
    let (_, packets) = parsed(&report::capture(&run));
    let (mut datagrams, mut segments) = (0, 0);
    for packet in &packets {
        let ip = Ipv4Packet::new_checked(packet.data.as_slice()).unwrap();
        assert!(ip.verify_checksum());
        let (from, to) = (ip.src_addr(), ip.dst_addr());
        let outside = packet.interface.is_multiple_of(2);
        if outside {
            let udp = UdpPacket::new_checked(ip.payload()).unwrap();
            assert!(udp.verify_checksum(&from.into(), &to.into()));
            let ends = BTreeMap::from([(from, udp.src_port()), (to, udp.dst_port())]);
            let expected = [
                (Ipv4Addr::new(192, 0, 2, 1), 4000),
                (Ipv4Addr::new(198, 51, 100, 2), 50000),
            ];
            assert_eq!(ends, BTreeMap::from(expected));
            datagrams += 1;
        } else if ip.next_header() == IpProtocol::Tcp {
            let tcp = TcpPacket::new_checked(ip.payload()).unwrap();
            assert!(tcp.verify_checksum(&from.into(), &to.into()));
            segments += 1;
        }
    }
    let count = |name: &str| run.counters[name];
    assert_eq!(datagrams, count("datagrams.made") + count("datagrams.delivered"));
    assert!(segments > 400);
}

#[test]
fn every_line_of_a_trace_is_json_with_an_earlier_cause_and_a_later_time() {
    for builtin in builtin::ALL.iter().filter(|builtin| builtin.name != "bulk") {
        let run = run(builtin.name);
        let trace = report::trace_jsonl(&run);
        let lines: Vec<Value> = trace
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len() as u64, run.record_count);
        let mut before = 0;
        for (line, id) in lines.iter().zip(1_u64..) {
            assert_eq!(line["id"], id);
            assert!(line["cause"].is_null() || line["cause"].as_u64().unwrap() < id);
            assert!(
                line["at_ns"].as_u64().unwrap() >= before,
                "time goes back at record {id}"
            );
            before = line["at_ns"].as_u64().unwrap();
        }
        let cause = |line: &Value| &lines[usize::try_from(line["cause"].as_u64().unwrap()).unwrap() - 1];
        for line in lines.iter().filter(|line| line["what"] == "received") {
            let flight = cause(line);
            assert_eq!(
                (&flight["what"], &flight["due_ns"]),
                (&"flight".into(), &line["at_ns"])
            );
            assert_eq!((&flight["host"], &flight["to"]), (&line["from"], &line["host"]));
            assert_eq!(cause(flight)["what"], "sent");
            let same = cause(flight)["print"] == line["print"];
            assert_eq!(
                same,
                flight["corrupted"] == false,
                "exactly the corrupted copies have changed"
            );
        }
    }
}

#[test]
fn a_mermaid_diagram_has_its_title_its_hosts_and_one_statement_per_line() {
    for builtin in builtin::ALL.iter().filter(|builtin| builtin.name != "bulk") {
        let run = run(builtin.name);
        let diagram = report::mermaid(&run);
        let (server, others) = run.hosts.split_first().unwrap();
        let hosts: Vec<&str> = others
            .iter()
            .chain([server])
            .map(|host| host.name.as_str())
            .collect();
        let participants: String = hosts
            .iter()
            .map(|host| format!("    participant {host}\n"))
            .collect();
        let head = format!(
            "---\ntitle: {}\n---\nsequenceDiagram\n{participants}",
            Value::from(run.title.as_str())
        );
        let rows = diagram.strip_prefix(&head).expect("title and hosts first");
        assert!(rows.lines().count() > 3);
        let arrows = |from: &&str| {
            let to = |to: &&str| ["->>", "--x"].map(|arrow| format!("{from}{arrow}{to}: "));
            hosts.iter().flat_map(to).collect::<Vec<_>>()
        };
        let mut known: Vec<String> = hosts.iter().flat_map(arrows).collect();
        known.push("Note over ".into());
        for row in rows.lines() {
            assert!(
                known.iter().any(|start| row.trim_start().starts_with(start)),
                "{row}"
            );
        }
    }
}

#[test]
fn an_svg_diagram_is_well_formed_and_stays_inside_its_frame() {
    for builtin in builtin::ALL.iter().filter(|builtin| builtin.name != "bulk") {
        let mut run = run(builtin.name);
        run.title = "<&\"'>\u{1}".into();
        let svg = report::svg(&run);
        let elements = elements(&svg);
        let number =
            |attributes: &BTreeMap<&str, &str>, name: &str| -> usize { attributes[name].parse().unwrap() };
        let (root, frame) = &elements[0];
        assert_eq!(*root, "svg");
        let (width, height) = (number(frame, "width"), number(frame, "height"));
        for (_, attributes) in elements
            .iter()
            .skip(1)
            .filter(|(_, attributes)| attributes.contains_key("x"))
        {
            assert!(
                number(attributes, "x") + attributes.get("width").map_or(0, |w| w.parse().unwrap()) <= width
            );
            assert!(number(attributes, "y") < height);
        }
        let crosses = elements
            .iter()
            .filter(|(_, attributes)| attributes.get("class") == Some(&"cross"));
        let lost_logins = run.records.iter().filter(|record| {
            let sent = run.record(record.cause).map(|cause| &cause.kind);
            matches!(record.kind, RecordKind::Lost { .. })
                && matches!(
                    sent,
                    Some(RecordKind::Sent {
                        kind: "auth-request" | "auth-response",
                        ..
                    })
                )
        });
        assert!(crosses.count() >= lost_logins.count());
    }
}

/// The elements of an XML text with their attributes. Panics if it is not well-formed (XML 1.0, section 2.1).
fn elements(xml: &str) -> Vec<(&str, BTreeMap<&str, &str>)> {
    let (mut open, mut elements) = (Vec::new(), Vec::new());
    let mut pieces = xml.split('<');
    assert_eq!(pieces.next(), Some(""), "there is text before the root");
    for piece in pieces {
        let (tag, text) = piece.split_once('>').expect("the end of a tag");
        check_text(text);
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "the tags do not nest");
            continue;
        }
        let (tag, empty) = tag.strip_suffix('/').map_or((tag, false), |tag| (tag, true));
        let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
        let mut attributes = BTreeMap::new();
        while let Some((key, value)) = rest.trim_start().split_once("=\"") {
            let (value, after) = value.split_once('"').expect("the end of a value");
            check_text(value);
            assert!(attributes.insert(key, value).is_none(), "an attribute is unique");
            rest = after;
        }
        assert_eq!(rest.trim(), "", "a tag has only attributes");
        elements.push((name, attributes));
        if !empty {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "a tag is not closed");
    elements
}

fn check_text(text: &str) {
    assert!(!text.contains(|c: char| c.is_control() && c != '\n'));
    for entity in text.split('&').skip(1) {
        let known = ["amp;", "lt;", "gt;", "quot;"];
        assert!(known.iter().any(|known| entity.starts_with(known)), "&{entity}");
    }
}

/// Needs `tshark`, the terminal program of Wireshark.
#[cfg(not(target_family = "wasm"))]
#[test]
fn tshark_reads_a_capture_with_inner_tcp_and_nothing_malformed() {
    use std::path::Path;
    use std::process::Command;

    let strict = std::env::var_os("SANDHOG_STRICT").is_some_and(|strict| strict == "1");
    if let Err(error) = Command::new("tshark").arg("--version").output() {
        assert!(!strict, "tshark cannot be run in strict mode: {error}");
        println!("skipped: tshark cannot be run: {error}");
        return;
    }
    for name in ["first-light", "reordered", "ipv6-inside"] {
        let run = run(name);
        let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.pcapng"));
        std::fs::write(&file, report::capture(&run)).unwrap();
        let count = |filter: &str| {
            let mut tshark = Command::new("tshark");
            for protocol in ["ip", "tcp", "udp"] {
                tshark.args(["-o", &format!("{protocol}.check_checksum:TRUE")]);
            }
            let output = tshark.arg("-r").arg(&file).args(["-Y", filter]).output().unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            output.stdout.iter().filter(|byte| **byte == b'\n').count()
        };
        assert!(count("tcp") > 200, "{name}");
        let bad = "_ws.malformed or ip.checksum.status == 0 or udp.checksum.status == 0 or tcp.checksum.status == 0";
        assert_eq!(count(bad), 0, "{name}");
        let lost = run.counters.iter().filter(|(name, _)| name.starts_with("lost."));
        let lost: u64 = lost.map(|(_, count)| count).sum();
        assert_eq!(count("frame.comment contains \"lost\"") as u64, lost, "{name}");
    }
}

#[test]
fn sightings_are_the_times_directions_and_sizes_of_a_hosts_datagrams() {
    let run = run("clean-login");
    let server = report::sightings(&run, 0);
    let sent = server.iter().filter(|sighting| sighting.outgoing);
    let counted = |wanted: fn(&RecordKind) -> bool| {
        let own = run.records.iter().filter(|record| record.host == Some(0));
        own.filter(|record| wanted(&record.kind)).count()
    };
    assert_eq!(
        sent.count(),
        counted(|kind| matches!(kind, RecordKind::Sent { .. }))
    );
    assert_eq!(
        server.len(),
        counted(|kind| matches!(kind, RecordKind::Sent { .. } | RecordKind::Received { .. }))
    );
    assert!(server.is_sorted_by_key(|sighting| sighting.at) && !server[0].outgoing);
}
