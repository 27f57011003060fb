//! Integration tests of the laboratory, with protocols other than Sandhog's.

#[path = "../examples/arq/protocol.rs"]
mod protocol;
mod support;

mod names;
mod random_setups;
mod reports;
mod rules;
mod setups;
