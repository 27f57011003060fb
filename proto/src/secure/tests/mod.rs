//! Tests of the whole profile that need access to private values.

mod no_seed_in_state;
mod vectors;
