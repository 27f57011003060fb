//! Reports: what a run looks like to a person, a script, a packet analyser and a page. All made from the trace alone.

mod capture;
mod inner;
mod json;
mod sequence;
mod story;
mod wire;

pub use capture::capture;
pub use json::{page_json, summary_json, trace_jsonl};
pub use sequence::{mermaid, svg};
pub use story::{StoryLine, story, story_lines};
pub use wire::{Sighting, sightings};

use crate::record::{HostId, Record, RecordId};
use crate::run::Run;

impl Run {
    /// The name of a host; `laboratory` for none.
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

    /// The bytes that the record of this number is about.
    #[must_use]
    pub fn packet(&self, id: RecordId) -> Option<&[u8]> {
        let index = usize::try_from(id.checked_sub(1)?).ok()?;
        self.packets.get(index)?.as_deref()
    }
}
