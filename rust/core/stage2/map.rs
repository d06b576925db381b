// SPDX-License-Identifier: GPL-2.0

//! Changes at one address.

use crate::stage2::{
    address::EntryAddr,
    attributes::Attributes,
    block::Extent,
    descriptor::{
        Descriptor,
        Entry, //
    },
    geometry::Level,
    memory::{
        Stale,
        TableMemory, //
    },
    range::Progress,
    walk::{
        replace,
        Leaf,
        Stage2, //
    },
};

/// What [`Stage2::map`] did.
///
/// A CPU that faulted before may have done so by a TLB entry with narrower permissions. Unless the
/// result is [`Mapped::New`] or [`Mapped::Replaced`], the caller has to remove the address from the
/// TLB of this CPU alone, or the guest may fault again and again.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Mapped {
    /// There was nothing before.
    New,
    /// It was so before, by another CPU's fault for instance.
    Same,
    /// The address was mapped to the same memory; permissions or the access flag changed.
    Permissions,
    /// Something else was mapped before; it is gone from all TLBs.
    Replaced,
}

/// How far [`Stage2::map_over`] got.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum MapStep {
    /// It is mapped.
    Done(Mapped),
    /// What was mapped before is gone up to this address, where the next step goes on; in between,
    /// the caller may drop its lock. It is the first address of all if others, who had the lock
    /// meanwhile, have mapped parts again that were gone: they might do so for ever.
    More(u64),
}

/// Why [`Stage2::map`] fails; nothing was mapped.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum MapError {
    /// The reserve is empty. It had fewer tables than [`Geometry::tables_to_map`] says; those it
    /// had may be in place now and serve the next attempt.
    ///
    /// [`Geometry::tables_to_map`]: crate::stage2::Geometry::tables_to_map
    NoTable,
    /// The address is not in the VM's address space or not aligned to the leaf's size.
    Ipa,
    /// There is no such leaf: a level without any, a physical address that is not aligned or too
    /// wide, or permissions that need FEAT_XNX.
    Leaf,
    /// A block was to be mapped where a table is. The caller unmaps the block's range first.
    TableInTheWay,
}

impl Stage2 {
    /// Maps the page or block at `ipa`, whose size is that of an entry at `level`, to `pa`.
    ///
    /// Tables that are missing come from the reserve. What was mapped at the address before is
    /// replaced; by break-before-make, with TLB maintenance in between, unless only permissions
    /// change. A larger block around the address stays if it maps the address so already, and allows
    /// as much; another CPU's fault may have made it. If it allows less it is split, as in
    /// [`Self::split`]. If it maps something else it goes as a whole, and what it mapped is mapped again
    /// when the guest next faults on it.
    ///
    /// The access flag is set: the guest is about to use the address.
    ///
    /// # Errors
    ///
    /// [`MapError`]. Before it is [`MapError::NoTable`], a larger block may already be split or gone.
    pub fn map<M: TableMemory>(
        &mut self,
        mem: &mut M,
        ipa: u64,
        level: Level,
        pa: u64,
        attributes: Attributes,
    ) -> Result<Mapped, MapError> {
        let geometry = *self.geometry();
        let new = self
            .format()
            .leaf(level, pa, attributes)
            .ok_or(MapError::Leaf)?;
        if level < geometry.start() {
            return Err(MapError::Leaf);
        }
        if ipa >= geometry.ipa().size() || ipa & (geometry.span(level) - 1) != 0 {
            return Err(MapError::Ipa);
        }
        let mut replaced = false;
        let mut path = self.descend(mem, ipa);
        while let Some(below) = path.level.next().filter(|below| *below <= level) {
            let block = self.leaf_in(mem, path.table(path.level), path.level, ipa);
            let part = block.filter(|block| self.maps_alike(block, ipa, pa, attributes));
            if let Some(block) = part {
                let allowed = block.descriptor.permissions();
                if allowed.contains(attributes.permissions()) {
                    replace(mem, block.entry, block.descriptor, |old| old.with_af(true));
                    return Ok(Mapped::Same);
                }
            }
            // The table is taken first: without one, what is mapped stays so.
            let table = mem.allocate().ok_or(MapError::NoTable)?;
            if !part.is_some_and(|block| self.split_leaf(mem, block, below, table)) {
                replaced |= self.remove(mem, ipa, path.level);
                let at = path
                    .table(path.level)
                    .entry(geometry.index(ipa, path.level));
                mem.write(at, self.format().table(table));
            }
            path = self.descend(mem, ipa);
        }
        if path.level > level {
            return Err(MapError::TableInTheWay);
        }
        let entry = path.table(level).entry(geometry.index(ipa, level));
        let old = mem.read(entry);
        if let Entry::Leaf(_) = self.format().decode(old, level) {
            if old.same_translation(new) {
                return Ok(self.update(mem, entry, old, ipa, level, attributes));
            }
            replaced |= self.remove(mem, ipa, level);
        }
        mem.write(entry, new);
        self.leaves.add(level, 1);
        Ok(if replaced {
            Mapped::Replaced
        } else {
            Mapped::New
        })
    }

