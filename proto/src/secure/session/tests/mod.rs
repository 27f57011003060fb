//! Tests of sessions that need access to private values.

mod cipher;
mod forward_secrecy;
mod needs_rekey;
