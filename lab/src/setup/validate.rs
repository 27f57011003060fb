//! Validation of a setup: unknown hosts, duplicate names and addresses, and values that no run can use.

mod adversaries;
mod controls;
mod hosts;
mod links;

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use sandhog_peer::Instant;

use super::{Expected, Setup};
use crate::grid::round_up;
use crate::record::HostId;
use crate::values::Span;

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

/// Returns an error unless `holds`.
fn ensure(holds: bool, field: impl Into<String>, problem: impl Into<String>) -> Checked {
    match holds {
        true => Ok(()),
        false => Err(mistake(field, problem)),
    }
}

/// Checks that the clock can hold a time.
fn validate_time(field: &str, time: Duration) -> Checked {
    let fits = time.as_nanos() <= u128::from(u64::MAX / 4);
    ensure(fits, field, "the time is longer than 146 years")
}

/// Checks that a text fits into one line of a report.
fn validate_text(field: &str, text: &str) -> Checked {
    let problem = "the text must not contain control characters, such as line breaks";
    ensure(!text.chars().any(char::is_control), field, problem)
}

/// Checks that a host can have the address.
fn validate_unicast(field: &str, address: IpAddr) -> Checked {
    let broadcast = address == IpAddr::from([255; 4]);
    let unicast = !address.is_unspecified() && !address.is_multicast() && !broadcast;
    ensure(unicast, field, format!("{address} is not a unicast address"))
}

/// Checks that a UDP socket can have the address.
pub(crate) fn validate_socket(field: &str, address: SocketAddr) -> Checked {
    ensure(address.port() != 0, field, "port 0 is not a valid port")?;
    validate_unicast(field, address.ip())
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
        validate_text("name", &self.name)?;
        validate_text("title", &self.title)?;
        self.validate_names()?;
        hosts::validate(self)?;
        links::validate(self)?;
        controls::validate(self)?;
        for (index, expected) in self.expectations.iter().enumerate() {
            self.validate_expectation(index, expected)?;
        }
        for (index, host) in self.hosts.iter().enumerate() {
            let server = host.script.as_ref().and_then(|script| script.server);
            server.map_or(Ok(()), |server| {
                self.known(&format!("hosts[{index}].script.server"), server)
            })?;
        }
        adversaries::validate(self)
    }

    fn validate_times(&self) -> Checked {
        let valid = !self.resolution.is_zero() && self.resolution <= Duration::from_secs(1);
        ensure(valid, "resolution", "the resolution must be between 1 ns and 1 s")?;
        validate_time("duration", self.duration)?;
        validate_time("liveness", self.liveness.unwrap_or_default())?;
        ensure(
            !self.hosts.is_empty(),
            "hosts",
            "there is no host; a run needs at least one",
        )?;
        ensure(
            !self.duration.is_zero(),
            "duration",
            "the run ends at once; the duration must be longer than 0",
        )
    }

    /// Checks that `time` is before the end of the work phase.
    fn before_the_end(&self, field: &str, time: Duration) -> Checked {
        let end = Span(self.duration);
        let problem = format!("{} is not before the end of the run, which is {end}", Span(time));
        ensure(time < self.duration, field, problem)
    }

    /// Names and addresses of hosts and adversaries.
    fn validate_names(&self) -> Checked {
        let count = self.hosts.len() + self.adversaries.len();
        let problem = format!("{count} hosts; at most {MAX_HOSTS} are possible");
        ensure(count <= MAX_HOSTS, "hosts", problem)?;
        let hosts = self.hosts.iter().enumerate();
        let hosts = hosts.map(|(index, host)| (format!("hosts[{index}]"), &host.name, host.address));
        let adversaries = self.adversaries.iter().enumerate();
        let adversaries =
            adversaries.map(|(index, one)| (format!("adversaries[{index}]"), &one.name, one.address));
        let (mut names, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for (field, name, address) in hosts.chain(adversaries) {
            let valid = !name.is_empty() && !name.chars().any(char::is_control);
            let problem = "a name needs at least one character, and must not contain control characters";
            ensure(valid, format!("{field}.name"), problem)?;
            let problem = format!("there is already a host `{name}`");
            ensure(names.insert(name), format!("{field}.name"), problem)?;
            validate_socket(&format!("{field}.address"), address)?;
            let problem = format!("another host already has the address {address}");
            ensure(addresses.insert(address), format!("{field}.address"), problem)?;
        }
        Ok(())
    }

    /// The name of a host or an adversary.
    pub(crate) fn name_of(&self, host: usize) -> &str {
        let hosts = self.hosts.iter().map(|host| host.name.as_str());
        let mut names = hosts.chain(self.adversaries.iter().map(|adversary| adversary.name.as_str()));
        names.nth(host).unwrap_or_default()
    }

    /// Checks that `host` is the number of a host.
    fn known(&self, field: &str, host: HostId) -> Checked {
        let last = self.hosts.len().saturating_sub(1);
        let problem = format!("there is no host {host}; the hosts are 0 to {last}");
        ensure(usize::from(host) < self.hosts.len(), field, problem)
    }

    fn known_or_adversary(&self, field: &str, host: HostId) -> Checked {
        if usize::from(host) < self.hosts.len() + self.adversaries.len() {
            return Ok(());
        }
        self.known(field, host)
    }

    fn validate_expectation(&self, index: usize, expected: &Expected) -> Checked {
        let field = |name: &str| format!("expectations[{index}].{name}");
        self.known(&field("host"), expected.host)?;
        let host = &self.hosts[usize::from(expected.host)];
        let problem = format!("`{}` has no script, so it never starts a tunnel", host.name);
        ensure(host.script.is_some(), field("host"), problem)?;
        let mut earlier = self.expectations[..index].iter();
        let repeated = earlier.any(|earlier| earlier.host == expected.host);
        let problem = format!("there is already an expectation for `{}`", host.name);
        ensure(!repeated, field("host"), problem)?;
        let known = !expected.outcomes.is_empty();
        ensure(known, field("outcomes"), "at least one outcome is needed")?;
        let Some(at) = expected.at else { return Ok(()) };
        let problem = format!(
            "{at} is not a multiple of the resolution, so nothing happens at that time; the next multiple is {}",
            round_up(at, self.resolution)
        );
        ensure(round_up(at, self.resolution) == at, field("at"), problem)?;
        self.before_the_end(&field("at"), since_start(at))
    }
}

/// Time since the start of the run.
fn since_start(at: Instant) -> Duration {
    at.saturating_duration_since(Instant::ZERO)
}
