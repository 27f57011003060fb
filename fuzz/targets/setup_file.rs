//! The setup file of a server. A file that is read must be written and read again without a change.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sandhog_proto::secure::{setup_from_text, setup_to_text};

fuzz_target!(|text: &str| {
    if let Ok(setup) = setup_from_text(text) {
        let written = setup_to_text(&setup);
        let again = setup_from_text(&written).expect("a file that the core wrote");
        assert_eq!(*setup_to_text(&again), *written);
    }
});
