//! What the tunnel gives, put together for the device: packets that follow each other in a flow become one superpacket.
//!
//! Packets are noted with [`push`](Coalescer::push) and written with [`drain`](Coalescer::drain). Groups are written in the
//! order in which they were begun, and only the latest group of a flow may grow, so no packet overtakes another one of
//! its flow. A packet that does not fit into its flow's group ends it, and one whose flow cannot be told ends all.

use std::io::IoSlice;
use std::ops::Range;

use super::checksum;
use super::header::{self, Header, Kind};
use super::packet::{ACK, Class, HEADERS_MAX, Layout, PSH, TCP_FLAGS, TCP_SEQUENCE, Transport, V4_ID};
use super::packet::{long_at, put_word, word_at};
use crate::tun::Abilities;

/// Most packets in a group.
const GROUP_LIMIT: usize = 64;
/// Most slices that a group is written in.
pub const MAX_PARTS: usize = GROUP_LIMIT + 1;
/// Longest IP packet.
const LONGEST: usize = 65_535;
/// Flows that may have a group to grow at a time. Two flows that meet at one place only make smaller groups.
const FLOWS: usize = 64;
/// Groups and packets that there is room for from the start.
const ROOM: usize = 512;

/// Packets on their way to the device. Keeps its memory from batch to batch.
#[derive(Debug)]
pub struct Coalescer {
    abilities: Abilities,
    groups: Vec<Group>,
    pieces: Vec<Piece>,
    /// The latest group of each flow, if it may grow, at the place that follows from the flow.
    growing: [Option<u32>; FLOWS],
}

/// A packet's payload, or all of it if it is alone.
#[derive(Debug)]
struct Piece {
    start: usize,
    len: usize,
    /// The next one of the group.
    next: Option<u32>,
}

#[derive(Debug)]
struct Group {
    /// Where its first packet lies as a whole.
    first: Range<usize>,
    layout: Option<Layout>,
    /// Bytes of payload in each packet but the last.
    segment: usize,
    /// Bytes of payload altogether.
    payload: usize,
    packets: usize,
    /// The flags of the last packet's TCP header.
    flags: u8,
    head: u32,
    tail: u32,
}

impl Coalescer {
    /// One for a device that takes what `abilities` say.
    #[must_use]
    pub fn new(abilities: Abilities) -> Self {
        Self {
            abilities,
            groups: Vec::with_capacity(ROOM),
            pieces: Vec::with_capacity(ROOM),
            growing: [None; FLOWS],
        }
    }

    /// Notes the packet that lies at `at` in `memory`. Until [`drain`](Self::drain), it has to stay where it is.
    ///
    /// Nothing happens if there is nothing at `at`.
    pub fn push(&mut self, memory: &[u8], at: Range<usize>) {
        let Some(packet) = memory.get(at.clone()).filter(|packet| !packet.is_empty()) else {
            return;
        };
        if self.abilities == Abilities::default() {
            self.begin(at, None, 0);
            return;
        }
        match Class::of(packet) {
            Class::Foreign => {
                self.begin(at, None, 0);
            }
            Class::Opaque => {
                self.growing = [None; FLOWS];
                self.begin(at, None, 0);
            }
            Class::Odd(layout) => {
                self.growing[place_of(&layout, packet)] = None;
                self.begin(at, None, 0);
            }
            Class::Plain(layout) => self.push_plain(memory, at, layout),
        }
    }

