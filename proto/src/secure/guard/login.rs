//! Rate limit of password guesses, per user name. It is the same for existing and unknown names.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use sha2::{Digest, Sha512};

use super::bucket::{Bucket, Limit};
use crate::secure::Login;
use crate::{Instant, State, describe};

/// A burst of ten attempts, then one per minute.
const LIMIT: Limit = Limit {
    burst: 10,
    refill: Duration::from_secs(60),
};

/// Token buckets for the attempts of each user: a burst of 10, then one every 60 s. An attempt is debited when KE2 is sent,
/// because a guess can be tested against KE2. It is refunded at a valid KE3.
///
/// # Own buckets
///
/// An attacker could lock a user out by emptying the bucket. So an attempt with a valid ticket is debited from the user's own
/// bucket, and only from that. An attempt without a ticket is debited from a common bucket, and only from that, wherever it
/// comes from. So others see the same limit for all names. There are at most as many own buckets as users.
///
/// # Common buckets
///
/// An attacker can invent any number of names, so a table with one bucket per name would fill up. A full
/// table has only bad choices: removing a bucket resets it, and rejecting new names locks everybody out.
/// Therefore the number of a common bucket is 16 bits of the SHA-512 of the user name: there are never more
/// than 65,536 buckets. Two users may share one. That makes guessing slower, never faster. A flood does not
/// lock out other users either: at 500 KE1 per second ([`Ke1Rate`](super::Ke1Rate)) with random names, each
/// bucket loses less than one token in two minutes and gains two. The number need not be secret: to empty a
/// user's bucket, an attacker can simply use the name.
#[derive(Debug)]
pub(crate) struct LoginBuckets {
    common: BTreeMap<u16, Bucket>,
    own: BTreeMap<Login, Bucket>,
}

/// A token taken from a bucket. If it is dropped, the attempt stays counted. [`LoginBuckets::refund`] returns
/// it once.
#[derive(Debug)]
#[must_use = "an attempt whose debit is lost cannot be refunded"]
pub(crate) struct Debit(Place);

/// The bucket of a token.
#[derive(Debug)]
enum Place {
    Common(u16),
    Own(Login),
}

impl Debit {
    /// Describes the bucket that the attempt was taken from.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self(place) = self;
        match place {
            Place::Common(number) => {
                state.number(0);
                state.number((*number).into());
            }
            Place::Own(login) => {
                state.number(1);
                describe::text(state, login.as_str());
            }
        }
    }
}

impl LoginBuckets {
    /// No attempts so far.
    pub(crate) const fn new() -> Self {
        Self {
            common: BTreeMap::new(),
            own: BTreeMap::new(),
        }
    }

    /// Counts an attempt for `login`, from the own bucket of a user who `has_ticket`. `None` if there have been too many; then
    /// nothing is counted.
    pub(crate) fn debit(&mut self, now: Instant, login: &Login, has_ticket: bool) -> Option<Debit> {
        if has_ticket {
            let bucket = self.own.entry(login.clone()).or_insert(Bucket::FULL);
            return bucket.take(now, LIMIT).then(|| Debit(Place::Own(login.clone())));
        }
        let number = common_number(login);
        let bucket = self.common.entry(number).or_insert(Bucket::FULL);
        bucket.take(now, LIMIT).then_some(Debit(Place::Common(number)))
    }

    /// Cancels the attempt of a valid login. In the own bucket it cancels all attempts: most were the user's, and their KE3 was
    /// lost on the way.
    pub(crate) fn refund(&mut self, debit: Debit) {
        match debit.0 {
            Place::Common(number) => {
                if let Some(bucket) = self.common.get_mut(&number) {
                    bucket.give_back(LIMIT);
                }
            }
            Place::Own(login) => {
                self.own.remove(&login);
            }
        }
    }

    /// Cancels all attempts for `login`.
    pub(crate) fn unlock(&mut self, login: &Login) {
        self.common.remove(&common_number(login));
        self.own.remove(login);
    }

    /// Describes the attempts that are used up.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self { common, own } = self;
        let now = state.now();
        let used: Vec<_> = common.iter().filter(|(_, bucket)| !bucket.is_full(now)).collect();
        describe::list(state, used.into_iter(), |state, (number, bucket)| {
            state.number((*number).into());
            bucket.describe(state, LIMIT);
        });
        let used: Vec<_> = own.iter().filter(|(_, bucket)| !bucket.is_full(now)).collect();
        describe::list(state, used.into_iter(), |state, (login, bucket)| {
            describe::text(state, login.as_str());
            bucket.describe(state, LIMIT);
        });
    }
}

