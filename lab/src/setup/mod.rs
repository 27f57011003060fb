//! Setup of a run: hosts, links, events and rules, independent of any protocol and any file format.

mod rules;
mod validate;

use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sandhog_netstack::{Config as StackConfig, Limits, Service, Task};
use sandhog_peer::{Command, Instant, TunnelStatus};

use crate::adversary::AdversarySpec;
use crate::link::LinkConfig;
use crate::record::HostId;

pub use crate::boot::{Boot, MakePeer};
pub use rules::{Nonce, NonceOf, Rules};
pub(crate) use validate::validate_socket;
pub use validate::{MIN_SECRET_LEN, SetupError};

/// Complete input of a run, except its seed.
#[derive(Clone, Debug)]
pub struct Setup {
    /// Short name, for reports.
    pub name: String,
    /// Title in one line, for reports.
    pub title: String,
    /// Description in one paragraph, for reports.
    pub about: String,
    /// The hosts, in the order of their turns. The number of a host is its position.
    pub hosts: Vec<HostSpec>,
    /// The links: sender, receiver, and the configuration of this direction. A direction that is not listed loses nothing and
    /// takes one step of the resolution.
    pub links: Vec<(HostId, HostId, LinkConfig)>,
    /// The timed events.
    pub controls: Vec<(Instant, Control)>,
    /// The step of simulated time. Every event happens at a multiple of it.
    pub resolution: Duration,
    /// The latest end of the work phase. Events, steps and attacks must be earlier.
    pub duration: Duration,
    /// If true, the work phase ends when every client has finished and no event is left.
    pub ends_when_done: bool,
    /// P9: time in which a ping of each client must pass after all faults were switched off. Clients that their users stopped,
    /// that sleep, whose host or server is down, or that are expected to be down are not asked. `None` switches this phase off.
    pub liveness: Option<Duration>,
    /// The expected results of the clients. A client without an entry must connect, as with [`Expected::connected`].
    pub expectations: Vec<Expected>,
    /// The properties that the protocol promises.
    pub rules: Rules,
    /// The adversaries. Their numbers follow those of the hosts.
    pub adversaries: Vec<AdversarySpec>,
    /// Kinds of datagrams that the story and the diagrams count instead of listing each one, such as `data`.
    pub counted_kinds: Vec<&'static str>,
}

impl Default for Setup {
    /// A setup without hosts and events, with a resolution of 1 ms. A run also needs hosts and a duration.
    fn default() -> Self {
        Self {
            name: "unnamed".into(),
            title: String::new(),
            about: String::new(),
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
            counted_kinds: Vec::new(),
        }
    }
}

impl Setup {
    /// The expected results of all clients: those of the setup, and `connected` for each other client.
    pub(crate) fn all_expectations(&self) -> Vec<Expected> {
        let clients = (0..).zip(&self.hosts).filter(|(_, host)| host.script.is_some());
        let others = clients
            .map(|(id, _)| id)
            .filter(|id| self.expectations.iter().all(|expected| expected.host != *id));
        let given = self.expectations.iter().cloned();
        given.chain(others.map(Expected::connected)).collect()
    }
}

/// The outcome of a `start` that has not completed at the end of the work phase.
pub const PENDING: &str = "pending";

/// The expected result of one client. If its tunnel is up, all steps of the client must also succeed.
#[derive(Clone, Debug)]
pub struct Expected {
    /// The number of the client.
    pub host: HostId,
    /// The allowed results of its first `start`: `connected`, the name of a [`StartError`](sandhog_peer::StartError), or
    /// [`PENDING`].
    pub outcomes: Vec<Cow<'static, str>>,
    /// The exact time of the result, if given. A multiple of the resolution.
    pub at: Option<Instant>,
    /// The status of its tunnel at the end of the work phase, if given. P9 does not ask a client that is expected to be
    /// `Disconnected`.
    pub finally: Option<TunnelStatus>,
    /// True if the tunnel may be down once the faults are switched off, for a reason that is not a fault. P9 does not ask this
    /// client.
    pub may_be_down: bool,
}

impl Expected {
    /// The expectation that the client `host` connects.
    #[must_use]
    pub fn connected(host: HostId) -> Self {
        Self {
            host,
            outcomes: vec![Cow::Borrowed("connected")],
            at: None,
            finally: None,
            may_be_down: false,
        }
    }
}

/// Part of a host in a setup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// A host with a script: it starts a tunnel.
    Client,
    /// A host without a script: it waits for others.
    Server,
    /// An adversary.
    Adversary,
}

impl Role {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Server => "server",
            Self::Adversary => "adversary",
        }
    }
}

/// One host of a setup.
///
/// ```
/// use std::sync::Arc;
/// use sandhog_lab::setup::{Boot, HostSpec, InnerSpec, Role, Script};
/// use sandhog_netstack::Task;
/// # use sandhog_peer::*;
/// # struct Silent;
/// # impl Peer for Silent {
/// #     fn turn(&mut self, _: Instant, _: &mut Batch, _: &mut Batch) -> Option<(Instant, Reason)> { None }
/// #     fn poll_event(&mut self) -> Option<Event> { None }
/// #     fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> { Ok(()) }
/// #     fn counters(&self) -> Counters { Counters::default() }
/// # }
///
/// let make = |boot: &Boot| -> Box<dyn Peer> {
///     assert_eq!(boot.number, 0, "the first boot");
///     Box::new(Silent)
/// };
/// let host = HostSpec::new("alice", "192.0.2.2:4000".parse().unwrap(), Arc::new(make));
/// assert_eq!(host.role(), Role::Server);
///
/// let server = "10.9.0.1".parse().unwrap();
/// let download = Task::Download { from: (server, 9).into(), bytes: 1 << 20 };
/// let client = host
///     .with_inner(InnerSpec::new("10.9.0.2".parse().unwrap(), 24))
///     .with_script(Script::new(server).with_step(download));
/// assert_eq!(client.role(), Role::Client);
/// ```
#[derive(Clone)]
pub struct HostSpec {
    /// The name, unique among hosts and adversaries.
    pub name: String,
    /// Address of its UDP socket on the outer network, unique among hosts and adversaries.
    pub address: SocketAddr,
    /// Creates its peer.
    pub make_peer: MakePeer,
    /// The host inside the tunnel, if the host has one.
    pub inner: Option<InnerSpec>,
    /// The script of a client, or `None` for a server.
    pub script: Option<Script>,
    /// True for a host that breaks the protocol on purpose. Its datagrams are not checked.
    pub hostile: bool,
}

