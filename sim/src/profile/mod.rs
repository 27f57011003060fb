//! From a scenario to a setup: the only place of the laboratory that knows a protocol by name.

mod classic;
mod operator;
mod secure;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sandhog_netstack::{Service, Task};
use sandhog_proto::{Command, Instant, IpPrefix};

use crate::adversary;
use crate::link::LinkConfig;
use crate::record::HostId;
use crate::scenario::{Client, Outcome, Profile, Scenario, Server, Step, TimedEvent};
use crate::setup::{Control, Expected, HostSpec, InnerSpec, Rules, Script, ScriptStep, Setup};

impl Setup {
    /// The setup of a valid scenario.
    #[must_use]
    pub fn of(scenario: &Scenario) -> Self {
        let names = names(scenario);
        let id = |name: &str| {
            names
                .iter()
                .position(|other| *other == name)
                .map_or(0, |index| index as HostId)
        };
        let mut hosts: Vec<HostSpec> = scenario
            .servers
            .iter()
            .map(|server| server_spec(scenario, server))
            .collect();
        hosts.extend(
            scenario
                .clients
                .iter()
                .map(|client| client_spec(scenario, client)),
        );
        let mut links = Vec::new();
        for link in &scenario.links {
            let (a, b) = (id(&link.between[0]), id(&link.between[1]));
            let [forward, backward] = LinkConfig::of(link);
            links.push((a, b, forward));
            links.push((b, a, backward));
        }
        Self {
            hosts,
            links,
            controls: controls(scenario, id),
            resolution: scenario.resolution.0,
            duration: scenario.duration.0,
            ends_when_done: scenario.ends_early,
            liveness: Some(scenario.liveness.0),
            expectations: expectations(scenario, id),
            rules: scenario.profile.rules(),
            adversaries: scenario
                .adversaries
                .iter()
                .map(|said| adversary::spec_of(said, HEADER_LEN, &id))
                .collect(),
        }
    }
}

/// How many bytes of a datagram are not encrypted: code and nonce, in both profiles.
const HEADER_LEN: usize = 13;

impl Profile {
    /// The kinds of datagrams that scripted faults can name.
    pub(crate) const fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::Classic => classic::KINDS,
            Self::Secure => secure::KINDS,
        }
    }

    /// Whether a server can be made of what the scenario says.
    pub(crate) fn check_server(self, server: &Server) -> Result<(), String> {
        match self {
            Self::Classic => Ok(()),
            Self::Secure => secure::check(server),
        }
    }

    /// Whether somebody can be called that.
    pub(crate) fn check_login(self, login: &str) -> Result<(), String> {
        match self {
            Self::Classic => Ok(()),
            Self::Secure => secure::check_login(login),
        }
    }

    /// What the profile promises.
    fn rules(self) -> Rules {
        match self {
            Self::Classic => classic::rules(),
            Self::Secure => secure::rules(),
        }
    }
}

fn origin(span: std::time::Duration) -> Instant {
    Instant::ZERO + span
}

fn names(scenario: &Scenario) -> Vec<&str> {
    let servers = scenario.servers.iter().map(|server| server.name.as_str());
    servers
        .chain(scenario.clients.iter().map(|client| client.name.as_str()))
        .chain(
            scenario
                .adversaries
                .iter()
                .map(|adversary| adversary.name.as_str()),
        )
        .collect()
}

fn expectations(scenario: &Scenario, id: impl Fn(&str) -> HostId) -> Vec<Expected> {
    let expected = |client: &Client| {
        let said = scenario
            .expect
            .iter()
            .find(|expectation| expectation.client == client.name);
        Expected {
            host: id(&client.name),
            outcomes: said.map_or_else(
                || vec![Outcome::Connected],
                |said| [said.outcome].into_iter().chain(said.or).collect(),
            ),
            at: said.and_then(|expectation| expectation.at).map(|at| origin(at.0)),
            finally: said.and_then(|expectation| expectation.finally),
        }
    };
    scenario.clients.iter().map(expected).collect()
}

/// Every event, each time that it happens.
fn controls(scenario: &Scenario, id: impl Fn(&str) -> HostId + Copy) -> Vec<(Instant, Control)> {
    let times = |event: &TimedEvent| {
        let times = event.occurrences(scenario.duration);
        times
            .map(|(number, at)| (origin(at), control(event, number, id)))
            .collect::<Vec<_>>()
    };
    scenario.events.iter().flat_map(times).collect()
}

