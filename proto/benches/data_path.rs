//! Data path against the cipher alone: the cost of header, padding, counter and replay window. `cargo bench
//! --package sandhog-proto`, and again with `--features ring`.
//!
//! All work is done in one buffer, so no copy is measured. `seal` seals. `both` seals and opens, because a
//! datagram can be opened only once. Lengths are those of inner packets. At the end the bench prints a table
//! of the shortest times and their ratios. The data path may take at most 1.1 times as long as the cipher for
//! 1420 bytes. Otherwise the exit status is 1. `-- table` prints only the table.

use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group};
use sandhog_proto::PacketBuf;
use sandhog_proto::aead::{Aead, Cipher, KEY_LEN, Portable};
use sandhog_proto::secure::{Opener, Sealer};

const KEY: [u8; KEY_LEN] = [7; KEY_LEN];
const CIPHERS: [Cipher; 2] = [Cipher::ChaCha20Poly1305, Cipher::Aes256Gcm];
const INDEX: u32 = 1;
const MTU: usize = 1420;
const LENGTHS: [u16; 3] = [64, 512, 1420];
/// Limit for the data path, in thousandths of the time of the cipher.
const PROMISED: u128 = 1100;
/// Length of code and nonce.
const HEADER_LEN: usize = 13;

/// An IPv4 packet of `len` bytes.
fn packet(len: u16) -> PacketBuf {
    let mut packet = PacketBuf::with_capacity(len.into());
    packet.append(&[0x45, 0]);
    packet.append(&len.to_be_bytes());
    packet.resize(len.into());
    packet
}

/// Sealer and opener with the same key.
fn handles<A: Aead>(cipher: Cipher) -> (Sealer<A>, Opener<A>) {
    (Sealer::new(cipher, &KEY, INDEX), Opener::new(cipher, &KEY, INDEX))
}

fn bare<A: Aead>(criterion: &mut Criterion, name: &str, cipher: Cipher) {
    let mut group = criterion.benchmark_group(format!("{name}/{cipher}/aead"));
    let aead = A::new(cipher, &KEY);
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

fn whole<A: Aead>(criterion: &mut Criterion, name: &str, cipher: Cipher) {
    let mut group = criterion.benchmark_group(format!("{name}/{cipher}/path"));
    for len in LENGTHS {
        group.throughput(Throughput::Bytes(len.into()));
        let (sealer, opener) = handles::<A>(cipher);
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

/// Number of measurements.
const ROUNDS: usize = 1001;

/// Duration of 100 runs of `work`. It is shorter than a time slice of the scheduler, so many measurements are
/// undisturbed.
#[expect(
    clippy::disallowed_types,
    clippy::disallowed_methods,
    reason = "measurement only"
)]
fn timed(mut work: impl FnMut()) -> Duration {
    let begin = std::time::Instant::now();
    (0..100).for_each(|_| work());
    begin.elapsed()
}

/// Durations for 100 packets: cipher alone and data path. They are measured in turn, so other load affects
/// both.
#[derive(Clone, Copy)]
struct Turn {
    alone: Duration,
    path: Duration,
}

/// Measures sealing, or sealing and opening, of packets of `len` bytes.
fn turns<A: Aead>(cipher: Cipher, len: u16, is_opened: bool) -> Vec<Turn> {
    let (sealer, opener) = handles::<A>(cipher);
    let (aead, mut body, mut buf) = (A::new(cipher, &KEY), packet(len), packet(len));
    let mut counter = 0u64;
    let mut alone = || {
        counter += 1;
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&counter.to_be_bytes());
        let tag = black_box(aead.seal(&nonce, &[3], &mut body).unwrap());
        if is_opened {
            aead.open(&nonce, &[3], &mut body, &tag).unwrap();
        }
    };
    let mut path = || {
        black_box(sealer.seal_packet(&mut buf, MTU).unwrap());
        if is_opened {
            black_box(opener.open(&mut buf).unwrap());
        } else {
            buf.advance(HEADER_LEN);
            buf.truncate(len.into());
        }
    };
    let turn = |_| Turn {
        alone: timed(&mut alone),
        path: timed(&mut path),
    };
    (0..ROUNDS).map(turn).collect()
}

/// The shortest of many durations, which was disturbed least. In picoseconds per packet.
fn least(turns: &[Turn], of: impl Fn(&Turn) -> Duration) -> u128 {
    turns.iter().map(of).min().unwrap_or_default().as_nanos() * 10
}

/// Prints the results of a backend for each cipher and length. Returns true if they are within the limit.
fn is_kept<A: Aead>(name: &str) -> bool {
    // Both are measured, whatever the result of the first is.
    CIPHERS.map(|cipher| is_kept_with::<A>(name, cipher)) == [true; 2]
}

fn is_kept_with<A: Aead>(name: &str, cipher: Cipher) -> bool {
    println!(
        "{name} {cipher}, ns for a packet       cipher: seal   open    path: seal   open    ratio: seal   both"
    );
    let mut is_kept = true;
    for len in LENGTHS {
        let [seal, both] = [false, true].map(|is_opened| turns::<A>(cipher, len, is_opened));
        let alone = [&seal, &both].map(|turns| least(turns, |turn| turn.alone));
        let path = [&seal, &both].map(|turns| least(turns, |turn| turn.path));
        // In thousandths.
        let ratios = [0, 1].map(|at| path[at] * 1000 / alone[at].max(1));
        let open = |[seal, both]: [u128; 2]| both.saturating_sub(seal) / 1000;
        let shown = |ratio: u128| format!("{}.{:03}", ratio / 1000, ratio % 1000);
        println!(
            "{:>20} bytes{:>18}{:>7}{:>14}{:>7}{:>15}{:>7}",
            len,
            alone[0] / 1000,
            open(alone),
            path[0] / 1000,
            open(path),
            shown(ratios[0]),
            shown(ratios[1]),
        );
        is_kept &= len != LENGTHS[2] || ratios.iter().all(|ratio| *ratio <= PROMISED);
    }
    is_kept
}

fn portable(criterion: &mut Criterion) {
    for cipher in CIPHERS {
        bare::<Portable>(criterion, "portable", cipher);
        whole::<Portable>(criterion, "portable", cipher);
    }
}

#[cfg(feature = "ring")]
fn ring(criterion: &mut Criterion) {
    use sandhog_proto::aead::Ring;
    for cipher in CIPHERS {
        bare::<Ring>(criterion, "ring", cipher);
        whole::<Ring>(criterion, "ring", cipher);
    }
}

/// There is nothing to measure without the feature.
#[cfg(not(feature = "ring"))]
const fn ring(_: &mut Criterion) {}

#[cfg(feature = "ring")]
fn is_kept_by_ring() -> bool {
    is_kept::<sandhog_proto::aead::Ring>("ring")
}

#[cfg(not(feature = "ring"))]
const fn is_kept_by_ring() -> bool {
    true
}

criterion_group!(data_path, portable, ring);

fn main() -> ExitCode {
    if !std::env::args().any(|argument| argument == "table") {
        data_path();
        Criterion::default().configure_from_args().final_summary();
    }
    let is_kept = [is_kept::<Portable>("portable"), is_kept_by_ring()];
    ExitCode::from(u8::from(is_kept.contains(&false)))
}