impl HostSpec {
    /// A host without an inner host and without a script.
    pub fn new(name: impl Into<String>, address: SocketAddr, make_peer: MakePeer) -> Self {
        Self {
            name: name.into(),
            address,
            make_peer,
            inner: None,
            script: None,
            hostile: false,
        }
    }

    /// The same host with an inner host.
    #[must_use]
    pub fn with_inner(self, inner: InnerSpec) -> Self {
        Self {
            inner: Some(inner),
            ..self
        }
    }

    /// The same host with a script, which makes it a client.
    #[must_use]
    pub fn with_script(self, script: Script) -> Self {
        Self {
            script: Some(script),
            ..self
        }
    }

    /// The role that follows from the script.
    #[must_use]
    pub const fn role(&self) -> Role {
        match self.script {
            Some(_) => Role::Client,
            None => Role::Server,
        }
    }
}

impl fmt::Debug for HostSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostSpec")
            .field("name", &self.name)
            .field("address", &self.address)
            .field("inner", &self.inner)
            .field("script", &self.script)
            .field("hostile", &self.hostile)
            .finish_non_exhaustive()
    }
}

/// The host inside the tunnel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InnerSpec {
    /// Addresses with prefix lengths. Two hosts may have the same address, such as two devices of one user. If empty, the inner host is created when the peer's `start` completes, with the
    /// addresses and the MTU of the received settings.
    pub addresses: Vec<(IpAddr, u8)>,
    /// Largest inner packet in bytes.
    pub mtu: u16,
    /// The services of the inner host.
    pub services: Vec<Service>,
    /// The limits of its TCP connections.
    pub limits: Limits,
}

impl InnerSpec {
    /// An inner host with one address, an MTU of 1280 bytes, and no service except answers to pings.
    #[must_use]
    pub fn new(address: IpAddr, prefix_len: u8) -> Self {
        Self {
            addresses: vec![(address, prefix_len)],
            mtu: 1280,
            services: Vec::new(),
            limits: Limits::default(),
        }
    }

    /// The same inner host with one more service.
    #[must_use]
    pub fn with_service(mut self, service: Service) -> Self {
        self.services.push(service);
        self
    }

    /// Configuration of its network stack.
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

/// The actions of a client.
#[derive(Clone, Debug)]
pub struct Script {
    /// Time of the `start` command. After a restart of the host it follows at once.
    pub start: Instant,
    /// The steps of its inner host.
    pub steps: Vec<ScriptStep>,
    /// Inner address that the ping of P9 is sent to.
    pub liveness_target: IpAddr,
    /// The server of the client. P9 does not ask a client whose server is down. `None` is any host without a script.
    pub server: Option<HostId>,
    /// A text that must not appear in an outer datagram (P1), such as a password. At least
    /// [`MIN_SECRET_LEN`] bytes: a shorter one would be found by chance.
    pub secret: Option<String>,
}

impl Script {
    /// A client that starts its tunnel at time 0 and has no steps and no secret.
    #[must_use]
    pub fn new(liveness_target: IpAddr) -> Self {
        Self {
            start: Instant::ZERO,
            steps: Vec::new(),
            liveness_target,
            server: None,
            secret: None,
        }
    }

    /// The same client with one more step, which starts after the step before it. A ping or echo succeeds with one reply.
    #[must_use]
    pub fn with_step(mut self, task: Task) -> Self {
        self.steps.push(ScriptStep {
            at: Instant::ZERO,
            meanwhile: false,
            task,
            replies: 1,
        });
        self
    }
}

/// One step of a client.
#[derive(Clone, Debug)]
pub struct ScriptStep {
    /// Earliest start of the step.
    pub at: Instant,
    /// If true, the step starts together with the step before it, instead of after it.
    pub meanwhile: bool,
    /// The task of the inner host.
    pub task: Task,
    /// Smallest number of replies for the success of a ping or echo.
    pub replies: u32,
}

/// An event at a given time. It happens before the turns of that time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Control {
    /// The host stops and loses its state. Datagrams that it has sent still arrive.
    Crash(HostId),
    /// The host starts with a new peer. If it is up, this is a reboot: it loses its state, as after a crash.
    Restart(HostId),
    /// Datagrams between the two hosts are lost, in both directions.
    Partition(HostId, HostId),
    /// The end of a partition that began earlier.
    Repair(HostId, HostId),
    /// A command of the host's user. The host must be up.
    Command(HostId, Command),
    /// The host gets another outer address, as after a NAT rebinding, and does not notice. Datagrams to the old address are
    /// lost, also those in flight.
    Rebind(HostId, SocketAddr),
    /// A sentence for the trace, about an action that a peer takes on its own at that time.
    Note(String),
}
