//! Segmentation offload: segmenting and coalescing, compared with packets built by smoltcp.

mod coalesce;
mod garbage;
mod packets;
mod split;

use proptest::test_runner::{Config, RngSeed};

/// A configuration with the same cases each time. `cargo xtask fuzz` runs more and different ones.
fn fixed(seed: u64, cases: u32) -> Config {
    let number = |name| std::env::var_os(name).and_then(|text| text.to_str()?.parse::<u64>().ok());
    let more = number("SANDHOG_FUZZ_CASES").and_then(|cases| u32::try_from(cases).ok());
    Config {
        cases: more.unwrap_or(cases),
        rng_seed: RngSeed::Fixed(seed ^ number("SANDHOG_FUZZ_SEED").unwrap_or(0)),
        failure_persistence: None,
        ..Config::default()
    }
}
