// SPDX-License-Identifier: GPL-2.0

//! The host takes pages away.

use crate::memory::{
    guest::Memory,
    mmu::BUDGET, //
};
use core::ops::Range;
use kernel::sync::rcu;
use kvm_core::stage2::Progress;
use kvm_host::mmu_notifier::MmuCallbacks;

impl MmuCallbacks for Memory {
    fn invalidate_range_start(&self, range: Range<usize>, _may_block: bool) {
        let hvas = range.start as u64..range.end as u64;
        // From the record on no fault maps anything in the range, so the lock may be released
        // between steps: a range may be all of a large VM's memory.
        self.mmu.lock().seq.begin(hvas.clone());

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

            from = match mmu.with_tables(&self.translation, None, |stage2, tables| {
                stage2.unmap(tables, from.max(gpas.start)..gpas.end, BUDGET)
            }) {
                Progress::Done => gpas.end,
                Progress::More(next) => next,
            };
        }
    }

    fn invalidate_range_end(&self, _range: Range<usize>) {
        self.mmu.lock().seq.end();
    }

    fn release(&self) {
        {
            // Nothing is mapped from here on.
            self.mmu.lock().seq.begin(0..u64::MAX);
        }
        self.unmap(0..self.ipa.size());
    }
}
