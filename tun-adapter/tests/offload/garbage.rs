//! Fuzz tests of segmentation offload: invalid input causes no panic and no invented data.

use proptest::prelude::*;
use sandhog::offload::header::Header;
use sandhog::offload::{Coalescer, MAX_PARTS, Split};
use sandhog::tun::OffloadFeatures;

use super::fixed;
use super::packets::{Spec, any_spec};

const ALL: OffloadFeatures = OffloadFeatures { tcp: true, udp: true };

/// Segments a possibly invalid packet. The results are not longer than the packet and have no more payload.
fn segment_all(header: &Header, packet: &[u8]) {
    let Ok(mut split) = Split::new(header, packet) else {
        return;
    };
    let mut room = [0; 70_000];
    let mut payload = 0;
    let mut packets = 0;
    while let Some(len) = split.next(&mut room) {
        assert!(len <= packet.len());
        packets += 1;
        payload += len.saturating_sub(20);
        if header.segment >= 500 {
            assert!(payload <= packet.len() + packets * 120, "the payload has grown");
        }
    }
}

/// Coalesces possibly invalid packets. All written payload must be in the original memory.
fn join(memory: &[u8], packets: &[(usize, usize)]) {
    let mut coalescer = Coalescer::new(ALL);
    let mut noted = 0;
    for &(start, len) in packets {
        coalescer.push(memory, start..start + len);
        noted += usize::from(len > 0 && start + len <= memory.len());
    }
    let mut written = 0;
    coalescer.drain(memory, |parts, packets| {
        written += packets;
        assert!((2..=MAX_PARTS).contains(&parts.len()));
        let len: usize = parts[1..].iter().map(|part| part.len()).sum();
        assert!(len <= 65_535 || packets == 1);
        for part in &parts[1..] {
            assert!(memory.as_ptr_range().contains(&part.as_ptr()));
        }
    });
    assert_eq!(written, noted, "each packet is written once");
}

/// A packet with some changed bytes, possibly truncated.
fn damaged() -> impl Strategy<Value = (Spec, Vec<u8>)> {
    let changes = prop::collection::vec((0_usize..120, any::<u8>()), 0..6);
    (any_spec(0..600), changes, prop::option::of(0_usize..120)).prop_map(|(spec, changes, cut)| {
        let (_, mut packet) = spec.superpacket(100);
        for (at, byte) in changes {
            if let Some(place) = packet.get_mut(at) {
                *place = byte;
            }
        }
        packet.truncate(cut.unwrap_or(usize::MAX));
        (spec, packet)
    })
}

proptest! {
    #![proptest_config(fixed(0x5a4d_0102, 2000))]

    #[test]
    fn random_bytes_are_rejected_or_segmented_within_bounds(header in any::<[u8; 10]>(), packet in prop::collection::vec(any::<u8>(), 0..400)) {
        segment_all(&Header::read(&header), &packet);
    }

    #[test]
    fn a_damaged_superpacket_is_rejected_or_segmented_within_bounds(
        (spec, packet) in damaged(),
        segment in any::<u16>(),
        header in prop::option::of(any::<[u8; 10]>()),
    ) {
        let (good, _) = spec.superpacket(segment);
        segment_all(&header.map_or(good, |bytes| Header::read(&bytes)), &packet);
    }

    #[test]
    fn random_bytes_from_the_tunnel_are_written_once_and_in_place(
        memory in prop::collection::vec(any::<u8>(), 0..600),
        packets in prop::collection::vec((0_usize..600, 0_usize..200), 0..20),
    ) {
        join(&memory, &packets);
    }

    #[test]
    fn damaged_packets_from_the_tunnel_are_written_once_and_in_place(
        packets in prop::collection::vec(damaged(), 1..6),
    ) {
        let mut memory = Vec::new();
        let mut places = Vec::new();
        for (_, packet) in &packets {
            // Each packet twice, so that some can be coalesced.
            for _ in 0..2 {
                places.push((memory.len(), packet.len()));
                memory.extend(packet);
            }
        }
        join(&memory, &places);
    }
}