fn control(event: &TimedEvent, number: u16, id: impl Fn(&str) -> HostId) -> Control {
    if let (Some(name), Some(to)) = (&event.rebind, event.rebound_to(number)) {
        return Control::Rebind(id(name), to);
    }
    if let Some(change) = &event.account {
        return Control::Tell(change.to_string());
    }
    let commands = [
        (&event.stop, Command::Stop),
        (&event.start, Command::Start),
        (&event.sleep, Command::Sleep),
        (&event.wake, Command::Wake),
        (&event.network_changed, Command::NetworkChanged),
    ];
    if let Some(name) = &event.crash {
        return Control::Crash(id(name));
    }
    if let Some([a, b]) = &event.partition {
        return Control::Partition(id(a), id(b));
    }
    if let Some([a, b]) = &event.repair {
        return Control::Repair(id(a), id(b));
    }
    for (name, command) in commands {
        if let Some(name) = name {
            return Control::Command(id(name), command);
        }
    }
    Control::Restart(id(event.restart.as_deref().unwrap_or_default()))
}

fn prefixes(inner: &[String]) -> Vec<IpPrefix> {
    inner.iter().filter_map(|text| text.parse().ok()).collect()
}

fn inner_spec(inner: &[String], mtu: u16, services: Vec<Service>) -> InnerSpec {
    let addresses = prefixes(inner)
        .iter()
        .map(|prefix| (prefix.address, prefix.length))
        .collect();
    InnerSpec {
        addresses,
        mtu,
        services,
    }
}

fn server_spec(scenario: &Scenario, server: &Server) -> HostSpec {
    let make_peer = match scenario.profile {
        Profile::Classic => classic::server(server),
        Profile::Secure => secure::server(server, secure::changes(scenario, server)),
    };
    let serve = &server.serve;
    let mut services: Vec<Service> = Vec::new();
    services.extend(serve.udp_echo.map(|port| Service::UdpEcho { port }));
    services.extend(serve.bulk.map(|port| Service::Bulk { port }));
    let file = |name: &String| Some((format!("/{name}"), scenario.files.get(name)?.clone()));
    let files: BTreeMap<String, Cow<'static, [u8]>> = serve.files.iter().filter_map(file).collect();
    services.extend(serve.http.map(|port| Service::Http { port, files }));
    HostSpec {
        name: server.name.clone(),
        address: server.address,
        make_peer,
        inner: Some(inner_spec(&server.inner, server.mtu, services)),
        script: None,
        hostile: false,
    }
}

fn client_spec(scenario: &Scenario, client: &Client) -> HostSpec {
    let server = scenario
        .servers
        .iter()
        .find(|server| server.name == client.server);
    let server_address = server.map_or(client.address, |server| server.address);
    let make_peer = match scenario.profile {
        Profile::Classic => classic::client(client, server_address),
        Profile::Secure => secure::client(client, server_address),
    };
    let script = Script {
        start: origin(client.start.0),
        steps: client.steps.iter().map(script_step).collect(),
        liveness_target: liveness_target(client, server),
        secret: client.password.clone(),
    };
    HostSpec {
        name: client.name.clone(),
        address: client.address,
        make_peer,
        inner: Some(inner_spec(&client.inner, client.mtu, Vec::new())),
        script: Some(script),
        hostile: false,
    }
}

/// The server's first inner address of a family that the client has too; its first for a client whose addresses
/// come from the server.
fn liveness_target(client: &Client, server: Option<&Server>) -> IpAddr {
    let own = prefixes(&client.inner);
    let theirs = server.map(|server| prefixes(&server.inner)).unwrap_or_default();
    let reachable = |prefix: &&IpPrefix| {
        own.is_empty()
            || own
                .iter()
                .any(|own| own.address.is_ipv4() == prefix.address.is_ipv4())
    };
    theirs
        .iter()
        .find(reachable)
        .map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |prefix| prefix.address)
}

fn script_step(step: &Step) -> ScriptStep {
    let (task, replies) = if let Some(ping) = &step.ping {
        let task = Task::Ping {
            to: ping.to,
            count: ping.count,
            interval: ping.every.0,
            payload_len: ping.size,
            timeout: ping.timeout.0,
        };
        (task, u32::from(ping.replies))
    } else if let Some(echo) = &step.echo {
        let task = Task::UdpEcho {
            to: echo.to,
            count: echo.count,
            interval: echo.every.0,
            payload_len: echo.size,
            timeout: echo.timeout.0,
        };
        (task, u32::from(echo.replies))
    } else if let Some(download) = &step.download {
        (
            Task::Download {
                from: download.from,
                bytes: download.bytes.0,
            },
            0,
        )
    } else if let Some(upload) = &step.upload {
        (
            Task::Upload {
                to: upload.to,
                bytes: upload.bytes.0,
            },
            0,
        )
    } else {
        let none = SocketAddr::from(([0, 0, 0, 0], 0));
        let (from, path) = step
            .get
            .as_ref()
            .map_or((none, String::new()), |get| (get.from, get.path.clone()));
        (Task::HttpGet { from, path }, 0)
    };
    ScriptStep {
        at: origin(step.at.0),
        meanwhile: step.meanwhile,
        task,
        replies,
    }
}
