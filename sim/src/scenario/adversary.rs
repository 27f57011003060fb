//! Adversaries of a scenario: attackers on or off the path between two hosts.

use std::net::SocketAddr;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Chance, Span};

/// An attacker. It may observe one link, and sends datagrams with any source address. Only the action `speak` has keys.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Adversary {
    /// The name, for links and the story. 1 to 32 letters, digits, `-` and `_`.
    pub name: String,
    /// Its own address on the outer network.
    pub address: SocketAddr,
    /// The two hosts whose link it observes, in both directions. Without this key it sees no datagrams.
    pub on_path: Option<[String; 2]>,
    /// Maximum number of datagrams that it sends.
    pub budget: u64,
    /// Seed of its own randomness, in addition to the seed of the run.
    #[serde(default)]
    pub seed: u64,
    /// Its actions, all active from the start of the run.
    #[serde(default, rename = "do")]
    pub acts: Vec<Act>,
}

/// An action of an adversary. Exactly one of `inject`, `replay`, `alter`, `reflect`, `flood` and `speak`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Act {
    /// Sends its own datagrams.
    pub inject: Option<Inject>,
    /// Sends observed datagrams again.
    pub replay: Option<Replay>,
    /// Flips a bit of observed datagrams.
    pub alter: Option<Alter>,
    /// Sends observed datagrams back to their sender, with the address of their destination as source.
    pub reflect: Option<Reflect>,
    /// Sends a flood of datagrams.
    pub flood: Option<Flood>,
    /// Speaks the protocol of the hosts.
    pub speak: Option<Speak>,
}

fn own() -> String {
    "own".into()
}

fn random() -> String {
    "random".into()
}

fn once() -> u64 {
    1
}

fn one_millisecond() -> Span {
    Span(Duration::from_millis(1))
}

/// Datagrams that an adversary creates.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Inject {
    /// The host that receives the datagrams.
    pub to: String,
    /// The source address: `own`, `random` (a new address each time), the name of a host, or an address with a port.
    #[serde(default = "own")]
    pub from: String,
    /// The content: `random`, `copied-header` (the header of the newest datagram to this host, then random bytes), or the
    /// bytes in hex digits.
    #[serde(default = "random")]
    pub bytes: String,
    /// Total length in bytes. The default is 100 for `random`, and the length of the original for `copied-header`.
    pub size: Option<u16>,
    /// Number of datagrams.
    #[serde(default = "once")]
    pub count: u64,
    /// Interval between datagrams.
    #[serde(default = "one_millisecond")]
    pub every: Span,
    /// Time of the first datagram.
    #[serde(default)]
    pub at: Span,
}

/// Copies of observed datagrams.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Replay {
    /// The kind of the original.
    pub kind: String,
    /// Only the n-th datagram of its kind in its direction, from 1. Without this key, each one.
    pub nth: Option<u64>,
    /// Only datagrams that this host sent.
    pub by: Option<String>,
    /// The destination. Without this key, the destination of the original.
    pub to: Option<String>,
    /// The source address, as for `inject`. Without this key, the source of the original.
    pub from: Option<String>,
    /// Delay after the original.
    #[serde(default = "one_millisecond")]
    pub after: Span,
    /// Number of copies of each datagram.
    #[serde(default = "once")]
    pub count: u64,
    /// Interval between copies.
    #[serde(default = "one_millisecond")]
    pub every: Span,
}

/// Flipped bits in observed datagrams.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Alter {
    /// The kind of the datagram.
    pub kind: String,
    /// Only the n-th datagram of its kind in its direction, from 1. Without this key, each one.
    pub nth: Option<u64>,
    /// Only datagrams that this host sent.
    pub by: Option<String>,
    /// Probability for each datagram. Without this key, each one.
    pub chance: Option<Chance>,
    /// Number of the bit, from 0, the highest bit of the first byte. Without this key, a random bit.
    pub bit: Option<u64>,
    /// If true, the original is lost.
    #[serde(default = "yes")]
    pub drop_original: bool,
}

fn yes() -> bool {
    true
}

/// Observed datagrams that are sent back.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reflect {
    /// The kind of the datagram.
    pub kind: String,
    /// Only the n-th datagram of its kind in its direction, from 1. Without this key, each one.
    pub nth: Option<u64>,
    /// Only datagrams that this host sent.
    pub by: Option<String>,
    /// Probability for each datagram. Without this key, each one.
    pub chance: Option<Chance>,
}

/// A flood of datagrams.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Flood {
    /// The host that receives the datagrams.
    pub to: String,
    /// The source address, as for `inject`.
    #[serde(default = "random")]
    pub from: String,
    /// Copies of observed datagrams of this kind, one after another. Without this key, random bytes.
    pub kind: Option<String>,
    /// Length of each random datagram in bytes. The default is 100.
    pub size: Option<u16>,
    /// Datagrams per second.
    pub rate: u32,
    /// Duration.
    #[serde(rename = "for")]
    pub lasts: Span,
    /// Time of the first datagram.
    #[serde(default)]
    pub at: Span,
}

/// Attempts to speak the protocol, each with an address of its own. The adversary holds the keys that all users share.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Speak {
    /// The server with which it speaks, or in whose place it answers.
    pub to: String,
    /// The part that it plays.
    #[serde(rename = "as")]
    pub part: Part,
    /// The user name. `key-holder`: without this key, another invented name for each attempt. `false-server`: the only user of
    /// the false server; without this key it has none. `refused-account` and `insider`: required.
    pub login: Option<String>,
    /// The password. `key-holder`: that of `login`. `false-server`: the guess with which the user was registered.
    /// `refused-account` and `insider`: required.
    pub password: Option<String>,
    /// The source address: `own` (each further attempt has the next port) or `random` (a new address for each attempt). The
    /// default is `random` for `key-holder`, and `own` for `refused-account` and `insider`. A `false-server` has the address of the server.
    pub from: Option<String>,
    /// Number of attempts.
    #[serde(default = "once")]
    pub count: u64,
    /// Interval between attempts.
    #[serde(default = "one_millisecond")]
    pub every: Span,
    /// Time of the first attempt.
    #[serde(default)]
    pub at: Span,
    /// Kinds of datagrams that it does not send. The default is the last message of a login for `key-holder`, and none for the
    /// others.
    pub withhold: Option<Vec<String>>,
}

/// The part of an adversary that speaks the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Part {
    /// A client that starts logins and does not finish them.
    KeyHolder,
    /// A server without the secrets and the users of the real one.
    FalseServer,
    /// A client with a valid password that continues after the server has refused its login.
    RefusedAccount,
    /// A client with a valid account that asks for rekeys and for changes of its password without end.
    Insider,
}

impl Part {
    /// The name in scenarios.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::KeyHolder => "key-holder",
            Self::FalseServer => "false-server",
            Self::RefusedAccount => "refused-account",
            Self::Insider => "insider",
        }
    }
}

/// The bytes of an even number of hex digits. `None` for any other text.
pub(super) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    (pairs.remainder().is_empty() && !digits.is_empty())
        .then(|| pairs.map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}
