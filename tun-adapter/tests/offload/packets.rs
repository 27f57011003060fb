//! TCP and UDP test packets over IPv4 and IPv6, with checksums by smoltcp.

use std::net::{Ipv4Addr, Ipv6Addr};

use proptest::prelude::*;
use sandhog::offload::header::{Header, Kind};
use smoltcp::wire::{IpAddress, Ipv4Packet, TcpPacket, UdpPacket};

pub(super) const FIN: u8 = 0x01;
pub(super) const SYN: u8 = 0x02;
pub(super) const PSH: u8 = 0x08;
pub(super) const ACK: u8 = 0x10;
pub(super) const CWR: u8 = 0x80;

/// The fields of a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Spec {
    pub(super) v6: bool,
    pub(super) tcp: bool,
    /// The last byte of both addresses.
    pub(super) hosts: [u8; 2],
    pub(super) ports: [u16; 2],
    pub(super) sequence: u32,
    pub(super) acknowledgement: u32,
    pub(super) flags: u8,
    pub(super) window: u16,
    /// TCP options, in 32-bit words.
    pub(super) options: Vec<[u8; 4]>,
    pub(super) id: u16,
    pub(super) must_not_fragment: bool,
    pub(super) hops: u8,
    pub(super) class: u8,
    pub(super) payload: Vec<u8>,
}

impl Default for Spec {
    fn default() -> Self {
        Self {
            v6: false,
            tcp: true,
            hosts: [1, 2],
            ports: [443, 50_000],
            sequence: u32::MAX - 3000,
            acknowledgement: 7,
            flags: ACK,
            window: 500,
            options: vec![[1, 1, 8, 10], [0, 0, 0, 1], [0, 0, 0, 2]],
            id: u16::MAX - 1,
            must_not_fragment: true,
            hops: 64,
            class: 0,
            payload: vec![5; 1000],
        }
    }
}

impl Spec {
    pub(super) fn network_len(&self) -> usize {
        if self.v6 { 40 } else { 20 }
    }

    pub(super) fn transport_len(&self) -> usize {
        if self.tcp { 20 + 4 * self.options.len() } else { 8 }
    }

    /// Start of the payload.
    pub(super) fn headers_len(&self) -> usize {
        self.network_len() + self.transport_len()
    }

