//! Bounds of an exhaustive search.

use super::faults::{FaultKind, Values};
use crate::record::RecordId;

/// Start of the datagrams that a search gives faults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// The first datagram of the run.
    #[default]
    First,
    /// The first datagram after this record of the run without faults.
    Record(RecordId),
    /// The first datagram after the first record with this kind or value, such as `rekeyed` or `reasserting`.
    Event(String),
}

/// Bounds of a search.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Number of datagrams that can have a fault.
    pub datagrams: u32,
    /// Largest number of faults of a schedule.
    pub faults: u32,
    /// The kinds of faults.
    pub kinds: Vec<FaultKind>,
    /// Their values.
    pub values: Values,
    /// The first of these datagrams.
    pub start: Start,
    /// Seed of the peers.
    pub seed: u64,
    /// True if equal states are explored only once.
    pub prune: bool,
}

impl Default for Bounds {
    /// One fault of any kind in the first 12 datagrams, seed 1, with pruning.
    fn default() -> Self {
        Self {
            datagrams: 12,
            faults: 1,
            kinds: FaultKind::ALL.to_vec(),
            values: Values::default(),
            start: Start::First,
            seed: 1,
            prune: true,
        }
    }
}

impl Bounds {
    /// Number of schedules within the bounds, with the schedule without faults. It saturates.
    ///
    /// ```
    /// use sandhog_lab::search::Bounds;
    ///
    /// let bounds = Bounds { datagrams: 12, faults: 3, ..Bounds::default() };
    /// assert_eq!(bounds.schedules(), 116_961);
    /// ```
    #[must_use]
    pub fn schedules(&self) -> u64 {
        let kinds = self.kinds.len() as u128;
        let (mut sum, mut term) = (0_u128, 1_u128);
        for count in 0..=u128::from(self.faults.min(self.datagrams)) {
            sum = sum.saturating_add(term);
            let left = u128::from(self.datagrams) - count;
            term = term.saturating_mul(left).saturating_mul(kinds) / (count + 1);
        }
        u64::try_from(sum).unwrap_or(u64::MAX)
    }
}
