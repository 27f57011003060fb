//! Expected results of the clients.

use schemars::JsonSchema;
use serde::Deserialize;

use sandhog_lab::setup::PENDING;
use sandhog_peer::{StartError, TunnelStatus};

use super::profile::Profile;
use super::values::Span;

/// The expected result of one client.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Expectation {
    /// The client.
    pub client: String,
    /// The result of its first `start`.
    pub outcome: String,
    /// A second accepted outcome, if both are possible.
    pub or: Option<String>,
    /// The exact time of the outcome.
    pub at: Option<Span>,
    /// The status of its tunnel at the end of the work, before the faults are switched off.
    pub finally: Option<Finally>,
    /// True if the tunnel may be down once the faults are switched off, for a reason that is not a fault, such as a disabled
    /// account. Check P9 does not ask this client.
    #[serde(default)]
    pub may_be_down: bool,
}

/// The status of a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Finally {
    /// The tunnel is down.
    Disconnected,
    /// The tunnel logs in for the first time.
    Connecting,
    /// The tunnel is up.
    Connected,
    /// The tunnel was up and logs in again.
    Reasserting,
}

impl From<Finally> for TunnelStatus {
    fn from(status: Finally) -> Self {
        match status {
            Finally::Disconnected => Self::Disconnected,
            Finally::Connecting => Self::Connecting,
            Finally::Connected => Self::Connected,
            Finally::Reasserting => Self::Reasserting,
        }
    }
}

/// The valid outcomes: `connected`, `pending`, the start errors, and those of the profile.
pub(super) fn outcomes(profile: &dyn Profile) -> Vec<&'static str> {
    let errors = StartError::ALL.iter().map(|error| error.name());
    let own = profile.outcomes().iter().copied();
    ["connected", PENDING]
        .into_iter()
        .chain(errors)
        .chain(own)
        .collect()
}
