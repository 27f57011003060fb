//! View of an eavesdropper: times, directions and sizes of the datagrams of a host. P10 compares two runs by it.

use sandhog_peer::Instant;

use crate::record::{HostId, RecordKind};
use crate::run::Run;

/// A datagram in the view of an eavesdropper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Time of departure or arrival at the host.
    pub at: Instant,
    /// True if the host sent it.
    pub outgoing: bool,
    /// Length of the UDP payload in bytes.
    pub len: u64,
}

/// The datagrams that `host` sent or received, in the order of the trace. Empty unless the run kept its records.
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// # use sandhog_lab::setup::{Boot, HostSpec, Setup};
/// # use sandhog_peer::*;
/// # struct Once(Option<std::net::SocketAddr>);
/// # impl Peer for Once {
/// #     fn turn(&mut self, _: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
/// #         input.clear();
/// #         let remote = self.0.take()?;
/// #         output.datagrams.push(Datagram { remote, kind: "hello", payload: PacketBuf::copied_from(&[0; 64]) });
/// #         None
/// #     }
/// #     fn poll_event(&mut self) -> Option<Event> { None }
/// #     fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> { Ok(()) }
/// #     fn counters(&self) -> Counters { Counters::default() }
/// # }
/// # let address = |number: u8| std::net::SocketAddr::from(([192, 0, 2, number], 4000));
/// # let host = |name: &str, number, target| {
/// #     let make = move |_: &Boot| -> Box<dyn Peer> { Box::new(Once(target)) };
/// #     HostSpec::new(name, address(number), Arc::new(make))
/// # };
/// # let hosts = vec![host("alice", 1, Some(address(2))), host("server", 2, None)];
/// use sandhog_lab::report::{Sighting, sightings};
/// use sandhog_lab::{RunOptions, run_setup};
///
/// // Host 0 sends one datagram of 64 bytes to host 1.
/// let links = vec![(0, 1, "delay 30ms".parse().unwrap())];
/// let setup = Setup { hosts, links, duration: Duration::from_secs(1), ends_when_done: false, ..Setup::default() };
/// let run = run_setup(&setup, &RunOptions::default()).unwrap();
/// let at = Instant::from_millis(30);
/// assert_eq!(sightings(&run, 1), [Sighting { at, outgoing: false, len: 64 }]);
/// ```
#[must_use]
pub fn sightings(run: &Run, host: HostId) -> Vec<Sighting> {
    let records = run.records.iter().filter(|record| record.host == Some(host));
    records
        .filter_map(|record| {
            let (outgoing, len) = match record.kind {
                RecordKind::Sent { len, .. } => (true, len),
                RecordKind::Received { len, .. } => (false, len),
                _ => return None,
            };
            Some(Sighting {
                at: record.at,
                outgoing,
                len,
            })
        })
        .collect()
}
