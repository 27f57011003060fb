//! Blocking jobs of the secure profile: password stretching, and storing users.

use alloc::boxed::Box;
use alloc::string::String;

use sandhog_peer::Job;

use super::Suite;
use super::opaque::{CONTEXT_LEN, ClientLoginState, Finished, Registration};
use crate::secret::Secret;

/// Name of [`finish_login`].
pub(crate) const FINISH_LOGIN: &str = "finish login";
/// Name of [`register`].
pub(crate) const REGISTER: &str = "register";
/// Name of [`save_users`].
pub(crate) const SAVE_USERS: &str = "save users";

/// Result of [`finish_login`]. `None` if the password is wrong, or the reply is not from the server.
pub(crate) type LoginFinished = Option<Finished>;
/// Result of [`register`]: the new record. `None` if the reply is not from the server.
pub(crate) type Registered = Option<Box<[u8; 192]>>;
/// Result of [`save_users`], always true. A failed job has no result.
pub(crate) type UsersSaved = bool;

/// The last step of an OPAQUE login, which stretches the password.
pub(crate) fn finish_login(
    id: u64,
    login: ClientLoginState,
    suite: Suite,
    context: [u8; CONTEXT_LEN],
    ke2: Box<[u8; 320]>,
) -> Job {
    Job::new(id, FINISH_LOGIN, move || -> LoginFinished {
        login.finish(suite, &context, &ke2).ok()
    })
}

/// The last step of an OPAQUE registration, which stretches the new password.
pub(crate) fn register(
    id: u64,
    registration: Box<Registration>,
    suite: Suite,
    reg2: &[u8; 64],
    seed: Secret<32>,
) -> Job {
    let reg2 = *reg2;
    Job::new(id, REGISTER, move || -> Registered {
        registration.finish(suite, &reg2, &seed).ok().map(Box::new)
    })
}

/// Storing of the user file `text`. The shell writes it before it runs the job.
pub(crate) fn save_users(id: u64, text: String) -> Job {
    Job::new(id, SAVE_USERS, || -> UsersSaved { true }).saving(text)
}