    fn push_plain(&mut self, memory: &[u8], at: Range<usize>, layout: Layout) {
        let packet = &memory[at.clone()];
        let place = place_of(&layout, packet);
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

    /// Whether a packet may have company: it has a payload, and its header says nothing that counts for it alone.
    fn can_join(&self, layout: &Layout, packet: &[u8], flags: u8) -> bool {
        let is_usual = match layout.transport {
            Transport::Tcp => self.abilities.tcp && flags & !PSH == ACK,
            Transport::Udp => self.abilities.udp,
        };
        is_usual && packet.len() > layout.payload_at
    }

    fn begin(&mut self, at: Range<usize>, layout: Option<Layout>, payload: usize) -> u32 {
        let piece = self.add_piece(at.end - payload, payload);
        self.groups.push(Group {
            first: at,
            layout,
            segment: payload,
            payload,
            packets: 1,
            flags: 0,
            head: piece,
            tail: piece,
        });
        // Far fewer bytes than this count of packets would have fit into memory.
        (self.groups.len() - 1) as u32
    }

    fn join(&mut self, index: u32, at: &Range<usize>, payload_at: usize, flags: u8) {
        let start = at.start + payload_at;
        let piece = self.add_piece(start, at.end - start);
        let group = &mut self.groups[index as usize];
        self.pieces[group.tail as usize].next = Some(piece);
        group.tail = piece;
        group.payload += at.end - start;
        group.packets += 1;
        group.flags = flags;
    }

    fn add_piece(&mut self, start: usize, len: usize) -> u32 {
        let next = None;
        self.pieces.push(Piece { start, len, next });
        (self.pieces.len() - 1) as u32
    }

    /// Gives all groups to `write` and forgets them: each as the bytes of a [`Header`] and then those of the packet, in at
    /// most [`MAX_PARTS`] pieces, and the number of packets that it stands for. `memory` is what the packets were noted in.
    pub fn drain(&mut self, memory: &[u8], mut write: impl FnMut(&[IoSlice<'_>], usize)) {
        for group in &self.groups {
            group.write(memory, &self.pieces, &mut write);
        }
        self.groups.clear();
        self.pieces.clear();
        self.growing = [None; FLOWS];
    }
}

impl Group {
    /// Whether a packet of its flow, or of another one at the same place, is the one that comes next in it.
    fn takes(&self, layout: &Layout, packet: &[u8], first: &[u8]) -> bool {
        let payload = packet.len() - layout.payload_at;
        self.layout == Some(*layout)
            && payload <= self.segment
            && self.packets < GROUP_LIMIT
            && layout.payload_at + self.payload + payload <= LONGEST
            && has_same_network_header(layout, packet, first, self.packets)
            && match layout.transport {
                Transport::Tcp => self.has_next_tcp_header(layout, packet, first),
                Transport::Udp => ports(layout, packet) == ports(layout, first),
            }
    }

    /// Same ports, acknowledgement, window, urgent pointer and options; the sequence number that is due.
    fn has_next_tcp_header(&self, layout: &Layout, packet: &[u8], first: &[u8]) -> bool {
        let (Some(this), Some(first)) = (
            packet.get(layout.transport_at..layout.payload_at),
            first.get(layout.transport_at..layout.payload_at),
        ) else {
            return false;
        };
        // No group is as long as sequence numbers.
        let due = long_at(first, TCP_SEQUENCE).wrapping_add(self.payload as u32);
        this[..4] == first[..4]
            && long_at(this, TCP_SEQUENCE) == due
            && this[8..13] == first[8..13]
            && this[14..16] == first[14..16]
            && this[18..] == first[18..]
    }

    /// Whether nothing may come after the packet that has just come, with that payload.
    const fn is_full(&self, payload: usize) -> bool {
        self.flags & PSH != 0 || payload < self.segment || self.packets == GROUP_LIMIT
    }

    fn write(&self, memory: &[u8], pieces: &[Piece], write: &mut impl FnMut(&[IoSlice<'_>], usize)) {
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
        while let Some(piece) = next.and_then(|index| pieces.get(index as usize)) {
            let payload = memory.get(piece.start..piece.start + piece.len);
            if let Some(part) = parts.get_mut(count) {
                *part = IoSlice::new(payload.unwrap_or_default());
                count += 1;
            }
            next = piece.next;
        }
        write(&parts[..count], self.packets);
    }

    /// The headers of the superpacket: those of the first packet, with what is different for all of them.
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
        put_word(headers, layout.transport_at + offset, checksum::fold(pseudo));
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

/// Whether the network header says the same but for length and checksum, and an identification that counts up.
///
/// The identification of a packet that must not be fragmented means nothing (RFC 6864, section 4.1), so it may be anything.
fn has_same_network_header(layout: &Layout, packet: &[u8], first: &[u8], number: usize) -> bool {
    if !layout.is_v4 {
        // Version, class, flow label; next header, hop limit, addresses.
        return packet[..4] == first[..4] && packet[6..40] == first[6..40];
    }
    let must_not_fragment = packet[6] & 0x40 != 0;
    let due = word_at(first, V4_ID).wrapping_add(short(number));
    packet[..2] == first[..2]
        && packet[6..10] == first[6..10]
        && packet[12..20] == first[12..20]
        && (must_not_fragment || word_at(packet, V4_ID) == due)
}

fn ports<'a>(layout: &Layout, packet: &'a [u8]) -> Option<&'a [u8]> {
    packet.get(layout.transport_at..layout.transport_at + 4)
}

/// TCP's flags; none for UDP.
fn flags_of(layout: &Layout, packet: &[u8]) -> u8 {
    match layout.transport {
        Transport::Tcp => packet.get(layout.transport_at + TCP_FLAGS).copied().unwrap_or(0),
        Transport::Udp => 0,
    }
}

/// Where a flow's group is to be found. Whoever chooses flows to meet there makes groups smaller, and nothing else.
fn place_of(layout: &Layout, packet: &[u8]) -> usize {
    let addresses = checksum::sum(layout.addresses(packet));
    let ports = u64::from(long_at(packet, layout.transport_at));
    let number = u64::from(layout.transport.number());
    let mixed = (addresses ^ ports << 20 ^ number << 52).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    // The upper bits are mixed best.
    (mixed >> (u64::BITS - FLOWS.ilog2())) as usize
}
