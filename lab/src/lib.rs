//! Deterministic network simulator for any protocol behind [`Peer`](sandhog_peer::Peer).
//!
//! A [`Setup`](setup::Setup) names the hosts, the links between them, and the faults. [`run_setup`] runs it from one seed
//! and returns a [`Run`]: a digest over the whole trace, the result of every check, and, if wanted, every record and packet.
//! The same setup and seed give the same trace in both [engines](Engine), on every platform and in WebAssembly.
//!
//! The laboratory knows no protocol. The peer names the kinds of its messages, and [`Rules`](setup::Rules) list the properties
//! that the protocol promises.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use sandhog_lab::setup::{Boot, HostSpec, Setup};
//! use sandhog_lab::{Detail, RunOptions, run_setup};
//! use sandhog_peer::{
//!     ApiMisuse, Batch, Command, Counters, Datagram, Event, Instant, PacketBuf, Peer, Reason,
//! };
//!
//! /// Sends one datagram to `target` every 100 ms, and ignores everything it receives.
//! struct Beacon {
//!     target: Option<std::net::SocketAddr>,
//!     next: Instant,
//! }
//!
//! impl Peer for Beacon {
//!     fn turn(&mut self, now: Instant, input: &mut Batch, output: &mut Batch) -> Option<(Instant, Reason)> {
//!         input.clear();
//!         let remote = self.target?;
//!         if self.next <= now {
//!             let payload = PacketBuf::copied_from(b"beacon");
//!             output.datagrams.push(Datagram { remote, kind: "beacon", payload });
//!             self.next = now + Duration::from_millis(100);
//!         }
//!         Some((self.next, Reason::Other("beacon")))
//!     }
//!     fn poll_event(&mut self) -> Option<Event> {
//!         None
//!     }
//!     fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> {
//!         Err(ApiMisuse::Unsupported)
//!     }
//!     fn counters(&self) -> Counters {
//!         Counters::default()
//!     }
//! }
//!
//! let address = |number: u8| std::net::SocketAddr::from(([192, 0, 2, number], 4000));
//! let host = |name: &str, number, target| {
//!     let make = move |_: &Boot| -> Box<dyn Peer> { Box::new(Beacon { target, next: Instant::ZERO }) };
//!     HostSpec::new(name, address(number), Arc::new(make))
//! };
//! let setup = Setup {
//!     hosts: vec![host("sender", 1, Some(address(2))), host("receiver", 2, None)],
//!     links: vec![(0, 1, "loss 20% delay 30ms 5ms".parse().unwrap())],
//!     duration: Duration::from_secs(10),
//!     ends_when_done: false,
//!     ..Setup::default()
//! };
//! let options = RunOptions { seed: 7, detail: Detail::Digest, ..RunOptions::default() };
//! let run = run_setup(&setup, &options).unwrap();
//! assert!(run.passed);
//! assert_eq!(run.counters["datagrams.made"], 100);
//! assert!(run.counters["lost.random"] > 5);
//! assert_eq!(run.digest, run_setup(&setup, &options).unwrap().digest);
//! ```

#![forbid(unsafe_code)]

pub mod adversary;
mod boot;
mod checks;
pub mod compare;
mod engine;
pub mod explain;
mod grid;
mod inner_packet;
pub mod limits;
pub mod link;
mod net;
mod node;
mod pick;
mod progress;
pub mod record;
pub mod replay;
pub mod report;
mod rng;
mod run;
pub mod search;
pub mod setup;
pub mod suggest;
pub mod tape;
mod task_text;
mod trace;
pub mod values;
mod warnings;
mod world;

pub use checks::CheckResult;
pub use pick::Pick;
pub use rng::derive_seed;
pub use run::{Engine, Run, RunError, RunHost, RunLink, RunOptions, run_setup};
pub use setup::{MIN_SECRET_LEN, Role, SetupError};
pub use trace::{Detail, Digest};
pub use warnings::warnings;
