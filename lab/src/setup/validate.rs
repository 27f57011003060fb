//! Validation of a setup: unknown hosts, duplicate names and addresses, and values that no run can use.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use sandhog_netstack::ConfigError;

use super::{Control, Expected, HostSpec, Setup};
use crate::adversary::{Act, AdversarySpec, Bytes, Pick, Source};
use crate::record::HostId;

/// The problem of an address that no socket can have.
const PORT_0: &str = "port 0 is not a valid port";

/// Largest number of hosts and adversaries.
const MAX_HOSTS: usize = HostId::MAX as usize;

/// Smallest length of a secret in bytes. A shorter one would be found in random bytes by chance.
pub const MIN_SECRET_LEN: usize = 6;

/// A mistake in a setup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetupError {
    /// The field with the mistake, like `hosts[2].address`.
    pub field: String,
    /// The mistake and its correction, in one sentence.
    pub problem: String,
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "setup: {}: {}", self.field, self.problem)
    }
}

impl Error for SetupError {}

type Checked = Result<(), SetupError>;

fn mistake(field: impl Into<String>, problem: impl Into<String>) -> SetupError {
    SetupError {
        field: field.into(),
        problem: problem.into(),
    }
}

impl Setup {
    /// Checks that the setup can run.
    ///
    /// # Errors
    ///
    /// The first mistake, with the name of its field.
    ///
    /// ```
    /// use std::time::Duration;
    /// use sandhog_lab::setup::Setup;
    ///
    /// let setup = Setup { resolution: Duration::ZERO, ..Setup::default() };
    /// assert_eq!(setup.validate().unwrap_err().field, "resolution");
    /// ```
    pub fn validate(&self) -> Checked {
        self.validate_times()?;
        self.validate_names()?;
        for (index, host) in self.hosts.iter().enumerate() {
            validate_host(index, host)?;
        }
        for (index, (from, to, _)) in self.links.iter().enumerate() {
            let field = format!("links[{index}]");
            self.known_or_adversary(&field, *from)?;
            self.known_or_adversary(&field, *to)?;
            if from == to {
                return Err(mistake(field, "a link needs two different hosts"));
            }
            if self.links[..index].iter().any(|(a, b, _)| (a, b) == (from, to)) {
                return Err(mistake(
                    field,
                    format!("there is already a link from host {from} to host {to}"),
                ));
            }
        }
        for (index, (_, control)) in self.controls.iter().enumerate() {
            self.validate_control(&format!("controls[{index}]"), control)?;
        }
        self.validate_rebinds()?;
        for (index, expected) in self.expectations.iter().enumerate() {
            self.validate_expectation(index, expected)?;
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let server = host.script.as_ref().and_then(|script| script.server);
            server.map_or(Ok(()), |server| {
                self.known(&format!("hosts[{index}].script.server"), server)
            })?;
        }
        for (index, adversary) in self.adversaries.iter().enumerate() {
            self.validate_adversary(&format!("adversaries[{index}]"), adversary)?;
        }
        Ok(())
    }

    fn validate_times(&self) -> Checked {
        if self.resolution.is_zero() || self.resolution > Duration::from_secs(1) {
            return Err(mistake(
                "resolution",
                "the resolution must be between 1 ns and 1 s",
            ));
        }
        for (field, time) in [("duration", Some(self.duration)), ("liveness", self.liveness)] {
            if time.is_some_and(|time| time.as_nanos() > u128::from(u64::MAX / 4)) {
                return Err(mistake(field, "the time is longer than 146 years"));
            }
        }
        Ok(())
    }

    /// Names and addresses of hosts and adversaries.
    fn validate_names(&self) -> Checked {
        let count = self.hosts.len() + self.adversaries.len();
        if count > MAX_HOSTS {
            return Err(mistake(
                "hosts",
                format!("{count} hosts; at most {MAX_HOSTS} are possible"),
            ));
        }
        let hosts = self.hosts.iter().enumerate();
        let hosts = hosts.map(|(index, host)| (format!("hosts[{index}]"), &host.name, host.address));
        let adversaries = self.adversaries.iter().enumerate();
        let adversaries =
            adversaries.map(|(index, one)| (format!("adversaries[{index}]"), &one.name, one.address));
        let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for (field, name, address) in hosts.chain(adversaries) {
            if name.is_empty() || name.chars().any(char::is_control) {
                let problem = "a name needs at least one character, and must not contain control characters";
                return Err(mistake(format!("{field}.name"), problem));
            }
            if !names.insert(name) {
                return Err(mistake(
                    format!("{field}.name"),
                    format!("there is already a host `{name}`"),
                ));
            }
            if address.port() == 0 {
                return Err(mistake(format!("{field}.address"), PORT_0));
            }
            if !addresses.insert(address) {
                let problem = format!("another host already has the address {address}");
                return Err(mistake(format!("{field}.address"), problem));
            }
        }
        Ok(())
    }

    /// Checks that `host` is the number of a host.
    fn known(&self, field: &str, host: HostId) -> Checked {
        if usize::from(host) < self.hosts.len() {
            return Ok(());
        }
        let problem = match self.hosts.len() {
            0 => format!("there is no host {host}; the setup has no hosts"),
            count => format!("there is no host {host}; the hosts are 0 to {}", count - 1),
        };
        Err(mistake(field, problem))
    }

    fn known_or_adversary(&self, field: &str, host: HostId) -> Checked {
        if usize::from(host) < self.hosts.len() + self.adversaries.len() {
            return Ok(());
        }
        self.known(field, host)
    }

