//! Deterministic IP hosts in memory, on smoltcp: ping, UDP echo, bulk TCP, HTTP.
//!
//! A [`Host`] has IP addresses but no network card: the caller passes IP packets in and takes IP packets out. It has no
//! clock and no entropy either. Time is a [`Duration`](core::time::Duration) since an origin that the caller chooses.
//! Randomness comes from [`Config::seed`]. The same calls give the same bytes on every machine, also in WebAssembly.
//!
//! A host always answers pings. [`Host::serve`] adds a service. [`Host::start`] starts a [`Task`] against another host.
//! Events report its progress, and each task ends exactly once.
//!
//! ```
//! use core::time::Duration;
//! use sandhog_netstack::{Config, EventKind, Host, Task};
//!
//! let host = |last| {
//!     Host::new(Config { addresses: vec![([10, 9, 0, last].into(), 24)], mtu: 1280, seed: 1, canary: *b"never on a wire!" })
//! };
//! let (mut alice, mut bob) = (host(2), host(1));
//! let ping = Task::Ping {
//!     to: [10, 9, 0, 1].into(),
//!     count: 1,
//!     interval: Duration::from_secs(1),
//!     payload_len: 56,
//!     timeout: Duration::from_secs(1),
//! };
//! alice.start(Duration::ZERO, ping);
//! let (now, mut packet) = (Duration::from_millis(7), Vec::new());
//! while alice.poll_packet(&mut packet) {
//!     bob.handle_packet(now, &packet);
//! }
//! while bob.poll_packet(&mut packet) {
//!     alice.handle_packet(now, &packet);
//! }
//! assert_eq!(alice.poll_event().map(|event| event.kind), Some(EventKind::PingReply { seq: 0, rtt: now }));
//! ```
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::float_arithmetic)]

extern crate alloc;

mod bulk;
mod client;
mod config;
mod content;
mod describe;
mod device;
mod echo;
mod event;
mod host;
mod http;
mod http_client;
mod http_server;
mod options;
mod service;
mod stack;
mod task;
mod tcp;

pub use config::{Config, ConfigError, Limits, MAX_ADDRESSES, MAX_CONNECTIONS, TCP_TIMEOUT};
pub use event::{Event, EventKind, HttpFault, Summary, TaskError, TaskId};
pub use host::Host;
pub use options::TcpOptions;
pub use service::Service;
pub use task::Task;

/// The example of the README, compiled and run as a documentation test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