/// Number of the common bucket of a user name.
fn common_number(login: &Login) -> u16 {
    let digest: [u8; 64] = Sha512::digest(login.as_str()).into();
    let [high, low, ..] = digest;
    u16::from_be_bytes([high, low])
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use super::super::Ke1Rate;
    use super::*;

    fn login(name: &str) -> Login {
        Login::new(name).unwrap()
    }

    /// Number of attempts allowed at one time, none of them refunded.
    fn attempts(buckets: &mut LoginBuckets, secs: u64, name: &str, has_ticket: bool) -> usize {
        let now = Instant::from_secs(secs);
        core::iter::from_fn(|| buckets.debit(now, &login(name), has_ticket)).count()
    }

    #[test]
    fn a_login_has_ten_attempts_and_then_one_each_60_s() {
        for has_ticket in [false, true] {
            let mut buckets = LoginBuckets::new();
            assert_eq!(attempts(&mut buckets, 0, "kean", has_ticket), 10);
            assert_eq!(attempts(&mut buckets, 59, "kean", has_ticket), 0);
            assert_eq!(attempts(&mut buckets, 60, "kean", has_ticket), 1);
            assert_eq!(attempts(&mut buckets, 119, "kean", has_ticket), 0);
            assert_eq!(attempts(&mut buckets, 720, "kean", has_ticket), 10);
        }
    }

    #[test]
    fn a_refunded_attempt_does_not_count() {
        for has_ticket in [false, true] {
            let mut buckets = LoginBuckets::new();
            for _ in 0..100 {
                let debit = buckets.debit(Instant::ZERO, &login("kean"), has_ticket).unwrap();
                buckets.refund(debit);
            }
            assert_eq!(attempts(&mut buckets, 0, "kean", has_ticket), 10);
        }
    }

    #[test]
    fn user_names_have_separate_limits() {
        let mut buckets = LoginBuckets::new();
        assert_eq!(attempts(&mut buckets, 0, "kean", false), 10);
        assert_eq!(attempts(&mut buckets, 0, "alice", false), 10);
    }

    #[test]
    fn an_attacker_without_a_ticket_cannot_lock_a_user_out() {
        let mut buckets = LoginBuckets::new();
        for secs in 0..3600 {
            attempts(&mut buckets, secs, "kean", false);
        }
        assert_eq!(attempts(&mut buckets, 3599, "kean", false), 0);
        assert_eq!(attempts(&mut buckets, 3599, "kean", true), 10);
        assert_eq!(
            attempts(&mut buckets, 3599, "kean", true),
            0,
            "the own bucket has the same limit"
        );
    }

    #[test]
    fn attempts_with_a_ticket_leave_the_common_bucket_alone() {
        let mut buckets = LoginBuckets::new();
        assert_eq!(attempts(&mut buckets, 0, "kean", true), 10);
        assert_eq!(attempts(&mut buckets, 0, "kean", false), 10);
    }

    #[test]
    fn a_valid_login_with_a_ticket_makes_up_for_lost_proofs() {
        let mut buckets = LoginBuckets::new();
        for _ in 0..9 {
            let _ = buckets.debit(Instant::ZERO, &login("kean"), true).unwrap();
        }
        let debit = buckets.debit(Instant::ZERO, &login("kean"), true).unwrap();
        buckets.refund(debit);
        assert_eq!(attempts(&mut buckets, 0, "kean", true), 10);
    }

    #[test]
    fn unlocking_gives_a_login_all_its_attempts_back() {
        let mut buckets = LoginBuckets::new();
        for has_ticket in [false, true] {
            assert_eq!(attempts(&mut buckets, 0, "kean", has_ticket), 10);
        }
        buckets.unlock(&login("kean"));
        for has_ticket in [false, true] {
            assert_eq!(attempts(&mut buckets, 0, "kean", has_ticket), 10);
        }
    }

    #[test]
    fn a_flood_of_100_000_names_resets_no_bucket_and_locks_nobody_out() {
        let mut buckets = LoginBuckets::new();
        let mut rate = Ke1Rate::new();
        assert_eq!(attempts(&mut buckets, 0, "victim", false), 10);
        let (mut names, mut refused) = (0u32, 0u32);
        for millis in 0..200_000 {
            let now = Instant::from_millis(millis);
            while rate.take(now, true) {
                names += 1;
                let debit = buckets.debit(now, &login(&format!("user{names}")), false);
                refused += u32::from(debit.is_none());
            }
        }
        assert_eq!(names, 100_499);
        assert!(buckets.common.len() <= 65_536);
        assert!(refused <= 10, "{refused}");
        let honest = attempts(&mut buckets, 199, "honest", false);
        assert!(
            honest >= 8,
            "some strangers share its bucket; {honest} of 10 are left"
        );
        let guesses = attempts(&mut buckets, 199, "victim", false);
        assert!(
            guesses <= 3,
            "three tokens came back with time, {guesses} are there"
        );
    }
}
