//! State of the proof of the old password, while a client changes it.

use alloc::boxed::Box;
use core::fmt;
use core::time::Duration;

use crate::secure::RECORD_LEN;
use crate::secure::guard::Debit;
use crate::secure::opaque::{ServerLoginState, SessionKey};
use crate::{Instant, State, describe};

/// Time for which the proof of the old password is valid.
pub(super) const PROVED_FOR: Duration = Duration::from_secs(60);

/// Proof of the old password inside a session. Without it nobody who has stolen the keys of a session can change the password.
pub(super) struct Proving {
    pub(super) ke1: Box<[u8; 96]>,
    pub(super) ke2: Box<[u8; 320]>,
    /// The record of the password that is proved.
    pub(super) before: Option<[u8; RECORD_LEN]>,
    pub(super) step: Step,
    /// Time at which the proof is erased.
    pub(super) until: Instant,
}

/// Progress of the proof.
pub(super) enum Step {
    /// KE2 is sent.
    Asked {
        state: Box<ServerLoginState>,
        /// Moves to the next step with the state.
        debit: Debit,
    },
    /// KE3 was valid.
    Proved {
        session_key: SessionKey,
        ke3: Box<[u8; 64]>,
        reg1: [u8; 32],
        reg2: Box<[u8; 64]>,
    },
}

impl Proving {
    /// Describes the proof.
    pub(super) fn describe(&self, state: &mut State<'_>) {
        let Self {
            ke1,
            ke2: _, // made together with the state
            before,
            step,
            until,
        } = self;
        state.secret(&**ke1);
        state.deadline(Some(*until));
        describe::option(state, *before, |state, before| {
            describe::fingerprint(state, &before);
        });
        match step {
            Step::Asked { state: _, debit } => {
                state.number(0);
                debit.describe(state);
            }
            Step::Proved {
                session_key,
                ke3: _, // follows from the session key
                reg1,
                reg2: _, // follows from `reg1`
            } => {
                state.number(1);
                state.secret(&**session_key);
                state.secret(reg1);
            }
        }
    }
}

impl fmt::Debug for Proving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Proving")
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}
