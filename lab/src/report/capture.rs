//! Capture in the pcapng format, with an outer and an inner interface for each host. Comments give the reasons of losses and
//! drops. Times are simulated, from 1970-01-01 on.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::SocketAddr;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapResult};
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::wire::{IpAddress, IpProtocol, IpRepr, UdpPacket, UdpRepr};

use crate::limits::MAX_PAYLOAD;
use crate::record::{HostId, Record, RecordId, RecordKind};
use crate::run::Run;

/// Largest length of a name or comment in bytes. Options of the pcapng specification end at 65,535.
const MAX_TEXT: usize = 4096;

/// if_tsresol of the pcapng specification: 10^-9 seconds.
const NANOSECONDS: u8 = 9;

/// epb_flags of the pcapng specification: bits 0 and 1, the direction.
const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;

/// Outer addresses during a run.
struct Addresses {
    /// The present address of each host.
    hosts: Vec<SocketAddr>,
    /// The source address of each datagram, by its `Sent` record.
    sources: BTreeMap<RecordId, SocketAddr>,
}

impl Addresses {
    fn of(run: &Run) -> Self {
        Self {
            hosts: run.hosts.iter().map(|host| host.address).collect(),
            sources: BTreeMap::new(),
        }
    }

    fn host(&self, host: HostId) -> Option<SocketAddr> {
        self.hosts.get(usize::from(host)).copied()
    }

    /// Follows the changes of addresses in a record.
    fn update(&mut self, run: &Run, record: &Record) {
        let Some(host) = record.host else { return };
        match &record.kind {
            RecordKind::Rebound { to } => {
                let address = self.hosts.get_mut(usize::from(host));
                if let (Some(address), Ok(to)) = (address, to.parse()) {
                    *address = to;
                }
            }
            RecordKind::Sent { .. } => {
                let forged = run.record(record.cause).and_then(|cause| match &cause.kind {
                    RecordKind::Attack { source, .. } => source.parse().ok(),
                    _ => None,
                });
                if let Some(source) = forged.or_else(|| self.host(host)) {
                    self.sources.insert(record.id, source);
                }
            }
            _ => {}
        }
    }
}

/// The capture of a run that kept its records, as the bytes of a pcapng file.
///
/// # Panics
///
/// Never: writing to memory does not fail.
#[must_use]
pub fn capture(run: &Run) -> Vec<u8> {
    write(run, Addresses::of(run)).expect("invariant: writing to memory does not fail")
}

fn write(run: &Run, mut addresses: Addresses) -> PcapResult<Vec<u8>> {
    let mut writer = PcapNgWriter::new(Vec::new())?;
    for name in run.hosts.iter().map(|host| &host.name) {
        for side in ["outer", "inner"] {
            writer.write_pcapng_block(InterfaceDescriptionBlock {
                linktype: DataLink::RAW,
                snaplen: 0,
                options: vec![
                    InterfaceDescriptionOption::IfName(Cow::Owned(format!("{}.{side}", shortened(name)))),
                    InterfaceDescriptionOption::IfTsResol(NANOSECONDS),
                ],
            })?;
        }
    }
    let comments = comments(run);
    for record in &run.records {
        addresses.update(run, record);
        if let Some(block) = block(run, &addresses, record, comments.get(&record.id)) {
            writer.write_pcapng_block(block)?;
        }
    }
    Ok(writer.into_inner())
}

/// Comments about losses, drops and other faults, by the record of the datagram or packet.
fn comments(run: &Run) -> BTreeMap<RecordId, String> {
    let mut comments: BTreeMap<RecordId, String> = BTreeMap::new();
    for record in &run.records {
        let (target, text) = match &record.kind {
            RecordKind::Lost { reason, .. } => (sent_record(run, record.cause), format!("lost: {reason}")),
            RecordKind::Dropped { reason } => (record.cause, format!("dropped: {reason}")),
            RecordKind::Flight { copy: 1, .. } => (record.cause, "duplicated".into()),
            RecordKind::Flight { corrupted: true, .. } => (record.cause, "corrupted".into()),
            _ => continue,
        };
        let comment = comments.entry(target).or_default();
        if !comment.is_empty() {
            comment.push_str("; ");
        }
        comment.push_str(&text);
    }
    comments
}

/// The `Sent` record of a datagram, from the cause of a loss or arrival.
fn sent_record(run: &Run, cause: RecordId) -> RecordId {
    match run.record(cause) {
        Some(Record {
            kind: RecordKind::Flight { .. },
            cause: sent,
            ..
        }) => *sent,
        _ => cause,
    }
}

fn block<'a>(
    run: &'a Run,
    addresses: &Addresses,
    record: &Record,
    comment: Option<&'a String>,
) -> Option<EnhancedPacketBlock<'a>> {
    let host = record.host?;
    let packet = run.packet(record.id)?;
    let address = |host: HostId| addresses.host(host);
    let source = |sent: RecordId| addresses.sources.get(&sent).copied();
    let (inner, flags, data) = match &record.kind {
        RecordKind::Sent { to, .. } => {
            let source = source(record.id)?;
            let unknown = SocketAddr::new(source.ip(), 0);
            let target = to.and_then(address).unwrap_or(unknown);
            (false, OUTBOUND, Cow::Owned(outer_packet(source, target, packet)?))
        }
        RecordKind::Received { .. } => {
            let source = source(sent_record(run, record.cause))?;
            (
                false,
                INBOUND,
                Cow::Owned(outer_packet(source, address(host)?, packet)?),
            )
        }
        RecordKind::InnerOut { .. } => (true, OUTBOUND, Cow::Borrowed(packet)),
        RecordKind::InnerIn { .. } => (true, INBOUND, Cow::Borrowed(packet)),
        _ => return None,
    };
    let cut = match inner {
        true => 0,
        false => packet.len().saturating_sub(MAX_PAYLOAD),
    };
    let mut options = vec![EnhancedPacketOption::Flags(flags)];
    options.extend(comment.map(|comment| EnhancedPacketOption::Comment(Cow::Borrowed(shortened(comment)))));
    Some(EnhancedPacketBlock {
        interface_id: u32::from(host) * 2 + u32::from(inner),
        timestamp: record.at.saturating_duration_since(sandhog_peer::Instant::ZERO),
        original_len: u32::try_from(data.len() + cut).ok()?,
        data,
        options,
    })
}

/// The beginning of a text that may be too long for an option of the pcapng specification.
fn shortened(text: &str) -> &str {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A datagram with IP and UDP headers. Bytes of the payload that do not fit are cut off. `None` if the addresses are of different
/// families.
fn outer_packet(source: SocketAddr, target: SocketAddr, payload: &[u8]) -> Option<Vec<u8>> {
    let payload = payload.get(..MAX_PAYLOAD).unwrap_or(payload);
    let (from, to) = (IpAddress::from(source.ip()), IpAddress::from(target.ip()));
    if from.version() != to.version() {
        return None;
    }
    let udp = UdpRepr {
        src_port: source.port(),
        dst_port: target.port(),
    };
    let udp_len = udp.header_len() + payload.len();
    let ip = IpRepr::new(from, to, IpProtocol::Udp, udp_len, 64);
    let checksums = ChecksumCapabilities::default();
    let mut packet = vec![0; ip.header_len() + udp_len];
    ip.emit(&mut packet[..], &checksums);
    let mut datagram = UdpPacket::new_unchecked(packet.get_mut(ip.header_len()..)?);
    udp.emit(
        &mut datagram,
        &from,
        &to,
        payload.len(),
        |body| body.copy_from_slice(payload),
        &checksums,
    );
    Some(packet)
}
