//! Secrets in memory of their own, and the stack after work with secrets.
//!
//! A value that is moved leaves its bytes behind, and nobody erases them: in a freed block of the heap, in an unused part of an
//! enum, on the stack. So each secret that is stored has a block of its own. A move copies only the pointer to it.

use alloc::boxed::Box;
use core::fmt;
use core::hint::black_box;
use core::ops::{Deref, DerefMut};

use subtle::ConstantTimeEq;
use zeroize::{Zeroize, ZeroizeOnDrop};

/// Bytes of the stack that are overwritten after curves and ML-KEM, which use some 20 KB.
const STACK_LEN: usize = 32 * 1024;
/// The same after hashes, ciphers and generators.
const SMALL_STACK_LEN: usize = 4 * 1024;

/// A secret of `N` bytes in a block of its own. Erased when dropped, never printed.
#[derive(Clone)]
pub(crate) struct Secret<const N: usize>(Box<[u8; N]>);

impl<const N: usize> Secret<N> {
    /// Zeros, to be filled in place.
    pub(crate) fn zero() -> Self {
        Self(Box::new([0; N]))
    }

    /// A copy. The caller must erase the original.
    pub(crate) fn copied_from(bytes: &[u8; N]) -> Self {
        let mut secret = Self::zero();
        secret.0.copy_from_slice(bytes);
        secret
    }
}

impl<const N: usize> Deref for Secret<N> {
    type Target = [u8; N];

    fn deref(&self) -> &[u8; N] {
        &self.0
    }
}

impl<const N: usize> DerefMut for Secret<N> {
    fn deref_mut(&mut self) -> &mut [u8; N] {
        &mut self.0
    }
}

impl<const N: usize> Drop for Secret<N> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

impl<const N: usize> ZeroizeOnDrop for Secret<N> {}

/// Compares in constant time.
impl<const N: usize> PartialEq for Secret<N> {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

/// Hides the bytes.
impl<const N: usize> fmt::Debug for Secret<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([hidden])")
    }
}

/// Calls `action`, and then overwrites the part of the stack that it has used. Without this, parts of secrets would stay there, and
/// could be copied to other places as the unused bytes of a moved value.
///
/// A compiler need not use the stack in this way. So this is a precaution, and nothing depends on it.
pub(crate) fn erasing_stack<R>(action: impl FnOnce() -> R) -> R {
    let result = apart(action);
    overwrite::<STACK_LEN>();
    result
}

/// The same for work that needs little of the stack: hashes, ciphers and generators.
pub(crate) fn erasing_small_stack<R>(action: impl FnOnce() -> R) -> R {
    let result = apart(action);
    overwrite::<SMALL_STACK_LEN>();
    result
}

/// Calls `action` in a frame of its own, below that of the caller.
#[inline(never)]
fn apart<R>(action: impl FnOnce() -> R) -> R {
    action()
}

#[inline(never)]
fn overwrite<const LEN: usize>() {
    let mut room = [0_u8; LEN];
    // Keeps the compiler from removing the write.
    black_box(&mut room);
}
