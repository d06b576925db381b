// SPDX-License-Identifier: GPL-2.0

//! Relaxed loads and stores of atomic variables, as one instruction each.
//!
//! The `kernel` crate's are calls of C functions in a module, and its store is a swap, so that it
//! holds on architectures whose atomic operations take a lock. On arm64 they do not: a plain aligned
//! access is READ_ONCE() or WRITE_ONCE(), which is what `atomic_read()` and `atomic_set()` are here
//! (`arch/arm64/include/asm/atomic.h`).

use kernel::sync::atomic::{
    Atomic,
    AtomicType, //
};

/// What the CPU reads and writes at once.
pub trait Word: AtomicType {}

impl Word for u32 {}
impl Word for u64 {}
impl<T> Word for *mut T {}

/// Loads the value, without any order to other accesses.
#[inline(always)]
pub fn load<T: Word>(atomic: &Atomic<T>) -> T {
    // SAFETY: The pointer is that of a live atomic variable of a size that is read at once. All that
    // write it do so at once.
    unsafe { atomic.as_ptr().read_volatile() }
}

/// Stores a value, without any order to other accesses.
#[inline(always)]
pub fn store<T: Word>(atomic: &Atomic<T>, value: T) {
    // SAFETY: As in `load()`; whoever else reads or writes the variable does so at once.
    unsafe { atomic.as_ptr().write_volatile(value) }
}
