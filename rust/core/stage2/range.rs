// SPDX-License-Identifier: GPL-2.0

//! What spans a range of addresses and removes nothing.

use crate::stage2::{
    descriptor::Descriptor,
    geometry::Level,
    memory::{
        TableMemory,
        TableRead, //
    },
    walk::{
        replace,
        Leaf,
        Mapping,
        Stage2,
        Steps, //
    },
};
use core::ops::Range;

/// How far a step through a range got.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Progress {
    /// To the end.
    Done,
    /// To this address, where the next step goes on; in between, the caller may drop its lock.
    More(u64),
}

impl Progress {
    /// Returns the progress of `steps`.
    #[inline]
    pub(super) fn of(steps: &Steps) -> Self {
        steps.rest().map_or(Self::Done, Self::More)
    }
}

/// What a step through a range did.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub struct Update {
    /// How far it got.
    pub progress: Progress,
    /// Whether a mapping was changed, so that TLBs may hold what it was before.
    pub changed: bool,
}

/// Returns a leaf without the permission to write.
#[inline]
fn protected(leaf: Descriptor) -> Descriptor {
    leaf.with_write(false).with_dbm(false)
}

/// Ranges are of the guest's physical addresses. What is beyond the VM's address space counts as
/// unmapped. A block that the range touches is meant as a whole. `budget` is the number of entries
/// that one step visits at most, 0 counting as 1; what no table covers is one entry, however large.
impl Stage2 {
    /// Calls `visit` for each mapping that `range` touches, in the order of addresses, to flush it
    /// from caches for instance.
    pub fn for_each_mapping(
        &self,
        mem: &impl TableRead,
        range: Range<u64>,
        budget: u32,
        mut visit: impl FnMut(Mapping),
    ) -> Progress {
        let mut steps = Steps::new(self.geometry(), range.start, range.end, budget);
        while let Some(ipa) = steps.pending() {
            let path = self.descend(mem, ipa);
            let mut here = true;
            while let Some(leaf) = steps.next_in_table(self, mem, &path, &mut here) {
                visit(self.mapping(leaf));
            }
        }
        Progress::of(&steps)
    }

    /// Takes the permission to write from all mappings in `range`.
    ///
    /// If one of the steps changed something, the caller removes the whole range from the TLBs of
    /// all CPUs, once after the last step: until then a guest may still write.
    pub fn write_protect<M: TableMemory>(
        &mut self,
        mem: &mut M,
        range: Range<u64>,
        budget: u32,
    ) -> Update {
        self.update_leaves(mem, range, budget, |_| true, protected)
    }

    /// Takes the permission to write from those of 64 pages from `ipa` on that have a bit in `mask`.
    /// Returns whether there was one with it.
    ///
    /// A block with such a page is meant as a whole. TLBs are the caller's, as with
    /// [`Self::write_protect`].
    pub fn write_protect_pages<M: TableMemory>(
        &mut self,
        mem: &mut M,
        ipa: u64,
        mask: u64,
    ) -> bool {
        let geometry = *self.geometry();
        let size = geometry.span(Level::L3);
        let address = |page: u32| ipa.saturating_add(u64::from(page) * size);
        let range = address(mask.trailing_zeros())..address(u64::BITS - mask.leading_zeros());
        let wanted = |leaf: &Leaf| {
            let end = leaf.ipa + geometry.span(leaf.level);
            let first = leaf.ipa.saturating_sub(ipa) / size;
            let last = (end - 1 - ipa) / size;
            (first..=last.min(63)).any(|page| (mask >> page) & 1 != 0)
        };
        // As many entries as pages at most: one step.
        self.update_leaves(mem, range, u64::BITS, wanted, protected)
            .changed
    }

    /// Clears the access flag of all mappings in `range`; `changed` says whether one was set.
    ///
    /// TLBs may go on holding the mappings, and a use through them goes unnoticed. Whether that
    /// matters is the caller's to decide; the host's reclaim can do without.
    pub fn clear_accessed<M: TableMemory>(
        &mut self,
        mem: &mut M,
        range: Range<u64>,
        budget: u32,
    ) -> Update {
        self.update_leaves(mem, range, budget, |_| true, |leaf| leaf.with_af(false))
    }

    /// Replaces each leaf that `range` touches and that is `wanted` by what `change` makes of it, in
    /// bits that may change while it is valid.
    fn update_leaves<M: TableMemory>(
        &mut self,
        mem: &mut M,
        range: Range<u64>,
        budget: u32,
        wanted: impl Fn(&Leaf) -> bool,
        change: impl Fn(Descriptor) -> Descriptor,
    ) -> Update {
        let mut steps = Steps::new(self.geometry(), range.start, range.end, budget);
        let mut changed = false;
        while let Some(ipa) = steps.pending() {
            let path = self.descend(mem, ipa);
            let mut here = true;
            while let Some(leaf) = steps.next_in_table(self, mem, &path, &mut here) {
                if change(leaf.descriptor) != leaf.descriptor && wanted(&leaf) {
                    replace(mem, leaf.entry, leaf.descriptor, &change);
                    changed = true;
                }
            }
        }
        Update {
            progress: Progress::of(&steps),
            changed,
        }
    }
}
