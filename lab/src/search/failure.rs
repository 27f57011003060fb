//! Identity of a failure: the checks that failed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::run::{Run, STEPS_CHECK, UNFINISHED};

/// The failed checks of a run, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Failure {
    /// The most telling failed check: the first property (P1, P2, …), or else the first expectation.
    pub primary: String,
    /// Its detail.
    pub detail: String,
    /// All failed checks: names and details.
    pub checks: BTreeMap<String, String>,
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
            checks: failed
                .iter()
                .map(|check| (check.name.clone(), check.detail.clone()))
                .collect(),
        })
    }

    /// Returns true if `other` is the same failure, or a part of it: the same primary check, and no other failed check. Each of
    /// them fails for the same reason. Numbers, times and addresses may differ, because a smaller input has other ones.
    ///
    /// ```
    /// use sandhog_lab::search::Failure;
    ///
    /// let failure = |detail: &str| Failure {
    ///     primary: "P9 ping passes with faults off".into(),
    ///     detail: detail.into(),
    ///     checks: [("P9 ping passes with faults off".into(), detail.into())].into(),
    /// };
    /// let replaced = failure("alice: disconnected (session-replaced), no ping passed within 70 s");
    /// assert!(replaced.is_same(&failure("alice: disconnected (session-replaced), no ping passed within 20 ms")));
    /// assert!(!replaced.is_same(&failure("alice: connecting, no ping passed within 70 s")));
    /// ```
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        let known = self.reasons();
        let is_known = |(name, found): (&String, &BTreeSet<String>)| {
            known.get(name).is_some_and(|reasons| found.is_subset(reasons))
        };
        general(&self.primary) == general(&other.primary) && other.reasons().iter().all(is_known)
    }

    /// The failure of `run`, if it is the same: see [`Failure::is_same`]. Each failed check that `run` has too must fail there.
    #[must_use]
    pub fn again_in(&self, run: &Run) -> Option<Self> {
        let found = Self::of(run).filter(|found| self.is_same(found))?;
        let (wanted, failed) = (self.reasons(), found.reasons());
        let mut names = run.checks.iter().map(|check| general(&check.name));
        names
            .all(|name| !wanted.contains_key(&name) || failed.contains_key(&name))
            .then_some(found)
    }

    /// Returns true if a client or a step did not finish before the end of the work phase. Such a failure depends on the
    /// duration of the setup.
    #[must_use]
    pub fn is_about_time(&self) -> bool {
        let mut details = self.checks.values();
        details.any(|detail| UNFINISHED.iter().any(|text| detail.contains(text)))
    }

    /// The failed checks and the parts of their details, such as those of several clients. All without numbers.
    fn reasons(&self) -> BTreeMap<String, BTreeSet<String>> {
        let parts = |detail: &str| detail.split("; ").map(general).collect();
        let checks = self.checks.iter();
        checks
            .map(|(name, detail)| (general(name), parts(detail)))
            .collect()
    }
}

/// A text in which `#` replaces each number, time, address and digest. The number of the steps of a client is left out.
fn general(text: &str) -> String {
    let text = text
        .find(STEPS_CHECK)
        .map_or(text, |at| &text[..at + STEPS_CHECK.len()]);
    let mut words: Vec<&str> = Vec::new();
    for word in text.split_whitespace() {
        let bare = word.trim_matches(|c: char| !c.is_alphanumeric());
        let after_number = words.last() == Some(&NUMBER);
        let is_digest = bare.len() == DIGEST_LEN && bare.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_digest || bare.starts_with(|c: char| c.is_ascii_digit()) {
            if !after_number {
                words.push(NUMBER);
            }
        } else if !(after_number && UNITS.contains(&bare)) {
            words.push(word);
        }
    }
    words.join(" ")
}

/// Length of a digest in hexadecimal digits.
const DIGEST_LEN: usize = 64;

/// Replacement of a number.
const NUMBER: &str = "#";

/// Units of times.
const UNITS: &[&str] = &["ns", "µs", "us", "ms", "s", "min", "h", "d"];

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
