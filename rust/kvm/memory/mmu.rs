// SPDX-License-Identifier: GPL-2.0

//! The tables, which one lock protects.

use crate::memory::{
    tables::{
        Reserve,
        Tables, //
    },
    translation::Translation, //
};
use kvm_core::{
    invalidate::InvalidateSeq,
    stage2::{
        Progress,
        Stage2,
        TableMemory, //
    },
};
use kvm_host::table_page::TableArena;

/// How many entries a step through the tables visits with the lock held.
pub(super) const BUDGET: u32 = 512;

/// What the lock of the tables protects.
pub(super) struct Mmu {
    pub(super) stage2: Stage2,
    pub(super) arena: TableArena,
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
        let mut tables = Tables {
            arena: &mut self.arena,
            reserve,
            translation: Some(translation),
        };
        f(&mut self.stage2, &mut tables)
    }
}

impl Drop for Mmu {
    /// Frees the tables. No CPU has them in VTTBR_EL2 any more: there are no vCPUs. What TLBs still
    /// hold is tagged with a VMID that no VM gets before they are clean.
    fn drop(&mut self) {
        let root = self.stage2.root();
        // The tables, and not this value, are what there is.
        let Some(stage2) = Stage2::new(*self.stage2.format(), root) else {
            return;
        };
        let mut teardown = stage2.into_teardown();
        let mut tables = Tables {
            arena: &mut self.arena,
            reserve: None,
            translation: None,
        };
        while let Progress::More(_) = teardown.step(&mut tables, BUDGET) {}
        tables.free(root);
    }
}
