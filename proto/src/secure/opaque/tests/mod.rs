//! Tests of the OPAQUE login.

mod login;
mod vectors;
