//! Comparison of the core's ML-KEM-768 with a second implementation, on as many random cases as wanted.
//!
//! `cargo xtask kem` runs it. The tests run some of the cases.

use std::process::ExitCode;

#[path = "../tests/kem/comparison.rs"]
mod comparison;
#[path = "../tests/kem/second.rs"]
mod second;

/// Interval of the lines that show the progress.
const PROGRESS: u64 = 10_000;

/// Compares both implementations in `cases` cases of the generator with this seed.
fn compare(cases: u64, seed: u64) {
    let mut rng = comparison::generator(seed);
    let mut accepted: u64 = 0;
    for case in 1..=cases {
        let exchange = comparison::exchange(&mut rng);
        comparison::damaged_ciphertext(&exchange, &mut rng);
        accepted += u64::from(comparison::damaged_key(&exchange, &mut rng));
        if case.is_multiple_of(PROGRESS) {
            println!("{case} of {cases} cases are equal");
        }
    }
    println!(
        "equal: {cases} key pairs, {cases} encapsulations, {cases} decapsulations, {cases} damaged ciphertexts, {cases} damaged \
         encapsulation keys ({accepted} of them valid)"
    );
}

fn main() -> ExitCode {
    let arguments: Vec<u64> = std::env::args()
        .skip(1)
        .filter_map(|word| word.parse().ok())
        .collect();
    let &[cases, seed] = arguments.as_slice() else {
        eprintln!("usage: kem CASES SEED, two numbers");
        return ExitCode::from(2);
    };
    compare(cases, seed);
    ExitCode::SUCCESS
}