    /// Maps `extent`, of which `from` is the first address or where an earlier step said to go on.
    ///
    /// A table that is in the way of a block goes, with what it maps: the guest may go on to use that
    /// as a part of the block, as far as the block allows it. With [`Config::live_resize`] it does so all
    /// the time, if the table has parts of the block and nothing else. `budget` is as in
    /// [`Self::unmap`]; a look at one table as a whole comes on top.
    ///
    /// [`Config::live_resize`]: crate::stage2::Config::live_resize
    ///
    /// # Errors
    ///
    /// As [`Self::map`], but for [`MapError::TableInTheWay`].
    pub fn map_over<M: TableMemory>(
        &mut self,
        mem: &mut M,
        from: u64,
        extent: &Extent,
        attributes: Attributes,
        budget: u32,
    ) -> Result<MapStep, MapError> {
        let &Extent { ipa, level, pa, .. } = extent;
        match self.map(mem, ipa, level, pa, attributes) {
            Err(MapError::TableInTheWay) => {}
            // An earlier step took the last of it.
            Ok(Mapped::New) if from != ipa => return Ok(MapStep::Done(Mapped::Replaced)),
            mapped => return mapped.map(MapStep::Done),
        }
        if self.format().config().live_resize && self.collapse(mem, extent, attributes) {
            return Ok(MapStep::Done(Mapped::Replaced));
        }
        match self.unmap(mem, from..extent.ipas().end, budget) {
            Progress::More(next) => Ok(MapStep::More(next)),
            Progress::Done => match self.map(mem, ipa, level, pa, attributes) {
                // Nothing is, from `from` on; before it others have mapped something.
                Err(MapError::TableInTheWay) => Ok(MapStep::More(ipa)),
                mapped => mapped.map(|_| MapStep::Done(Mapped::Replaced)),
            },
        }
    }

    /// Whether `leaf` maps `ipa` to `pa` as the same kind of memory.
    fn maps_alike(&self, leaf: &Leaf, ipa: u64, pa: u64, attributes: Attributes) -> bool {
        let old = self.mapping(*leaf);
        old.translate(ipa) == Some(pa) && old.memory == Some(attributes.memory())
    }

    /// Gives the leaf at `entry` exactly `attributes`. It is `found` and maps `ipa` at `level`.
    fn update<M: TableMemory>(
        &mut self,
        mem: &mut M,
        entry: EntryAddr,
        found: Descriptor,
        ipa: u64,
        level: Level,
        attributes: Attributes,
    ) -> Mapped {
        let permissions = attributes.permissions();
        let change = |old: Descriptor| {
            old.with_permissions(permissions)
                .with_limit(attributes.limit())
                .with_af(true)
        };
        if change(found) == found {
            return Mapped::Same;
        }
        let old = replace(mem, entry, found, change);
        if !permissions.contains(old.permissions()) {
            mem.invalidate(ipa, self.geometry().span(level), Stale::Leaves(level));
        }
        Mapped::Permissions
    }

    /// Removes the leaf of `ipa` from the last table on its way, which is at `level`, and from the
    /// TLBs. Returns whether there was one.
    fn remove<M: TableMemory>(&mut self, mem: &mut M, ipa: u64, level: Level) -> bool {
        let Some(leaf) = self.find(mem, ipa) else {
            return false;
        };
        replace(mem, leaf.entry, leaf.descriptor, |_| Descriptor::INVALID);
        self.leaves.remove(level, 1);
        mem.invalidate(leaf.ipa, self.geometry().span(level), Stale::Leaves(level));
        true
    }
}
