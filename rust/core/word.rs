// SPDX-License-Identifier: GPL-2.0

//! What threads share without a lock.

/// An atomic word.
pub trait Word {
    /// Returns the value, without any order to other accesses.
    fn load(&self) -> u64;

    /// Replaces `old` by `new`, with a full barrier if it succeeds.
    ///
    /// # Errors
    ///
    /// The value, if it is not `old`.
    fn compare_exchange(&self, old: u64, new: u64) -> Result<(), u64>;

    /// Replaces the value and returns it, with a full barrier.
    fn swap(&self, new: u64) -> u64;

    /// Sets `bits`. A full barrier whether they were set or not.
    #[inline]
    fn set(&self, bits: u64) {
        let mut old = self.load();
        while let Err(now) = self.compare_exchange(old, old | bits) {
            old = now;
        }
    }

    /// Clears `bits`, and returns the value before. A full barrier whether they were set or not.
    #[inline]
    fn clear(&self, bits: u64) -> u64 {
        let mut old = self.load();
        while let Err(now) = self.compare_exchange(old, old & !bits) {
            old = now;
        }
        old
    }
}
