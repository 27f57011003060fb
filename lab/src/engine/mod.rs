//! Engines: two schedulers of the same ticks and turns. Everything that a trace can show is decided in the code that they share,
//! so both give the same trace, record for record.

pub(crate) mod event;
#[cfg(feature = "turmoil")]
pub(crate) mod turmoil;
