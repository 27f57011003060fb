//! Adversaries, as a scenario's file says them.

use std::net::SocketAddr;

use schemars::JsonSchema;
use serde::Deserialize;

use super::values::{Chance, Span};

/// Somebody who is after the others: sees what goes over one link, or nothing, and sends what it likes.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Adversary {
    /// Its name, for links and the story.
    pub name: String,
    /// Its own address on the outer network.
    pub address: SocketAddr,
    /// The two hosts whose link it stands on: it sees every datagram, both ways. Without it, it sees none.
    pub on_path: Option<[String; 2]>,
    /// How many datagrams it sends at most.
    pub budget: u64,
    /// Its own randomness, beside that of the run.
    #[serde(default)]
    pub seed: u64,
    /// What it does.
    #[serde(default, rename = "do")]
    pub acts: Vec<Act>,
}

/// One thing that an adversary does. Exactly one of `inject`, `replay`, `alter`, `reflect` and `flood`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Act {
    /// Sends datagrams of its own.
    pub inject: Option<Inject>,
    /// Sends datagrams again that it has seen.
    pub replay: Option<Replay>,
    /// Flips a bit of datagrams on their way.
    pub alter: Option<Alter>,
    /// Sends datagrams back to their sender, as from the one they were meant for.
    pub reflect: Option<Reflect>,
    /// Sends very many datagrams.
    pub flood: Option<Flood>,
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
    Span(std::time::Duration::from_millis(1))
}

/// Datagrams of an adversary's own.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Inject {
    /// The victim.
    pub to: String,
    /// The source address: `own`, `random` (another one each time), a host's name, or an address with a port.
    #[serde(default = "own")]
    pub from: String,
    /// What is in them: `random`, `copied-header` (the header of the newest datagram on its way to the victim, and
    /// random bytes), or the bytes in hex.
    #[serde(default = "random")]
    pub bytes: String,
    /// Bytes in all, where `bytes` does not say it. 100 for random ones.
    pub size: Option<u16>,
    /// How many.
    #[serde(default = "once")]
    pub count: u64,
    /// From one to the next.
    #[serde(default = "one_millisecond")]
    pub every: Span,
    /// When the first is sent.
    #[serde(default)]
    pub at: Span,
}

/// Copies of what was seen.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Replay {
    /// What the original means.
    pub kind: String,
    /// Only the n-th of its kind in its direction; without it each.
    pub nth: Option<u64>,
    /// Only what this host has sent.
    pub by: Option<String>,
    /// To whom; without it to where the original went.
    pub to: Option<String>,
    /// The source address, as for `inject`; without it that of the original.
    pub from: Option<String>,
    /// How long after the original.
    #[serde(default = "one_millisecond")]
    pub after: Span,
    /// How many copies of each.
    #[serde(default = "once")]
    pub count: u64,
    /// From one copy to the next.
    #[serde(default = "one_millisecond")]
    pub every: Span,
}

/// Flipped bits.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Alter {
    /// What the datagram means.
    pub kind: String,
    /// Only the n-th of its kind in its direction.
    pub nth: Option<u64>,
    /// Only what this host has sent.
    pub by: Option<String>,
    /// How often; without it each.
    pub chance: Option<Chance>,
    /// Which bit, from 0, the first byte's highest; without it any.
    pub bit: Option<u64>,
    /// Whether the original vanishes.
    #[serde(default = "yes")]
    pub drop_original: bool,
}

fn yes() -> bool {
    true
}

/// Datagrams sent back.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reflect {
    /// What the datagram means.
    pub kind: String,
    /// Only the n-th of its kind in its direction.
    pub nth: Option<u64>,
    /// Only what this host has sent.
    pub by: Option<String>,
    /// How often; without it each.
    pub chance: Option<Chance>,
}

/// Very many datagrams.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Flood {
    /// The victim.
    pub to: String,
    /// The source address, as for `inject`.
    #[serde(default = "random")]
    pub from: String,
    /// Copies of the datagrams of this kind that it has seen, one after another; without it random bytes.
    pub kind: Option<String>,
    /// Bytes of each random one.
    pub size: Option<u16>,
    /// How many each second.
    pub rate: u32,
    /// How long.
    #[serde(rename = "for")]
    pub lasts: Span,
    /// When it begins.
    #[serde(default)]
    pub at: Span,
}

/// The bytes that hex digits stand for; `None` if it is no hex.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text
        .chars()
        .map(|digit| digit.to_digit(16))
        .collect::<Option<_>>()?;
    let pairs = digits.chunks_exact(2);
    (pairs.remainder().is_empty() && !digits.is_empty())
        .then(|| pairs.map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}
