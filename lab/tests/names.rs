//! Names of another protocol: events, drop reasons, start errors and counters reach trace, story, outcome and counters.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use sandhog_lab::record::RecordKind;
use sandhog_lab::setup::{Expected, HostSpec, Rules, Script, Setup};
use sandhog_lab::{Run, report};
use sandhog_peer::{
    ApiMisuse, Batch, Command, Counters, Datagram, DropReason, Event, EventKind, Instant, PacketBuf, Peer,
    Reason, StartError, TunnelStatus,
};

use crate::support::{CLIENT, SERVER, address, run};

/// Asks for a licence. The client drops the reply and fails to start.
#[derive(Default)]
struct Licensed {
    server: Option<std::net::SocketAddr>,
    request: bool,
    events: VecDeque<Event>,
    counters: Counters,
}

impl Licensed {
    fn report(&mut self, tag: u64, kind: EventKind) {
        self.events.push_back(Event { tag, kind });
    }
}

impl Peer for Licensed {
    fn turn(&mut self, _: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
        for datagram in input.datagrams.drain(..) {
            let (remote, payload) = (datagram.remote, datagram.payload);
            if self.server.is_none() {
                let kind = "licence";
                output.datagrams.push(Datagram {
                    remote,
                    kind,
                    payload,
                });
                continue;
            }
            self.counters.count_drop(DropReason::Other("wrong-licence"));
            self.report(
                payload.tag,
                EventKind::Dropped(DropReason::Other("wrong-licence")),
            );
            self.report(payload.tag, EventKind::Status(TunnelStatus::Disconnected));
            self.report(
                payload.tag,
                EventKind::Started(Err(StartError::Other("no-licence"))),
            );
        }
        if let (true, Some(remote)) = (std::mem::take(&mut self.request), self.server) {
            self.counters.count_other("licence-requests", 2);
            self.report(0, EventKind::Other("licence-requested"));
            let payload = PacketBuf::copied_from(b"licence?");
            let kind = "licence-request";
            output.datagrams.push(Datagram {
                remote,
                kind,
                payload,
            });
        }
        None
    }

    fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> {
        self.request = true;
        Ok(())
    }

    fn counters(&self) -> Counters {
        self.counters.clone()
    }
}

fn licence_run() -> Run {
    let client = |_: &_| -> Box<dyn Peer> {
        Box::new(Licensed {
            server: Some(address(SERVER)),
            ..Licensed::default()
        })
    };
    let expected = Expected {
        outcomes: vec![Cow::Borrowed("no-licence")],
        finally: Some(TunnelStatus::Disconnected),
        ..Expected::connected(CLIENT)
    };
    run(&Setup {
        hosts: vec![
            HostSpec::new(
                "server",
                address(SERVER),
                Arc::new(|_| Box::new(Licensed::default())),
            ),
            HostSpec::new("client", address(CLIENT), Arc::new(client))
                .with_script(Script::new([10, 9, 0, 1].into())),
        ],
        duration: Duration::from_secs(1),
        expectations: vec![expected],
        rules: Rules::plain(),
        ..Setup::default()
    })
}

#[test]
fn a_start_error_of_another_protocol_can_be_expected() {
    let run = licence_run();
    assert!(run.passed, "{:?}", run.checks);
    assert_eq!(run.outcome, "no-licence");
    let names: Vec<_> = run.checks.iter().map(|check| check.name.as_str()).collect();
    assert_eq!(
        names[..2],
        [
            "client: start ends with no-licence",
            "client is disconnected at the end"
        ]
    );
}

#[test]
fn names_of_another_protocol_are_in_the_trace() {
    let run = licence_run();
    let has = |kind: RecordKind| run.records.iter().any(|record| record.kind == kind);
    assert!(has(RecordKind::Event {
        event: "licence-requested"
    }));
    assert!(has(RecordKind::Dropped {
        reason: "wrong-licence"
    }));
    assert!(has(RecordKind::Started { result: "no-licence" }));
    let trace = report::trace_jsonl(&run);
    for field in [
        "\"event\":\"licence-requested\"",
        "\"reason\":\"wrong-licence\"",
        "\"result\":\"no-licence\"",
        "\"kind\":\"licence-request\"",
    ] {
        assert!(trace.contains(field), "{field} in {trace}");
    }
}

#[test]
fn names_of_another_protocol_are_in_the_story() {
    let story = report::story(&licence_run());
    for line in [
        "client  sends licence-request 1 to server (8 bytes)",
        "client  event: licence-requested",
        "client  drops licence: wrong-licence",
        "client  has no tunnel: no-licence",
    ] {
        assert!(story.contains(line), "{line} in {story}");
    }
}

#[test]
fn counters_of_another_protocol_are_in_the_counters_of_the_run() {
    let run = licence_run();
    assert_eq!(run.counters["client.licence-requests"], 2);
    assert_eq!(run.counters["client.dropped.wrong-licence"], 1);
    let summary = report::summary_json(&run, Duration::ZERO);
    assert_eq!(summary["counters"]["client.licence-requests"], 2);
    assert_eq!(summary["outcome"], "no-licence");
}
