//! Translation of a scenario to the setup of a run.

mod adversaries;

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use sandhog_lab::MIN_SECRET_LEN;
use sandhog_lab::record::HostId;
use sandhog_lab::setup::{Control, Expected, HostSpec, InnerSpec, Script, ScriptStep, Setup};
use sandhog_netstack::{Limits, Service, Task};
use sandhog_peer::{Command, Instant, IpPrefix};

use super::{Client, Scenario, Server, Step, TimedEvent};
use adversaries::adversary_spec;

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
        let names = host_names(self);
        let id = |name: &str| {
            names
                .iter()
                .position(|other| *other == name)
                .map_or(0, |index| index as HostId)
        };
        let servers = self.servers.iter().map(|server| server_spec(self, server));
        let clients = self.clients.iter().map(|client| client_spec(self, client));
        let mut links = Vec::new();
        for link in &self.links {
            let (a, b) = (id(&link.between[0]), id(&link.between[1]));
            let [forward, backward] = link.configs();
            links.push((a, b, forward));
            links.push((b, a, backward));
        }
        let adversaries = self.adversaries.iter();
        Setup {
            name: self.name.clone(),
            title: self.title.clone(),
            about: self.about.clone(),
            hosts: servers.chain(clients).collect(),
            links,
            controls: controls(self, id),
            resolution: self.resolution.0,
            duration: self.duration.0,
            ends_when_done: self.ends_early,
            liveness: Some(
                self.liveness
                    .map_or_else(|| self.profile.liveness(), |span| span.0),
            ),
            expectations: expectations(self, id),
            rules: self.profile.rules(),
            adversaries: adversaries
                .map(|adversary| adversary_spec(self, adversary, &id))
                .collect(),
            counted_kinds: self.profile.counted_kinds().to_vec(),
        }
    }
}

/// The names of all hosts. The position of a name is the number of the host.
fn host_names(scenario: &Scenario) -> Vec<&str> {
    let servers = scenario.servers.iter().map(|server| server.name.as_str());
    let clients = scenario.clients.iter().map(|client| client.name.as_str());
    let adversaries = scenario.adversaries.iter().map(|host| host.name.as_str());
    servers.chain(clients).chain(adversaries).collect()
}

fn instant(span: Duration) -> Instant {
    Instant::ZERO + span
}

fn expectations(scenario: &Scenario, id: impl Fn(&str) -> HostId) -> Vec<Expected> {
    let expected = |client: &Client| {
        let mut expected = Expected::connected(id(&client.name));
        let table = scenario.expect.iter().find(|table| table.client == client.name);
        if let Some(table) = table {
            let outcomes = [&table.outcome].into_iter().chain(&table.or);
            expected.outcomes = outcomes.map(|outcome| Cow::Owned(outcome.clone())).collect();
            expected.at = table.at.map(|at| instant(at.0));
            expected.finally = table.finally.map(Into::into);
            expected.may_be_down = table.may_be_down;
        }
        expected
    };
    scenario.clients.iter().map(expected).collect()
}

/// Every repetition of every event.
fn controls(scenario: &Scenario, id: impl Fn(&str) -> HostId + Copy) -> Vec<(Instant, Control)> {
    let repetitions = |event: &TimedEvent| {
        let times = event.occurrences(scenario.duration);
        times
            .flat_map(|(number, at)| {
                let at = instant(at);
                let set = clock_set(event, at, id);
                set.into_iter()
                    .chain([control(event, number, id)])
                    .map(move |control| (at, control))
            })
            .collect::<Vec<_>>()
    };
    scenario.events.iter().flat_map(repetitions).collect()
}

/// The command that tells a host about its new wall clock.
fn clock_set(event: &TimedEvent, at: Instant, id: impl Fn(&str) -> HostId) -> Option<Control> {
    let change = event.clock.as_ref()?;
    let unix_millis = change.becomes.shows(at)?;
    Some(Control::Command(
        id(&change.of),
        Command::ClockSet { unix_millis },
    ))
}

