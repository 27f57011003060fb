//! Segmentation of superpackets from the device into IP packets.

use std::fmt;

use super::checksum;
use super::header::{Header, Kind};
use super::packet::{CWR, FIN, Layout, PSH, TCP_FLAGS, TCP_SEQUENCE, Transport, V4_ID};
use super::packet::{put, put_sum, put_u32, u16_at, u32_at};

/// Error: a packet does not match its offload header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the device sent a packet that does not match its offload header")
    }
}

impl std::error::Error for Malformed {}

/// One packet or superpacket with the state of its segmentation. Each call of [`next`](Self::next) copies one
/// packet.
///
/// The packets are the same as those of the kernel's own segmentation. Lengths and checksums are correct, the
/// IPv4 identification and the sequence number increase. Only the last segment has `FIN` and `PSH`, only the
/// first has `CWR` (RFC 3168, section 6.1.2).
#[derive(Debug)]
pub struct Split<'a> {
    packet: &'a [u8],
    state: State,
}

#[derive(Debug)]
enum State {
    /// A single packet, with the position of its partial checksum.
    Single(Option<PartialChecksum>),
    /// A superpacket.
    Super(Segments),
    /// No more packets.
    Done,
}

#[derive(Clone, Copy, Debug)]
struct PartialChecksum {
    start: usize,
    at: usize,
    is_udp: bool,
}

#[derive(Debug)]
struct Segments {
    layout: Layout,
    segment: usize,
    /// Sum of the pseudo-header without the length.
    pseudo: u64,
    /// Bytes of payload already copied.
    emitted: usize,
    /// Number of packets already copied.
    number: u16,
}

impl<'a> Split<'a> {
    /// Starts with a packet from the device and its header.
    ///
    /// # Errors
    ///
    /// If they do not match, or the packet has no payload to segment.
    pub fn new(header: &Header, packet: &'a [u8]) -> Result<Self, Malformed> {
        let state = match header.kind {
            Kind::Single if header.needs_checksum => State::Single(Some(partial_checksum(header, packet)?)),
            Kind::Single => State::Single(None),
            _ => State::Super(Segments::new(header, packet).ok_or(Malformed)?),
        };
        Ok(Self { packet, state })
    }

    /// The length of the next packet in bytes. `None` when there are no more. All packets have the same
    /// length, except that the last may be shorter.
    #[must_use]
    pub fn next_len(&self) -> Option<usize> {
        match &self.state {
            State::Single(_) => Some(self.packet.len()),
            State::Super(segments) => Some(segments.next_len(self.packet)),
            State::Done => None,
        }
    }

    /// Copies the next packet to the start of `into`, completes its headers and returns its length. `None`
    /// when there are no more. If `into` is shorter than [`next_len`](Self::next_len), returns `None` and
    /// keeps the packet.
    pub fn next(&mut self, into: &mut [u8]) -> Option<usize> {
        let len = self.next_len()?;
        let into = into.get_mut(..len)?;
        match &mut self.state {
            State::Single(partial_checksum) => {
                into.copy_from_slice(self.packet);
                if let Some(partial_checksum) = partial_checksum {
                    partial_checksum.complete(into);
                }
                self.state = State::Done;
            }
            State::Super(segments) => {
                if segments.next(self.packet, into) {
                    self.state = State::Done;
                }
            }
            State::Done => return None,
        }
        Some(len)
    }
}

fn partial_checksum(header: &Header, packet: &[u8]) -> Result<PartialChecksum, Malformed> {
    let start = usize::from(header.checksum_start);
    let at = start + usize::from(header.checksum_offset);
    if start < 20 || at + 2 > packet.len() {
        return Err(Malformed);
    }
    let is_udp = usize::from(header.checksum_offset) == Transport::Udp.checksum_offset();
    Ok(PartialChecksum { start, at, is_udp })
}

impl PartialChecksum {
    /// The checksum field holds the sum of the pseudo-header, so it is included in the sum.
    fn complete(self, packet: &mut [u8]) {
        let sum = checksum::sum(packet.get(self.start..).unwrap_or_default());
        put_sum(packet, self.at, complement(sum, self.is_udp));
    }
}

