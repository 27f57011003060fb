//! Offload header of a packet: `struct virtio_net_hdr` of `linux/virtio_net.h`.

/// Length of the header in bytes.
pub const LEN: usize = 10;

/// The transport checksum is partial and must be completed.
const NEEDS_CSUM: u8 = 1;
/// Flag in the kind of a TCP superpacket: only its first segment may have CWR.
const GSO_ECN: u8 = 0x80;

/// Kind of a superpacket.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// A single packet.
    #[default]
    Single,
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// Several UDP datagrams over either.
    Udp,
    /// A kind that was not requested from the kernel.
    Unknown,
}

/// The header of one packet. Its values must be checked against the packet before use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The transport checksum field holds only the sum of the pseudo-header.
    pub needs_checksum: bool,
    /// Kind of the packet that follows.
    pub kind: Kind,
    /// Only the first segment has CWR.
    pub has_ecn: bool,
    /// Length of all headers in bytes. The kernel's value is not always correct, so this field is only
    /// written, never read.
    pub header_len: u16,
    /// Bytes of payload in each segment but the last.
    pub segment: u16,
    /// Start of the bytes covered by the checksum, counted from the start of the packet.
    pub checksum_start: u16,
    /// Position of the checksum field, counted from `checksum_start`.
    pub checksum_offset: u16,
}

impl Header {
    /// Parses a header from the kernel, in native byte order.
    #[must_use]
    pub fn read(bytes: &[u8; LEN]) -> Self {
        let [flags, kind, h0, h1, s0, s1, c0, c1, o0, o1] = *bytes;
        Self {
            needs_checksum: flags & NEEDS_CSUM != 0,
            kind: match kind & !GSO_ECN {
                0 => Kind::Single,
                1 => Kind::TcpV4,
                4 => Kind::TcpV6,
                5 => Kind::Udp,
                _ => Kind::Unknown,
            },
            has_ecn: kind & GSO_ECN != 0,
            header_len: u16::from_ne_bytes([h0, h1]),
            segment: u16::from_ne_bytes([s0, s1]),
            checksum_start: u16::from_ne_bytes([c0, c1]),
            checksum_offset: u16::from_ne_bytes([o0, o1]),
        }
    }

    /// Encodes the header for the kernel, in native byte order.
    #[must_use]
    pub fn to_bytes(self) -> [u8; LEN] {
        let kind = match self.kind {
            Kind::Single | Kind::Unknown => 0,
            Kind::TcpV4 => 1,
            Kind::TcpV6 => 4,
            Kind::Udp => 5,
        };
        let [h0, h1] = self.header_len.to_ne_bytes();
        let [s0, s1] = self.segment.to_ne_bytes();
        let [c0, c1] = self.checksum_start.to_ne_bytes();
        let [o0, o1] = self.checksum_offset.to_ne_bytes();
        let flags = u8::from(self.needs_checksum) * NEEDS_CSUM;
        let ecn = u8::from(self.has_ecn) * GSO_ECN;
        [flags, kind | ecn, h0, h1, s0, s1, c0, c1, o0, o1]
    }
}
