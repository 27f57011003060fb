//! The interface between the page and the simulator.
//!
//! All arguments and results are text, so the page needs no types of its own for scenarios, seeds and runs. On `wasm32` the
//! module `module` exports these functions to JavaScript under the same names.

#[cfg(target_arch = "wasm32")]
pub mod module;

use sandhog_lab::replay::{record, replay};
use sandhog_lab::tape::{Tape, TapeError};
use sandhog_sim::builtin::ALL;
use sandhog_sim::{Detail, Engine, Run, RunOptions, Scenario, report};
use serde_json::json;

/// The built-in scenarios in their order, as a JSON array of `{"name", "title", "about", "source"}`. `source` is TOML.
#[must_use]
pub fn scenarios() -> String {
    let list = ALL.iter().filter_map(|builtin| {
        let scenario = Scenario::builtin(builtin.name)?;
        let (name, source) = (builtin.name, builtin.source);
        Some(json!({ "name": name, "title": scenario.title, "about": scenario.about, "source": source }))
    });
    serde_json::Value::from_iter(list).to_string()
}

/// Runs a built-in scenario. Returns everything that the page draws, as one JSON object ([`report::page_json`]).
///
/// # Errors
///
/// A message for the user: the name is unknown, or the seed is not a number.
pub fn run(name: &str, seed: &str) -> Result<String, String> {
    run_for_page(&builtin(name)?, parse_seed(seed)?)
}

/// Runs a scenario given as TOML. Returns the same as [`run`]. The scenario can use only the files of built-in scenarios.
///
/// # Errors
///
/// A message for the user: the mistake in the scenario with line and column, or the mistake in the seed.
pub fn run_source(source: &str, seed: &str) -> Result<String, String> {
    let files = |wanted: &str| {
        let mut known = ALL.iter().flat_map(|builtin| builtin.files);
        let file = known.find(|(name, _)| *name == wanted);
        file.map(|(_, content)| (*content).into())
            .ok_or_else(|| "it is not built in".to_owned())
    };
    let scenario = Scenario::parse("scenario.toml", source, &files).map_err(|error| error.to_string())?;
    run_for_page(&scenario, parse_seed(seed)?)
}

/// Computes the digest of a run of a built-in scenario, in hex.
///
/// # Errors
///
/// The same as [`run`].
pub fn digest(name: &str, seed: &str) -> Result<String, String> {
    let run = simulate(&builtin(name)?, parse_seed(seed)?, Detail::Digest)?;
    Ok(run.digest.to_string())
}

/// Records the tape of a run of a built-in scenario, replays its text, and computes the digest of the replay, in hex.
///
/// # Errors
///
/// The same as [`run`].
pub fn replayed_digest(name: &str, seed: &str) -> Result<String, String> {
    let setup = builtin(name)?.setup();
    let options = RunOptions {
        seed: parse_seed(seed)?,
        detail: Detail::Digest,
        ..RunOptions::default()
    };
    let (_, tape) = record(&setup, &options).map_err(|error| error.to_string())?;
    let tape: Tape = tape
        .to_string()
        .parse()
        .map_err(|error: TapeError| error.to_string())?;
    let replay = replay(&setup, &tape, &options).map_err(|error| error.to_string())?;
    Ok(replay.run.digest.to_string())
}

fn run_for_page(scenario: &Scenario, seed: u64) -> Result<String, String> {
    let run = simulate(scenario, seed, Detail::Full)?;
    Ok(report::page_json(&run))
}

fn simulate(scenario: &Scenario, seed: u64, detail: Detail) -> Result<Run, String> {
    let options = RunOptions {
        seed,
        engine: Engine::Event,
        detail,
        ..RunOptions::default()
    };
    sandhog_sim::run(scenario, &options).map_err(|error| error.to_string())
}

fn builtin(name: &str) -> Result<Scenario, String> {
    Scenario::builtin(name).ok_or_else(|| {
        let names: Vec<_> = ALL.iter().map(|builtin| builtin.name).collect();
        format!(
            "there is no scenario `{name}`; the scenarios are {}",
            names.join(", ")
        )
    })
}

fn parse_seed(seed: &str) -> Result<u64, String> {
    seed.parse()
        .map_err(|_| format!("the seed `{seed}` is not a whole number from 0 to {}", u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> serde_json::Value {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn every_builtin_scenario_is_listed_with_its_source() {
        let list = parsed(&scenarios());
        let names: Vec<_> = list
            .as_array()
            .unwrap()
            .iter()
            .map(|entry| entry["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, ALL.iter().map(|builtin| builtin.name).collect::<Vec<_>>());
        assert!(list[0]["source"].as_str().unwrap().contains("title"));
    }

    #[test]
    fn the_page_of_a_run_has_the_digest_of_the_run() {
        let page = parsed(&run("clean-login", "7").unwrap());
        assert_eq!(
            page["digest"].as_str().unwrap(),
            digest("clean-login", "7").unwrap()
        );
        assert_eq!(page["scenario"], "clean-login");
    }

    #[test]
    fn a_replay_of_a_recorded_run_has_the_digest_of_the_run() {
        assert_eq!(
            replayed_digest("lossy-login", "7").unwrap(),
            digest("lossy-login", "7").unwrap()
        );
    }

    #[test]
    fn the_page_of_a_run_refers_only_to_existing_hosts_and_records() {
        let page = parsed(&run("first-light", "7").unwrap());
        let hosts: Vec<_> = page["hosts"]
            .as_array()
            .unwrap()
            .iter()
            .map(|host| &host["name"])
            .collect();
        let records = page["records"].as_array().unwrap();
        let ids: Vec<_> = records.iter().map(|record| &record["id"]).collect();
        for record in records {
            for host in ["host", "to", "from"].map(|key| &record[key]) {
                assert!(host.is_null() || hosts.contains(&host), "{record}");
            }
            let cause = &record["cause"];
            assert!(
                cause.is_null()
                    || ids
                        .binary_search_by_key(&cause.as_u64(), |id| id.as_u64())
                        .is_ok(),
                "{record}"
            );
        }
        for line in page["story"].as_array().unwrap() {
            assert!(ids.contains(&&line["record"]), "{line}");
        }
    }

    #[test]
    fn a_copy_of_a_builtin_source_has_the_same_digest() {
        let source = ALL
            .iter()
            .find(|builtin| builtin.name == "first-light")
            .unwrap()
            .source;
        let page = parsed(&run_source(source, "7").unwrap());
        assert_eq!(
            page["digest"].as_str().unwrap(),
            digest("first-light", "7").unwrap()
        );
    }

    #[test]
    fn a_mistake_in_a_source_is_reported_with_its_line() {
        let error = run_source("title = \"x\"\nno-such-key = 1\n", "7").unwrap_err();
        assert!(error.starts_with("scenario.toml:2:"), "{error}");
    }

    #[test]
    fn an_unknown_scenario_is_reported_with_the_known_names() {
        let error = run("frist-light", "7").unwrap_err();
        assert!(
            error.contains("`frist-light`") && error.contains("first-light"),
            "{error}"
        );
    }

    #[test]
    fn a_seed_is_any_64_bit_number_and_nothing_else() {
        assert!(digest("clean-login", "18446744073709551615").is_ok());
        for seed in ["", "-1", "1.5", "seven", "18446744073709551616"] {
            assert!(
                digest("clean-login", seed).unwrap_err().contains("seed"),
                "{seed}"
            );
        }
    }
}
