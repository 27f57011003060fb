//! ML-KEM-768 of the core against its standard, against Wycheproof, and against a second implementation.

mod agreement;
mod comparison;
mod long_form;
mod nist;
mod second;
mod wycheproof;

/// The bytes of a hexadecimal text.
fn hex(text: &str) -> Vec<u8> {
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).unwrap();
    (0..text.len()).step_by(2).map(byte).collect()
}
