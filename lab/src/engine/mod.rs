//! The engines: two ways to find out when the next tick is and to let the hosts take their turns. Everything that a
//! trace can show is decided in what they share, so both give the same trace, record by record.

pub(crate) mod event;
#[cfg(feature = "turmoil")]
pub(crate) mod turmoil;
