//! Coalescing of packets from the tunnel: consecutive packets of one flow become one superpacket for the
//! device.
//!
//! [`push`](Coalescer::push) adds packets, [`drain`](Coalescer::drain) writes them. Groups are written in the
//! order of their first packets, and only the latest group of a flow can grow. So packets of a flow are never
//! reordered. A packet that does not fit into the group of its flow closes the group. A packet of an unknown
//! flow closes all groups.

use std::io::IoSlice;
use std::ops::Range;

use super::checksum;
use super::header::{self, Header, Kind};
use super::packet::{ACK, Class, HEADERS_MAX, Layout, PSH, TCP_FLAGS, TCP_SEQUENCE, Transport, V4_ID};
use super::packet::{put_sum, u16_at, u32_at};
use crate::tun::OffloadFeatures;

/// Largest number of packets in a group.
const GROUP_LIMIT: usize = 64;
/// Largest number of slices for one group.
pub const MAX_PARTS: usize = GROUP_LIMIT + 1;
/// Length of the longest IP packet, in bytes.
const MAX_PACKET: usize = 65_535;
/// Number of slots for groups that can grow. Two flows with the same slot only cause smaller groups.
const FLOWS: usize = 64;
/// Initial capacity for groups and packets.
const INITIAL_CAPACITY: usize = 512;

/// Packets that wait for the device. The memory is reused for each batch.
#[derive(Debug)]
pub struct Coalescer {
    features: OffloadFeatures,
    groups: Vec<Group>,
    slices: Vec<Slice>,
    /// The latest group in each slot, if it can grow.
    growing: [Option<u32>; FLOWS],
}

/// Position of a packet's payload, or of the whole packet if its group has only one.
#[derive(Debug)]
struct Slice {
    start: usize,
    len: usize,
    /// Index of the next slice of the group.
    next: Option<u32>,
}

#[derive(Debug)]
struct Group {
    /// Position of its first packet, with headers.
    first: Range<usize>,
    layout: Option<Layout>,
    /// Bytes of payload in each packet except the last.
    segment: usize,
    /// Total bytes of payload.
    payload: usize,
    packets: usize,
    /// TCP flags of the last packet.
    flags: u8,
    head: u32,
    tail: u32,
}

impl Coalescer {
    /// Creates a coalescer for a device with these features.
    #[must_use]
    pub fn new(features: OffloadFeatures) -> Self {
        Self {
            features,
            groups: Vec::with_capacity(INITIAL_CAPACITY),
            slices: Vec::with_capacity(INITIAL_CAPACITY),
            growing: [None; FLOWS],
        }
    }

    /// Adds the packet at `at` in `memory`. It must stay there until [`drain`](Self::drain).
    ///
    /// Does nothing if `at` is empty or outside `memory`.
    pub fn push(&mut self, memory: &[u8], at: Range<usize>) {
        let Some(packet) = memory.get(at.clone()).filter(|packet| !packet.is_empty()) else {
            return;
        };
        if self.features == OffloadFeatures::default() {
            self.begin(at, None, 0);
            return;
        }
        match Class::of(packet) {
            Class::Other => {
                self.begin(at, None, 0);
            }
            Class::UnknownFlow => {
                self.growing = [None; FLOWS];
                self.begin(at, None, 0);
            }
            Class::Invalid(layout) => {
                self.growing[slot_of(&layout, packet)] = None;
                self.begin(at, None, 0);
            }
            Class::Valid(layout) => self.push_valid(memory, at, layout),
        }
    }

    fn push_valid(&mut self, memory: &[u8], at: Range<usize>, layout: Layout) {
        let packet = &memory[at.clone()];
        let place = slot_of(&layout, packet);
        let flags = flags_of(&layout, packet);
        let is_joinable = self.can_join(&layout, packet, flags);
        if is_joinable && let Some(index) = self.growing[place] {
            let group = &self.groups[index as usize];
            if group.takes(&layout, packet, &memory[group.first.clone()]) {
                self.join(index, &at, layout.payload_at, flags);
                if self.groups[index as usize].is_full(packet.len() - layout.payload_at) {
                    self.growing[place] = None;
                }
                return;
            }
        }
        let index = self.begin(at, Some(layout), packet.len() - layout.payload_at);
        self.growing[place] = (is_joinable && flags & PSH == 0).then_some(index);
    }

