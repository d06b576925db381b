// SPDX-License-Identifier: GPL-2.0

//! What spans a range of addresses and removes nothing.

use crate::stage2::{
    address::EntryAddr,
    attributes::MemoryType,
    descriptor::{
        Descriptor,
        Entry, //
    },
    geometry::{
        Geometry,
        Level, //
    },
    memory::{
        TableMemory,
        TableRead, //
    },
    walk::{
        replace,
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

/// A part of a mapping, or all of it.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Piece {
    /// The guest's first address.
    pub ipa: u64,
    /// The first physical address.
    pub pa: u64,
    /// Its size in bytes.
    pub size: u64,
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
    /// Calls `visit` for each mapping that `range` touches, in the order of addresses.
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
            let table = path.table(path.level);
            for ipa in steps.rest_of_table(self, mem, &path) {
                if let Some(leaf) = self.leaf_in(mem, table, path.level, ipa) {
                    visit(self.mapping(leaf));
                }
            }
        }
        Progress::of(&steps)
    }

    /// Calls `visit` for what `range` has of mappings to memory of this type, in the order of
    /// addresses, to flush it from caches for instance: a block that the range or the step covers in
    /// part is not meant as a whole.
    ///
    /// One step visits `bytes` at most, a multiple of the granule, less than one counting as one.
    pub fn for_each_piece(
        &self,
        mem: &impl TableRead,
        range: Range<u64>,
        memory: MemoryType,
        budget: u32,
        bytes: u64,
        mut visit: impl FnMut(Piece),
    ) -> Progress {
        let page = self.geometry().span(Level::L3);
        let mut left = bytes.max(page) & !(page - 1);
        let mut steps = Steps::new(self.geometry(), range.start, range.end, budget);

        while let Some(ipa) = steps.pending() {
            let path = self.descend(mem, ipa);
            let table = path.table(path.level);
            for ipa in steps.rest_of_table(self, mem, &path) {
                let Some(leaf) = self.leaf_in(mem, table, path.level, ipa) else {
                    continue;
                };
                let mapping = self.mapping(leaf);
                if mapping.memory != Some(memory) {
                    continue;
                }
                let start = mapping.ipa.max(range.start);
                if left == 0 {
                    return Progress::More(start);
                }
                let end = (mapping.ipa + mapping.size).min(range.end);
                let size = (end - start).min(left);
                visit(Piece {
                    ipa: start,
                    pa: mapping.pa + (start - mapping.ipa),
                    size,
                });
                left -= size;
                if size < end - start {
                    return Progress::More(start + size);
                }
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
        self.update_leaves(mem, range, budget, protected)
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
        let (mut changed, mut left) = (false, mask);
        while left != 0 {
            let first = ipa.saturating_add(page_offset(&geometry, left.trailing_zeros()));
            if first >= geometry.ipa().size() {
                break;
            }
            // What is left of the pages that are in the same table, or the same entry above it.
            let path = self.descend(mem, first);
            let level = path.level.min(Level::L2);
            let end = (first | (geometry.span(level) - 1)) - ipa;
            let pages = (end >> geometry.span(Level::L3).trailing_zeros()).min(63) as u32;
            let here = left & (u64::MAX >> (63 - pages));
            left &= !here;
            let first_entry = geometry.index(first, path.level);
            let table = path.table(path.level);
            if path.level < Level::L3 {
                // All that they have is this one.
                changed |= self.change_leaf(mem, table.entry(first_entry), path.level, protected);
                continue;
            }
            let mut behind = here >> here.trailing_zeros();
            while behind != 0 {
                let entry = table.entry(first_entry + behind.trailing_zeros() as usize);
                changed |= self.change_leaf(mem, entry, Level::L3, protected);
                behind &= behind - 1;
            }
        }
        changed
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
        self.update_leaves(mem, range, budget, |leaf| leaf.with_af(false))
    }

    /// Replaces each leaf that `range` touches by what `change` makes of it, in bits that may change
    /// while it is valid.
    fn update_leaves<M: TableMemory>(
        &mut self,
        mem: &mut M,
        range: Range<u64>,
        budget: u32,
        change: impl Fn(Descriptor) -> Descriptor,
    ) -> Update {
        let mut steps = Steps::new(self.geometry(), range.start, range.end, budget);
        let mut changed = false;
        while let Some(ipa) = steps.pending() {
            let path = self.descend(mem, ipa);
            let (level, table) = (path.level, path.table(path.level));
            for ipa in steps.rest_of_table(self, mem, &path) {
                let entry = table.entry(self.geometry().index(ipa, level));
                changed |= self.change_leaf(mem, entry, level, &change);
            }
        }
        Update {
            progress: Progress::of(&steps),
            changed,
        }
    }

    /// Replaces the leaf that `entry`, of a table of this level, may be by what `change` makes of it.
    /// Returns whether it is another now.
    #[inline(always)]
    fn change_leaf<M: TableMemory>(
        &self,
        mem: &mut M,
        entry: EntryAddr,
        level: Level,
        change: impl Fn(Descriptor) -> Descriptor,
    ) -> bool {
        let found = mem.read(entry);
        let is_leaf = matches!(self.format().decode(found, level), Entry::Leaf(_));
        if !is_leaf || change(found) == found {
            return false;
        }
        replace(mem, entry, found, change);
        true
    }
}

/// Returns how far apart the first and the `page`th of some pages are.
#[inline]
fn page_offset(geometry: &Geometry, page: u32) -> u64 {
    u64::from(page) * geometry.span(Level::L3)
}
