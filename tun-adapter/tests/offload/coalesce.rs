//! Coalescing: consecutive packets of one flow become one superpacket, and no packet is lost, changed or
//! reordered.

use std::io::IoSlice;

use proptest::prelude::*;
use sandhog::offload::Coalescer;
use sandhog::offload::header::{Header, LEN};
use sandhog::tun::OffloadFeatures;

use super::fixed;
use super::packets::{FIN, PSH, SYN, Spec};
use super::split::split;

const ALL: OffloadFeatures = OffloadFeatures { tcp: true, udp: true };

/// One call of the writer.
struct Written {
    header: Header,
    packet: Vec<u8>,
    packets: usize,
}

/// Coalesces the packets, which are in one memory with gaps, and collects the output.
fn coalesce(features: OffloadFeatures, packets: &[Vec<u8>]) -> Vec<Written> {
    let mut memory = vec![0xaa; 7];
    let mut places = Vec::new();
    for packet in packets {
        places.push(memory.len()..memory.len() + packet.len());
        memory.extend(packet);
        memory.extend([0xbb; 29]);
    }
    let mut coalescer = Coalescer::new(features);
    for place in places {
        coalescer.push(&memory, place);
    }
    let mut written = Vec::new();
    coalescer.drain(&memory, |parts: &[IoSlice<'_>], packets| {
        let bytes: Vec<u8> = parts.iter().flat_map(|part| part.to_vec()).collect();
        let (header, packet) = bytes.split_first_chunk::<LEN>().expect("a header");
        written.push(Written {
            header: Header::read(header),
            packet: packet.to_vec(),
            packets,
        });
    });
    coalescer.drain(&memory, |_, _| panic!("all packets were written already"));
    written
}

/// The number of packets in each write.
fn sizes(packets: &[Vec<u8>]) -> Vec<usize> {
    let written = coalesce(ALL, packets);
    written.iter().map(|written| written.packets).collect()
}

/// Segments the output again, as the kernel does.
fn segment_all(written: &[Written]) -> Vec<Vec<u8>> {
    let cut = written.iter().flat_map(|written| {
        let packets = split(&written.header, &written.packet).expect("a valid superpacket");
        assert_eq!(packets.len(), written.packets);
        packets
    });
    cut.collect()
}

fn both(check: impl Fn(Spec)) {
    for v6 in [false, true] {
        for tcp in [false, true] {
            check(Spec {
                v6,
                tcp,
                ..Spec::default()
            });
        }
    }
}

/// `count` consecutive packets of a flow.
fn row(spec: &Spec, count: usize) -> Vec<Vec<u8>> {
    let len = spec.payload.len();
    let whole = Spec {
        payload: spec.payload.repeat(count),
        ..spec.clone()
    };
    whole.segments(len)
}

#[test]
fn consecutive_packets_become_one_superpacket_with_the_same_segments() {
    both(|spec| {
        let packets = row(&spec, 40);
        let written = coalesce(ALL, &packets);
        assert_eq!(written.len(), 1, "{spec:?}");
        assert_eq!(usize::from(written[0].header.segment), spec.payload.len());
        assert_eq!(usize::from(written[0].header.header_len), spec.headers_len());
        assert_eq!(segment_all(&written), packets);
    });
}

#[test]
fn a_packet_with_psh_or_a_short_packet_is_the_last_of_its_superpacket() {
    let plain = Spec::default();
    let pushed = Spec {
        payload: vec![1; 3000],
        flags: plain.flags | PSH,
        ..plain
    };
    let mut packets = pushed.segments(1000);
    let next = Spec {
        sequence: pushed.sequence.wrapping_add(3000),
        ..Spec::default()
    };
    packets.extend(row(&next, 2));
    assert_eq!(sizes(&packets), [3, 2]);

    both(|spec| {
        let whole = Spec {
            payload: vec![1; 2500],
            ..spec.clone()
        };
        let mut packets = whole.segments(1000);
        packets.extend(row(
            &Spec {
                sequence: spec.sequence.wrapping_add(2500),
                id: spec.id.wrapping_add(3),
                ..spec
            },
            2,
        ));
        assert_eq!(sizes(&packets), [3, 2]);
        assert_eq!(segment_all(&coalesce(ALL, &packets)), packets);
    });
}

#[test]
fn a_packet_longer_than_the_first_starts_another_superpacket() {
    both(|spec| {
        let longer = Spec {
            sequence: spec.sequence.wrapping_add(1000),
            payload: vec![2; 1001],
            id: spec.id.wrapping_add(1),
            ..spec.clone()
        };
        assert_eq!(sizes(&[spec.packet(), longer.packet()]), [1, 1]);
    });
}