fn control(event: &TimedEvent, number: u16, id: impl Fn(&str) -> HostId) -> Control {
    if let (Some(name), Some(to)) = (&event.rebind, event.rebound_to(number)) {
        return Control::Rebind(id(name), to);
    }
    if let Some(change) = &event.account {
        return Control::Note(change.to_string());
    }
    if let Some(change) = &event.passwd {
        return Control::Note(format!("{}'s user wants another password", change.client));
    }
    if let Some(change) = &event.clock {
        return Control::Note(format!("{}'s wall clock is set {}", change.of, change.becomes));
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

fn inner_spec(inner: &[IpPrefix], mtu: u16, services: Vec<Service>, limits: Limits) -> InnerSpec {
    InnerSpec {
        addresses: inner
            .iter()
            .map(|prefix| (prefix.address, prefix.length))
            .collect(),
        mtu,
        services,
        limits,
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
    let limits = Limits {
        connections: usize::from(serve.connections),
        timeout: serve.timeout.0,
    };
    HostSpec {
        name: server.name.clone(),
        address: server.address,
        make_peer,
        inner: Some(inner_spec(&server.inner_prefixes(), server.mtu, services, limits)),
        script: None,
        hostile: false,
    }
}

fn client_spec(scenario: &Scenario, client: &Client) -> HostSpec {
    let mut servers = scenario.servers.iter().zip(0..);
    let found = servers.find(|(server, _)| server.name == client.server);
    let (server, server_id) = found.unzip();
    let server_address = server.map_or(client.address, |server| server.address);
    let make_peer = scenario.profile.client(scenario, client, server_address);
    let script = Script {
        start: instant(client.start.0),
        steps: client.steps.iter().map(script_step).collect(),
        liveness_target: liveness_target(client, server),
        server: server_id,
        secret: Some(client.password.clone()).filter(|secret| secret.len() >= MIN_SECRET_LEN),
    };
    HostSpec {
        name: client.name.clone(),
        address: client.address,
        make_peer,
        inner: Some(inner_spec(
            &client.inner_prefixes(),
            client.mtu,
            Vec::new(),
            Limits::default(),
        )),
        script: Some(script),
        hostile: false,
    }
}

/// The target of the ping of P9: the server's first inner address whose IP version the client has too. If the server assigns
/// the client's addresses, its first inner address.
fn liveness_target(client: &Client, server: Option<&Server>) -> IpAddr {
    let own = client.inner_prefixes();
    let theirs = server.map(Server::inner_prefixes).unwrap_or_default();
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
    let (task, replies) = task(step);
    let task = match step.tcp_keys() {
        Some(keys) => task.with_options(keys.options()),
        None => task,
    };
    ScriptStep {
        at: instant(step.at.0),
        meanwhile: step.meanwhile,
        task,
        replies,
    }
}

/// The task of a step, and its smallest number of replies.
fn task(step: &Step) -> (Task, u32) {
    if let Some(ping) = &step.ping {
        let task = Task::Ping {
            to: ping.to,
            count: ping.count,
            interval: ping.every.0,
            payload_len: ping.size,
            timeout: ping.timeout.0,
        };
        (task, u32::from(ping.replies.unwrap_or(ping.count)))
    } else if let Some(echo) = &step.echo {
        let task = Task::UdpEcho {
            to: echo.to,
            count: echo.count,
            interval: echo.every.0,
            payload_len: echo.size,
            timeout: echo.timeout.0,
        };
        (task, u32::from(echo.replies.unwrap_or(echo.count)))
    } else if let Some(download) = &step.download {
        let (from, bytes) = (download.from, download.bytes.0);
        (Task::Download { from, bytes }, 0)
    } else if let Some(upload) = &step.upload {
        let (to, bytes) = (upload.to, upload.bytes.0);
        (Task::Upload { to, bytes }, 0)
    } else {
        let none = SocketAddr::from(([0, 0, 0, 0], 0));
        let (from, path) = step
            .get
            .as_ref()
            .map_or((none, String::new()), |get| (get.from, get.path.clone()));
        (Task::HttpGet { from, path }, 0)
    }
}
