use super::*;

#[test]
fn padding_is_cut_at_the_end_only() {
    assert_eq!(trimmed(b" {} \n  "), b" {} \n");
    assert_eq!(trimmed(b"   "), b"");
    assert_eq!(trimmed(b""), b"");
}