#[test]
fn a_packet_with_other_header_fields_starts_another_superpacket() {
    let differs = |spec: &Spec, change: &dyn Fn(&mut Spec)| {
        let mut next = Spec {
            sequence: spec.sequence.wrapping_add(1000),
            id: spec.id.wrapping_add(1),
            ..spec.clone()
        };
        assert_eq!(sizes(&[spec.packet(), next.packet()]), [2]);
        change(&mut next);
        let packets = [spec.packet(), next.packet()];
        assert_eq!(sizes(&packets), [1, 1], "{next:?}");
        assert_eq!(segment_all(&coalesce(ALL, &packets)), packets);
    };
    both(|spec| {
        differs(&spec, &|next| next.hosts = [1, 3]);
        differs(&spec, &|next| next.hosts = [3, 2]);
        differs(&spec, &|next| next.ports[0] += 1);
        differs(&spec, &|next| next.ports[1] += 1);
        differs(&spec, &|next| next.hops -= 1);
        differs(&spec, &|next| next.class = 2);
        differs(&spec, &|next| next.payload.clear());
    });
    for v6 in [false, true] {
        let spec = Spec {
            v6,
            ..Spec::default()
        };
        differs(&spec, &|next| next.sequence += 1);
        differs(&spec, &|next| next.sequence -= 1000);
        differs(&spec, &|next| next.acknowledgement += 1);
        differs(&spec, &|next| next.window += 1);
        differs(&spec, &|next| next.options[1][3] += 1);
        differs(&spec, &|next| next.options.truncate(2));
        for flag in [FIN, SYN, 0x04, 0x20, 0x40, 0x80] {
            differs(&spec, &|next| next.flags |= flag);
        }
        differs(&spec, &|next| next.flags = PSH);
    }
    let spec = Spec::default();
    differs(&spec, &|next| next.must_not_fragment = false);
    let spec = Spec {
        must_not_fragment: false,
        ..spec
    };
    differs(&spec, &|next| next.id = next.id.wrapping_add(1));
}

#[test]
fn the_identification_of_packets_with_df_is_ignored() {
    let spec = Spec::default();
    let next = Spec {
        sequence: spec.sequence.wrapping_add(1000),
        ..spec.clone()
    };
    assert_eq!(sizes(&[spec.packet(), next.packet()]), [2]);
}

#[test]
fn a_damaged_packet_is_written_alone_and_unchanged() {
    both(|spec| {
        let good = row(&spec, 3);
        for at in [spec.headers_len(), spec.network_len() + 4, good[0].len() - 1] {
            let mut packets = good.clone();
            packets[1][at] ^= 0x10;
            let written = coalesce(ALL, &packets);
            assert_eq!(written.len(), 3);
            assert!(written.iter().all(|written| written.header == Header::default()));
            assert_eq!(segment_all(&written), packets);
        }
    });
    let mut packets = row(&Spec::default(), 2);
    packets[1][8] ^= 0x01;
    assert_eq!(sizes(&packets), [1, 1], "the checksum of the IP header is wrong");
}

#[test]
fn a_datagram_without_checksum_is_written_without_checksum() {
    let spec = Spec {
        tcp: false,
        ..Spec::default()
    };
    let mut packets = row(&spec, 3);
    packets[1][26..28].fill(0);
    assert_eq!(sizes(&packets), [1, 1, 1]);
    assert_eq!(segment_all(&coalesce(ALL, &packets)), packets);
}

#[test]
fn a_device_gets_only_superpackets_that_it_supports() {
    both(|spec| {
        let packets = row(&spec, 3);
        let tcp_only = OffloadFeatures {
            tcp: true,
            udp: false,
        };
        assert_eq!(coalesce(OffloadFeatures::default(), &packets).len(), 3);
        assert_eq!(coalesce(tcp_only, &packets).len(), if spec.tcp { 1 } else { 3 });
    });
}

#[test]
fn a_superpacket_has_at_most_65535_bytes_and_64_packets() {
    both(|mut spec| {
        spec.payload = vec![3; 1400];
        assert_eq!(sizes(&row(&spec, 100)), [46, 46, 8]);
        spec.payload = vec![3; 100];
        assert_eq!(sizes(&row(&spec, 100)), [64, 36]);
    });
}

