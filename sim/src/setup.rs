//! Translation of a scenario to the setup of a run.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use sandhog_lab::MIN_SECRET_LEN;
use sandhog_lab::link::LinkConfig;
use sandhog_lab::record::HostId;
use sandhog_lab::setup::{Control, Expected, HostSpec, InnerSpec, Script, ScriptStep, Setup};
use sandhog_netstack::{Service, Task};
use sandhog_peer::{Command, Instant, IpPrefix};

use crate::scenario::{Client, Direction, Link, Scenario, Server, Step, TimedEvent, adversary_spec};

impl Scenario {
    /// The setup that runs this scenario.
    ///
    /// ```
    /// use sandhog_sim::Scenario;
    ///
    /// let setup = Scenario::builtin("clean-login").unwrap().setup();
    /// assert_eq!(setup.hosts.len(), 2);
    /// assert!(setup.validate().is_ok());
    /// ```
    #[must_use]
    pub fn setup(&self) -> Setup {
        let scenario = self;
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
            let [forward, backward] = link.configs();
            links.push((a, b, forward));
            links.push((b, a, backward));
        }
        Setup {
            name: scenario.name.clone(),
            title: scenario.title.clone(),
            about: scenario.about.clone(),
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
                .map(|adversary| adversary_spec(adversary, scenario.profile.header_len(), &id))
                .collect(),
            counted_kinds: scenario.profile.counted_kinds().to_vec(),
        }
    }
}

impl Link {
    /// The configurations of both directions: forward, backward.
    #[must_use]
    pub fn configs(&self) -> [LinkConfig; 2] {
        let link = self;
        [&link.forward, &link.backward].map(|direction| {
            let over = direction.clone().unwrap_or_default();
            let Direction {
                delay,
                loss,
                duplicate,
                corrupt,
                rate,
                limit,
                mtu,
                drop,
                late,
                double,
                damage,
            } = over;
            LinkConfig {
                delay: delay.or(link.delay).unwrap_or_default(),
                loss: loss.or(link.loss).unwrap_or_default(),
                duplicate: duplicate.or(link.duplicate).unwrap_or_default(),
                corrupt: corrupt.or(link.corrupt).unwrap_or_default(),
                rate: rate.or(link.rate),
                limit: limit.or(link.limit),
                mtu: mtu.or(link.mtu),
                drop,
                late,
                double,
                damage,
            }
        })
    }
}

pub(crate) fn origin(span: std::time::Duration) -> Instant {
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
                || vec![Cow::Borrowed("connected")],
                |said| {
                    let outcomes = [&said.outcome].into_iter().chain(&said.or);
                    outcomes.map(|outcome| Cow::Owned(outcome.clone())).collect()
                },
            ),
            at: said.and_then(|expectation| expectation.at).map(|at| origin(at.0)),
            finally: said.and_then(|expectation| expectation.finally.map(Into::into)),
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

pub(crate) fn prefixes(inner: &[String]) -> Vec<IpPrefix> {
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
    let make_peer = scenario.profile.server(scenario, server);
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
    let make_peer = scenario.profile.client(scenario, client, server_address);
    let script = Script {
        start: origin(client.start.0),
        steps: client.steps.iter().map(script_step).collect(),
        liveness_target: liveness_target(client, server),
        secret: Some(client.password.clone()).filter(|secret| secret.len() >= MIN_SECRET_LEN),
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
