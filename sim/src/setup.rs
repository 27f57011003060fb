//! What an engine needs to know of a run: hosts, links and events, free of any protocol and any file format.
//!
//! [`Setup::of`] makes one from a scenario. A protocol author makes one by hand from their own
//! [`Peer`] and gets engines, faults, traces and checks with it.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use sandhog_netstack::{Config as StackConfig, Service, Task};
use sandhog_proto::{Command, Instant, Peer};

use crate::adversary::AdversarySpec;
use crate::link::LinkConfig;
use crate::record::HostId;
use crate::scenario::{Finally, Outcome};

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
    /// What the protocol is held to.
    pub rules: Rules,
    /// Who is after them.
    pub adversaries: Vec<AdversarySpec>,
}

impl Default for Setup {
    /// Nobody and nothing, on a grid of 1 ms: for the fields that somebody's own setup does not care about.
    fn default() -> Self {
        Self {
            hosts: Vec::new(),
            links: Vec::new(),
            controls: Vec::new(),
            resolution: Duration::from_millis(1),
            duration: Duration::ZERO,
            ends_when_done: true,
            liveness: None,
            expectations: Vec::new(),
            rules: Rules::default(),
            adversaries: Vec::new(),
        }
    }
}

/// What a protocol promises beyond what every run is held to. The default promises nothing.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    /// P2: finds the nonce of a datagram and the key that it belongs to.
    pub nonce_of: Option<NonceOf>,
    /// P3: whether an inner packet comes out at most as often as it went in.
    pub at_most_once: bool,
    /// P4: how many bytes a host without a script may send to an address for each byte it has received from there,
    /// until a login or a move validates the address.
    pub amplification: Option<u64>,
    /// P5: the largest [`unauthenticated`](sandhog_proto::Gauges::unauthenticated) gauge after any turn.
    pub unauthenticated: Option<usize>,
    /// P6: whether a session follows only datagrams that an authenticated host made and that had not arrived before.
    pub fresh_roaming: bool,
    /// P7: how old a key may be when a session datagram is sealed with it. A client's key is as old as the last time
    /// that it became connected or its last `Rekeyed` event, a server's as its `LoggedIn` event from that address or
    /// the `Rekeyed` event that a datagram from there caused, until its `SessionEnded`. Who has never told of a key is not
    /// judged.
    pub key_age: Option<Duration>,
    /// P11: whether what comes out at a host without a script must bear an inner address of the host that sent it:
    /// one of its [`InnerSpec`], or of the last two settings that it was given.
    pub inner_owner: bool,
}

/// Finds the nonce in a datagram, `None` if there is none to be judged.
pub type NonceOf = fn(&[u8]) -> Option<Nonce>;

/// The nonce of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nonce {
    /// Which key it belongs to, as far as the wire tells: nonces of different keys are never compared.
    pub key: u64,
    /// Its bytes.
    pub nonce: [u8; 12],
    /// Whether the key is a session's: then not even the same datagram may be sent again, and the key has an age.
    /// The same for all nonces of a key.
    pub session: bool,
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
    /// The status of its tunnel at the end of the work.
    pub finally: Option<Finally>,
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
    /// Whether it does not mean to keep to the protocol, so that what it sends is not judged.
    pub hostile: bool,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InnerSpec {
    /// Addresses with prefix lengths. Without any, the host comes to be when the peer's `start` completes, with the
    /// addresses and the MTU of the settings.
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
    /// The host has another address on the outer network, as when a NAT binds it anew; it does not notice. Nothing
    /// that is sent to the old address reaches it any more, not even what is on its way.
    Rebind(HostId, SocketAddr),
    /// Nothing but this sentence: for what a peer does by itself at that time.
    Tell(String),
}
