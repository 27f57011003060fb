//! The configuration file of a server, in a folder with valid files for it to name.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sandhog::config;
use sandhog_fuzz::files;

fuzz_target!(|text: &str| {
    if let Err(failure) = config::Server::load(&files::with("server.toml", text)) {
        assert!(!failure.to_string().is_empty());
    }
});
