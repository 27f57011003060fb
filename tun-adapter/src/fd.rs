//! File descriptors in the async runtime.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Registers a non-blocking descriptor with the runtime.
#[expect(
    unsafe_code,
    reason = "the runtime cannot check that a descriptor stays open and unchanged"
)]
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` stays open and keeps its number until it is dropped. The `AsyncFd` owns it and
    // hands out shared references only, so no other code can close it.
    unsafe { AsyncFd::register(fd) }.map_err(io::Error::from)
}
