//! IP headers of inner packets: version and addresses, the only parts that a tunnel reads.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// The addresses of an IP packet (RFC 791, section 3.1; RFC 8200, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpAddresses {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
}

impl IpAddresses {
    /// Reads the addresses of `packet`. The version is the first nibble.
    ///
    /// `None` if the version is neither 4 nor 6, or if the fixed part of the header (20 or 40 bytes) is
    /// incomplete.
    pub(crate) fn read(packet: &[u8]) -> Option<Self> {
        match packet.first()? >> 4 {
            4 => {
                let [.., s0, s1, s2, s3, d0, d1, d2, d3] = packet.first_chunk::<20>()?;
                Some(Self {
                    source: Ipv4Addr::new(*s0, *s1, *s2, *s3).into(),
                    destination: Ipv4Addr::new(*d0, *d1, *d2, *d3).into(),
                })
            }
            6 => {
                let header = packet.first_chunk::<40>()?;
                let (rest, destination) = header.split_last_chunk::<16>()?;
                let (_, source) = rest.split_last_chunk::<16>()?;
                Some(Self {
                    source: Ipv6Addr::from(*source).into(),
                    destination: Ipv6Addr::from(*destination).into(),
                })
            }
            _ => None,
        }
    }
}

/// Protocol number of UDP, and the number of the fragment header (RFC 8200, section 4.5).
const UDP: u8 = 17;
const FRAGMENT: u8 = 44;

/// Returns true if an inner packet to `destination` is a datagram of this tunnel: UDP to `remote`, or a later
/// fragment of such a datagram. If a route leads these datagrams into the tunnel, each is wrapped again
/// without end.
pub(crate) fn is_own_datagram(packet: &[u8], destination: IpAddr, remote: SocketAddr) -> bool {
    destination == remote.ip().to_canonical()
        && udp_port(packet).is_some_and(|port| port.is_none_or(|port| port == remote.port()))
}

/// Returns the destination port of UDP. The outer `None` means that the packet is not UDP. The inner `None`
/// means that it is a later fragment, which has no port.
fn udp_port(packet: &[u8]) -> Option<Option<u16>> {
    let (at, protocol, offset) = match packet.first()? >> 4 {
        4 => {
            let [version_and_length, _, _, _, _, _, offset @ .., _, protocol] = packet.first_chunk::<10>()?;
            let len = usize::from(version_and_length & 0x0f) * 4;
            (len, *protocol, u16::from_be_bytes(*offset) & 0x1fff)
        }
        _ => match *packet.get(6)? {
            FRAGMENT => {
                let [protocol, _, offset @ ..] = packet.get(40..)?.first_chunk::<4>()?;
                (48, *protocol, u16::from_be_bytes(*offset) >> 3)
            }
            protocol => (40, protocol, 0),
        },
    };
    if protocol != UDP {
        return None;
    }
    if offset > 0 {
        return Some(None);
    }
    let [_, _, port @ ..] = packet.get(at..)?.first_chunk::<4>()?;
    Some(Some(u16::from_be_bytes(*port)))
}

#[cfg(test)]
mod tests {
    use alloc::vec;
    use alloc::vec::Vec;

    use super::*;

    #[test]
    fn the_addresses_of_both_ip_versions_are_read() {
        let mut v4 = [0u8; 20];
        v4[0] = 0x45;
        v4[12..16].copy_from_slice(&[10, 9, 0, 2]);
        v4[16..20].copy_from_slice(&[10, 9, 0, 1]);
        let read = IpAddresses::read(&v4).expect("a full header");
        assert_eq!(
            (read.source, read.destination),
            ([10, 9, 0, 2].into(), [10, 9, 0, 1].into())
        );

        let mut v6 = [0u8; 44];
        v6[0] = 0x60;
        v6[8] = 0xfd;
        v6[23] = 2;
        v6[24] = 0xfd;
        v6[39] = 1;
        let read = IpAddresses::read(&v6).expect("a full header");
        assert_eq!(
            (read.source, read.destination),
            ("fd00::2".parse().unwrap(), "fd00::1".parse().unwrap())
        );
    }

    /// Returns true if the packet is a datagram of a tunnel to 198.18.0.1:4000 or [2001:db8::1]:4000.
    fn is_own(packet: &[u8]) -> bool {
        let destination = IpAddresses::read(packet).expect("a full header").destination;
        let host = if destination.is_ipv4() {
            "198.18.0.1:4000"
        } else {
            "[2001:db8::1]:4000"
        };
        is_own_datagram(packet, destination, host.parse().unwrap())
    }

    fn v4(protocol: u8, offset: u16, port: u16) -> Vec<u8> {
        let mut packet = vec![
            0x46, 0, 0, 0, 0, 0, 0, 0, 64, protocol, 0, 0, 10, 9, 0, 2, 198, 18, 0, 1,
        ];
        packet[6..8].copy_from_slice(&(offset | 0x2000).to_be_bytes());
        packet.extend([0; 4]); // an option
        packet.extend([9, 9]);
        packet.extend(port.to_be_bytes());
        packet
    }

    fn v6(fragment: Option<u16>, port: u16) -> Vec<u8> {
        let mut packet = vec![0x60, 0, 0, 0, 0, 0, if fragment.is_some() { 44 } else { 17 }, 64];
        for address in ["fd00::2", "2001:db8::1"] {
            packet.extend(address.parse::<Ipv6Addr>().unwrap().octets());
        }
        if let Some(offset) = fragment {
            packet.extend([17, 0]);
            packet.extend((offset << 3 | 1).to_be_bytes());
            packet.extend([0; 4]);
        }
        packet.extend([9, 9]);
        packet.extend(port.to_be_bytes());
        packet
    }

    #[test]
    fn datagrams_of_the_tunnel_are_recognised_in_both_ip_versions_and_in_fragments() {
        assert!(is_own(&v4(17, 0, 4000)) && is_own(&v6(None, 4000)) && is_own(&v6(Some(0), 4000)));
        assert!(
            is_own(&v4(17, 185, 1)) && is_own(&v6(Some(185), 1)),
            "later fragments have no port"
        );
        let remote: SocketAddr = "[::ffff:198.18.0.1]:4000".parse().unwrap();
        assert!(is_own_datagram(&v4(17, 0, 4000), [198, 18, 0, 1].into(), remote));
    }

    #[test]
    fn other_ports_protocols_and_hosts_are_not_datagrams_of_the_tunnel() {
        assert!(!is_own(&v4(17, 0, 4001)) && !is_own(&v6(None, 53)) && !is_own(&v6(Some(0), 53)));
        assert!(!is_own(&v4(6, 0, 4000)) && !is_own(&v4(1, 185, 4000)));
        let mut elsewhere = v4(17, 0, 4000);
        elsewhere[19] = 2;
        assert!(!is_own(&elsewhere));
        let cut = v4(17, 0, 4000);
        for len in 20..cut.len() {
            assert!(!is_own(&cut[..len]), "{len} bytes");
        }
    }

    #[test]
    fn other_versions_and_short_packets_have_no_addresses() {
        for first in (0..=0xffu8).filter(|first| !matches!(first >> 4, 4 | 6)) {
            assert_eq!(IpAddresses::read(&[first; 64]), None);
        }
        assert_eq!(IpAddresses::read(&[]), None);
        assert_eq!(IpAddresses::read(&[0x45; 19]), None);
        assert_eq!(IpAddresses::read(&[0x60; 39]), None);
    }
}
