//! The server's rate limits. They apply before any expensive cryptography.
//!
//! They are checked cheapest first, as the protocol requires, and only after the cookie. So the source address of everything
//! that is counted is genuine. All limits are plain data. The time is a parameter of each call and must not run backwards (the
//! server clamps it). Arithmetic uses integers only. Every table has a bound that no sender can raise.

mod bucket;
mod freshness;
mod login;
mod places;
mod rates;
mod session;
mod source;

pub use freshness::CLOCK_TOLERANCE;
pub(crate) use freshness::Freshness;
pub(crate) use login::{Debit, LoginBuckets};
pub(crate) use places::Places;
pub(crate) use rates::{DhRate, Ke1Rate};
pub(crate) use session::{PasswordChanges, SessionLimits};
pub(crate) use source::{SourceBuckets, SourceLimit};
