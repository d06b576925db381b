// SPDX-License-Identifier: GPL-2.0

//! Cleaning and invalidating all that is mapped.

use crate::memory::guest::Memory;
use kvm_core::stage2::{
    MemoryType,
    Progress, //
};
use kvm_host::{
    cache::Caches,
    trace, //
};

/// How many pages a step of a flush cleans with the lock held.
const FLUSH_BUDGET: u32 = 32;

impl Memory {
    /// Cleans and invalidates a part of what is mapped, by address to the Point of Coherency, from a
    /// guest address on. Returns where to go on, and how many bytes it was.
    pub(crate) fn flush_step(&self, from: u64) -> (Option<u64>, u64) {
        let mut bytes = 0;
        let mut mmu = self.mmu.lock();
        let progress = mmu.with_tables(&self.translation, None, |stage2, tables| {
            stage2.for_each_mapping(tables, from..u64::MAX, FLUSH_BUDGET, |mapping| {
                if mapping.memory != Some(MemoryType::Normal) {
                    return;
                }
                let mut done = 0;
                while done < mapping.size {
                    let some = (mapping.size - done).min(Caches::MAX_BYTES as u64);
                    let _ = self
                        .caches
                        .clean_invalidate(mapping.pa + done, some as usize);
                    done += some;
                }
                trace::flush_range(mapping.ipa, mapping.size);
                bytes += mapping.size;
            })
        });
        match progress {
            Progress::Done => (None, bytes),
            Progress::More(next) => (Some(next), bytes),
        }
    }
}
