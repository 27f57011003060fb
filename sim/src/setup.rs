//! What an engine needs to know of a run: hosts, links and events, free of any protocol and any file format.
//!
//! [`Setup::of`] makes one from a scenario. A protocol author makes one by hand from their own
//! [`Peer`] and gets engines, faults, traces and checks with it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sandhog_netstack::{Config as StackConfig, Service, Task};
use sandhog_proto::{Command, Instant, Peer};

use crate::link::LinkConfig;
use crate::record::HostId;
use crate::scenario::Outcome;

/// Everything that a run is made of, but for its seed.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The hosts, in the order of their turns.
    pub hosts: Vec<HostSpec>,
    /// The links: from, to, and what the direction does. Missing directions are perfect.
    pub links: Vec<(HostId, HostId, LinkConfig)>,
    /// What happens when.
    pub controls: Vec<(Instant, Control)>,
    /// The grid of time.
    pub resolution: Duration,
    /// When the work ends at the latest.
    pub duration: Duration,
    /// Whether the work may end sooner, when every client is done and no control is left.
    pub ends_when_done: bool,
    /// How soon after healing a ping must pass; `None`: no such phase.
    pub liveness: Option<Duration>,
    /// What must come out for each client.
    pub expectations: Vec<Expected>,
}

/// What must come out for one client.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The client.
    pub host: HostId,
    /// How its `start` completes: one of these.
    pub outcomes: Vec<Outcome>,
    /// Exactly when.
    pub at: Option<Instant>,
}

/// How a host gets its protocol: a fresh peer for each boot.
pub type MakePeer = Arc<dyn Fn(&Boot) -> Box<dyn Peer> + Send + Sync>;

/// What a new peer may depend on.
#[derive(Clone, Copy, Debug)]
pub struct Boot {
    /// Randomness for this boot of this host in this run.
    pub seed: [u8; 32],
    /// How often the host had started before.
    pub number: u32,
}

/// One host.
#[derive(Clone)]
pub struct HostSpec {
    /// Its name.
    pub name: String,
    /// Its UDP socket on the outer network.
    pub address: SocketAddr,
    /// Makes its protocol.
    pub make_peer: MakePeer,
    /// The host inside the tunnel, if there is one.
    pub inner: Option<InnerSpec>,
    /// What a client does; `None` for a server.
    pub script: Option<Script>,
}

impl std::fmt::Debug for HostSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostSpec")
            .field("name", &self.name)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// The host inside the tunnel.
#[derive(Clone, Debug)]
pub struct InnerSpec {
    /// Addresses with prefix lengths.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Largest inner packet in bytes.
    pub mtu: u16,
    /// What it offers.
    pub services: Vec<Service>,
}

impl InnerSpec {
    /// The configuration of its network stack.
    #[must_use]
    pub fn config(&self, seed: u64, canary: [u8; 16]) -> StackConfig {
        StackConfig {
            addresses: self.addresses.clone(),
            mtu: usize::from(self.mtu),
            seed,
            canary,
        }
    }
}

/// What a client does.
#[derive(Clone, Debug)]
pub struct Script {
    /// When the tunnel is started; after a restart at once.
    pub start: Instant,
    /// The steps.
    pub steps: Vec<ScriptStep>,
    /// Whom to ping to see whether the tunnel lives.
    pub liveness_target: IpAddr,
    /// A text that must not be seen on the wire or in any log.
    pub secret: String,
}

/// One step of a client.
#[derive(Clone, Debug)]
pub struct ScriptStep {
    /// Not before this time.
    pub at: Instant,
    /// Whether it begins together with the step before it.
    pub meanwhile: bool,
    /// What its inner host does.
    pub task: Task,
    /// How many replies a ping or echo needs to count as a success.
    pub replies: u32,
}

/// Something that happens to hosts and links at a given time, before the turns of that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// The host dies and loses its state; what it has sent is still on its way.
    Crash(HostId),
    /// The host starts afresh.
    Restart(HostId),
    /// Both directions between the two hosts are cut.
    Partition(HostId, HostId),
    /// And joined again.
    Repair(HostId, HostId),
    /// The host's user asks for something.
    Command(HostId, Command),
}