    /// Returns true if the packet can be in a group: it has a payload, and its flags are ACK or ACK with PSH.
    fn can_join(&self, layout: &Layout, packet: &[u8], flags: u8) -> bool {
        let is_usual = match layout.transport {
            Transport::Tcp => self.features.tcp && flags & !PSH == ACK,
            Transport::Udp => self.features.udp,
        };
        is_usual && packet.len() > layout.payload_at
    }

    fn begin(&mut self, at: Range<usize>, layout: Option<Layout>, payload: usize) -> u32 {
        let slice = self.add_slice(at.end - payload, payload);
        self.groups.push(Group {
            first: at,
            layout,
            segment: payload,
            payload,
            packets: 1,
            flags: 0,
            head: slice,
            tail: slice,
        });
        // The index fits: memory is exhausted long before 2^32 packets.
        (self.groups.len() - 1) as u32
    }

    fn join(&mut self, index: u32, at: &Range<usize>, payload_at: usize, flags: u8) {
        let start = at.start + payload_at;
        let slice = self.add_slice(start, at.end - start);
        let group = &mut self.groups[index as usize];
        self.slices[group.tail as usize].next = Some(slice);
        group.tail = slice;
        group.payload += at.end - start;
        group.packets += 1;
        group.flags = flags;
    }

    fn add_slice(&mut self, start: usize, len: usize) -> u32 {
        let next = None;
        self.slices.push(Slice { start, len, next });
        (self.slices.len() - 1) as u32
    }

