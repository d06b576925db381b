// SPDX-License-Identifier: GPL-2.0

//! The host takes pages away, or wants to know which are used.

use crate::memory::{
    guest::Memory,
    mmu::BUDGET,
    tables::Tables, //
};
use core::ops::Range;
use kernel::{
    page::PAGE_SIZE,
    sync::rcu, //
};
use kvm_core::stage2::{
    Progress,
    Stage2,
    Stale,
    TableMemory, //
};
use kvm_host::mmu_notifier::MmuCallbacks;

impl Memory {
    /// Calls `step` with what the guest has of some of the VMM's addresses, as often as it is not done
    /// with that, and with the lock of the tables each time.
    ///
    /// That may be all of a large VM's memory, but one call of `step` is bounded. Nothing sleeps.
    fn for_hvas(
        &self,
        hvas: &Range<u64>,
        mut step: impl FnMut(&mut Stage2, &mut Tables<'_>, Range<u64>) -> Progress,
    ) {
        let mut from = 0;
        loop {
            let mut mmu = self.mmu.lock();
            // The slots may change meanwhile, and whoever changes one unmaps it. Those by which
            // somebody has mapped anything are seen here: they looked before they had the lock.
            let hit = {
                let rcu = rcu::read_lock();
                let mut hits = self.slots.read_rcu(&rcu).in_hvas(hvas.clone());
                hits.find(|gpas| gpas.end > from)
            };
            let Some(gpas) = hit else { break };
            let rest = from.max(gpas.start)..gpas.end;

            from = match mmu.with_tables(&self.translation, None, |stage2, tables| {
                step(stage2, tables, rest)
            }) {
                Progress::Done => gpas.end,
                Progress::More(next) => next,
            };
        }
    }
}

impl MmuCallbacks for Memory {
    /// It does not sleep, so it does not matter whether it may.
    fn invalidate_range_start(&self, range: Range<usize>, _may_block: bool) {
        let hvas = range.start as u64..range.end as u64;
        // From the record on no fault maps anything in the range, so the lock may be released
        // between steps.
        self.mmu.lock().seq.begin(hvas.clone());
        self.for_hvas(&hvas, |stage2, tables, gpas| {
            stage2.unmap(tables, gpas, BUDGET)
        });
    }

    fn invalidate_range_end(&self, _range: Range<usize>) {
        self.mmu.lock().seq.end();
    }

    fn clear_young(&self, range: Range<usize>, flush: bool) -> bool {
        let hvas = range.start as u64..range.end as u64;
        let mut young = false;

        self.for_hvas(&hvas, |stage2, tables, gpas| {
            let update = stage2.clear_accessed(tables, gpas.clone(), BUDGET);
            young |= update.changed;
            if update.changed && flush {
                // Up to where this step came; leaves of any level.
                let end = match update.progress {
                    Progress::Done => gpas.end,
                    Progress::More(next) => next,
                };
                tables.invalidate(gpas.start, end - gpas.start, Stale::Tables);
            }
            update.progress
        });
        young
    }

    fn test_young(&self, address: usize) -> bool {
        let hvas = address as u64..(address + PAGE_SIZE) as u64;
        let mut young = false;

        self.for_hvas(&hvas, |stage2, tables, gpas| {
            let mapping = stage2.lookup(tables, gpas.start);
            young |= mapping.is_some_and(|mapping| mapping.accessed);
            Progress::Done
        });
        young
    }

    fn release(&self) {
        {
            // Nothing is mapped from here on.
            self.mmu.lock().seq.begin(0..u64::MAX);
        }
        self.unmap(0..self.ipa.size());
    }
}
