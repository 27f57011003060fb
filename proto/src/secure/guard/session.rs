//! Limits of one session, and of the password changes of one user. They apply to clients that have logged in.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::time::Duration;

use super::bucket::{Bucket, Limit};
use crate::secure::Login;
use crate::{Instant, State, describe};

/// Rekey requests of one session that are answered with new keys. An honest client sends one every 11 s at most.
const REKEYS: Limit = Limit {
    burst: 1,
    refill: Duration::from_secs(1),
};

/// New passwords of one user. Each of them is a new file with all users.
const CHANGES: Limit = Limit {
    burst: 3,
    refill: Duration::from_secs(20 * 60),
};

/// Token bucket of one session, for the requests whose answer costs a multiplication on the curve.
#[derive(Debug)]
pub(crate) struct SessionLimits {
    rekeys: Bucket,
}

impl SessionLimits {
    /// The limits of a new session.
    pub(crate) const fn new() -> Self {
        Self { rekeys: Bucket::FULL }
    }

    /// Counts a rekey request with a new key. Returns false if it is one too many.
    pub(crate) fn take_rekey(&mut self, now: Instant) -> bool {
        self.rekeys.take(now, REKEYS)
    }

    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self { rekeys } = self;
        rekeys.describe(state, REKEYS);
    }
}

/// Token buckets for the password changes of each user. They outlive the sessions, so that a new login gives no new tokens.
/// The table has at most as many entries as users have changed their password during the last hour.
#[derive(Debug, Default)]
pub(crate) struct PasswordChanges {
    buckets: BTreeMap<Login, Bucket>,
}

impl PasswordChanges {
    /// Counts a new password of a user. Returns false if it is one too many.
    pub(crate) fn take(&mut self, now: Instant, login: &Login) -> bool {
        self.buckets.retain(|_, bucket| !bucket.is_full(now));
        self.buckets
            .entry(login.clone())
            .or_insert(Bucket::FULL)
            .take(now, CHANGES)
    }

    pub(crate) fn describe(&self, state: &mut State<'_>) {
        let Self { buckets } = self;
        let now = state.now();
        let counted = buckets.iter().filter(|(_, bucket)| !bucket.is_full(now));
        let counted: Vec<_> = counted.collect();
        describe::list(state, counted.into_iter(), |state, (login, bucket)| {
            describe::text(state, login.as_str());
            bucket.describe(state, CHANGES);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_can_change_the_password_three_times_and_then_every_20_minutes() {
        let mut changes = PasswordChanges::default();
        let kean: Login = "kean".parse().unwrap();
        let eve: Login = "eve".parse().unwrap();
        let granted = |changes: &mut PasswordChanges, seconds, login| {
            (0..9)
                .filter(|_| changes.take(Instant::from_secs(seconds), login))
                .count()
        };
        assert_eq!(granted(&mut changes, 0, &kean), 3);
        assert_eq!(granted(&mut changes, 0, &eve), 3, "each user has a bucket");
        assert_eq!(granted(&mut changes, 1199, &kean), 0);
        assert_eq!(granted(&mut changes, 1200, &kean), 1);
        assert_eq!(granted(&mut changes, 8000, &kean), 3);
    }

    #[test]
    fn users_without_recent_changes_take_no_room() {
        let mut changes = PasswordChanges::default();
        for n in 0..100 {
            let login: Login = alloc::format!("user{n}").parse().unwrap();
            assert!(changes.take(Instant::from_secs(n), &login));
        }
        let late: Login = "late".parse().unwrap();
        assert!(changes.take(Instant::from_secs(10_000), &late));
        assert_eq!(changes.buckets.len(), 1);
    }
}
