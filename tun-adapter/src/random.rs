//! The only place that asks the kernel for randomness: the protocol gets it as a seed.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::failure::Failure;

/// `N` bytes from the kernel's generator. Waits for it to be seeded, which matters only in the first seconds of a
/// machine's life.
///
/// # Errors
///
/// When the kernel has no such call.
pub fn bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    let mut filled = 0;
    while filled < N {
        match getrandom(&mut bytes[filled..], GetRandomFlags::empty()) {
            Ok(count) => filled += count,
            Err(Errno::INTR) => {}
            Err(error) => return Err(Failure::runtime("get random bytes from the kernel", error)),
        }
    }
    Ok(bytes)
}
