//! Userspace IP hosts on smoltcp that live inside the tunnel: ping, UDP echo, bulk TCP, HTTP.
//!
//! A [`Host`] has IP addresses and no network card: the caller hands it IP packets and takes IP packets from it. It has no
//! clock and no entropy either: time is a [`Duration`](core::time::Duration) since an origin that the caller chose,
//! randomness is [`Config::seed`]. The same calls give the same bytes on every machine, in WebAssembly too.
//!
//! A host answers pings by itself. [`Host::serve`] adds services, [`Host::start`] starts a [`Task`] against another
//! host's service; events tell how it went, and every task ends exactly once.
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
mod content;
mod device;
mod echo;
mod event;
mod host;
mod http;
mod http_client;
mod http_server;
mod service;
mod stack;
mod task;
mod tcp;

pub use event::{Event, EventKind, HttpFault, Summary, TaskError, TaskId};
pub use host::Host;
pub use service::Service;
pub use stack::{Config, ConfigError, MAX_ADDRESSES, MAX_CONNECTIONS, TCP_TIMEOUT};
pub use task::Task;
