//! Links between hosts, with the terms of `tc netem`.

use sandhog_lab::link::LinkConfig;
use schemars::JsonSchema;
use serde::Deserialize;

use super::Pick;
use super::values::{Chance, Delay, Rate};

/// A link between two hosts, with the terms of `tc netem`. The keys of this table apply to both directions.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Link {
    /// The two hosts.
    pub between: [String; 2],
    /// Delay, jitter, correlation. Jitter reorders datagrams.
    pub delay: Option<Delay>,
    /// Random loss.
    pub loss: Option<Chance>,
    /// Random duplication.
    pub duplicate: Option<Chance>,
    /// Random corruption: one bit of the payload is flipped.
    pub corrupt: Option<Chance>,
    /// Bandwidth. Datagrams wait in a queue.
    pub rate: Option<Rate>,
    /// Length of the queue in datagrams. The default is 1000, as in netem.
    pub limit: Option<u32>,
    /// The largest outer IP packet in bytes. Larger packets are silently lost.
    pub mtu: Option<u16>,
    /// Values that differ from the first host to the second.
    pub forward: Option<Direction>,
    /// Values that differ from the second host to the first.
    pub backward: Option<Direction>,
}

/// One direction of a link: its own values, and scripted faults of selected datagrams.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Direction {
    /// Delay, jitter, correlation.
    pub delay: Option<Delay>,
    /// Random loss.
    pub loss: Option<Chance>,
    /// Random duplication.
    pub duplicate: Option<Chance>,
    /// Random corruption: one bit of the payload is flipped.
    pub corrupt: Option<Chance>,
    /// Bandwidth.
    pub rate: Option<Rate>,
    /// Length of the queue in datagrams.
    pub limit: Option<u32>,
    /// The largest outer IP packet in bytes.
    pub mtu: Option<u16>,
    /// Datagrams that are lost.
    #[serde(default)]
    pub drop: Vec<Pick>,
    /// Datagrams with an additional delay of `by`.
    #[serde(default)]
    pub late: Vec<Pick>,
    /// Datagrams that arrive twice.
    #[serde(default)]
    pub double: Vec<Pick>,
    /// Datagrams that arrive with one bit flipped.
    #[serde(default)]
    pub damage: Vec<Pick>,
}

impl Link {
    /// The configurations of both directions: forward, backward.
    #[must_use]
    pub fn configs(&self) -> [LinkConfig; 2] {
        [&self.forward, &self.backward].map(|direction| {
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
            } = direction.clone().unwrap_or_default();
            LinkConfig {
                delay: delay.or(self.delay).unwrap_or_default(),
                loss: loss.or(self.loss).unwrap_or_default(),
                duplicate: duplicate.or(self.duplicate).unwrap_or_default(),
                corrupt: corrupt.or(self.corrupt).unwrap_or_default(),
                rate: rate.or(self.rate),
                limit: limit.or(self.limit),
                mtu: mtu.or(self.mtu),
                drop,
                late,
                double,
                damage,
            }
        })
    }
}
