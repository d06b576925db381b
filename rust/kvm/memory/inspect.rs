// SPDX-License-Identifier: GPL-2.0

//! Looking at what is mapped.

use crate::memory::{
    guest::Memory,
    mmu::BUDGET, //
};
use kvm_core::stage2::{
    Level,
    Mapping,
    Progress, //
};

impl Memory {
    /// The level of the root.
    pub(crate) fn start_level(&self) -> Level {
        self.geometry.start()
    }

    /// Calls `f` with what is mapped, in order. It is called with the lock of the tables held, but not
    /// without a break: what is mapped may change in between.
    pub(crate) fn for_each_mapping(&self, mut f: impl FnMut(Mapping)) {
        let mut from = 0;
        loop {
            let mut mmu = self.mmu.lock();
            let progress = mmu.with_tables(&self.translation, None, |walk| {
                walk.for_each_mapping(from..u64::MAX, BUDGET, &mut f)
            });
            drop(mmu);
            match progress {
                Progress::Done => break,
                Progress::More(next) => from = next,
            }
        }
    }
}
