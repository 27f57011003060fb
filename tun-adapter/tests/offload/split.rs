//! Segmentation of superpackets: the result equals packets that are built one by one.

use proptest::prelude::*;
use sandhog::offload::header::{Header, Kind};
use sandhog::offload::{Malformed, Split};

use super::fixed;
use super::packets::{ACK, CWR, FIN, PSH, Spec, any_spec};

/// Returns all packets of a superpacket.
pub(super) fn split(header: &Header, packet: &[u8]) -> Result<Vec<Vec<u8>>, Malformed> {
    let mut split = Split::new(header, packet)?;
    let mut packets = Vec::new();
    while let Some(len) = split.next_len() {
        let mut room = vec![0xee; len + 3];
        assert_eq!(split.next(&mut room[..len - 1]), None, "the buffer is too short");
        assert_eq!(split.next(&mut room), Some(len));
        assert_eq!(room[len..], [0xee; 3], "nothing is written after the packet");
        room.truncate(len);
        packets.push(room);
    }
    assert_eq!(split.next(&mut [0; 70_000]), None);
    Ok(packets)
}

proptest! {
    #![proptest_config(fixed(0x5a4d_0101, 300))]

    #[test]
    fn a_superpacket_is_segmented_into_the_same_packets_as_built_one_by_one(
        spec in any_spec(1..9000),
        segment in 1_u16..2000,
    ) {
        let segment = segment.max(u16::try_from(spec.payload.len() / 600).expect("short"));
        let (header, packet) = spec.superpacket(segment);
        let packets = split(&header, &packet).expect("a valid superpacket");
        prop_assert_eq!(packets, spec.segments(segment.into()));
    }

    #[test]
    fn a_partial_checksum_is_completed(spec in any_spec(0..1500)) {
        let (header, packet) = spec.superpacket(0);
        prop_assert_eq!(split(&header, &packet), Ok(vec![spec.packet()]));
    }
}

#[test]
fn a_single_packet_is_unchanged() {
    let packet = Spec::default().packet();
    assert_eq!(split(&Header::default(), &packet), Ok(vec![packet]));
}

#[test]
fn a_superpacket_of_maximum_size_is_segmented_completely() {
    for v6 in [false, true] {
        let mut spec = Spec {
            v6,
            flags: ACK | PSH | FIN | CWR,
            ..Spec::default()
        };
        spec.payload = vec![9; 65_535 - spec.headers_len()];
        let (header, packet) = spec.superpacket(1368);
        let packets = split(&header, &packet).expect("a valid superpacket");
        assert_eq!(packets, spec.segments(1368));
        assert_eq!(packets.len(), 48);
    }
}

#[test]
fn a_header_is_read_as_it_was_written() {
    for kind in [Kind::Single, Kind::TcpV4, Kind::TcpV6, Kind::Udp] {
        let header = Header {
            needs_checksum: true,
            kind,
            has_ecn: kind == Kind::TcpV4,
            header_len: 1,
            segment: 0x0203,
            checksum_start: 0x0405,
            checksum_offset: 0x0607,
        };
        assert_eq!(Header::read(&header.to_bytes()), header);
    }
}

#[test]
fn a_packet_that_does_not_match_its_header_is_rejected() {
    let refused = |change: &dyn Fn(&mut Header, &mut Vec<u8>)| {
        let (mut header, mut packet) = Spec::default().superpacket(500);
        assert!(split(&header, &packet).is_ok());
        change(&mut header, &mut packet);
        assert_eq!(split(&header, &packet), Err(Malformed), "{header:?}");
    };
    refused(&|header, _| header.needs_checksum = false);
    refused(&|header, _| header.segment = 0);
    refused(&|header, _| header.kind = Kind::TcpV6);
    refused(&|header, _| header.kind = Kind::Unknown);
    refused(&|header, _| header.kind = Kind::Udp);
    refused(&|header, _| header.checksum_start = 24);
    refused(&|header, _| header.checksum_start = 0);
    refused(&|header, _| header.checksum_offset = 6);
    refused(&|_, packet| packet[0] = 0x46);
    refused(&|_, packet| packet[0] = 0x65);
    refused(&|_, packet| packet[32] = 0x40);
    refused(&|_, packet| packet.truncate(52));
    refused(&|_, packet| packet.truncate(30));
    refused(&|_, packet| packet.clear());
}
