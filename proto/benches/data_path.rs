//! The data path against the cipher alone: what header, padding, counter and replay window cost.
//! `cargo bench --package sandhog-proto`, and again with `--features ring`.
//!
//! Everything happens in one buffer, so that no copy is measured. `seal` seals; `both` seals and opens again, because
//! a datagram can be opened once only. Lengths are those of inner packets.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use sandhog_proto::PacketBuf;
use sandhog_proto::aead::{Aead, ChaCha20Poly1305, KEY_LEN};
use sandhog_proto::secure::{Opener, Sealer};

const KEY: [u8; KEY_LEN] = [7; KEY_LEN];
const INDEX: u32 = 1;
const MTU: usize = 1420;
const LENGTHS: [u16; 3] = [64, 512, 1420];
/// Code and nonce.
const HEADER_LEN: usize = 13;

/// An IPv4 packet of `len` bytes.
fn packet(len: u16) -> PacketBuf {
    let mut packet = PacketBuf::with_capacity(len.into());
    packet.append(&[0x45, 0]);
    packet.append(&len.to_be_bytes());
    packet.resize(len.into());
    packet
}

fn bare<A: Aead>(criterion: &mut Criterion, name: &str) {
    let mut group = criterion.benchmark_group(format!("{name}/aead"));
    let aead = A::new(&KEY);
    for len in LENGTHS {
        group.throughput(Throughput::Bytes(len.into()));
        let mut nonce = [0; 12];
        let mut body = packet(len);
        let mut seal = |body: &mut [u8]| {
            let counter = u64::from_be_bytes(*nonce.last_chunk().unwrap()) + 1;
            nonce[4..].copy_from_slice(&counter.to_be_bytes());
            (nonce, aead.seal(&nonce, &[3], body).unwrap())
        };
        group.bench_function(BenchmarkId::new("seal", len), |bencher| {
            bencher.iter(|| black_box(seal(&mut body)));
        });
        group.bench_function(BenchmarkId::new("both", len), |bencher| {
            bencher.iter(|| {
                let (nonce, tag) = black_box(seal(&mut body));
                aead.open(&nonce, &[3], &mut body, &tag).unwrap();
            });
        });
    }
}

fn whole<A: Aead>(criterion: &mut Criterion, name: &str) {
    let mut group = criterion.benchmark_group(format!("{name}/path"));
    for len in LENGTHS {
        group.throughput(Throughput::Bytes(len.into()));
        let (sealer, opener) = (Sealer::<A>::new(&KEY, INDEX), Opener::<A>::new(&KEY, INDEX));
        let mut buf = packet(len);
        group.bench_function(BenchmarkId::new("seal", len), |bencher| {
            bencher.iter(|| {
                black_box(sealer.seal_packet(&mut buf, MTU).unwrap());
                buf.advance(HEADER_LEN);
                buf.truncate(len.into());
            });
        });
        let mut buf = packet(len);
        group.bench_function(BenchmarkId::new("both", len), |bencher| {
            bencher.iter(|| {
                black_box(sealer.seal_packet(&mut buf, MTU).unwrap());
                black_box(opener.open(&mut buf).unwrap());
            });
        });
    }
}

fn portable(criterion: &mut Criterion) {
    bare::<ChaCha20Poly1305>(criterion, "portable");
    whole::<ChaCha20Poly1305>(criterion, "portable");
}

#[cfg(feature = "ring")]
fn ring(criterion: &mut Criterion) {
    use sandhog_proto::aead::RingChaCha20Poly1305;
    bare::<RingChaCha20Poly1305>(criterion, "ring");
    whole::<RingChaCha20Poly1305>(criterion, "ring");
}

/// Nothing to measure without the feature.
#[cfg(not(feature = "ring"))]
const fn ring(_: &mut Criterion) {}

criterion_group!(data_path, portable, ring);
criterion_main!(data_path);
