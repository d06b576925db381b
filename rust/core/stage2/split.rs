// SPDX-License-Identifier: GPL-2.0

//! Blocks that become tables.

use crate::stage2::{
    address::TableAddr,
    attributes::Attributes,
    descriptor::Descriptor,
    geometry::Level,
    memory::{
        Stale,
        TableMemory, //
    },
    walk::{
        replace,
        Leaf,
        Stage2, //
    },
};
use core::ops::Range;

/// How far a step that splits got.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Split {
    /// There is no block left in the range.
    Done,
    /// To this address, where the next step goes on; in between, the caller may drop its lock.
    More(u64),
    /// To this address, where a table is needed and the reserve is empty.
    NoTable(u64),
}

impl Stage2 {
    /// Splits the blocks that `range` touches into pages, which map the same in the same way; of a
    /// block that becomes smaller blocks first, those that the range does not touch stay blocks.
    ///
    /// Without [`Config::live_resize`] the guest may fault on a block at the moment in which it is taken
    /// out, and finds its page mapped when it looks again. `budget` is the number of entries that a step
    /// visits at most, 0 counting as 1. A split takes one table, and the step ends with it: a table has
    /// many entries.
    ///
    /// [`Config::live_resize`]: crate::stage2::Config::live_resize
    pub fn split<M: TableMemory>(&mut self, mem: &mut M, range: Range<u64>, budget: u32) -> Split {
        let end = range.end.min(self.geometry().ipa().size());
        let mut ipa = range.start;

        for _ in 0..budget.max(1) {
            if ipa >= end {
                return Split::Done;
            }
            let block = self
                .find(mem, ipa)
                .and_then(|leaf| Some((leaf, leaf.level.next()?)));
            let Some((leaf, below)) = block else {
                ipa = self.behind(mem, ipa);
                continue;
            };
            let Some(table) = mem.allocate() else {
                return Split::NoTable(ipa);
            };
            if !self.split_leaf(mem, leaf, below, table) {
                mem.free(table);
                ipa = leaf.ipa + self.geometry().span(leaf.level);
            }
            return Split::More(ipa);
        }
        if ipa >= end {
            Split::Done
        } else {
            Split::More(ipa)
        }
    }

    /// Returns the address behind what the last table on the way to `ipa` has for it; behind a whole
    /// table of pages, in which there is no block.
    fn behind<M: TableMemory>(&self, mem: &M, ipa: u64) -> u64 {
        let span = self
            .geometry()
            .span(self.descend(mem, ipa).level.min(Level::L2));
        (ipa & !(span - 1)) + span
    }

    /// Puts `table`, which is empty, in the place of a leaf, with leaves at `below` that map the
    /// same. Returns whether there are such leaves.
    ///
    /// What is done to the leaf without the lock meanwhile, allowing more or setting the access flag, may
    /// be lost: the guest faults again. TLBs hold nothing of the leaf afterwards, so that who changes
    /// the parts need not know of it.
    pub(super) fn split_leaf<M: TableMemory>(
        &mut self,
        mem: &mut M,
        leaf: Leaf,
        below: Level,
        table: TableAddr,
    ) -> bool {
        let geometry = *self.geometry();
        let attributes = self
            .format()
            .memory_type(leaf.descriptor)
            .and_then(|memory| Attributes::new(leaf.descriptor.permissions(), memory))
            .map(|attributes| attributes.with_limit(leaf.descriptor.limit()));
        let part = |index: usize| {
            let pa = leaf.pa + index as u64 * geometry.span(below);
            let part = self.format().leaf(below, pa, attributes?)?;
            Some(
                part.with_af(leaf.descriptor.af())
                    .with_dbm(leaf.descriptor.dbm())
                    .with_software(leaf.descriptor.software()),
            )
        };
        // If there is one there are all.
        if part(0).is_none() {
            return false;
        }
        for index in 0..geometry.entries(below) {
            mem.write(
                table.entry(index),
                part(index).unwrap_or(Descriptor::INVALID),
            );
        }
        let new = self.format().table(table);
        let live = self.format().config().live_resize;
        replace(mem, leaf.entry, leaf.descriptor, |_| {
            if live {
                new
            } else {
                Descriptor::INVALID
            }
        });
        mem.invalidate(
            leaf.ipa,
            geometry.span(leaf.level),
            Stale::Leaves(leaf.level),
        );
        if !live {
            mem.write(leaf.entry, new);
        }
        self.leaves.remove(leaf.level, 1);
        self.leaves.add(below, geometry.entries(below) as u64);
        true
    }
}
