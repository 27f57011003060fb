//! IP packet parsing for segmentation: the positions of the headers, and whether all of them are valid.

use super::checksum;

/// Longest total length of all headers: IPv6, and TCP with all options.
pub(super) const HEADERS_MAX: usize = 40 + 60;

/// TCP flag `ACK` (RFC 9293, section 3.1).
pub(super) const ACK: u8 = 0x10;
/// TCP flag `PSH`.
pub(super) const PSH: u8 = 0x08;
/// TCP flag `FIN`.
pub(super) const FIN: u8 = 0x01;
/// TCP flag `CWR` (RFC 3168, section 6.1).
pub(super) const CWR: u8 = 0x80;
/// Offset of the flags in the TCP header.
pub(super) const TCP_FLAGS: usize = 13;
/// Offset of the sequence number in the TCP header.
pub(super) const TCP_SEQUENCE: usize = 4;
/// Offset of the identification in the IPv4 header.
pub(super) const V4_ID: usize = 4;

const TCP: u8 = 6;
const UDP: u8 = 17;
const TCP_HEADER_MIN: usize = 20;
const UDP_HEADER: usize = 8;
const V4_HEADER: usize = 20;
const V6_HEADER: usize = 40;

/// The transport protocol of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Transport {
    Tcp,
    Udp,
}

impl Transport {
    /// The IP protocol number.
    pub(super) const fn number(self) -> u8 {
        match self {
            Self::Tcp => TCP,
            Self::Udp => UDP,
        }
    }

    /// Offset of the checksum in the transport header.
    pub(super) const fn checksum_offset(self) -> usize {
        match self {
            Self::Tcp => 16,
            Self::Udp => 6,
        }
    }
}

/// Positions of a packet's headers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) is_v4: bool,
    pub(super) transport: Transport,
    /// Start of the transport header.
    pub(super) transport_at: usize,
    /// Start of the payload, at most the length of the packet.
    pub(super) payload_at: usize,
}

impl Layout {
    /// The layout of a packet with the transport header at `transport_at`. `None` if the header is
    /// incomplete.
    pub(super) fn with_transport(
        packet: &[u8],
        is_v4: bool,
        transport: Transport,
        transport_at: usize,
    ) -> Option<Self> {
        let header = packet.get(transport_at..)?;
        let len = match transport {
            Transport::Tcp => usize::from(header.get(12)? >> 4) * 4,
            Transport::Udp => UDP_HEADER,
        };
        let least = match transport {
            Transport::Tcp => TCP_HEADER_MIN,
            Transport::Udp => UDP_HEADER,
        };
        (len >= least && header.len() >= len).then_some(Self {
            is_v4,
            transport,
            transport_at,
            payload_at: transport_at + len,
        })
    }

    /// The bytes of both IP addresses of a packet with this layout.
    pub(super) fn addresses<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        let range = if self.is_v4 { 12..20 } else { 8..40 };
        packet.get(range).unwrap_or_default()
    }

    /// Writes the fields that depend on the packet's length: in the IP header and, for UDP, in the transport
    /// header. Then updates the header checksum of IPv4.
    pub(super) fn set_length(&self, headers: &mut [u8], len: usize) {
        if self.is_v4 {
            put(headers, 2, len);
            put(headers, 10, 0);
            let sum = checksum::sum(headers.get(..self.transport_at).unwrap_or_default());
            put_sum(headers, 10, !checksum::fold(sum));
        } else {
            put(headers, 4, len.saturating_sub(V6_HEADER));
        }
        if self.transport == Transport::Udp {
            put(
                headers,
                self.transport_at + 4,
                len.saturating_sub(self.transport_at),
            );
        }
    }
}

/// Classification of a packet for coalescing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// TCP or UDP after an IP header without options or extension headers. Not a fragment. All lengths and
    /// checksums are correct.
    Valid(Layout),
    /// TCP or UDP of a known flow, but with a wrong length or checksum.
    Invalid(Layout),
    /// Neither TCP nor UDP.
    Other,
    /// Possibly TCP or UDP, of an unknown flow.
    UnknownFlow,
}