    fn validate_control(&self, field: &str, control: &Control) -> Checked {
        match control {
            Control::Crash(host) | Control::Restart(host) | Control::Command(host, _) => {
                self.known(field, *host)
            }
            Control::Partition(a, b) | Control::Repair(a, b) => {
                self.known(field, *a)?;
                self.known(field, *b)?;
                if a == b {
                    return Err(mistake(field, "a partition needs two different hosts"));
                }
                Ok(())
            }
            Control::Rebind(host, to) => {
                self.known(field, *host)?;
                match to.port() {
                    0 => Err(mistake(field, PORT_0)),
                    _ => Ok(()),
                }
            }
            Control::Note(_) => Ok(()),
        }
    }

    /// Checks, in the order of time, that no host takes an address that another host or an adversary has.
    fn validate_rebinds(&self) -> Checked {
        let hosts = self.hosts.iter().map(|host| host.address);
        let adversaries = self.adversaries.iter().map(|adversary| adversary.address);
        let mut addresses: Vec<SocketAddr> = hosts.chain(adversaries).collect();
        let mut controls: Vec<_> = self.controls.iter().enumerate().collect();
        controls.sort_by_key(|(_, (at, _))| *at);
        for (index, (_, control)) in controls {
            let Control::Rebind(host, to) = control else {
                continue;
            };
            let host = usize::from(*host);
            match addresses.iter().position(|address| address == to) {
                Some(other) if other != host => {
                    let hosts = self.hosts.iter().map(|host| &host.name);
                    let mut names = hosts.chain(self.adversaries.iter().map(|adversary| &adversary.name));
                    let name = names.nth(other).map_or("", String::as_str);
                    let problem = format!("{to} is the address of `{name}` at that time");
                    return Err(mistake(format!("controls[{index}]"), problem));
                }
                _ => addresses[host] = *to,
            }
        }
        Ok(())
    }

    fn validate_expectation(&self, index: usize, expected: &Expected) -> Checked {
        let field = format!("expectations[{index}]");
        self.known(&format!("{field}.host"), expected.host)?;
        let host = &self.hosts[usize::from(expected.host)];
        if host.script.is_none() {
            let problem = format!("`{}` has no script, so it never starts a tunnel", host.name);
            return Err(mistake(format!("{field}.host"), problem));
        }
        if self.expectations[..index]
            .iter()
            .any(|earlier| earlier.host == expected.host)
        {
            let problem = format!("there is already an expectation for `{}`", host.name);
            return Err(mistake(format!("{field}.host"), problem));
        }
        if expected.outcomes.is_empty() {
            return Err(mistake(
                format!("{field}.outcomes"),
                "at least one outcome is needed",
            ));
        }
        Ok(())
    }

    fn validate_adversary(&self, field: &str, adversary: &AdversarySpec) -> Checked {
        if let Some((a, b)) = adversary.on_path {
            self.known(&format!("{field}.on_path"), a)?;
            self.known(&format!("{field}.on_path"), b)?;
            if a == b {
                return Err(mistake(
                    format!("{field}.on_path"),
                    "a path needs two different hosts",
                ));
            }
        }
        for (number, act) in adversary.acts.iter().enumerate() {
            self.validate_act(&format!("{field}.acts[{number}]"), act)?;
        }
        Ok(())
    }

    fn validate_act(&self, field: &str, act: &Act) -> Checked {
        let source = |source: &Source| match source {
            Source::Host(host) => self.known(&format!("{field}.from"), *host),
            _ => Ok(()),
        };
        let sender = |pick: &Pick| {
            pick.by
                .map_or(Ok(()), |host| self.known(&format!("{field}.pick.by"), host))
        };
        match act {
            Act::Inject(inject) => {
                self.known(&format!("{field}.to"), inject.to)?;
                if let Bytes::Recorded(kind) = &inject.bytes
                    && kind.is_empty()
                {
                    return Err(mistake(
                        format!("{field}.bytes"),
                        "the kind of the recorded datagrams is empty",
                    ));
                }
                source(&inject.from)
            }
            Act::Replay { pick, to, from, .. } => {
                sender(pick)?;
                to.map_or(Ok(()), |host| self.known(&format!("{field}.to"), host))?;
                from.as_ref().map_or(Ok(()), source)
            }
            Act::Alter { pick, .. } | Act::Reflect { pick } => sender(pick),
        }
    }
}

fn validate_host(index: usize, host: &HostSpec) -> Checked {
    let field = |name: &str| format!("hosts[{index}].{name}");
    if let Some(inner) = &host.inner {
        inner.config(0, [0; 16]).check().map_err(|error| {
            let name = match error {
                ConfigError::Mtu { .. } => "inner.mtu",
                _ => "inner.addresses",
            };
            mistake(field(name), error.to_string())
        })?;
    }
    let Some(script) = &host.script else { return Ok(()) };
    if let Some(secret) = &script.secret
        && secret.len() < MIN_SECRET_LEN
    {
        let problem = format!(
            "a secret of {} bytes is too short: it would be found in random bytes by chance. Use at least \
             {MIN_SECRET_LEN} bytes, or `None`",
            secret.len()
        );
        return Err(mistake(field("script.secret"), problem));
    }
    if host.inner.is_none() && !script.steps.is_empty() {
        return Err(mistake(
            field("script.steps"),
            "steps need an inner host, and `inner` is `None`",
        ));
    }
    Ok(())
}
