//! Tests of hosts on a small deterministic network in memory: one file per kind of behaviour.

mod bulk;
mod describe;
mod failure;
mod hostile;
mod http;
mod memory;
mod network;
mod options;
mod ping;
mod time;
mod udp;
