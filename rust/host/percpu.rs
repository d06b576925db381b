// SPDX-License-Identifier: GPL-2.0

//! Per-CPU data.
//!
//! C header: `include/linux/percpu.h`

use crate::{
    bindings,
    pinned::PinnedCpu, //
};
use core::{
    marker::PhantomData,
    mem::{
        align_of,
        size_of, //
    },
    ptr::NonNull,
};
use kernel::{
    bindings as linux,
    prelude::*,
    sync::atomic::{
        Atomic,
        AtomicFlag, //
    },
};

/// What can be per-CPU data.
///
/// # Safety
///
/// All zeroes is a valid value, the one that the data begins with.
pub unsafe trait PerCpuData: Send + Sync {}

// SAFETY: Zero is a flag that is not set.
unsafe impl PerCpuData for AtomicFlag {}

// SAFETY: Zero is a number.
unsafe impl PerCpuData for Atomic<u32> {}

/// One `T` for each possible CPU, all zeroes at first. It is freed without being dropped, so `T`
/// must not need dropping.
///
/// # Invariants
///
/// `base` is a per-CPU allocation with room for a `T`, made by this type and freed by it only.
pub struct PerCpu<T: PerCpuData> {
    base: NonNull<c_void>,
    _owns: PhantomData<T>,
}

// SAFETY: The allocation may be freed by any thread, and `T` is `Send` and `Sync`.
unsafe impl<T: PerCpuData> Send for PerCpu<T> {}
// SAFETY: As above.
unsafe impl<T: PerCpuData> Sync for PerCpu<T> {}

impl<T: PerCpuData> PerCpu<T> {
    /// Allocates the values. May sleep.
    ///
    /// # Errors
    ///
    /// `ENOMEM` if there is no per-CPU memory left.
    pub fn new() -> Result<Self> {
        const { assert!(!core::mem::needs_drop::<T>()) };
        const { assert!(size_of::<T>() > 0) };

        // SAFETY: Allocating per-CPU memory is always allowed where sleeping is; size and
        // alignment are those of a type. The memory comes zeroed.
        let base = unsafe {
            linux::pcpu_alloc_noprof(size_of::<T>(), align_of::<T>(), false, linux::GFP_KERNEL)
        };

        // INVARIANT: This is the allocation just made.
        Ok(Self {
            base: NonNull::new(base.cast()).ok_or(ENOMEM)?,
            _owns: PhantomData,
        })
    }

    /// The value of the CPU that the caller is bound to.
    pub fn this(&self, cpu: &PinnedCpu) -> &T {
        // SAFETY: By the type invariant `base` is a per-CPU allocation, and a `CpuId` is below
        // `nr_cpu_ids`, for each of which the allocator has a copy if the CPU is possible; the CPU
        // that runs this is.
        let value = unsafe {
            bindings::kvm_vhe_per_cpu_ptr(self.base.as_ptr(), cpu.id().as_u32()).cast::<T>()
        };

        // SAFETY: The copy has room for a `T`, was zeroed, which is a valid `T` by
        // `PerCpuData`, lives as long as
        // `self`, and is only ever lent as a shared reference.
        unsafe { &*value }
    }
}

impl<T: PerCpuData> Drop for PerCpu<T> {
    fn drop(&mut self) {
        // SAFETY: By the type invariant this is our allocation; nobody borrows from it any more.
        unsafe { linux::free_percpu(self.base.as_ptr()) }
    }
}
