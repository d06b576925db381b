// SPDX-License-Identifier: GPL-2.0

//! Tables that become blocks.

use crate::stage2::{
    attributes::Attributes,
    block::Extent,
    descriptor::{
        Descriptor,
        Entry, //
    },
    memory::{
        Stale,
        TableMemory, //
    },
    walk::{
        replace,
        Stage2, //
    },
};

impl Stage2 {
    /// Maps `extent` in the place of a table, if all that the table maps are parts of it, pages or
    /// smaller blocks, and there is such a block. Returns whether it is done; the guest finds it mapped
    /// all the time.
    ///
    /// Only for CPUs with [`Config::live_resize`]: until the TLBs are invalidated they may hold the
    /// parts beside the whole. All map the same memory in the same way. What each allows may differ.
    ///
    /// [`Config::live_resize`]: crate::stage2::Config::live_resize
    pub(super) fn collapse<M: TableMemory>(
        &mut self,
        mem: &mut M,
        extent: &Extent,
        attributes: Attributes,
    ) -> bool {
        let geometry = *self.geometry();
        let &Extent { ipa, level, pa, .. } = extent;
        let path = self.descend(mem, ipa);
        let (Some(new), Some(below)) = (self.format().leaf(level, pa, attributes), level.next())
        else {
            return false;
        };
        if path.level <= level {
            return false;
        }
        let table = path.table(below);
        let is_part = |index: usize| {
            let found = mem.read(table.entry(index));
            match self.format().decode(found, below) {
                Entry::Invalid => true,
                Entry::Leaf(at) => {
                    at == pa + index as u64 * geometry.span(below)
                        && self.format().memory_type(found) == Some(attributes.memory())
                }
                Entry::Table(_) => false,
            }
        };
        if !(0..geometry.entries(below)).all(is_part) {
            return false;
        }
        let entry = path.table(level).entry(geometry.index(ipa, level));
        let found = mem.read(entry);
        replace(mem, entry, found, |_| new);
        mem.invalidate(ipa, geometry.span(level), Stale::Tables);
        // No CPU walks it any more. Who has no lock may have found an entry before, and change it.
        for index in 0..geometry.entries(below) {
            let entry = table.entry(index);
            self.leaves.remove(below, mem.read(entry).valid().into());
            mem.write(entry, Descriptor::INVALID);
        }
        self.leaves.add(level, 1);
        mem.free(table);
        true
    }
}
