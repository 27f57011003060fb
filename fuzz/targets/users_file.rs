//! The users file. A file that is read must be written and read again without a change.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sandhog_proto::secure::UserStore;

fuzz_target!(|text: &str| {
    if let Ok(users) = UserStore::parse(text) {
        let written = users.to_text();
        let again = UserStore::parse(&written).expect("a file that the store wrote");
        assert_eq!(again.to_text(), written);
    }
});
