//! File descriptors that the async runtime watches.

use std::io;
use std::os::fd::OwnedFd;

use tokio::io::unix::AsyncFd;

/// Hands a non-blocking descriptor to the runtime, to be told when it is ready.
#[expect(
    unsafe_code,
    reason = "the runtime cannot check by itself that a descriptor stays what it is"
)]
pub(crate) fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` is open until it is dropped and names the same descriptor all that time. The `AsyncFd`
    // owns it and gives out shared references only, so nobody else closes it.
    unsafe { AsyncFd::register(fd) }.map_err(io::Error::from)
}