#[test]
fn interleaved_flows_are_coalesced_separately() {
    let rows: Vec<_> = (0..4)
        .map(|flow| {
            row(
                &Spec {
                    ports: [443, 50_000 + flow],
                    ..Spec::default()
                },
                10,
            )
        })
        .collect();
    let packets: Vec<_> = (0..10)
        .flat_map(|number| rows.iter().map(move |row| row[number].clone()))
        .collect();
    assert_eq!(sizes(&packets), [10; 4]);
    assert_eq!(segment_all(&coalesce(ALL, &packets)), rows.concat());
}

#[test]
fn no_later_packet_is_written_before_a_fragment() {
    let spec = Spec {
        tcp: false,
        ..Spec::default()
    };
    let mut packets = row(&spec, 3);
    packets[1][6] |= 0x20;
    assert_eq!(segment_all(&coalesce(ALL, &packets)), packets);
}

/// The next step of a flow.
#[derive(Clone, Copy, Debug)]
enum Step {
    Next,
    Push,
    Short,
    Skip,
    Again,
    Bare,
    Finish,
    Damage,
    Fragment,
    Window,
}

fn any_step() -> impl Strategy<Value = (usize, Step)> {
    let step = prop_oneof![
        20 => Just(Step::Next),
        1 => Just(Step::Push),
        1 => Just(Step::Short),
        1 => Just(Step::Skip),
        1 => Just(Step::Again),
        1 => Just(Step::Bare),
        1 => Just(Step::Finish),
        1 => Just(Step::Damage),
        1 => Just(Step::Fragment),
        1 => Just(Step::Window),
    ];
    (0_usize..5, step)
}

fn destination(flow: usize) -> u8 {
    u8::try_from(2 + flow).expect("few")
}

/// One of five flows with different destination addresses. The bits of `udp` tell which flows are UDP.
fn flow(number: usize, udp: u8) -> Spec {
    Spec {
        v6: number.is_multiple_of(2),
        tcp: udp & 1 << number == 0,
        hosts: [1, destination(number)],
        ports: [443, 5000 + u16::try_from(number).expect("few")],
        must_not_fragment: number != 1,
        payload: vec![0; 60],
        ..Spec::default()
    }
}

impl Step {
    /// Builds the next packet. Each has its number in the payload.
    fn take(self, spec: &mut Spec, number: u32) -> Vec<u8> {
        let mut this = spec.clone();
        this.payload[..4].copy_from_slice(&number.to_be_bytes());
        match self {
            Self::Push => this.flags |= PSH,
            Self::Short => this.payload.truncate(33),
            Self::Skip => this.sequence = this.sequence.wrapping_add(60),
            Self::Again => this.sequence = this.sequence.wrapping_sub(60),
            Self::Bare => this.payload.clear(),
            Self::Finish => this.flags |= FIN,
            Self::Window => this.window += 1,
            Self::Next | Self::Damage | Self::Fragment => {}
        }
        let len = u32::try_from(this.payload.len()).expect("short");
        spec.sequence = this.sequence.wrapping_add(len);
        spec.id = spec.id.wrapping_add(1);
        spec.window = this.window;
        let mut packet = this.packet();
        match self {
            Self::Damage => *packet.last_mut().expect("a packet") ^= 1,
            Self::Fragment if !this.v6 => packet[6] |= 0x20,
            _ => {}
        }
        packet
    }
}

proptest! {
    #![proptest_config(fixed(0x5a4d_0103, 400))]

    #[test]
    fn coalescing_and_segmenting_keeps_all_packets_and_the_order_in_each_flow(
        steps in prop::collection::vec(any_step(), 1..120),
        udp in any::<u8>(),
        is_able in any::<[bool; 2]>(),
    ) {
        let mut flows: Vec<_> = (0..5).map(|number| flow(number, udp)).collect();
        let packets: Vec<_> = (0..).zip(&steps).map(|(number, (flow, step))| step.take(&mut flows[*flow], number)).collect();
        let features = OffloadFeatures { tcp: is_able[0], udp: is_able[1] };
        let mut after = segment_all(&coalesce(features, &packets));
        for (number, _) in flows.iter().enumerate() {
            let of_flow = |packets: &[Vec<u8>]| -> Vec<Vec<u8>> {
                let at = |packet: &[u8]| packet[if packet[0] >> 4 == 6 { 39 } else { 19 }];
                packets.iter().filter(|packet| at(packet) == destination(number)).cloned().collect()
            };
            prop_assert_eq!(of_flow(&after), of_flow(&packets));
        }
        let mut before = packets;
        before.sort();
        after.sort();
        prop_assert_eq!(after, before);
    }
}
