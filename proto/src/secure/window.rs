//! The replay window over the last 8192 counters (RFC 6479).
//!
//! It is a ring of words instead of a shifted bitmap. To move it, whole words are cleared, at most all of
//! them.

use super::sealer::REJECT_AFTER_MESSAGES;
use crate::State;

/// Size of the window. If N is the newest counter, N − 8192 is accepted once and N − 8193 is never accepted.
pub(crate) const WINDOW: u64 = 8192;

/// One word more than the window needs, because the word of the newest counter is only partly used (RFC 6479,
/// section 2).
const WORDS: u64 = WINDOW / BITS + 1;
const BITS: u64 = u64::BITS as u64;
#[allow(clippy::cast_possible_truncation)] // 129
const RING: usize = WORDS as usize;

/// The set of accepted counters. Its size is always 1 KiB.
#[derive(Clone)]
pub(crate) struct Window {
    /// One bit for each counter. Counter `c` is in word `c / 64`, modulo the length of the ring.
    words: [u64; RING],
    /// The newest counter plus one. 0 if there is none yet.
    next: u64,
}

/// Result for a counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Accepted {
    /// Higher than every earlier counter.
    Newest,
    /// Below the newest counter and received for the first time.
    Late,
    /// Received before, too old, or above the limit for senders.
    Refused,
}

impl Window {
    /// An empty window.
    pub(crate) const fn new() -> Self {
        Self {
            words: [0; RING],
            next: 0,
        }
    }

    /// The newest counter plus one. 0 if there is none yet.
    pub(crate) const fn next(&self) -> u64 {
        self.next
    }

    /// Returns true if `counter` would be accepted. Does not change the window, because a counter is not
    /// trusted before authentication.
    pub(crate) fn check(&self, counter: u64) -> bool {
        if counter >= REJECT_AFTER_MESSAGES {
            return false;
        }
        match self.next.checked_sub(counter) {
            None | Some(0) => true,
            // The newest counter is `next - 1`, so `counter` is `behind - 1` behind it.
            Some(behind) => {
                let is_new = self.word(counter) & Self::bit(counter) == 0;
                behind <= WINDOW.saturating_add(1) && is_new
            }
        }
    }

    /// Marks the counter of an authentic packet as received.
    pub(crate) fn accept(&mut self, counter: u64) -> Accepted {
        if !self.check(counter) {
            return Accepted::Refused;
        }
        let is_newest = counter >= self.next;
        if is_newest {
            self.clear_up_to(counter);
            // The counter is below the limit, so this does not overflow.
            self.next = counter.saturating_add(1);
        }
        if let Some(word) = self.words.get_mut(Self::place(counter / BITS)) {
            *word |= Self::bit(counter);
        }
        if is_newest {
            Accepted::Newest
        } else {
            Accepted::Late
        }
    }

    /// Describes the counters that are still accepted below the newest, each as its distance. The list ends with 0.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self {
            words: _, // read below
            next,
        } = self;
        let mut counter = next.saturating_sub(WINDOW.saturating_add(1));
        while counter < *next {
            if self.word(counter) == u64::MAX {
                // The next word.
                counter = (counter / BITS).saturating_add(1).saturating_mul(BITS);
                continue;
            }
            if self.check(counter) {
                state.number(next.saturating_sub(counter));
            }
            counter = counter.saturating_add(1);
        }
        state.number(0);
    }

    /// Clears the words after that of the newest counter, up to that of `counter`. Clears all words after a
    /// long jump.
    fn clear_up_to(&mut self, counter: u64) {
        let newest = match self.next.checked_sub(1) {
            Some(newest) => newest / BITS,
            None => return,
        };
        let steps = (counter / BITS).saturating_sub(newest).min(WORDS);
        for step in 1..=steps {
            if let Some(word) = self.words.get_mut(Self::place(newest.saturating_add(step))) {
                *word = 0;
            }
        }
    }

    fn word(&self, counter: u64) -> u64 {
        self.words
            .get(Self::place(counter / BITS))
            .copied()
            .unwrap_or_default()
    }

    const fn bit(counter: u64) -> u64 {
        1 << (counter % BITS)
    }

    /// Position of word number `word` in the ring.
    #[allow(clippy::cast_possible_truncation)] // less than the length of an array
    const fn place(word: u64) -> usize {
        (word % WORDS) as usize
    }
}

#[cfg(test)]
mod tests {
    use alloc::collections::BTreeSet;
    use alloc::vec::Vec;

    use proptest::prelude::*;
    use proptest::test_runner::{Config, RngSeed};

    use super::*;

    const LIMIT: u64 = REJECT_AFTER_MESSAGES;

    /// Feeds counters to a new window and checks the expected result of each.
    #[track_caller]
    fn run(steps: impl IntoIterator<Item = (u64, bool)>) {
        let mut window = Window::new();
        for (n, (counter, accepted)) in steps.into_iter().enumerate() {
            assert_eq!(window.check(counter), accepted, "check {n}: {counter}");
            assert_eq!(
                window.accept(counter) != Accepted::Refused,
                accepted,
                "step {n}: {counter}"
            );
        }
    }

    #[test]
    fn exactly_8192_behind_the_newest_are_accepted_and_each_once() {
        for newest in [8192, 8193, 8254, 8255, 8256, 100_000, 1 << 40, LIMIT - 1] {
            run([
                (newest, true),
                (newest - 8192, true),
                (newest - 8192, false),
                (newest, false),
            ]);
            if newest > 8192 {
                run([(newest, true), (newest - 8193, false), (newest - 8191, true)]);
            }
        }
    }

