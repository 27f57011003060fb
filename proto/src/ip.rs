//! As much of an inner IP packet's header as a tunnel looks at: version and addresses.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The addresses of an IP packet (RFC 791, section 3.1; RFC 8200, section 3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct IpAddresses {
    pub(crate) source: IpAddr,
    pub(crate) destination: IpAddr,
}

impl IpAddresses {
    /// Reads them from `packet`. The version is the first nibble, as on the wire.
    ///
    /// `None` if that is neither 4 nor 6, or if the fixed part of the header (20 or 40 bytes) is not all there.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_addresses_of_both_versions_are_read_from_their_places() {
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

    #[test]
    fn anything_else_has_no_addresses() {
        for first in (0..=0xffu8).filter(|first| !matches!(first >> 4, 4 | 6)) {
            assert_eq!(IpAddresses::read(&[first; 64]), None);
        }
        assert_eq!(IpAddresses::read(&[]), None);
        assert_eq!(IpAddresses::read(&[0x45; 19]), None);
        assert_eq!(IpAddresses::read(&[0x60; 39]), None);
    }
}
