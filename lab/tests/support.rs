//! Hosts, setups and runs for the tests.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use sandhog_lab::setup::{Expected, HostSpec, InnerSpec, MakePeer, Rules, Script, Setup};
use sandhog_lab::{CheckResult, Run, RunOptions, run_setup};
use sandhog_netstack::Task;
use sandhog_peer::{ApiMisuse, Batch, Command, Counters, Event, Instant, Peer, Reason};

use crate::protocol::Arq;

pub(crate) const SERVER: u16 = 0;
pub(crate) const CLIENT: u16 = 1;

/// Outer address of the host with this number.
pub(crate) fn address(host: u16) -> SocketAddr {
    SocketAddr::from(([192, 0, 2, host as u8 + 1], 4000))
}

/// Inner host of the host with this number.
pub(crate) fn inner(host: u16) -> InnerSpec {
    InnerSpec::new([10, 9, 0, host as u8 + 1].into(), 24)
}

/// A client that pings the server three times.
pub(crate) fn pings() -> Script {
    let to = [10, 9, 0, 1].into();
    Script::new(to).with_step(Task::Ping {
        to,
        count: 3,
        interval: Duration::from_millis(200),
        payload_len: 56,
        timeout: Duration::from_secs(2),
    })
}

/// A server and a client of the example's protocol, over a link without faults.
pub(crate) fn arq() -> Setup {
    let client = move |_: &_| -> Box<dyn Peer> { Box::new(Arq::client(address(SERVER))) };
    pair(
        Arc::new(|_| Box::new(Arq::default())),
        Arc::new(client),
        Rules::plain(),
    )
}

/// A server and a client that must connect and finish three pings.
pub(crate) fn pair(server: MakePeer, client: MakePeer, rules: Rules) -> Setup {
    Setup {
        name: "test".into(),
        title: "A title & more".into(),
        hosts: vec![
            HostSpec::new("server", address(SERVER), server).with_inner(inner(SERVER)),
            HostSpec::new("client", address(CLIENT), client)
                .with_inner(inner(CLIENT))
                .with_script(pings()),
        ],
        links: vec![
            (SERVER, CLIENT, "delay 20ms".parse().unwrap()),
            (CLIENT, SERVER, "delay 20ms, mtu 1400".parse().unwrap()),
        ],
        duration: Duration::from_secs(30),
        liveness: Some(Duration::from_secs(5)),
        expectations: vec![Expected::connected(CLIENT)],
        rules,
        counted_kinds: vec!["data", "ack"],
        ..Setup::default()
    }
}

/// Runs a valid setup with seed 1 in the event engine.
#[track_caller]
pub(crate) fn run(setup: &Setup) -> Run {
    run_setup(setup, &RunOptions::default()).expect("a valid setup")
}

/// The failed checks.
pub(crate) fn failed(run: &Run) -> Vec<&CheckResult> {
    run.checks.iter().filter(|check| !check.passed).collect()
}

/// A peer that does nothing.
pub(crate) struct Silent;

impl Peer for Silent {
    fn turn(&mut self, _: Instant, input: &mut Batch, _: &mut Batch) -> Option<(Instant, Reason)> {
        input.clear();
        None
    }

    fn poll_event(&mut self) -> Option<Event> {
        None
    }

    fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> {
        Ok(())
    }

    fn counters(&self) -> Counters {
        Counters::default()
    }
}
