// SPDX-License-Identifier: GPL-2.0

//! How a VM's memory is tracked, which its VMM chooses.

use kernel::sync::atomic::{
    Atomic,
    AtomicFlag,
    Relaxed, //
};
use kvm_host::abi::{
    KVM_DIRTY_LOG_INITIALLY_SET,
    KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE, //
};

/// How a VM's memory is tracked. Changes with the slots' lock held.
pub(super) struct Tracking {
    /// KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2's flags.
    pub(super) manual: Atomic<u32>,
    /// The size of rings in bytes, 0 if there are none.
    pub(super) ring: Atomic<u32>,
    /// With rings, slots have a bitmap, too.
    pub(super) with_bitmap: AtomicFlag,
    /// The size of a chunk of blocks that is split at once, 0 if blocks are split by faults.
    pub(super) split_chunk: Atomic<u64>,
}

impl Tracking {
    pub(super) const fn new() -> Self {
        Self {
            manual: Atomic::new(0),
            ring: Atomic::new(0),
            with_bitmap: AtomicFlag::new(false),
            split_chunk: Atomic::new(0),
        }
    }

    /// Whether slots that log have a bitmap.
    pub(super) fn uses_bitmap(&self) -> bool {
        self.ring.load(Relaxed) == 0 || self.with_bitmap.load(Relaxed)
    }

    /// Whether KVM_GET_DIRTY_LOG leaves the bitmap as it is.
    pub(super) fn is_manual(&self) -> bool {
        self.manual.load(Relaxed) & KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE != 0
    }

    /// Whether all pages of a slot count as written to when it begins to log.
    pub(super) fn sets_initially(&self) -> bool {
        let both = KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
        self.manual.load(Relaxed) & both == both
    }
}

/// KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2's flags.
pub(crate) const MANUAL_FLAGS: u32 =
    KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE | KVM_DIRTY_LOG_INITIALLY_SET;
