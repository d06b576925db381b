// SPDX-License-Identifier: GPL-2.0

//! Removing mappings, and tables that become empty.

use crate::stage2::{
    address::TableAddr,
    descriptor::Descriptor,
    geometry::Level,
    memory::{
        Stale,
        TableMemory,
        TableRead, //
    },
    range::Progress,
    walk::{
        replace,
        Path,
        Stage2,
        Steps, //
    },
};
use core::ops::Range;

impl Stage2 {
    /// Removes all mappings that `range` touches, from the tables and from the TLBs.
    ///
    /// When a step returns, no CPU uses any more what it removed: TLB maintenance is made once for
    /// each table that it went through. A table that is then empty goes back to the reserve.
    /// A block that the range covers in part goes as a whole; what is not in the range is mapped
    /// again when the guest next faults on it.
    ///
    /// `budget` is the number of entries that one step visits at most, 0 counting as 1; what no
    /// table covers is one entry, however large. Looking for what is left in a table comes on top.
    pub fn unmap<M: TableMemory>(
        &mut self,
        mem: &mut M,
        range: Range<u64>,
        budget: u32,
    ) -> Progress {
        let mut steps = Steps::new(self.geometry(), range.start, range.end, budget);
        while let Some(ipa) = steps.pending() {
            let path = self.descend(mem, ipa);
            let table = path.table(path.level);
            let mut removed: Option<Range<u64>> = None;
            for ipa in steps.rest_of_table(self, mem, &path) {
                let Some(leaf) = self.leaf_in(mem, table, path.level, ipa) else {
                    continue;
                };
                replace(mem, leaf.entry, leaf.descriptor, |_| Descriptor::INVALID);
                self.leaves.remove(leaf.level, 1);
                let end = leaf.ipa + self.geometry().span(leaf.level);
                let start = removed.map_or(leaf.ipa, |removed| removed.start);
                removed = Some(start..end);
            }
            self.retire(mem, &path, ipa, removed);
        }
        Progress::of(&steps)
    }

    /// Ends a visit of the last table on the way to `ipa`, from which `removed` was removed: takes
    /// it out if it is empty, and those that become empty by that; then invalidates, then frees.
    fn retire<M: TableMemory>(
        &mut self,
        mem: &mut M,
        path: &Path,
        ipa: u64,
        removed: Option<Range<u64>>,
    ) {
        let geometry = *self.geometry();
        let mut empty: [Option<TableAddr>; Level::COUNT] = [None; Level::COUNT];
        let mut stale = Stale::Leaves(path.level);
        let mut level = path.level;
        while let Some(parent) = level.previous() {
            if level == geometry.start() || !self.is_empty(mem, path.table(level), level) {
                break;
            }
            let entry = path.table(parent).entry(geometry.index(ipa, parent));
            let found = mem.read(entry);
            replace(mem, entry, found, |_| Descriptor::INVALID);
            empty[level as usize] = Some(path.table(level));
            stale = Stale::Tables;
            level = parent;
        }
        // Any one address that is translated by way of a table names it.
        let page = geometry.span(Level::L3);
        let range = match (removed, stale) {
            (Some(range), _) => range,
            (None, Stale::Tables) => {
                let start = ipa & !(page - 1);
                start..start + page
            }
            (None, Stale::Leaves(_)) => return,
        };
        mem.invalidate(range.start, range.end - range.start, stale);
        for table in empty.into_iter().flatten() {
            mem.free(table);
        }
    }

    /// Whether all entries of the table at `level`, which is not the root, are invalid.
    fn is_empty(&self, mem: &impl TableRead, table: TableAddr, level: Level) -> bool {
        (0..self.geometry().entries(level)).all(|index| !mem.read(table.entry(index)).valid())
    }
}
