//! Control characters in texts, which a terminal would obey.

/// Returns true for a control character, a line or paragraph separator, a character that changes the direction of text, and one
/// that XML does not allow.
pub(crate) fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{fffe}' | '\u{ffff}')
}

/// A copy of `text` with each control character as an escape sequence of Rust, such as `\u{1b}`. Newlines and tabs stay.
pub(crate) fn escaped(text: &str) -> String {
    let mut copy = String::with_capacity(text.len());
    for c in text.chars() {
        match is_control(c) && !matches!(c, '\n' | '\t') {
            true => copy.extend(c.escape_unicode()),
            false => copy.push(c),
        }
    }
    copy
}
