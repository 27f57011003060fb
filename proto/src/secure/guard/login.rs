//! Rate limit of password guesses, per user name. It is the same for existing and unknown names.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use sha2::{Digest, Sha512};

use super::SourcePrefix;
use super::bucket::{Bucket, Limit};
use crate::secure::Login;
use crate::{Instant, State, describe};

/// A burst of ten attempts, then one per minute.
const LIMIT: Limit = Limit {
    burst: 10,
    refill: Duration::from_secs(60),
};

/// Time that a source prefix stays known after a successful login.
const KNOWN_FOR: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Maximum number of source prefixes with a separate bucket, per user name.
pub(crate) const MAX_KNOWN_SOURCES: usize = 4;

/// Maximum number of user names with such prefixes.
pub(crate) const MAX_KNOWN_LOGINS: usize = 65_536;

/// One token bucket per user name: a burst of 10 attempts, then one every 60 s. An attempt is debited when
/// KE2 is sent, because a guess can be tested against KE2. It is refunded at a valid KE3.
///
/// # Known sources
///
/// An attacker can lock a user out by emptying the bucket. So up to [`MAX_KNOWN_SOURCES`] source prefixes
/// have separate buckets with the same limit, which do not affect the common bucket. These are the prefixes
/// from which the user logged in successfully during the last 30 days.
///
/// # Bounded table
///
/// An attacker can invent any number of names, so a table with one bucket per name would fill up. A full
/// table has only bad choices: removing a bucket resets it, and rejecting new names locks everybody out.
/// Therefore the number of a common bucket is 16 bits of the SHA-512 of the user name: there are never more
/// than 65,536 buckets. Two users may share one. That makes guessing slower, never faster. A flood does not
/// lock out other users either: at 500 KE1 per second ([`Ke1Rate`](super::Ke1Rate)) with random names, each
/// bucket loses less than one token in two minutes and gains two. The number need not be secret: to empty a
/// user's bucket, an attacker can simply use the name.
///
/// Only valid logins create buckets of known sources. There are at most [`MAX_KNOWN_LOGINS`] times
/// [`MAX_KNOWN_SOURCES`] of them. If the table is full, the one with the oldest success is removed.
#[derive(Debug)]
pub(crate) struct LoginBuckets {
    common: BTreeMap<u16, Bucket>,
    known: BTreeMap<Login, Vec<KnownSource>>,
}

#[derive(Debug)]
struct KnownSource {
    prefix: SourcePrefix,
    last_success: Instant,
    bucket: Bucket,
}

impl KnownSource {
    fn is_current(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last_success) <= KNOWN_FOR
    }

    /// Describes the source. `older` is the number of sources of its login with an older success.
    fn describe(&self, state: &mut State<'_>, older: usize) {
        let Self {
            prefix,
            last_success,
            bucket,
        } = self;
        prefix.describe(state);
        state.deadline(Some(last_success.saturating_add(KNOWN_FOR)));
        describe::len(state, older);
        bucket.describe(state, LIMIT);
    }
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
    Known(Login, SourcePrefix),
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
            Place::Known(login, source) => {
                state.number(1);
                describe::text(state, login.as_str());
                source.describe(state);
            }
        }
    }
}

impl LoginBuckets {
    /// No attempts so far.
    pub(crate) const fn new() -> Self {
        Self {
            common: BTreeMap::new(),
            known: BTreeMap::new(),
        }
    }

    /// Counts an attempt for `login`. `None` if there have been too many; then nothing is counted.
    pub(crate) fn debit(&mut self, now: Instant, login: &Login, source: SourcePrefix) -> Option<Debit> {
        if let Some(known) = self.find_known(login, source)
            && known.is_current(now)
        {
            let is_taken = known.bucket.take(now, LIMIT);
            return is_taken.then(|| Debit(Place::Known(login.clone(), source)));
        }
        let number = common_number(login);
        let bucket = self.common.entry(number).or_insert(Bucket::FULL);
        bucket.take(now, LIMIT).then_some(Debit(Place::Common(number)))
    }

    /// Cancels the attempt of a valid login. Does nothing if the bucket has been removed.
    pub(crate) fn refund(&mut self, debit: Debit) {
        let bucket = match debit.0 {
            Place::Common(number) => self.common.get_mut(&number),
            Place::Known(login, source) => self.find_known(&login, source).map(|known| &mut known.bucket),
        };
        if let Some(bucket) = bucket {
            bucket.give_back(LIMIT);
        }
    }

    /// Records a valid login of `login` from `source`. The source has a separate bucket from now on.
    pub(crate) fn succeeded(&mut self, now: Instant, login: &Login, source: SourcePrefix) {
        if let Some(known) = self.find_known(login, source) {
            known.last_success = now;
            return;
        }
        if !self.known.contains_key(login) && self.known.len() >= MAX_KNOWN_LOGINS {
            self.remove_oldest_login(now);
        }
        let sources = self.known.entry(login.clone()).or_default();
        sources.retain(|known| known.is_current(now));
        if sources.len() >= MAX_KNOWN_SOURCES
            && let Some(oldest) = index_of_oldest(sources)
        {
            sources.swap_remove(oldest);
        }
        // Most users have one or two sources, so allocate no more than needed.
        sources.reserve_exact(1);
        sources.push(KnownSource {
            prefix: source,
            last_success: now,
            bucket: Bucket::FULL,
        });
    }

