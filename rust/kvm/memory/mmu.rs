// SPDX-License-Identifier: GPL-2.0

//! What changes the tables, which one lock protects.

use crate::memory::translation::Translation;
use kvm_core::invalidate::InvalidateSeq;
use kvm_host::guest_tables::{
    LockedTables,
    Walk, //
};

pub(crate) use kvm_host::guest_tables::Reserve;

/// How many entries a step through the tables visits with the lock held.
pub(super) const BUDGET: u32 = 512;

/// What the lock of the tables protects.
pub(super) struct Mmu {
    pub(super) tables: LockedTables,
    pub(super) seq: InvalidateSeq,
}

impl Mmu {
    /// Calls `f` with the tables, into which tables of `reserve` come if it needs any.
    pub(super) fn with_tables<R>(
        &mut self,
        translation: &Translation,
        reserve: Option<&mut Reserve>,
        f: impl FnOnce(&mut Walk<'_>) -> R,
    ) -> R {
        self.tables.with(translation.tables(), reserve, f)
    }
}