    /// Passes all groups to `write` and removes them. Each group is the bytes of a [`Header`] and then those
    /// of the packet, in at most [`MAX_PARTS`] slices, and the number of packets in it. `memory` is the same
    /// as for `push`.
    pub fn drain(&mut self, memory: &[u8], mut write: impl FnMut(&[IoSlice<'_>], usize)) {
        for group in &self.groups {
            group.write(memory, &self.slices, &mut write);
        }
        self.groups.clear();
        self.slices.clear();
        self.growing = [None; FLOWS];
    }
}

impl Group {
    /// Returns true if `packet` continues this group. The packet is of the same flow, or of another one with
    /// the same slot.
    fn takes(&self, layout: &Layout, packet: &[u8], first: &[u8]) -> bool {
        let payload = packet.len() - layout.payload_at;
        self.layout == Some(*layout)
            && payload <= self.segment
            && self.packets < GROUP_LIMIT
            && layout.payload_at + self.payload + payload <= MAX_PACKET
            && has_same_network_header(layout, packet, first, self.packets)
            && match layout.transport {
                Transport::Tcp => self.has_next_tcp_header(layout, packet, first),
                Transport::Udp => ports(layout, packet) == ports(layout, first),
            }
    }

    /// Returns true if ports, acknowledgement, window, urgent pointer and options are the same, and the
    /// sequence number is the expected one.
    fn has_next_tcp_header(&self, layout: &Layout, packet: &[u8], first: &[u8]) -> bool {
        let (Some(this), Some(first)) = (
            packet.get(layout.transport_at..layout.payload_at),
            first.get(layout.transport_at..layout.payload_at),
        ) else {
            return false;
        };
        // The payload is at most 65,535 bytes, so this fits into 32 bits.
        let due = u32_at(first, TCP_SEQUENCE).wrapping_add(self.payload as u32);
        this[..4] == first[..4]
            && u32_at(this, TCP_SEQUENCE) == due
            && this[8..13] == first[8..13]
            && this[14..16] == first[14..16]
            && this[18..] == first[18..]
    }

    /// Returns true if no packet can follow the last one, which has `payload` bytes of payload.
    const fn is_full(&self, payload: usize) -> bool {
        self.flags & PSH != 0 || payload < self.segment || self.packets == GROUP_LIMIT
    }

    fn write(&self, memory: &[u8], slices: &[Slice], write: &mut impl FnMut(&[IoSlice<'_>], usize)) {
        let (Some(first), Some(layout), true) =
            (memory.get(self.first.clone()), self.layout, self.packets > 1)
        else {
            let plain = Header::default().to_bytes();
            let packet = memory.get(self.first.clone()).unwrap_or_default();
            write(&[IoSlice::new(&plain), IoSlice::new(packet)], 1);
            return;
        };
        let mut headers = [0; header::LEN + HEADERS_MAX];
        let headers = self.headers(&layout, first, &mut headers);
        let mut parts = [IoSlice::new(&[]); MAX_PARTS];
        parts[0] = IoSlice::new(headers);
        let mut count = 1;
        let mut next = Some(self.head);
        while let Some(slice) = next.and_then(|index| slices.get(index as usize)) {
            let payload = memory.get(slice.start..slice.start + slice.len);
            if let Some(part) = parts.get_mut(count) {
                *part = IoSlice::new(payload.unwrap_or_default());
                count += 1;
            }
            next = slice.next;
        }
        write(&parts[..count], self.packets);
    }

    /// The headers of the superpacket: those of the first packet, adjusted for the whole group.
    fn headers<'a>(
        &self,
        layout: &Layout,
        first: &[u8],
        room: &'a mut [u8; header::LEN + HEADERS_MAX],
    ) -> &'a [u8] {
        let (ahead, rest) = room.split_at_mut(header::LEN);
        let headers = &mut rest[..layout.payload_at];
        headers.copy_from_slice(&first[..layout.payload_at]);
        let len = layout.payload_at + self.payload;
        layout.set_length(headers, len);
        if layout.transport == Transport::Tcp
            && let Some(flags) = headers.get_mut(layout.transport_at + TCP_FLAGS)
        {
            *flags |= self.flags & PSH;
        }
        let offset = layout.transport.checksum_offset();
        let number = layout.transport.number();
        let pseudo = checksum::pseudo_header(layout.addresses(first), number, len - layout.transport_at);
        put_sum(headers, layout.transport_at + offset, checksum::fold(pseudo));
        let header = Header {
            needs_checksum: true,
            kind: match (layout.transport, layout.is_v4) {
                (Transport::Tcp, true) => Kind::TcpV4,
                (Transport::Tcp, false) => Kind::TcpV6,
                (Transport::Udp, _) => Kind::Udp,
            },
            has_ecn: false,
            header_len: short(layout.payload_at),
            segment: short(self.segment),
            checksum_start: short(layout.transport_at),
            checksum_offset: short(offset),
        };
        ahead.copy_from_slice(&header.to_bytes());
        let whole = header::LEN + layout.payload_at;
        &room[..whole]
    }
}

fn short(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}

/// Returns true if the IP headers are equal, except for length and checksum, and the identification is the
/// expected one.
///
/// For packets with DF set the identification has no meaning (RFC 6864, section 4.1), so any value is
/// accepted.
fn has_same_network_header(layout: &Layout, packet: &[u8], first: &[u8], number: usize) -> bool {
    if !layout.is_v4 {
        // Bytes 0 to 3: version, traffic class, flow label. Bytes 6 to 39: next header, hop limit, addresses.
        return packet[..4] == first[..4] && packet[6..40] == first[6..40];
    }
    let must_not_fragment = packet[6] & 0x40 != 0;
    let due = u16_at(first, V4_ID).wrapping_add(short(number));
    packet[..2] == first[..2]
        && packet[6..10] == first[6..10]
        && packet[12..20] == first[12..20]
        && (must_not_fragment || u16_at(packet, V4_ID) == due)
}

fn ports<'a>(layout: &Layout, packet: &'a [u8]) -> Option<&'a [u8]> {
    packet.get(layout.transport_at..layout.transport_at + 4)
}

/// The TCP flags; 0 for UDP.
fn flags_of(layout: &Layout, packet: &[u8]) -> u8 {
    match layout.transport {
        Transport::Tcp => packet.get(layout.transport_at + TCP_FLAGS).copied().unwrap_or(0),
        Transport::Udp => 0,
    }
}

/// The slot of a flow. An attacker who chooses flows with the same slot only makes groups smaller.
fn slot_of(layout: &Layout, packet: &[u8]) -> usize {
    let addresses = checksum::sum(layout.addresses(packet));
    let ports = u64::from(u32_at(packet, layout.transport_at));
    let number = u64::from(layout.transport.number());
    let mixed = (addresses ^ ports << 20 ^ number << 52).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The upper bits have the best mix.
    (mixed >> (u64::BITS - FLOWS.ilog2())) as usize
}
