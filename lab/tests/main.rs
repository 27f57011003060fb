//! Integration tests of the laboratory, with protocols other than Sandhog's.

#[path = "../examples/arq/protocol.rs"]
mod protocol;
mod support;

mod compare;
mod concerns;
mod endpoints;
mod limits;
mod names;
mod random_setups;
mod refusals;
mod reports;
mod rules;
mod setups;
mod tapes;
