//! `struct virtio_net_hdr` of `linux/virtio_net.h`: what the kernel says of a packet, and is told.

/// Length of the header in bytes.
pub const LEN: usize = 10;

/// The transport checksum is to be completed.
const NEEDS_CSUM: u8 = 1;
/// Or-ed to the kind of a TCP superpacket whose first segment alone may carry CWR.
const GSO_ECN: u8 = 0x80;

/// What a superpacket is made of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Kind {
    /// It is no superpacket.
    #[default]
    Single,
    /// TCP over IPv4.
    TcpV4,
    /// TCP over IPv6.
    TcpV6,
    /// Several UDP datagrams over either.
    Udp,
    /// Something that was never asked for.
    Unknown,
}

/// The header of one packet. Nothing in it is to be trusted before it was compared with the packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Header {
    /// The transport checksum field holds the sum of the pseudo-header only.
    pub needs_checksum: bool,
    /// What kind of superpacket follows.
    pub kind: Kind,
    /// CWR counts for the first segment only.
    pub has_ecn: bool,
    /// Bytes of all headers together. The kernel does not always get it right and it is never read, only written.
    pub header_len: u16,
    /// Bytes of payload in each segment but the last.
    pub segment: u16,
    /// Where the bytes begin that the checksum is over, in bytes from the start of the packet.
    pub checksum_start: u16,
    /// Where the checksum is, in bytes from there.
    pub checksum_offset: u16,
}

impl Header {
    /// Reads a header as the kernel of this machine writes it, in its own byte order.
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

    /// The header for the kernel of this machine.
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
