// SPDX-License-Identifier: GPL-2.0

//! What changes the tables, which one lock protects.

use crate::memory::{
    tables::{
        Reserve,
        Tables, //
    },
    translation::Translation, //
};
use kernel::sync::rcu;
use kvm_core::{
    invalidate::InvalidateSeq,
    stage2::Stage2, //
};

/// How many entries a step through the tables visits with the lock held.
pub(super) const BUDGET: u32 = 512;

/// What the lock of the tables protects.
pub(super) struct Mmu {
    pub(super) stage2: Stage2,
    pub(super) seq: InvalidateSeq,
}

impl Mmu {
    /// Calls `f` with the tables, into which tables of `reserve` come if it needs any.
    pub(super) fn with_tables<R>(
        &mut self,
        translation: &Translation,
        reserve: Option<&mut Reserve>,
        f: impl FnOnce(&mut Stage2, &mut Tables<'_>) -> R,
    ) -> R {
        let rcu = rcu::read_lock();
        f(
            &mut self.stage2,
            &mut Tables::new(translation, reserve, &rcu),
        )
    }
}
