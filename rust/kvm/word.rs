// SPDX-License-Identifier: GPL-2.0

//! The words that threads share without a lock.

use kernel::sync::atomic::{
    Atomic,
    Full, //
};
use kvm_core::word::Word;
use kvm_host::relaxed;

/// 64 bits.
pub(crate) struct AtomicWord(Atomic<u64>);

impl AtomicWord {
    /// A word with a value.
    pub(crate) const fn new(value: u64) -> Self {
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
