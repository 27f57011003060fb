//! Trace of a run: numbers and digests the records, and stores them on request.

use std::fmt;

use sandhog_peer::Instant;
use sha2::{Digest as _, Sha256};

use crate::inner_packet::echo_request_number;
use crate::record::{HostId, Record, RecordId, RecordKind};

/// The amount of data that a run keeps.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Detail {
    /// Digest, outcome and counters, for sweeps and benchmarks.
    Digest,
    /// Also every record, for the story. Of the packets, only the inner pings are kept.
    Records,
    /// Also the bytes of every datagram and packet, for all reports.
    Full,
}

/// SHA-256 over the canonical bytes of all records of a run.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first 8 bytes of the SHA-256 of a packet.
#[must_use]
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    let hash = Sha256::digest(bytes);
    hash.iter()
        .take(8)
        .fold(0, |value, byte| value << 8 | u64::from(*byte))
}

/// The bytes of the datagram or packet of each record, by position of the record.
pub(crate) type Packets = Vec<Option<Box<[u8]>>>;

/// Collects the records of one run.
#[derive(Debug)]
pub(crate) struct Trace {
    detail: Detail,
    hash: Sha256,
    scratch: Vec<u8>,
    next: RecordId,
    records: Vec<Record>,
    packets: Packets,
}

impl Trace {
    /// An empty trace.
    #[must_use]
    pub(crate) fn new(detail: Detail) -> Self {
        Self {
            detail,
            hash: Sha256::new(),
            scratch: Vec::new(),
            next: 1,
            records: Vec::new(),
            packets: Vec::new(),
        }
    }

    /// Adds a record and returns its number.
    pub(crate) fn add(
        &mut self,
        at: Instant,
        host: Option<HostId>,
        cause: RecordId,
        kind: RecordKind,
    ) -> RecordId {
        self.add_with(at, host, cause, kind, None)
    }

    /// Adds a record about `packet`, and stores the bytes.
    pub(crate) fn add_packet(
        &mut self,
        at: Instant,
        host: Option<HostId>,
        cause: RecordId,
        kind: RecordKind,
        packet: &[u8],
    ) -> RecordId {
        self.add_with(at, host, cause, kind, Some(packet))
    }

    fn add_with(
        &mut self,
        at: Instant,
        host: Option<HostId>,
        cause: RecordId,
        kind: RecordKind,
        packet: Option<&[u8]>,
    ) -> RecordId {
        let record = Record {
            id: self.next,
            at,
            host,
            cause,
            kind,
        };
        self.next += 1;
        // Hash large blocks: a call for each short record would cost more than the hashing itself.
        record.canonical_bytes(&mut self.scratch);
        if self.scratch.len() > 4096 {
            self.hash.update(&self.scratch);
            self.scratch.clear();
        }
        let id = record.id;
        let is_ping = || packet.is_some_and(|packet| echo_request_number(packet).is_some());
        let keeps_packet = match self.detail {
            Detail::Digest => return id,
            Detail::Records => matches!(record.kind, RecordKind::InnerOut { .. }) && is_ping(),
            Detail::Full => true,
        };
        self.records.push(record);
        self.packets.push(packet.filter(|_| keeps_packet).map(Box::from));
        id
    }

    /// Number of records.
    #[must_use]
    pub(crate) fn len(&self) -> u64 {
        self.next - 1
    }

    /// Ends the trace and returns the digest, the records, and the packets by position of the record.
    #[must_use]
    pub(crate) fn finish(mut self) -> (Digest, Vec<Record>, Packets) {
        self.hash.update(&self.scratch);
        (Digest(self.hash.finalize().into()), self.records, self.packets)
    }
}
