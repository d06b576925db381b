// SPDX-License-Identifier: GPL-2.0

//! Freeing the tables of a VM that is gone.

use crate::stage2::{
    address::TableAddr,
    descriptor::Descriptor,
    geometry::Level,
    memory::TableMemory,
    range::Progress,
    walk::Stage2, //
};

/// The tables of a VM that never runs again.
#[derive(PartialEq, Eq, Debug)]
pub struct Teardown {
    stage2: Stage2,
    next: u64,
}

impl Stage2 {
    /// Starts to free all tables.
    ///
    /// From now on no CPU may have the root in VTTBR_EL2: there are no vCPUs left. So no walk reads
    /// the tables, and there is no TLB maintenance: what TLBs still hold is tagged with the VM's
    /// VMID, which is not given to another VM before they are clean.
    pub fn into_teardown(self) -> Teardown {
        Teardown {
            stage2: self,
            next: 0,
        }
    }
}

impl Teardown {
    /// Returns where the root is. It is the caller's, to free when [`Self::step`] is done.
    pub fn root(&self) -> TableAddr {
        self.stage2.root()
    }

    /// Frees tables, with all that they map, visiting `budget` entries at most, 0 counting as 1.
    /// When it is done, all are back in the reserve and the root is empty.
    pub fn step<M: TableMemory>(&mut self, mem: &mut M, budget: u32) -> Progress {
        let geometry = *self.stage2.geometry();
        let (start, end) = (geometry.start(), geometry.ipa().size());
        for _ in 0..budget.max(1) {
            let ipa = self.next;
            if ipa >= end {
                break;
            }
            let path = self.stage2.descend(mem, ipa);
            // A table of pages goes as a whole: nobody has to look at them.
            let visited = match path.level {
                Level::L3 => Level::L2,
                level => level,
            };
            self.next = (ipa & !(geometry.span(visited) - 1)) + geometry.span(visited);
            if path.level == start {
                let entry = path.table(start).entry(geometry.index(ipa, start));
                mem.write(entry, Descriptor::INVALID);
            }
            // All tables that end here are done.
            let mut level = path.level;
            while let Some(parent) = level.previous() {
                if level == start || self.next & (geometry.span(parent) - 1) != 0 {
                    break;
                }
                let entry = path.table(parent).entry(geometry.index(ipa, parent));
                mem.write(entry, Descriptor::INVALID);
                mem.free(path.table(level));
                level = parent;
            }
        }
        if self.next >= end {
            Progress::Done
        } else {
            Progress::More(self.next)
        }
    }
}
