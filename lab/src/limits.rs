//! Hard limits of a run. A run that exceeds one of them ends at once, and a failed check names the host and the limit.
//!
//! The limits only stop peers and adversaries that never come to an end. A useful run stays far below them.
//! [`RunOptions::max_records`](crate::RunOptions::max_records) limits the length of the trace in the same way.

/// The largest UDP payload over IPv4 in bytes: 65,535 minus the IP header (RFC 791) and the UDP header (RFC 768). A host cannot
/// send a longer datagram. It is lost with the reason `too-long`.
pub const MAX_PAYLOAD: usize = 65_507;

/// Largest number of events that a peer reports in one turn of its host.
pub const MAX_EVENTS: u32 = 200_000;

/// Largest number of jobs that a peer gives away in one turn of its host.
pub const MAX_JOBS: u32 = 100_000;

/// Largest number of datagrams that a peer sends in one turn of its host.
pub const MAX_DATAGRAMS: u32 = 200_000;

/// Largest number of inner packets that a peer delivers in one turn of its host.
pub const MAX_PACKETS: u32 = 200_000;

/// Largest number of exchanges of packets and jobs between a peer and its host in one turn. More would be a loop between the two.
pub const MAX_ROUNDS: u32 = 10_000;

/// Largest number of datagrams that all adversaries together inject and replay in one tick.
pub const MAX_ATTACKS: u32 = 100_000;

/// Default of [`RunOptions::max_records`](crate::RunOptions::max_records).
pub const DEFAULT_MAX_RECORDS: u64 = 20_000_000;

/// A limited activity of a host in one turn.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Limited {
    Events,
    Jobs,
    Datagrams,
    Packets,
    Rounds,
}

impl Limited {
    const fn limit(self) -> u32 {
        match self {
            Self::Events => MAX_EVENTS,
            Self::Jobs => MAX_JOBS,
            Self::Datagrams => MAX_DATAGRAMS,
            Self::Packets => MAX_PACKETS,
            Self::Rounds => MAX_ROUNDS,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Events => "events from `poll_event`",
            Self::Jobs => "jobs from `poll_job`",
            Self::Datagrams => "datagrams",
            Self::Packets => "inner packets to its own host",
            Self::Rounds => "exchanges between the peer and its inner host",
        }
    }
}

/// The activities of a host in its present turn.
#[derive(Debug, Default)]
pub(crate) struct TurnUse([u32; 5]);

impl TurnUse {
    /// Counts one activity.
    ///
    /// # Errors
    ///
    /// A text about the limit that the activity exceeds.
    pub(crate) fn add(&mut self, limited: Limited) -> Result<(), String> {
        let used = &mut self.0[limited as usize];
        *used += 1;
        match *used > limited.limit() {
            true => Err(format!(
                "more than {} {} in one turn",
                limited.limit(),
                limited.text()
            )),
            false => Ok(()),
        }
    }
}
