//! File operations of this program.

pub(crate) mod atomic_file;