    fn addresses(&self) -> [IpAddress; 2] {
        self.hosts.map(|host| {
            if self.v6 {
                Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, host.into()).into()
            } else {
                Ipv4Addr::new(10, 9, 0, host).into()
            }
        })
    }

    fn number(&self) -> u8 {
        if self.tcp { 6 } else { 17 }
    }

    /// The packet without a transport checksum.
    fn raw(&self) -> Vec<u8> {
        let len = u16::try_from(self.transport_len() + self.payload.len()).expect("a length of IP");
        let mut packet = Vec::new();
        let [source, destination] = self.addresses();
        if self.v6 {
            packet.extend([0x60 | self.class >> 4, self.class << 4, 0, 9]);
            packet.extend(len.to_be_bytes());
            packet.extend([self.number(), self.hops]);
        } else {
            packet.extend([0x45, self.class]);
            packet.extend((len + 20).to_be_bytes());
            packet.extend(self.id.to_be_bytes());
            packet.extend([
                u8::from(self.must_not_fragment) << 6,
                0,
                self.hops,
                self.number(),
                0,
                0,
            ]);
        }
        packet.extend(octets(source));
        packet.extend(octets(destination));
        if !self.v6 {
            Ipv4Packet::new_unchecked(&mut packet).fill_checksum();
        }
        packet.extend(self.ports.iter().flat_map(|port| port.to_be_bytes()));
        if self.tcp {
            packet.extend(self.sequence.to_be_bytes());
            packet.extend(self.acknowledgement.to_be_bytes());
            let words = u8::try_from(5 + self.options.len()).expect("at most 15 words");
            packet.extend([words << 4, self.flags]);
            packet.extend(self.window.to_be_bytes());
            packet.extend([0; 4]);
            packet.extend(self.options.iter().flatten());
        } else {
            packet.extend(len.to_be_bytes());
            packet.extend([0; 2]);
        }
        packet.extend(&self.payload);
        packet
    }

    /// The complete packet.
    pub(super) fn packet(&self) -> Vec<u8> {
        let mut packet = self.raw();
        let [source, destination] = self.addresses();
        let segment = &mut packet[self.network_len()..];
        if self.tcp {
            TcpPacket::new_unchecked(segment).fill_checksum(&source, &destination);
        } else {
            UdpPacket::new_unchecked(segment).fill_checksum(&source, &destination);
        }
        packet
    }

    /// The packet as a superpacket from the kernel: the checksum field has only the sum of the pseudo-header.
    pub(super) fn superpacket(&self, segment: u16) -> (Header, Vec<u8>) {
        let mut packet = self.raw();
        let len = u32::try_from(packet.len() - self.network_len()).expect("short");
        let [source, destination] = self.addresses();
        let mut pseudo = [octets(source), octets(destination)].concat();
        pseudo.extend(len.to_be_bytes());
        pseudo.extend([0, self.number()]);
        let offset = if self.tcp { 16 } else { 6 };
        let field = self.network_len() + offset;
        packet[field..field + 2].copy_from_slice(&slow_sum(&pseudo).to_be_bytes());
        let header = Header {
            needs_checksum: true,
            kind: match (segment, self.tcp, self.v6) {
                (0, ..) => Kind::Single,
                (_, true, false) => Kind::TcpV4,
                (_, true, true) => Kind::TcpV6,
                (_, false, _) => Kind::Udp,
            },
            has_ecn: false,
            // Some kernels always write the length of the packet here.
            header_len: u16::try_from(packet.len()).expect("a length of IP"),
            segment,
            checksum_start: u16::try_from(self.network_len()).expect("short"),
            checksum_offset: u16::try_from(offset).expect("short"),
        };
        (header, packet)
    }

    /// The expected segments, each built separately.
    pub(super) fn segments(&self, segment: usize) -> Vec<Vec<u8>> {
        let count = self.payload.chunks(segment).count();
        let one = |(number, payload): (usize, &[u8])| {
            let mut flags = self.flags;
            if number > 0 {
                flags &= !CWR;
            }
            if number + 1 < count {
                flags &= !(FIN | PSH);
            }
            let before = u32::try_from(number * segment).expect("short");
            let spec = Self {
                sequence: self.sequence.wrapping_add(before),
                id: self.id.wrapping_add(u16::try_from(number).expect("few")),
                flags,
                payload: payload.to_vec(),
                ..self.clone()
            };
            spec.packet()
        };
        self.payload.chunks(segment).enumerate().map(one).collect()
    }
}

fn octets(address: IpAddress) -> Vec<u8> {
    match address {
        IpAddress::Ipv4(address) => address.octets().to_vec(),
        IpAddress::Ipv6(address) => address.octets().to_vec(),
    }
}

/// The checksum of RFC 1071, computed word by word, not complemented.
fn slow_sum(bytes: &[u8]) -> u16 {
    bytes.chunks(2).fold(0, |sum: u16, word| {
        let word = u16::from_be_bytes([word[0], word.get(1).copied().unwrap_or(0)]);
        let (sum, carry) = sum.overflowing_add(word);
        sum + u16::from(carry)
    })
}

/// Any valid TCP or UDP packet with a payload of this length.
pub(super) fn any_spec(payload: std::ops::Range<usize>) -> impl Strategy<Value = Spec> {
    let payload = prop::collection::vec(any::<u8>(), payload);
    let options = prop::collection::vec(any::<[u8; 4]>(), 0..=10);
    let network = any::<(bool, [u8; 2], u16, bool, u8, u8)>();
    let transport = any::<(bool, [u16; 2], u32, u32, u8, u16)>();
    (network, transport, options, payload).prop_map(|(network, transport, options, payload)| {
        let (v6, hosts, id, must_not_fragment, hops, class) = network;
        let (tcp, ports, sequence, acknowledgement, flags, window) = transport;
        Spec {
            v6,
            tcp,
            hosts,
            ports,
            sequence,
            acknowledgement,
            flags,
            window,
            options,
            id,
            must_not_fragment,
            hops,
            class,
            payload,
        }
    })
}