/// The value of the checksum field. A UDP checksum is never 0, because 0 means "no checksum" (RFC 768).
fn complement(sum: u64, is_udp: bool) -> u16 {
    match !checksum::fold(sum) {
        0 if is_udp => 0xffff,
        checksum => checksum,
    }
}

impl Segments {
    fn new(header: &Header, packet: &[u8]) -> Option<Self> {
        let first = packet.first()?;
        let is_v4 = match first >> 4 {
            4 => true,
            6 => false,
            _ => return None,
        };
        let transport = match header.kind {
            Kind::TcpV4 if is_v4 => Transport::Tcp,
            Kind::TcpV6 if !is_v4 => Transport::Tcp,
            Kind::Udp => Transport::Udp,
            _ => return None,
        };
        let transport_at = usize::from(header.checksum_start);
        let is_placed = if is_v4 {
            transport_at >= 20 && transport_at == usize::from(first & 0x0f) * 4
        } else {
            // Extension headers in between are copied unchanged.
            transport_at >= 40
        };
        let layout = Layout::with_transport(packet, is_v4, transport, transport_at)?;
        let segment = usize::from(header.segment);
        let fits = header.needs_checksum
            && usize::from(header.checksum_offset) == transport.checksum_offset()
            && segment > 0
            && layout.payload_at < packet.len();
        let field = transport_at + transport.checksum_offset();
        let partial = packet.get(field..field + 2)?;
        // The field holds the sum of the pseudo-header with the length of the superpacket. Each segment's
        // length replaces it.
        let whole = checksum::fold(checksum::length(packet.len() - transport_at));
        let pseudo = u64::from(u16::from_ne_bytes([partial[0], partial[1]])) + u64::from(!whole);
        (is_placed && fits).then_some(Self {
            layout,
            segment,
            pseudo,
            emitted: 0,
            number: 0,
        })
    }

    fn next_len(&self, packet: &[u8]) -> usize {
        let left = packet.len() - self.layout.payload_at - self.emitted;
        self.layout.payload_at + left.min(self.segment)
    }

    /// Writes the next packet. Returns true if it was the last. `into` has exactly its length.
    fn next(&mut self, packet: &[u8], into: &mut [u8]) -> bool {
        let layout = self.layout;
        let (headers, payload) = into.split_at_mut(layout.payload_at);
        let (all_headers, all_payload) = packet.split_at(layout.payload_at);
        let end = self.emitted + payload.len();
        let is_last = end == all_payload.len();
        headers.copy_from_slice(all_headers);
        let payload_sum = checksum::copy_and_sum(&all_payload[self.emitted..end], payload);
        if layout.is_v4 {
            put_u16(headers, V4_ID, u16_at(headers, V4_ID).wrapping_add(self.number));
        }
        let len = headers.len() + payload.len();
        layout.set_length(headers, len);
        if layout.transport == Transport::Tcp {
            self.set_tcp(headers, is_last);
        }
        let field = layout.transport_at + layout.transport.checksum_offset();
        put(headers, field, 0);
        let header_sum = checksum::sum(&headers[layout.transport_at..]);
        let sum = self.pseudo + checksum::length(len - layout.transport_at) + header_sum + payload_sum;
        put_sum(
            headers,
            field,
            complement(sum, layout.transport == Transport::Udp),
        );
        self.emitted = end;
        self.number = self.number.wrapping_add(1);
        is_last
    }

    fn set_tcp(&self, headers: &mut [u8], is_last: bool) {
        let at = self.layout.transport_at + TCP_SEQUENCE;
        // A packet is at most 65,535 bytes long, so this fits into 32 bits.
        let emitted = u32::try_from(self.emitted).unwrap_or_default();
        put_u32(headers, at, u32_at(headers, at).wrapping_add(emitted));
        if let Some(flags) = headers.get_mut(self.layout.transport_at + TCP_FLAGS) {
            if !is_last {
                *flags &= !(FIN | PSH);
            }
            if self.number > 0 {
                *flags &= !CWR;
            }
        }
    }
}

fn put_u16(bytes: &mut [u8], at: usize, number: u16) {
    put(bytes, at, number.into());
}