impl Class {
    pub(super) fn of(packet: &[u8]) -> Self {
        let Some(first) = packet.first() else {
            return Self::Other;
        };
        match first >> 4 {
            4 => Self::of_v4(packet),
            6 => Self::of_v6(packet),
            _ => Self::Other,
        }
    }

    fn of_v4(packet: &[u8]) -> Self {
        let Some(header) = packet.first_chunk::<V4_HEADER>() else {
            return Self::Other;
        };
        let Some(transport) = transport_of(header[9]) else {
            return Self::Other;
        };
        // The flag "more fragments", or a fragment offset (RFC 791, section 3.1).
        let is_fragment = u16::from_be_bytes([header[6], header[7]]) & 0x3fff != 0;
        if header[0] != 0x45 || is_fragment {
            return Self::UnknownFlow;
        }
        let Some(layout) = Layout::with_transport(packet, true, transport, V4_HEADER) else {
            return Self::UnknownFlow;
        };
        let len = usize::from(u16::from_be_bytes([header[2], header[3]]));
        let is_right = len == packet.len() && checksum::fold(checksum::sum(header)) == 0xffff;
        layout.classify(packet, is_right)
    }

    fn of_v6(packet: &[u8]) -> Self {
        let Some(header) = packet.first_chunk::<V6_HEADER>() else {
            return Self::Other;
        };
        let Some(transport) = transport_of(header[6]) else {
            // ICMPv6 (58) contains neither TCP nor UDP. An extension header may precede them.
            return if header[6] == 58 {
                Self::Other
            } else {
                Self::UnknownFlow
            };
        };
        let Some(layout) = Layout::with_transport(packet, false, transport, V6_HEADER) else {
            return Self::UnknownFlow;
        };
        let len = usize::from(u16::from_be_bytes([header[4], header[5]]));
        layout.classify(packet, len + V6_HEADER == packet.len())
    }
}

impl Layout {
    fn classify(self, packet: &[u8], is_right: bool) -> Class {
        if is_right && self.is_valid(packet) {
            Class::Valid(self)
        } else {
            Class::Invalid(self)
        }
    }

    /// Returns true if the transport header has the correct checksum and, for UDP, the correct length. UDP
    /// without a checksum is not valid.
    fn is_valid(&self, packet: &[u8]) -> bool {
        let segment = packet.get(self.transport_at..).unwrap_or_default();
        if self.transport == Transport::Udp {
            let len = u16_at(segment, 4);
            if usize::from(len) != segment.len() || u16_at(segment, 6) == 0 {
                return false;
            }
        }
        let pseudo = checksum::pseudo_header(self.addresses(packet), self.transport.number(), segment.len());
        checksum::fold(pseudo + checksum::sum(segment)) == 0xffff
    }
}

fn transport_of(protocol: u8) -> Option<Transport> {
    match protocol {
        TCP => Some(Transport::Tcp),
        UDP => Some(Transport::Udp),
        _ => None,
    }
}

/// The 16-bit number at `at`, or 0 if the bytes are too short.
pub(super) fn u16_at(bytes: &[u8], at: usize) -> u16 {
    match bytes.get(at..at + 2) {
        Some(&[a, b]) => u16::from_be_bytes([a, b]),
        _ => 0,
    }
}

/// The 32-bit number at `at`, or 0 if the bytes are too short.
pub(super) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    match bytes.get(at..at + 4) {
        Some(&[a, b, c, d]) => u32::from_be_bytes([a, b, c, d]),
        _ => 0,
    }
}

/// Writes a 16-bit number at `at`, if the bytes are long enough.
pub(super) fn put(bytes: &mut [u8], at: usize, number: usize) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&u16::try_from(number).unwrap_or(u16::MAX).to_be_bytes());
    }
}

/// Writes a folded sum at `at`, in native byte order.
pub(super) fn put_sum(bytes: &mut [u8], at: usize, word: u16) {
    if let Some(place) = bytes.get_mut(at..at + 2) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
}

/// Writes a 32-bit number at `at`, if the bytes are long enough.
pub(super) fn put_u32(bytes: &mut [u8], at: usize, number: u32) {
    if let Some(place) = bytes.get_mut(at..at + 4) {
        place.copy_from_slice(&number.to_be_bytes());
    }
}
