//! What an eavesdropper beside a host sees of a run: times, directions and sizes. Two runs that must look the same
//! outside (P10) are compared by it.

use sandhog_peer::Instant;

use crate::record::{HostId, RecordKind};
use crate::run::Run;

/// A datagram as somebody sees it who cannot read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// When it left the host or arrived at it.
    pub at: Instant,
    /// Whether the host sent it.
    pub outgoing: bool,
    /// Bytes of UDP payload.
    pub len: u64,
}

/// Every datagram that `host` sent or received, in the order of the trace. Empty unless the run kept its records.
#[must_use]
pub fn sightings(run: &Run, host: HostId) -> Vec<Sighting> {
    let own = run.records.iter().filter(|record| record.host == Some(host));
    own.filter_map(|record| {
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
