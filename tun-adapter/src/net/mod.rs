//! Changes to this machine's network outside the tunnel device: routes, rules, nftables, sysctls and name
//! servers.
//!
//! Each change is recorded ([`record`]) before it is made. `undo` undoes it at the end of the tunnel, or
//! after a crash.

pub mod client;
pub(crate) mod command;
pub(crate) mod conflicts;
pub mod dns;
pub mod down;
pub(crate) mod netlink;
pub mod nft;
pub mod plan;
pub(crate) mod policy;
pub mod process;
pub mod record;
pub(crate) mod routes;
pub mod ruleset;
pub mod sysctl;
mod undo;
