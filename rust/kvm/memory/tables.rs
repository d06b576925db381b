// SPDX-License-Identifier: GPL-2.0

//! The tables of stage 2, as the walk works on them.

use crate::memory::translation::Translation;
use core::cell::Cell;
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::rcu, //
};
use kvm_core::{
    granule::Granule,
    stage2::{
        Descriptor,
        EntryAddr,
        SharedTables,
        Stale,
        TableAddr,
        TableMemory,
        TableRead, //
    },
};
use kvm_host::{
    irqs::IrqsOff,
    table_page::{
        publish,
        split,
        PageReserve,
        Table, //
    },
};

/// Tables that a fault may need: one for each level but the first.
pub(crate) type Reserve = PageReserve<3>;

/// The tables and TLBs as [`Stage2`](kvm_core::stage2::Stage2) works on them.
pub(super) struct Tables<'a> {
    translation: &'a Translation,
    reserve: Option<&'a mut Reserve>,
    rcu: &'a rcu::Guard,
    /// The table that was accessed last, and its address: those who go through a range go through one
    /// after the other. It stays one of the VM's until it is freed here.
    last: Cell<Option<(u64, Table<'a>)>>,
}

impl<'a> Tables<'a> {
    /// For who holds the lock of the tables.
    pub(super) fn new(
        translation: &'a Translation,
        reserve: Option<&'a mut Reserve>,
        rcu: &'a rcu::Guard,
    ) -> Self {
        Self {
            translation,
            reserve,
            rcu,
            last: Cell::new(None),
        }
    }

    /// The table that an entry is in, and its index there.
    #[inline]
    fn locate(&self, entry: EntryAddr) -> Option<(Table<'a>, usize)> {
        let (physical, index) = split(entry);

        match self.last.get() {
            Some((last, table)) if last == physical => Some((table, index)),
            _ => {
                let table = self.translation.arena().table(physical, self.rcu)?;
                self.last.set(Some((physical, table)));
                Some((table, index))
            }
        }
    }
}

impl TableRead for Tables<'_> {
    fn read(&self, entry: EntryAddr) -> Descriptor {
        let raw = self.locate(entry).map(|(table, index)| table.read(index));
        Descriptor::from_raw(raw.unwrap_or(0))
    }
}

impl TableMemory for Tables<'_> {
    fn write(&mut self, entry: EntryAddr, new: Descriptor) {
        if let Some((table, index)) = self.locate(entry) {
            // The index is within a page.
            let _ = table.write(index, new.into_raw());
        }
    }

    fn compare_exchange(
        &mut self,
        entry: EntryAddr,
        old: Descriptor,
        new: Descriptor,
    ) -> Result<(), Descriptor> {
        match self.locate(entry) {
            Some((table, index)) => table
                .compare_exchange(index, old.into_raw(), new.into_raw())
                .map_err(Descriptor::from_raw),
            None => Err(Descriptor::INVALID),
        }
    }

    fn allocate(&mut self) -> Option<TableAddr> {
        let pages = self.reserve.as_mut()?.take()?;
        TableAddr::new(
            self.translation.arena().add(pages),
            Granule::from_page_size(PAGE_SIZE)?,
        )
    }

    fn free(&mut self, table: TableAddr) {
        self.last.set(None);
        self.translation.arena().remove(table.pa());
    }

    fn invalidate(&mut self, ipa: u64, size: u64, stale: Stale) {
        // The VM may be about to be loaded with another VMID. Whoever reads the old one here has
        // written to the tables before the new one was stored, so that no walk under that finds
        // what was there: `Cpus::load_vmid()` has the other barrier.
        publish();
        self.translation.invalidate(ipa, size, stale);
    }
}

/// The tables as [`SharedStage2`](kvm_core::stage2::SharedStage2) works on them, without the lock.
pub(super) struct Unlocked<'a> {
    pub(super) translation: &'a Translation,
    pub(super) irqs: &'a IrqsOff,
}

impl TableRead for Unlocked<'_> {
    #[inline]
    fn read(&self, entry: EntryAddr) -> Descriptor {
        self.translation.arena().entry(entry, self.irqs)
    }
}

impl SharedTables for Unlocked<'_> {
    #[inline]
    fn compare_exchange(
        &self,
        entry: EntryAddr,
        old: Descriptor,
        new: Descriptor,
    ) -> Result<(), Descriptor> {
        self.translation
            .arena()
            .exchange_entry(entry, old, new, self.irqs)
    }
}
