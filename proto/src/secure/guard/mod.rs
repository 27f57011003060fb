//! The server's rate limits. They apply before any expensive cryptography.
//!
//! They are checked cheapest first, as the protocol requires, and only after the cookie: [`SourceBuckets`],
//! [`HalfOpenCaps`], [`Ke1Rate`], [`LoginBuckets`]. So the source address of everything that is counted is
//! genuine. All limits are plain data. The time is a parameter of each call and must not run backwards (the
//! server clamps it). Arithmetic uses integers only. Every table has a bound that no sender can raise.

mod bucket;
mod caps;
mod login;
mod session;
mod source;

pub(crate) use caps::{HalfOpenCaps, Ke1Rate};
pub(crate) use login::{Debit, LoginBuckets};
pub(crate) use session::{PasswordChanges, SessionLimits};
pub(crate) use source::{SourceBuckets, SourcePrefix, source_prefix};
