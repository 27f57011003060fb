//! Kinds of faults of a search, with one value for each.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crate::record::format_duration;
use crate::suggest::suggestion;
use crate::tape::{Departure, Fault, HostFault, Steering};

/// A kind of fault at the time a datagram is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FaultKind {
    /// The datagram is lost.
    Drop,
    /// The datagram is duplicated.
    Double,
    /// The datagram has an extra delay of [`Values::late`].
    Late,
    /// The datagram is held back for [`Values::hold`].
    Hold,
    /// The datagram arrives after the next one of its direction.
    Swap,
    /// One bit of the datagram is flipped, in the middle of the payload.
    Damage,
    /// The client of the two hosts gets another outer port before the datagram leaves, as after a NAT rebinding.
    Rebind,
    /// The sender crashes after the datagram has left, and restarts after [`Values::down`].
    Crash,
}

impl FaultKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Drop,
        Self::Double,
        Self::Late,
        Self::Hold,
        Self::Swap,
        Self::Damage,
        Self::Rebind,
        Self::Crash,
    ];

    /// A stable name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Drop => "drop",
            Self::Double => "double",
            Self::Late => "late",
            Self::Hold => "hold",
            Self::Swap => "swap",
            Self::Damage => "damage",
            Self::Rebind => "rebind",
            Self::Crash => "crash",
        }
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for FaultKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| {
            let names = Self::ALL.map(Self::name);
            format!("`{text}` is not a kind of fault{}", suggestion(text, &names))
        })
    }
}

/// Values of the faults of a search.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Values {
    /// Extra delay of a late datagram.
    pub late: Duration,
    /// Time for which a datagram is held back.
    pub hold: Duration,
    /// Time between a crash and the restart.
    pub down: Duration,
}

impl Default for Values {
    /// Late by 700 ms, which is longer than the retransmission timeout of our profiles. Held back for 12 s, which is longer
    /// than their login timeout. Down for 1 s.
    fn default() -> Self {
        Self {
            late: Duration::from_millis(700),
            hold: Duration::from_secs(12),
            down: Duration::from_secs(1),
        }
    }
}

impl Values {
    /// The value of a kind as text, for a certificate.
    #[must_use]
    pub fn describe(&self, kind: FaultKind) -> String {
        match kind {
            FaultKind::Drop | FaultKind::Double => String::new(),
            FaultKind::Late => format_duration(self.late),
            FaultKind::Hold => format_duration(self.hold),
            FaultKind::Swap => "with the next datagram of the direction".into(),
            FaultKind::Damage => "the bit in the middle of the payload".into(),
            FaultKind::Rebind => "the next unused port of the client".into(),
            FaultKind::Crash => format!("the sender, for {}", format_duration(self.down)),
        }
    }

    /// Adds a fault of this kind to a datagram. `clients` is true for the numbers of clients.
    pub(super) fn add(
        &self,
        kind: FaultKind,
        departure: &Departure,
        clients: &[bool],
        steering: &mut Steering,
    ) {
        let is_client = |host: u16| clients.get(usize::from(host)).copied().unwrap_or_default();
        match kind {
            FaultKind::Drop => steering.faults.push(Fault::Drop),
            FaultKind::Double => steering.faults.push(Fault::Double),
            FaultKind::Late => steering.faults.push(Fault::Late(self.late)),
            FaultKind::Hold => steering.faults.push(Fault::Hold(departure.now + self.hold)),
            FaultKind::Swap => steering.faults.push(Fault::Swap),
            FaultKind::Damage => steering.faults.push(Fault::Flip(departure.payload_len * 4)),
            FaultKind::Rebind => {
                let client = if is_client(departure.sender) {
                    departure.sender
                } else {
                    departure.receiver
                };
                steering.new_port = Some(client);
            }
            FaultKind::Crash => steering.hosts.push(HostFault::Crash(departure.sender, self.down)),
        }
    }
}
