//! Reports of a run: story, JSON, capture for packet analysers, and sequence diagrams. They need only the run, with
//! [`Detail::Full`](crate::Detail::Full). For the story, [`Detail::Records`](crate::Detail::Records) is enough.
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//!
//! use sandhog_lab::{RunOptions, report, run_setup, setup::HostSpec, setup::Setup};
//! # use sandhog_peer::*;
//! # struct Silent;
//! # impl Peer for Silent {
//! #     fn turn(&mut self, _: Instant, _: &mut Batch, _: &mut Batch) -> Option<(Instant, Reason)> { None }
//! #     fn poll_event(&mut self) -> Option<Event> { None }
//! #     fn command(&mut self, _: Instant, _: Command) -> Result<(), ApiMisuse> { Ok(()) }
//! #     fn counters(&self) -> Counters { Counters::default() }
//! # }
//!
//! let silent = HostSpec::new("alice", "192.0.2.2:4000".parse().unwrap(), Arc::new(|_| Box::new(Silent)));
//! let setup = Setup { hosts: vec![silent], duration: Duration::from_secs(1), ..Setup::default() };
//! let run = run_setup(&setup, &RunOptions::default()).unwrap();
//! assert!(report::trace_jsonl(&run).contains("alice"));
//! assert!(report::mermaid(&run).contains("sequenceDiagram"));
//! // The section header block of a pcapng file.
//! assert_eq!(report::capture(&run)[..4], [0x0a, 0x0d, 0x0d, 0x0a]);
//! ```

mod capture;
mod json;
mod sequence;
mod story;
mod wire;

pub use capture::capture;
pub use json::{page_json, summary_json, trace_jsonl};
pub use sequence::{mermaid, svg};
pub use story::{StoryLine, story, story_lines};
pub use wire::{Sighting, sightings};

use crate::record::{HostId, Record, RecordId, RecordKind};
use crate::run::Run;

impl Run {
    /// The name of a host, or `laboratory` for `None`.
    #[must_use]
    pub fn host_name(&self, host: Option<HostId>) -> &str {
        host.and_then(|host| self.hosts.get(usize::from(host)))
            .map_or("laboratory", |host| host.name.as_str())
    }

    /// Returns true if the story and the diagrams count the datagrams of this kind instead of listing each one.
    #[must_use]
    pub fn counts_kind(&self, kind: &str) -> bool {
        self.counted_kinds.contains(&kind)
    }

    /// The record of this number, if the run kept its records.
    #[must_use]
    pub fn record(&self, id: RecordId) -> Option<&Record> {
        let index = usize::try_from(id.checked_sub(1)?).ok()?;
        self.records.get(index)
    }

    /// The bytes of the datagram or packet of the record of this number, if the run kept them.
    #[must_use]
    pub fn packet(&self, id: RecordId) -> Option<&[u8]> {
        let index = usize::try_from(id.checked_sub(1)?).ok()?;
        self.packets.get(index)?.as_deref()
    }

    /// The `Sent` record of the datagram that `record` is about: a `Sent`, `Flight`, `Received`, `Lost` or `Dropped`.
    fn datagram<'a>(&'a self, record: &'a Record) -> Option<&'a Record> {
        match record.kind {
            RecordKind::Sent { .. } => Some(record),
            RecordKind::Flight { .. }
            | RecordKind::Received { .. }
            | RecordKind::Lost { .. }
            | RecordKind::Dropped { .. } => self.datagram(self.record(record.cause)?),
            _ => None,
        }
    }

    /// Returns true if an adversary sent the datagram of a `Sent` record. The record of the attack describes it then.
    fn is_forged(&self, sent: &Record) -> bool {
        let cause = self.record(sent.cause);
        cause.is_some_and(|cause| matches!(cause.kind, RecordKind::Attack { .. }))
    }
}
