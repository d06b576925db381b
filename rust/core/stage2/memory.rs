// SPDX-License-Identifier: GPL-2.0

//! What the tables need of their owner: memory and TLB maintenance.

use crate::stage2::{
    address::{
        EntryAddr,
        TableAddr, //
    },
    descriptor::Descriptor,
    geometry::Level, //
};

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

/// The memory of a VM's tables, to be looked at.
///
/// The CPUs' table walks are coherent with the host's cacheable mapping (VTCR_EL2 as
/// [`VtcrEl2::new`](crate::stage2::VtcrEl2::new) makes it), so nothing has to be cleaned.
pub trait TableRead {
    /// Reads an entry, in one single access of 64 bits with acquire semantics, so that what is
    /// then read through it is at least as new.
    fn read(&self, entry: EntryAddr) -> Descriptor;
}

/// The memory of a VM's tables for who does not hold the lock of those that change them.
///
/// A table that is taken out meanwhile stays what it is as long as the value lives, though nothing
/// leads to it any more, and all of its entries are invalid before it is freed; or it reads as if they
/// were. What is done to an entry in between has no effect: the guest faults again.
pub trait SharedTables: TableRead {
    /// Replaces an entry if it is `old`, atomically, in an access that is a full barrier.
    ///
    /// # Errors
    ///
    /// What the entry is, if that is not `old`; [`Descriptor::INVALID`] if its table is gone.
    fn compare_exchange(
        &self,
        entry: EntryAddr,
        old: Descriptor,
        new: Descriptor,
    ) -> Result<(), Descriptor>;
}

/// The memory of a VM's tables for who holds their lock, and the TLBs that cache it.
pub trait TableMemory: TableRead {
    /// Writes an entry that is not valid or that no walk reads, in a table that was taken out or in a
    /// [`Teardown`](crate::stage2::Teardown), in one single access of 64 bits with release semantics:
    /// a walk that sees a new table sees it empty, not what the memory held before. If `new` is
    /// valid, a DSB ISHST has to follow before a guest that relies on it is entered; it belongs
    /// here, or once per operation into the caller. Missing it, the guest at worst faults again.
    fn write(&mut self, entry: EntryAddr, new: Descriptor);

    /// Replaces an entry if it is `old`, atomically also to walks that set the access flag and to
    /// [`SharedTables`], in an access that is a full barrier.
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
