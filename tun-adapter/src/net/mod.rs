//! The tunnel's place in this machine's network: everything outside the device that a tunnel changes, and how that is undone.
//!
//! Nothing here is changed before it stands in the [`record`]; `undo` knows the way back from each change, for a normal end
//! and for whoever comes after a crash.

pub mod client;
pub(crate) mod command;
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
pub(crate) mod taken;
mod undo;
