// SPDX-License-Identifier: GPL-2.0

//! What the tables need of their owner: memory and TLB maintenance.

use crate::{
    granule::Granule,
    stage2::{
        descriptor::Descriptor,
        geometry::Level, //
    },
};

/// The physical address of a table.
///
/// # Invariants
///
/// It is aligned to 4 KiB at least and has 52 bits at most.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct TableAddr(u64);

impl TableAddr {
    /// Returns `pa`, or [`None`] if no table of `granule` can be there.
    #[inline]
    pub const fn new(pa: u64, granule: Granule) -> Option<Self> {
        if pa & ((1 << granule.shift()) - 1) == 0 && pa >> 52 == 0 {
            Some(Self(pa))
        } else {
            None
        }
    }

    /// Returns the table that `pa` lies in.
    #[inline]
    pub(super) const fn containing(pa: u64, granule: Granule) -> Self {
        Self(pa & ((1 << 52) - (1 << granule.shift())))
    }

    /// Returns the physical address.
    #[inline]
    pub const fn pa(self) -> u64 {
        self.0
    }

    /// Returns where the entry `index` is.
    #[inline]
    pub(super) const fn entry(self, index: usize) -> EntryAddr {
        EntryAddr(self.0 + index as u64 * 8)
    }
}

/// The physical address of an entry, which lies within the root or a table from
/// [`TableMemory::allocate`] that is not freed yet.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct EntryAddr(u64);

impl EntryAddr {
    /// Returns the physical address, a multiple of 8.
    #[inline]
    pub const fn pa(self) -> u64 {
        self.0
    }
}

/// What [`TableMemory::invalidate`] is about.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Stale {
    /// Leaves at this level; no table changed. TLB maintenance may say the level (FEAT_TTL) and
    /// leave entries that cache tables alone (TLBI IPAS2LE1IS).
    Leaves(Level),
    /// Tables went, and with them possibly leaves of any level: no level hint, and cached tables
    /// go, too (TLBI IPAS2E1IS).
    Tables,
}

/// The memory of a VM's tables, and the TLBs that cache it.
///
/// The CPUs' table walks are coherent with the host's cacheable mapping (VTCR_EL2 as
/// [`VtcrEl2::new`](crate::stage2::VtcrEl2::new) makes it), so nothing has to be cleaned.
pub trait TableMemory {
    /// Reads an entry, in one single access of 64 bits with acquire semantics, so that what is
    /// then read through it is at least as new.
    fn read(&self, entry: EntryAddr) -> Descriptor;

    /// Writes an entry that is not valid or, in a [`Teardown`](crate::stage2::Teardown), that no
    /// walk reads, in one single access of 64 bits with release semantics:
    /// a walk that sees a new table sees it empty, not what the memory held before. If `new` is
    /// valid, a DSB ISHST has to follow before a guest that relies on it is entered; it belongs
    /// here, or once per operation into the caller. Missing it, the guest at worst faults again.
    fn write(&mut self, entry: EntryAddr, new: Descriptor);

    /// Replaces an entry if it is `old`, atomically also to walks that set the access flag, with
    /// the ordering of [`Self::write`].
    ///
    /// # Errors
    ///
    /// What the entry is, if that is not `old`.
    fn compare_exchange(
        &mut self,
        entry: EntryAddr,
        old: Descriptor,
        new: Descriptor,
    ) -> Result<(), Descriptor>;

    /// Takes a table of one granule from the caller's reserve. All its bytes are zero.
    fn allocate(&mut self) -> Option<TableAddr>;

    /// Gives a table back that came from [`Self::allocate`]; no walk can reach it any more. It need
    /// not be zero.
    fn free(&mut self, table: TableAddr);

    /// Removes from the TLBs of all CPUs what they hold of this VM for the addresses from `ipa` on
    /// that entries changed before may have left there. When it returns no CPU uses it any more.
    ///
    /// That is: DSB ISHST, so that walks see the change; TLBI by IPA for the VMID, inner shareable;
    /// DSB ISH; TLBI VMALLE1IS, since a TLB may hold both stages in one; DSB ISH.
    ///
    /// `ipa` and `size` are multiples of the granule. A leaf is meant whole if the range touches
    /// it. A VM that never ran has no VMID and nothing in a TLB.
    fn invalidate(&mut self, ipa: u64, size: u64, stale: Stale);
}
