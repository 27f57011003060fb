//! Random bytes from the kernel (`getrandom(2)`). The protocol gets them as a seed.

use rustix::io::Errno;
use rustix::rand::{GetRandomFlags, getrandom};

use crate::failure::Failure;

/// Returns `N` random bytes. Waits until the kernel's generator is seeded, which is only noticeable right
/// after boot.
///
/// # Errors
///
/// If the kernel has no `getrandom`.
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
