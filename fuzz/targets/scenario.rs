//! Scenario files. A file that is read must give a setup.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sandhog_sim::Scenario;

fuzz_target!(|text: &str| {
    let read = |name: &str| Err(format!("there is no file {name}"));
    match Scenario::parse("fuzz.toml", text, &read) {
        Ok(scenario) => drop(scenario.setup()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
