//! Tests of scenarios, profiles, reports and programs.

mod addresses;
mod adversary;
mod behaviour;
mod clocks;
mod goals;
mod hostile;
mod json_schema;
mod language;
mod liveness;
mod profiles;
mod reports;
mod rules;
mod schema;
mod schema_values;
mod search;
mod secure;
mod shrink;
// A test that panics, which WebAssembly does not support.
#[cfg(not(target_family = "wasm"))]
mod shrunk_test;
mod silence;
mod speak;
mod support;
mod survival;
mod tapes;
mod transfers;

// Tests that start processes.
#[cfg(all(feature = "cli", feature = "turmoil", not(target_family = "wasm")))]
mod arq;
#[cfg(all(feature = "cli", feature = "turmoil", not(target_family = "wasm")))]
mod bad_input;
#[cfg(all(feature = "cli", feature = "turmoil", not(target_family = "wasm")))]
mod command_line;
#[cfg(all(feature = "cli", feature = "turmoil", not(target_family = "wasm")))]
mod folders;
// Tests that read `/proc`.
#[cfg(all(feature = "cli", feature = "turmoil", target_os = "linux"))]
mod interrupt;
#[cfg(all(feature = "cli", feature = "turmoil", not(target_family = "wasm")))]
mod mistakes;
#[cfg(all(feature = "cli", feature = "turmoil", not(target_family = "wasm")))]
mod output;
#[cfg(all(feature = "cli", feature = "turmoil", not(target_family = "wasm")))]
mod program;
#[cfg(all(feature = "cli", feature = "turmoil", unix))]
mod relay;
#[cfg(all(feature = "cli", feature = "turmoil", not(target_family = "wasm")))]
mod shrink_command;
