// SPDX-License-Identifier: GPL-2.0

//! The words that threads share without a lock, and their way to user space.

use crate::relaxed;
use kernel::{
    bindings,
    prelude::*,
    sync::atomic::{
        Atomic,
        Full, //
    },
    uaccess::UserPtr, //
};
use kvm_core::word::Word;

/// 64 bits.
#[repr(transparent)]
pub struct AtomicWord(Atomic<u64>);

impl AtomicWord {
    /// A word with a value.
    pub const fn new(value: u64) -> Self {
        Self(Atomic::new(value))
    }
}

impl Word for AtomicWord {
    #[inline(always)]
    fn load(&self) -> u64 {
        relaxed::load(&self.0)
    }

    #[inline]
    fn compare_exchange(&self, old: u64, new: u64) -> Result<(), u64> {
        self.0.cmpxchg(old, new, Full).map(|_| ())
    }

    #[inline]
    fn swap(&self, new: u64) -> u64 {
        self.0.xchg(new, Full)
    }
}

/// Copies words as they are to user space, without any order to other accesses. Each bit is one that
/// its word had at some time meanwhile; those of a word need not be of one time. May sleep.
///
/// # Errors
///
/// `EFAULT` if not all could be written.
pub fn copy_to_user(words: &[AtomicWord], to: UserPtr) -> Result {
    // SAFETY: The words can be read as long as they are borrowed, and are nothing but their bytes, all
    // of them initialised. Others may change them meanwhile: what reads here is assembly, which no
    // compiler assumes anything about, and whatever it finds goes nowhere but to user space. Any
    // address may be given there. Whether they are one object, which `copy_to_user()` looks at, a
    // slice says.
    let left = unsafe {
        bindings::_copy_to_user(
            to.as_mut_ptr(),
            words.as_ptr().cast(),
            size_of_val(words), //
        )
    };

    if left == 0 {
        Ok(())
    } else {
        Err(EFAULT)
    }
}
