//! Configuration key `workers`: the number of packet threads.

use std::fmt;
use std::thread;

use serde::Deserialize;
use serde::de::{Deserializer, Error, Unexpected, Visitor};

/// Number of packet threads, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Workers(pub(super) usize);

impl Workers {
    /// Largest value. Devices do not work well with more queues.
    const MAX: usize = 64;
}

impl Default for Workers {
    /// Half of the processors. The kernel needs the other half for its part of the work.
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self((processors / 2).clamp(1, Self::MAX))
    }
}

impl<'de> Deserialize<'de> for Workers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct WorkersVisitor;

        impl Visitor<'_> for WorkersVisitor {
            type Value = Workers;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a number of threads from 1 to {}", Workers::MAX)
            }

            fn visit_i64<E: Error>(self, count: i64) -> Result<Workers, E> {
                usize::try_from(count)
                    .ok()
                    .filter(|count| (1..=Workers::MAX).contains(count))
                    .map(Workers)
                    .ok_or_else(|| E::invalid_value(Unexpected::Signed(count), &self))
            }
        }

        deserializer.deserialize_i64(WorkersVisitor)
    }
}
