// SPDX-License-Identifier: GPL-2.0

//! What is done to a leaf without the lock of the tables.
//!
//! A leaf allows more, or its access flag is set, while others map, unmap, protect and split. A
//! leaf is changed from what it was seen to be, so none comes back that was taken out, and what is
//! allowed is within the limit that its own entry says.

use crate::stage2::{
    attributes::{
        Limit,
        MemoryType,
        Permissions, //
    },
    descriptor::{
        Descriptor,
        Entry, //
    },
    geometry::Level,
    memory::{
        SharedTables,
        TableRead, //
    },
    walk::{
        Leaf,
        Mapping,
        Stage2, //
    },
};

/// The tables of one VM, for who does not hold their lock.
#[derive(PartialEq, Eq, Debug)]
pub struct SharedStage2(Stage2);

/// What [`SharedStage2::relax`] did.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Relaxed {
    /// The level of the mapping.
    pub level: Level,
    /// What it allowed before.
    pub before: Permissions,
}

/// Why [`SharedStage2::relax`] fails.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum RelaxError {
    /// Nothing is mapped there, any more perhaps.
    NotMapped,
    /// It is beyond the mapping's limit, or a block that would have to become writable, which may be
    /// because its pages are to be told from each other; or it tells EL1 from EL0 without FEAT_XNX.
    Limit,
}

impl Stage2 {
    /// Returns the tables for who does not hold their lock.
    #[inline]
    pub const fn shared(&self) -> SharedStage2 {
        SharedStage2(Stage2 {
            format: self.format,
            root: self.root,
            leaves: self.leaves,
        })
    }
}

impl SharedStage2 {
    /// Returns what `ipa` is mapped to, at the moment.
    #[inline]
    pub fn lookup(&self, mem: &impl TableRead, ipa: u64) -> Option<Mapping> {
        self.0.lookup(mem, ipa)
    }

    /// Allows `more` at `ipa` in addition to what the mapping allows, within its [`Limit`], and sets
    /// its access flag.
    ///
    /// That needs no break-before-make, and no TLB maintenance on other CPUs: they fault at worst,
    /// and find that the mapping allows more. From this CPU's TLB alone the caller has to remove
    /// the address, whether anything changed or not; the level is a hint for that.
    ///
    /// # Errors
    ///
    /// [`RelaxError`]; nothing is changed.
    #[inline]
    pub fn relax(
        &self,
        mem: &impl SharedTables,
        ipa: u64,
        more: Permissions,
    ) -> Result<Relaxed, RelaxError> {
        let leaf = self.0.find(mem, ipa).ok_or(RelaxError::NotMapped)?;
        let before = self.change(mem, leaf, |old| {
            let permissions = old.permissions().union(more);
            let writable = permissions.write && !old.write();
            let device = self.0.format().memory_type(old) == Some(MemoryType::Device);
            let limit = Limit {
                execute: old.may_execute() && !device,
                ..old.limit()
            };
            let possible = limit.allows(more)
                && !(writable && leaf.level != Level::L3)
                && self.0.format().can_express(permissions);
            possible.then(|| old.with_permissions(permissions).with_af(true))
        })?;
        Ok(Relaxed {
            level: leaf.level,
            before: before.permissions(),
        })
    }

    /// Sets the access flag of the mapping at `ipa`, after an access flag fault. Returns whether
    /// there is one. TLBs hold no entry whose access flag is clear, so there is nothing else to do.
    #[inline]
    pub fn set_accessed(&self, mem: &impl SharedTables, ipa: u64) -> bool {
        self.0.find(mem, ipa).is_some_and(|leaf| {
            self.change(mem, leaf, |old| Some(old.with_af(true)))
                .is_ok()
        })
    }

    /// Replaces a leaf by what `change` makes of it, as often as it turns out to be another one.
    /// Returns what it was.
    #[inline]
    fn change(
        &self,
        mem: &impl SharedTables,
        leaf: Leaf,
        change: impl Fn(Descriptor) -> Option<Descriptor>,
    ) -> Result<Descriptor, RelaxError> {
        let mut old = leaf.descriptor;
        loop {
            let new = change(old).ok_or(RelaxError::Limit)?;
            if new == old {
                return Ok(old);
            }
            match mem.compare_exchange(leaf.entry, old, new) {
                Ok(()) => return Ok(old),
                Err(now) => old = now,
            }
            // It may be gone, or a table be in its place.
            if !matches!(self.0.format().decode(old, leaf.level), Entry::Leaf(_)) {
                return Err(RelaxError::NotMapped);
            }
        }
    }
}
