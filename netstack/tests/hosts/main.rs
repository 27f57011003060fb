//! Hosts against each other over a small deterministic network in memory: one file for each kind of behaviour.

mod world;

mod bulk;
mod failure;
mod hostile;
mod http;
mod ping;
mod time;
mod udp;
