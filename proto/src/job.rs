//! Work that is too slow for the core: it leaves as a [`Job`], runs where the shell may block, and comes back.

use alloc::boxed::Box;
use alloc::string::String;
use core::fmt;

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use zeroize::Zeroizing;

use crate::secure::Suite;
use crate::secure::opaque::{ClientLogin, Finished, Registration};

/// Work that may take a tenth of a second and some MiB of memory, to be run off the thread that carries packets.
///
/// A job is `Send` and owns all it needs. Every job that was polled must come back with
/// [`Peer::handle_job`](crate::Peer::handle_job): a peer lets only so many be away at a time.
pub struct Job {
    id: u64,
    work: Work,
}

enum Work {
    VerifyPassword {
        hash: String,
        password: Zeroizing<String>,
    },
    FinishLogin(Box<LoginWork>),
    Register(Box<RegisterWork>),
    SaveUsers(String),
}

/// Everything that the last step of a registration needs.
struct RegisterWork {
    registration: Registration,
    suite: Suite,
    reg2: [u8; 64],
    seed: Zeroizing<[u8; 32]>,
}

/// Everything that the last step of a login needs.
struct LoginWork {
    login: ClientLogin,
    suite: Suite,
    context: [u8; 18],
    ke2: Box<[u8; 320]>,
}

/// What came out of a [`Job`], to be given to the peer that made the job.
pub struct JobDone {
    pub(crate) id: u64,
    pub(crate) outcome: Outcome,
}

pub(crate) enum Outcome {
    PasswordVerified(bool),
    /// `None`: the password is wrong, or the answer was not the server's.
    LoginFinished(Option<Finished>),
    /// The new record; `None`: the answer was not the server's.
    Registered(Option<Box<[u8; 192]>>),
    UsersSaved(bool),
}

impl Job {
    /// The verification of `password` against `hash`, an Argon2 PHC string.
    pub(crate) const fn verify_password(id: u64, hash: String, password: Zeroizing<String>) -> Self {
        Self {
            id,
            work: Work::VerifyPassword { hash, password },
        }
    }

    /// The last step of a login by OPAQUE, in which the password is stretched.
    pub(crate) fn finish_login(
        id: u64,
        login: ClientLogin,
        suite: Suite,
        context: [u8; 18],
        ke2: Box<[u8; 320]>,
    ) -> Self {
        let work = LoginWork {
            login,
            suite,
            context,
            ke2,
        };
        Self {
            id,
            work: Work::FinishLogin(Box::new(work)),
        }
    }

    /// The last step of a registration by OPAQUE, in which the new password is stretched.
    pub(crate) fn register(
        id: u64,
        registration: Box<Registration>,
        suite: Suite,
        reg2: &[u8; 64],
        seed: Zeroizing<[u8; 32]>,
    ) -> Self {
        let work = RegisterWork {
            registration: *registration,
            suite,
            reg2: *reg2,
            seed,
        };
        Self {
            id,
            work: Work::Register(Box::new(work)),
        }
    }

    /// A changed user store, to be written before the change counts.
    pub(crate) const fn save_users(id: u64, text: String) -> Self {
        Self {
            id,
            work: Work::SaveUsers(text),
        }
    }

    /// The text of the user store that must be safely on disk before [`run`](Self::run) is called, if this is such a job.
    /// A shell that cannot write it calls [`fail`](Self::fail) instead.
    #[must_use]
    pub fn users_to_save(&self) -> Option<&str> {
        match &self.work {
            Work::SaveUsers(text) => Some(text),
            _ => None,
        }
    }

    /// The result of a job that could not be done: the peer goes on as if its cause had not come.
    #[must_use]
    pub fn fail(self) -> JobDone {
        let outcome = match self.work {
            Work::VerifyPassword { .. } => Outcome::PasswordVerified(false),
            Work::FinishLogin(_) => Outcome::LoginFinished(None),
            Work::Register(_) => Outcome::Registered(None),
            Work::SaveUsers(_) => Outcome::UsersSaved(false),
        };
        JobDone { id: self.id, outcome }
    }

    /// Does the work. Pure: the result depends on the job alone. May block for a tenth of a second.
    #[must_use]
    pub fn run(self) -> JobDone {
        self.run_with(None)
    }

    /// The same, but a login stretches its password as `suite` does, whatever suite it is of. So a thousand logins of a load
    /// test take no time, with records made by [`register`](crate::secure::register) for that suite: the server stretches
    /// nothing and does not see it. A record that was made in earnest refuses it.
    #[must_use]
    pub fn run_stretching_as(self, suite: Suite) -> JobDone {
        self.run_with(Some(suite))
    }

    fn run_with(self, suite: Option<Suite>) -> JobDone {
        let outcome = match self.work {
            Work::VerifyPassword { hash, password } => Outcome::PasswordVerified(verify(&hash, &password)),
            Work::FinishLogin(work) => {
                let suite = suite.unwrap_or(work.suite);
                let finished = work.login.finish(suite, &work.context, &work.ke2);
                Outcome::LoginFinished(finished.ok())
            }
            Work::Register(work) => {
                let RegisterWork {
                    registration,
                    suite,
                    reg2,
                    seed,
                } = *work;
                let reg3 = registration.finish(suite, &reg2, *seed);
                Outcome::Registered(reg3.ok().map(Box::new))
            }
            Work::SaveUsers(_) => Outcome::UsersSaved(true),
        };
        JobDone { id: self.id, outcome }
    }
}

/// Compares in constant time; a hash that cannot be read fits no password.
fn verify(hash: &str, password: &str) -> bool {
    PasswordHash::new(hash)
        .and_then(|hash| Argon2::default().verify_password(password.as_bytes(), &hash))
        .is_ok()
}

/// Kind of work only: the rest is secret.
impl fmt::Debug for Job {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.work {
            Work::VerifyPassword { .. } => f.write_str("Job(verify password)"),
            Work::FinishLogin(_) => f.write_str("Job(finish login)"),
            Work::Register(_) => f.write_str("Job(register)"),
            Work::SaveUsers(_) => f.write_str("Job(save users)"),
        }
    }
}

/// Kind of work only: whether a password was right is for the peer to say.
impl fmt::Debug for JobDone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.outcome {
            Outcome::PasswordVerified(_) => f.write_str("JobDone(verify password)"),
            Outcome::LoginFinished(_) => f.write_str("JobDone(finish login)"),
            Outcome::Registered(_) => f.write_str("JobDone(register)"),
            Outcome::UsersSaved(_) => f.write_str("JobDone(save users)"),
        }
    }
}