    /// Cancels all attempts for `login` from all sources. Its known sources stay known.
    pub(crate) fn unlock(&mut self, login: &Login) {
        self.common.remove(&common_number(login));
        for known in self.known.get_mut(login).into_iter().flatten() {
            known.bucket = Bucket::FULL;
        }
    }

    fn find_known(&mut self, login: &Login, source: SourcePrefix) -> Option<&mut KnownSource> {
        let sources = self.known.get_mut(login)?;
        sources.iter_mut().find(|known| known.prefix == source)
    }

    /// Makes room: removes all user names without a current source. If there are none, removes the name with
    /// the oldest last success. This scans the whole table, which only the valid login of a 65,537th user can
    /// cause.
    fn remove_oldest_login(&mut self, now: Instant) {
        self.known
            .retain(|_, sources| sources.iter().any(|known| known.is_current(now)));
        if self.known.len() < MAX_KNOWN_LOGINS {
            return;
        }
        let last_success = |sources: &[KnownSource]| sources.iter().map(|known| known.last_success).max();
        let oldest = self.known.iter().min_by_key(|(_, sources)| last_success(sources));
        if let Some(login) = oldest.map(|(login, _)| login.clone()) {
            self.known.remove(&login);
        }
    }

    /// Describes the attempts that are used up, and the known sources.
    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self { common, known } = self;
        let now = state.now();
        let used: Vec<_> = common.iter().filter(|(_, bucket)| !bucket.is_full(now)).collect();
        describe::list(state, used.into_iter(), |state, (number, bucket)| {
            state.number((*number).into());
            bucket.describe(state, LIMIT);
        });
        describe::list(state, known.iter(), |state, (login, sources)| {
            describe::text(state, login.as_str());
            describe::list(state, sources.iter(), |state, source| {
                let is_older = |other: &&KnownSource| other.last_success < source.last_success;
                source.describe(state, sources.iter().filter(is_older).count());
                // A full table removes the login with the oldest success.
                let is_nearly_full = known.len() > MAX_KNOWN_LOGINS / 2;
                state.age(is_nearly_full.then_some(source.last_success));
            });
        });
    }
}

