//! Benchmark of segmentation offload: nanoseconds per packet and per byte. `cargo bench --package sandhog
//! --bench offload`
//!
//! Each value is the minimum of many rounds. There is no target: the values show which part of the data plane
//! has become slower.

#[cfg(target_os = "linux")]
#[path = "../tests/offload/packets.rs"]
#[expect(dead_code, reason = "the tests need more of it")]
mod packets;

#[cfg(not(target_os = "linux"))]
fn main() {}

#[cfg(target_os = "linux")]
fn main() {
    bench::main();
}

#[cfg(target_os = "linux")]
mod bench {
    use std::hint::black_box;
    use std::time::Duration;

    use sandhog::offload::header::Header;
    use sandhog::offload::{Coalescer, Split};
    use sandhog::tun::OffloadFeatures;

    use super::packets::Spec;

    const ROUNDS: usize = 2000;

    pub(super) fn main() {
        println!("ns per packet (ns per byte of IP)      segment        coalesce");
        for (name, tcp, v6, payload, segment) in [
            ("TCP, IPv4, 45 packets of 1420 bytes", true, false, 61_560, 1368),
            ("TCP, IPv6, 45 packets of 1420 bytes", true, true, 60_660, 1348),
            ("UDP, IPv4, 45 packets of 1420 bytes", false, false, 62_640, 1392),
            ("UDP, IPv4, 64 packets of 92 bytes", false, false, 4096, 64),
        ] {
            let spec = Spec {
                tcp,
                v6,
                payload: vec![0x5a; payload],
                ..Spec::default()
            };
            let (header, packet) = spec.superpacket(segment);
            let memory = segment_all(&header, &packet);
            let packets: usize = memory.iter().map(Vec::len).sum();
            let cell = |time: Duration| {
                let nanos = time.as_nanos() as f64;
                let of = |count: usize| nanos / count as f64;
                format!("{:7.1} ({:.3})", of(memory.len()), of(packets))
            };
            let segmenting = cell(time_segmenting(&header, &packet));
            println!("{name:37}  {segmenting}  {}", cell(time_coalescing(&memory)));
        }
    }

    /// The packets of a superpacket.
    fn segment_all(header: &Header, packet: &[u8]) -> Vec<Vec<u8>> {
        let mut split = Split::new(header, packet).expect("a valid superpacket");
        let next = || {
            let mut room = vec![0; split.next_len()?];
            split.next(&mut room).map(|_| room)
        };
        std::iter::from_fn(next).collect()
    }

    fn time_segmenting(header: &Header, packet: &[u8]) -> Duration {
        let mut room = vec![0; 2 * packet.len() + 10_000];
        minimum(|| {
            let mut split = Split::new(header, black_box(packet)).expect("a valid superpacket");
            let mut at = 0;
            while let Some(len) = split.next(&mut room[at..]) {
                at += len;
            }
            black_box(&room);
        })
    }

    fn time_coalescing(packets: &[Vec<u8>]) -> Duration {
        let memory = packets.concat();
        let features = OffloadFeatures { tcp: true, udp: true };
        let mut coalescer = Coalescer::new(features);
        minimum(|| {
            let mut at = 0;
            for packet in packets {
                coalescer.push(black_box(&memory), at..at + packet.len());
                at += packet.len();
            }
            coalescer.drain(&memory, |parts, count| {
                black_box((parts, count));
            });
        })
    }

    #[expect(
        clippy::disallowed_types,
        clippy::disallowed_methods,
        reason = "this measures; it decides nothing"
    )]
    fn minimum(mut work: impl FnMut()) -> Duration {
        let timed = |_| {
            let begin = std::time::Instant::now();
            work();
            begin.elapsed()
        };
        (0..ROUNDS).map(timed).min().unwrap_or_default()
    }
}
