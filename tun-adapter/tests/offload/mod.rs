//! Segmentation offload: what is cut and what is put together, against packets made by other means.

mod coalesce;
mod garbage;
mod packets;
mod split;

use proptest::test_runner::{Config, RngSeed};

/// The same cases each time. `PROPTEST_CASES=100000` runs more of them.
fn fixed(seed: u64, cases: u32) -> Config {
    let more = std::env::var_os("PROPTEST_CASES").and_then(|text| text.to_str()?.parse().ok());
    Config {
        cases: more.unwrap_or(cases),
        rng_seed: RngSeed::Fixed(seed),
        failure_persistence: None,
        ..Config::default()
    }
}
