//! Certificates of exhaustive searches. A certificate that is read must be written and read again without a change.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sandhog_lab::search::Certificate;

fuzz_target!(|text: &str| {
    if let Ok(certificate) = Certificate::from_json(text) {
        let written = certificate.to_json().to_string();
        assert_eq!(Certificate::from_json(&written), Ok(certificate));
    }
});
