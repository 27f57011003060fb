//! Scenario text that is part of a program.

/// A scenario that is part of a program, as text.
#[derive(Clone, Copy, Debug)]
pub struct Builtin {
    /// The name on the command line.
    pub name: &'static str,
    /// The scenario in TOML.
    pub source: &'static str,
    /// Names and contents of the files that its servers serve.
    pub files: &'static [(&'static str, &'static [u8])],
    /// Name of the profile that replaces the profile of the text. So one text can be used with two profiles.
    pub profile: Option<&'static str>,
}
