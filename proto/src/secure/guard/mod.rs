//! The server's limits: what it counts before it spends cryptography on anybody.
//!
//! They stand in the order of the protocol's "cheapest first", all of them behind the cookie: [`SourceBuckets`],
//! [`HalfOpenCaps`], [`Ke1Rate`], [`LoginBuckets`]. So what is counted against an address comes from there. All are
//! plain data: time comes in with each call and must not run backwards (the server clamps it), arithmetic is that of
//! integers, and every table has a bound that no sender can move.

mod bucket;
mod caps;
mod login;
mod source;

pub(crate) use caps::{HalfOpenCaps, Ke1Rate};
pub(crate) use login::{Debit, LoginBuckets};
pub(crate) use source::{SourceBuckets, SourcePrefix, source_prefix};
