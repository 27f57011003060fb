//! The configuration file of a client, in a folder with valid files for it to name.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sandhog::config;
use sandhog_fuzz::files;

fuzz_target!(|text: &str| {
    if let Err(failure) = config::Client::load(&files::with("client.toml", text)) {
        assert!(!failure.to_string().is_empty());
    }
});
