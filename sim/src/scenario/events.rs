//! Events: faults and actions with their times.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::clock::ClockChange;
use super::values::Span;

/// An event at a given time. Exactly one of the keys except `at`, `every`, `times` and `to`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct TimedEvent {
    /// The time of the event, rounded up to the resolution.
    pub at: Span,
    /// The interval of repetitions. Without this key, the event happens once.
    pub every: Option<Span>,
    /// The total number of times, with `every`. Without it, the event repeats until the end of `duration`.
    pub times: Option<u32>,
    /// The host that stops at once and loses its state.
    pub crash: Option<String>,
    /// The host that starts again with empty state, even if it had not crashed.
    pub restart: Option<String>,
    /// The two hosts between which all datagrams are lost from now on.
    pub partition: Option<[String; 2]>,
    /// The two hosts between which a partition ends.
    pub repair: Option<[String; 2]>,
    /// The client whose user stops the tunnel.
    pub stop: Option<String>,
    /// The client whose user starts the tunnel again.
    pub start: Option<String>,
    /// The client whose machine goes to sleep.
    pub sleep: Option<String>,
    /// The client whose machine wakes up.
    pub wake: Option<String>,
    /// The client whose network changes.
    pub network_changed: Option<String>,
    /// NAT rebinding: the client that gets the outer address `to` and does not notice.
    pub rebind: Option<String>,
    /// The new address of `rebind`. With `every`, the port increases by one each time.
    pub to: Option<SocketAddr>,
    /// A change of a user's account by the operator of a server. It survives crashes of the server.
    pub account: Option<AccountChange>,
    /// A client's user who changes the password through the tunnel.
    pub passwd: Option<PasswordChange>,
    /// A wall clock that is set.
    pub clock: Option<ClockChange>,
}

/// A change of a user's account by the operator. Exactly one of `becomes` and `password`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct AccountChange {
    /// The server that has the user.
    pub server: String,
    /// The user name.
    pub login: String,
    /// The new state of the account.
    pub becomes: Option<AccountState>,
    /// The new password.
    pub password: Option<String>,
}

/// A change of a password by the user of a client.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PasswordChange {
    /// The client.
    pub client: String,
    /// The new password.
    pub password: String,
}

/// The new state of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AccountState {
    /// The account exists, and its user cannot log in.
    Disabled,
    /// The account exists, but its date of expiry has passed, so its user cannot log in. Sessions stay.
    Expired,
    /// The user can log in again, after `disabled` or `expired`.
    Enabled,
    /// The account no longer exists.
    Removed,
}

/// The sentence of the story, without the password.
impl fmt::Display for AccountChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let does = match self.becomes {
            Some(AccountState::Disabled) => "disables the account of",
            Some(AccountState::Expired) => "sets an expiry date in the past for",
            Some(AccountState::Enabled) => "enables the account of",
            Some(AccountState::Removed) => "removes the account of",
            None => "sets another password for",
        };
        write!(f, "the operator of {} {does} \"{}\"", self.server, self.login)
    }
}

impl TimedEvent {
    /// The times of the event in a run of this `duration`, each with its number from 0.
    pub(crate) fn occurrences(&self, duration: Span) -> impl Iterator<Item = (u16, Duration)> {
        let (at, every) = (self.at.0, self.every.unwrap_or_default().0);
        let times = match self.every {
            Some(_) => self.times.unwrap_or(u32::MAX),
            None => 1,
        };
        (0..=u16::MAX)
            .zip(0..times)
            .map(move |(number, _)| (number, at.saturating_add(every.saturating_mul(u32::from(number)))))
            .take_while(move |(_, at)| *at < duration.0)
    }

    /// The new address of a `rebind` at its repetition `number`. `None` if the port would exceed 65535.
    pub(super) fn rebound_to(&self, number: u16) -> Option<SocketAddr> {
        let to = self.to?;
        Some(SocketAddr::new(to.ip(), to.port().checked_add(number)?))
    }
}
