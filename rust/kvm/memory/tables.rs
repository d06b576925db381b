// SPDX-License-Identifier: GPL-2.0

//! The tables of stage 2, as the walk works on them.

use crate::memory::translation::Translation;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use kvm_core::stage2::{
    Descriptor,
    EntryAddr,
    Stale,
    TableAddr,
    TableMemory, //
};
use kvm_host::table_page::{
    publish,
    PageReserve,
    TableArena, //
};

/// Tables that a fault may need.
pub(crate) type Reserve = PageReserve<4>;

/// The tables and TLBs as [`Stage2`](kvm_core::stage2::Stage2) works on them.
pub(super) struct Tables<'a> {
    pub(super) arena: &'a mut TableArena,
    pub(super) reserve: Option<&'a mut Reserve>,
    /// Whose translations TLBs may hold; [`None`] for those that no TLB does any more.
    pub(super) translation: Option<&'a Translation>,
}

impl TableMemory for Tables<'_> {
    fn read(&self, entry: EntryAddr) -> Descriptor {
        self.arena.entry(entry)
    }

    fn write(&mut self, entry: EntryAddr, new: Descriptor) {
        self.arena.set_entry(entry, new);
    }

    fn compare_exchange(
        &mut self,
        entry: EntryAddr,
        old: Descriptor,
        new: Descriptor,
    ) -> Result<(), Descriptor> {
        self.arena.exchange_entry(entry, old, new)
    }

    fn allocate(&mut self) -> Option<TableAddr> {
        let pages = self.reserve.as_mut()?.take()?;
        TableAddr::new(
            self.arena.add(pages),
            kvm_core::granule::Granule::from_page_size(PAGE_SIZE)?,
        )
    }

    fn free(&mut self, table: TableAddr) {
        drop(self.arena.remove(table.pa()));
    }

    fn invalidate(&mut self, ipa: u64, size: u64, _stale: Stale) {
        // The VM may be about to be loaded with another VMID. Whoever reads the old one here has
        // written to the tables before the new one was stored, so that no walk under that finds
        // what was there: `Cpus::load_vmid()` has the other barrier.
        publish();
        if let Some(translation) = self.translation {
            translation.invalidate(ipa, size);
        }
    }
}