    #[test]
    fn newest_and_late_counters_are_distinguished() {
        let mut window = Window::new();
        assert_eq!(window.accept(0), Accepted::Newest);
        assert_eq!(window.accept(0), Accepted::Refused);
        assert_eq!(window.accept(5), Accepted::Newest);
        assert_eq!(window.accept(4), Accepted::Late);
        assert_eq!(window.accept(5), Accepted::Refused);
        assert_eq!(window.accept(6), Accepted::Newest);
    }

    #[test]
    fn checking_changes_nothing() {
        let mut window = Window::new();
        window.accept(10);
        assert!(window.check(LIMIT - 1) && window.check(11) && window.check(9));
        assert_eq!(window.accept(9), Accepted::Late);
        assert_eq!(window.accept(11), Accepted::Newest);
    }

    /// The test cases of WireGuard for its window, adapted to a window of 8192.
    #[test]
    fn the_known_cases_of_wireguard() {
        let edge = WINDOW + 1;
        let far = 4 * edge;
        let fresh = |counter| (counter, true);
        let stale = |counter| (counter, false);
        run([
            [
                fresh(0),
                fresh(1),
                stale(1),
                fresh(9),
                fresh(8),
                fresh(7),
                stale(7),
            ]
            .as_slice(),
            &[
                fresh(edge),
                fresh(edge - 1),
                stale(edge - 1),
                fresh(edge - 2),
                fresh(2),
                stale(2),
            ],
            &[
                fresh(edge + 16),
                stale(3),
                stale(edge + 16),
                fresh(far),
                fresh(far - WINDOW),
                stale(10),
            ],
            &[
                stale(far - edge),
                stale(far - edge - 1),
                fresh(far - edge + 2),
                stale(far + 1 - edge),
                stale(0),
            ],
            &[
                stale(LIMIT),
                fresh(LIMIT - 1),
                stale(LIMIT),
                stale(LIMIT - 1),
                fresh(LIMIT - 2),
            ],
            &[
                stale(LIMIT + 1),
                stale(LIMIT + 2),
                stale(LIMIT - 2),
                fresh(LIMIT - 3),
                stale(0),
            ],
        ]
        .concat());
    }

    #[test]
    fn the_known_sweeps_of_wireguard() {
        let up = |from, to| (from..=to).map(|counter| (counter, true));
        let down = |from, to| up(to, from).rev();
        run(up(1, WINDOW).chain([(0, true), (0, false)]));
        run(up(2, WINDOW + 1).chain([(1, true), (0, false)]));
        run(down(WINDOW, 0));
        run(down(WINDOW + 1, 1).chain([(0, false)]));
        run(down(WINDOW, 1).chain([(WINDOW + 1, true), (0, false)]));
        run(down(WINDOW, 1).chain([(0, true), (WINDOW + 1, true)]));
    }

    #[test]
    fn counters_above_the_message_limit_are_not_accepted() {
        for counter in [LIMIT, LIMIT + 1, u64::MAX - 1, u64::MAX] {
            assert_eq!(Window::new().accept(counter), Accepted::Refused);
        }
        assert_eq!(Window::new().accept(LIMIT - 1), Accepted::Newest);
    }

    /// A model of the documented window: a set of counters instead of a bitmap.
    #[derive(Default)]
    struct Model(BTreeSet<u64>);

    impl Model {
        fn accept(&mut self, counter: u64) -> Accepted {
            let newest = self.0.last().copied();
            let too_old = newest.is_some_and(|newest| counter.saturating_add(WINDOW) < newest);
            if counter >= LIMIT || too_old || !self.0.insert(counter) {
                Accepted::Refused
            } else if newest.is_none_or(|newest| counter > newest) {
                Accepted::Newest
            } else {
                Accepted::Late
            }
        }
    }

    /// The next counter, relative to the newest.
    #[derive(Clone, Debug)]
    enum Step {
        Ahead(u64),
        Behind(u64),
        Exactly(u64),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let near = prop_oneof![8 => 0..4u64, 4 => 0..200u64, 1 => 8000..8400u64, 1 => 0..40_000u64];
        let step = prop_oneof![
            6 => near.clone().prop_map(Step::Ahead),
            6 => near.prop_map(Step::Behind),
            2 => (WINDOW - 70..WINDOW + 70).prop_map(Step::Behind),
            1 => any::<u64>().prop_map(Step::Exactly),
            1 => (0..20_000u64).prop_map(|below| Step::Exactly(u64::MAX - below)),
        ];
        prop::collection::vec(step, 1..400)
    }

    proptest! {
        #![proptest_config(Config {
            cases: 256,
            rng_seed: RngSeed::Fixed(0x5a4d_6479),
            failure_persistence: None,
            ..Config::default()
        })]

        #[test]
        fn the_window_agrees_with_a_set_of_counters(steps in steps(), start in prop_oneof![Just(0), 0..1u64 << 62]) {
            let (mut window, mut model, mut newest) = (Window::new(), Model::default(), start);
            for step in steps {
                let counter = match step {
                    Step::Ahead(by) => newest.saturating_add(by),
                    Step::Behind(by) => newest.saturating_sub(by),
                    Step::Exactly(counter) => counter,
                };
                let expected = model.accept(counter);
                prop_assert_eq!(window.check(counter), expected != Accepted::Refused);
                prop_assert_eq!(window.accept(counter), expected);
                newest = model.0.last().copied().unwrap_or(start);
            }
        }
    }
}
