//! Identity of a failure: the checks that failed.

use std::collections::BTreeSet;
use std::fmt;

use crate::run::{Run, STEPS_CHECK};

/// The failed checks of a run, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    /// The most telling failed check: the first property (P1, P2, …), or else the first expectation.
    pub primary: String,
    /// Its detail.
    pub detail: String,
    /// The names of all failed checks.
    pub checks: BTreeSet<String>,
}

impl Failure {
    /// The failure of a run. `None` if it passed.
    #[must_use]
    pub fn of(run: &Run) -> Option<Self> {
        Self::among(run, |_| true)
    }

    /// The failure of a run with arbitrary faults: a property P1, P2, …, or the status of a client. A lost ping is not a
    /// failure then. `None` if all of these hold.
    #[must_use]
    pub fn under_faults(run: &Run) -> Option<Self> {
        Self::among(run, |name| !is_about_steps(name))
    }

    /// The failure of a run, without its expectations. `None` if every property P1, P2, … holds.
    #[must_use]
    pub fn of_properties(run: &Run) -> Option<Self> {
        Self::among(run, is_property)
    }

    fn among(run: &Run, counts: impl Fn(&str) -> bool) -> Option<Self> {
        let failed = run
            .checks
            .iter()
            .filter(|check| !check.passed && counts(&check.name));
        let failed: Vec<_> = failed.collect();
        let primary = failed
            .iter()
            .find(|check| is_property(&check.name))
            .or_else(|| failed.first())?;
        Some(Self {
            primary: primary.name.clone(),
            detail: primary.detail.clone(),
            checks: failed.iter().map(|check| check.name.clone()).collect(),
        })
    }

    /// Returns true if `other` is the same failure, or a part of it: the same primary check, and no other
    /// failed property.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let mut properties = other.checks.iter().filter(|name| is_property(name));
        self.primary == other.primary && properties.all(|name| self.checks.contains(name))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.primary, self.detail)
    }
}

/// Returns true for the name of a property, such as `P1 no plaintext in outer datagrams`.
fn is_property(name: &str) -> bool {
    let number = name.strip_prefix('P').and_then(|rest| rest.split(' ').next());
    number.is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
}

/// Returns true for the name of the check that the steps of a client succeed.
fn is_about_steps(name: &str) -> bool {
    name.contains(STEPS_CHECK)
}
