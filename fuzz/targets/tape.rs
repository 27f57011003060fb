//! Tapes, as text and in the compact form. A tape that is read must be written and read again without a change.

#![no_main]

use libfuzzer_sys::fuzz_target;
use sandhog_lab::tape::Tape;

fuzz_target!(|text: &str| {
    for tape in [text.parse().ok(), Tape::from_compact(text).ok()] {
        let Some(tape): Option<Tape> = tape else { continue };
        assert_eq!(tape.to_string().parse().as_ref(), Ok(&tape));
        assert_eq!(Tape::from_compact(&tape.to_compact()).as_ref(), Ok(&tape));
    }
});
