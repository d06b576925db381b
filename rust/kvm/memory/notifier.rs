// SPDX-License-Identifier: GPL-2.0

//! The host takes pages away, or wants to know which are used.

use crate::memory::{
    guest::Memory,
    mmu::BUDGET, //
};
use core::ops::Range;
use kernel::{
    page::PAGE_SIZE,
    sync::rcu, //
};
use kvm_core::stage2::{
    Progress,
    Stale, //
};
use kvm_host::{
    guest_tables::Walk,
    mmu_notifier::MmuCallbacks, //
};

/// What a slot costs of [`BUDGET`], besides the entries for its pages: finding it, and the TLBs.
const SLOT_COST: u64 = 7;

impl Memory {
    /// Calls `step` with what the guest has of some of the VMM's addresses, as often as it is not done
    /// with that, and with the lock of the tables each time.
    ///
    /// That may be all of a large VM's memory, or as many slots as a VM can have, but what is done
    /// while the lock is held is bounded. Nothing sleeps.
    fn for_hvas(
        &self,
        hvas: &Range<u64>,
        mut step: impl FnMut(&mut Walk<'_>, Range<u64>) -> Progress,
    ) {
        let mut from = 0;
        while let Progress::More(next) = self.for_some_hvas(from, hvas, &mut step) {
            from = next;
        }
    }

    /// As [`Self::for_hvas`], from a guest address on, as far as one hold of the lock goes.
    fn for_some_hvas(
        &self,
        from: u64,
        hvas: &Range<u64>,
        mut step: impl FnMut(&mut Walk<'_>, Range<u64>) -> Progress,
    ) -> Progress {
        let mut mmu = self.mmu.lock();
        let rcu = rcu::read_lock();
        let mut left = u64::from(BUDGET);

        // The slots may change meanwhile, and whoever changes one unmaps it. Those by which somebody
        // has mapped anything are seen here: they looked before they had the lock.
        for gpas in self.slots.read_rcu(&rcu).in_hvas(from, hvas.clone()) {
            if left == 0 {
                return Progress::More(gpas.start);
            }
            let pages = (gpas.end - gpas.start) / PAGE_SIZE as u64;
            let progress = mmu.with_tables(&self.translation, None, |walk| step(walk, gpas));
            if let Progress::More(_) = progress {
                return progress;
            }
            left = left.saturating_sub(pages + SLOT_COST);
        }
        Progress::Done
    }
}

impl MmuCallbacks for Memory {
    /// It does not sleep, so it does not matter whether it may.
    fn invalidate_range_start(&self, range: Range<usize>, _may_block: bool) {
        let hvas = range.start as u64..range.end as u64;
        // From the record on no fault maps anything in the range, so the lock may be released
        // between steps.
        self.mmu.lock().seq.begin(hvas.clone());
        self.for_hvas(&hvas, |walk, gpas| walk.unmap(gpas, BUDGET));
    }

    fn invalidate_range_end(&self, _range: Range<usize>) {
        self.mmu.lock().seq.end();
    }

    fn clear_young(&self, range: Range<usize>, flush: bool) -> bool {
        let hvas = range.start as u64..range.end as u64;
        let mut young = false;

        self.for_hvas(&hvas, |walk, gpas| {
            let update = walk.clear_accessed(gpas.clone(), BUDGET);
            young |= update.changed;
            if update.changed && flush {
                // Up to where this step came; leaves of any level.
                let end = match update.progress {
                    Progress::Done => gpas.end,
                    Progress::More(next) => next,
                };
                walk.invalidate(gpas.start, end - gpas.start, Stale::Tables);
            }
            update.progress
        });
        young
    }

    fn test_young(&self, address: usize) -> bool {
        let hvas = address as u64..(address + PAGE_SIZE) as u64;
        let mut young = false;

        self.for_hvas(&hvas, |walk, gpas| {
            let mapping = walk.lookup(gpas.start);
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
