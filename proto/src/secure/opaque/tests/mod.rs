//! Tests of the OPAQUE login.

mod group;
mod login;
mod vectors;
