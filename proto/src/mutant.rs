//! Bugs planted on purpose, to see whether the tests find them: `cargo xtask mutants` and nothing else.
//!
//! Each stands at the place where it would be made, behind [`planted`]. Without the feature `mutants` that is a constant
//! and the compiler leaves nothing of it. With the feature, the environment variable `SANDHOG_MUTANT` chooses one bug
//! for the whole process: whatever a test does, it cannot forget to plant it.

#[expect(dead_code, reason = "some of it is for `cargo xtask mutants` alone")]
mod list;

pub(crate) use list::Mutant;

/// Whether this bug is there.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub(crate) const fn planted(_: Mutant) -> bool {
    false
}

/// Whether this bug is there: whether the environment names it.
#[cfg(feature = "mutants")]
pub(crate) fn planted(mutant: Mutant) -> bool {
    chosen::mutant() == Some(mutant)
}

#[cfg(feature = "mutants")]
mod chosen {
    extern crate std;

    use std::sync::OnceLock;

    use super::Mutant;

    /// What the environment named when it was first asked. A name that no bug has must not look like a survivor.
    #[expect(clippy::disallowed_methods, reason = "this choice is no input of any run")]
    #[expect(clippy::panic, reason = "nothing but tests is ever built like this")]
    pub(super) fn mutant() -> Option<Mutant> {
        static CHOSEN: OnceLock<Option<Mutant>> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let name = std::env::var("SANDHOG_MUTANT").ok()?;
            let known = Mutant::ALL.iter().find(|mutant| mutant.name() == name);
            Some(*known.unwrap_or_else(|| panic!("there is no mutant `{name}`")))
        })
    }
}