fn index_of_oldest(sources: &[KnownSource]) -> Option<usize> {
    let oldest = sources
        .iter()
        .enumerate()
        .min_by_key(|(_, known)| known.last_success);
    oldest.map(|(index, _)| index)
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
    use core::net::IpAddr;

    use super::super::{Ke1Rate, source_prefix};
    use super::*;

    const DAY: u64 = 24 * 60 * 60;

    fn login(name: &str) -> Login {
        Login::new(name).unwrap()
    }

    fn source(n: u8) -> SourcePrefix {
        source_prefix(IpAddr::from([192, 0, 2, n]))
    }

    /// Number of attempts allowed at one time, none of them refunded.
    fn attempts(buckets: &mut LoginBuckets, secs: u64, name: &str, n: u8) -> usize {
        let now = Instant::from_secs(secs);
        core::iter::from_fn(|| buckets.debit(now, &login(name), source(n))).count()
    }

    #[test]
    fn a_login_has_ten_attempts_and_then_one_each_60_s() {
        let mut buckets = LoginBuckets::new();
        assert_eq!(attempts(&mut buckets, 0, "kean", 1), 10);
        assert_eq!(attempts(&mut buckets, 59, "kean", 1), 0);
        assert_eq!(attempts(&mut buckets, 60, "kean", 2), 1, "from any source");
        assert_eq!(attempts(&mut buckets, 119, "kean", 1), 0);
        assert_eq!(attempts(&mut buckets, 720, "kean", 1), 10);
    }

    #[test]
    fn a_refunded_attempt_does_not_count() {
        let mut buckets = LoginBuckets::new();
        for _ in 0..100 {
            let debit = buckets.debit(Instant::ZERO, &login("kean"), source(1)).unwrap();
            buckets.refund(debit);
        }
        assert_eq!(attempts(&mut buckets, 0, "kean", 1), 10);
    }

    #[test]
    fn user_names_have_separate_limits() {
        let mut buckets = LoginBuckets::new();
        assert_eq!(attempts(&mut buckets, 0, "kean", 1), 10);
        assert_eq!(attempts(&mut buckets, 0, "alice", 1), 10);
    }

    #[test]
    fn an_attacker_cannot_lock_a_user_out_of_a_known_source() {
        let mut buckets = LoginBuckets::new();
        buckets.succeeded(Instant::ZERO, &login("kean"), source(1));
        for secs in 0..3600 {
            attempts(&mut buckets, secs, "kean", 66);
        }
        assert_eq!(
            attempts(&mut buckets, 3599, "kean", 2),
            0,
            "the common bucket is empty"
        );
        assert_eq!(attempts(&mut buckets, 3599, "kean", 1), 10);
        assert_eq!(
            attempts(&mut buckets, 3599, "kean", 1),
            0,
            "the separate bucket has the same limit"
        );
        assert_eq!(attempts(&mut buckets, 3659, "kean", 1), 1);
    }

    #[test]
    fn an_attempt_from_a_known_source_is_refunded_where_it_was_debited() {
        let mut buckets = LoginBuckets::new();
        buckets.succeeded(Instant::ZERO, &login("kean"), source(1));
        assert_eq!(attempts(&mut buckets, 0, "kean", 2), 10);
        let debit = buckets.debit(Instant::ZERO, &login("kean"), source(1)).unwrap();
        buckets.refund(debit);
        assert_eq!(attempts(&mut buckets, 0, "kean", 1), 10);
        assert_eq!(attempts(&mut buckets, 0, "kean", 2), 0);
    }

    #[test]
    fn a_source_is_known_for_30_days_after_its_last_success() {
        let mut buckets = LoginBuckets::new();
        buckets.succeeded(Instant::ZERO, &login("kean"), source(1));
        buckets.succeeded(Instant::from_secs(DAY), &login("kean"), source(1));
        assert_eq!(attempts(&mut buckets, 31 * DAY, "kean", 2), 10);
        assert_eq!(attempts(&mut buckets, 31 * DAY, "kean", 1), 10);
        assert_eq!(
            attempts(&mut buckets, 31 * DAY + 1, "kean", 1),
            0,
            "the source uses the common bucket again"
        );
    }

    #[test]
    fn the_fifth_known_source_takes_the_place_of_the_oldest() {
        let mut buckets = LoginBuckets::new();
        for n in 1..=4 {
            buckets.succeeded(Instant::from_secs(n.into()), &login("kean"), source(n));
        }
        buckets.succeeded(Instant::from_secs(5), &login("kean"), source(1));
        buckets.succeeded(Instant::from_secs(6), &login("kean"), source(5));
        assert_eq!(attempts(&mut buckets, 6, "kean", 66), 10);
        let left = [1, 2, 3, 4, 5].map(|n| attempts(&mut buckets, 6, "kean", n));
        assert_eq!(left, [10, 0, 10, 10, 10]);
    }

    #[test]
    fn a_refund_for_a_removed_source_is_ignored() {
        let mut buckets = LoginBuckets::new();
        buckets.succeeded(Instant::ZERO, &login("kean"), source(1));
        let debit = buckets.debit(Instant::ZERO, &login("kean"), source(1)).unwrap();
        for n in 2..=5 {
            buckets.succeeded(Instant::from_secs(1), &login("kean"), source(n));
        }
        assert_eq!(attempts(&mut buckets, 1, "kean", 66), 10);
        buckets.refund(debit);
        assert_eq!(attempts(&mut buckets, 1, "kean", 66), 0);
    }

    #[test]
    fn unlocking_gives_a_login_all_its_attempts_back() {
        let mut buckets = LoginBuckets::new();
        buckets.succeeded(Instant::ZERO, &login("kean"), source(1));
        for n in [1, 2] {
            assert_eq!(attempts(&mut buckets, 0, "kean", n), 10);
        }
        buckets.unlock(&login("kean"));
        for n in [1, 2] {
            assert_eq!(attempts(&mut buckets, 0, "kean", n), 10);
        }
    }

    #[test]
    fn a_flood_of_100_000_names_resets_no_bucket_and_locks_nobody_out() {
        let mut buckets = LoginBuckets::new();
        let mut rate = Ke1Rate::new();
        assert_eq!(attempts(&mut buckets, 0, "victim", 1), 10);
        let (mut names, mut refused) = (0u32, 0u32);
        for millis in 0..200_000 {
            let now = Instant::from_millis(millis);
            while rate.take(now) {
                names += 1;
                let debit = buckets.debit(now, &login(&format!("user{names}")), source(66));
                refused += u32::from(debit.is_none());
            }
        }
        assert_eq!(names, 100_499);
        assert!(buckets.common.len() <= 65_536);
        assert!(refused <= 10, "{refused}");
        let honest = attempts(&mut buckets, 199, "honest", 2);
        assert!(
            honest >= 8,
            "some strangers share its bucket; {honest} of 10 are left"
        );
        let guesses = attempts(&mut buckets, 199, "victim", 1);
        assert!(
            guesses <= 3,
            "three tokens came back with time, {guesses} are there"
        );
    }

    #[test]
    fn the_table_of_known_users_is_bounded_and_drops_the_oldest() {
        let mut buckets = LoginBuckets::new();
        for n in 0..MAX_KNOWN_LOGINS {
            let now = Instant::from_millis(u64::try_from(n).unwrap());
            buckets.succeeded(now, &login(&format!("user{n}")), source(1));
        }
        buckets.succeeded(Instant::from_secs(100), &login("new"), source(1));
        assert_eq!(buckets.known.len(), MAX_KNOWN_LOGINS);
        assert!(!buckets.known.contains_key(&login("user0")));
        // A month later no other source is known, and one new user clears the table.
        buckets.succeeded(Instant::from_secs(31 * DAY), &login("newer"), source(1));
        assert_eq!(buckets.known.len(), 1);
    }
}
