// SPDX-License-Identifier: GPL-2.0

//! Whose the tables are, and their end.

use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::rcu, //
};
use kvm_core::stage2::{
    Descriptor,
    EntryAddr,
    Format,
    Progress,
    SharedStage2,
    Stage2,
    Stale,
    TableAddr,
    TableMemory,
    TableRead, //
};
use kvm_host::table_page::{
    TableArena,
    ZeroedPages, //
};

/// How many entries a step visits between two looks at whether others want the CPU.
const BUDGET: u32 = 512;

/// The tables of a VM. They go with it.
pub(super) struct OwnedTables {
    format: Format,
    root: TableAddr,
    shared: SharedStage2,
    arena: TableArena,
}

impl OwnedTables {
    /// A root with nothing mapped, and the way to change what is mapped, for who has the lock.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub(super) fn new(format: Format) -> Result<(Self, Stage2)> {
        let geometry = format.geometry();
        let order = (geometry.root_size() as usize / PAGE_SIZE)
            .max(1)
            .next_power_of_two()
            .trailing_zeros();
        let arena = TableArena::new()?;
        let root = TableAddr::new(arena.add(ZeroedPages::new(order)?), geometry.granule())
            .ok_or(ENOMEM)?;
        let stage2 = Stage2::new(format, root).ok_or(EINVAL)?;

        Ok((
            Self {
                format,
                root,
                shared: stage2.shared(),
                arena,
            },
            stage2,
        ))
    }

    /// Where the root is.
    pub(super) fn root(&self) -> TableAddr {
        self.root
    }

    /// The tables for who does not have the lock.
    #[inline]
    pub(super) fn shared(&self) -> &SharedStage2 {
        &self.shared
    }

    /// The memory of the tables.
    #[inline]
    pub(super) fn arena(&self) -> &TableArena {
        &self.arena
    }
}

/// The tables that nobody walks any more.
struct Unread<'a> {
    arena: &'a mut TableArena,
    rcu: rcu::Guard,
}

impl TableRead for Unread<'_> {
    fn read(&self, entry: EntryAddr) -> Descriptor {
        self.arena.entry(entry, &self.rcu)
    }
}

impl TableMemory for Unread<'_> {
    fn write(&mut self, entry: EntryAddr, new: Descriptor) {
        self.arena.set_entry(entry, new, &self.rcu);
    }

    fn compare_exchange(
        &mut self,
        entry: EntryAddr,
        old: Descriptor,
        new: Descriptor,
    ) -> Result<(), Descriptor> {
        self.arena.exchange_entry(entry, old, new, &self.rcu)
    }

    fn allocate(&mut self) -> Option<TableAddr> {
        None
    }

    fn free(&mut self, table: TableAddr) {
        self.arena.remove_unread(table.pa());
    }

    fn invalidate(&mut self, _ipa: u64, _size: u64, _stale: Stale) {}
}

impl Drop for OwnedTables {
    /// Frees the tables. No CPU has them in VTTBR_EL2 any more: there are no vCPUs. What TLBs still
    /// hold is tagged with a VMID that no VM gets before they are clean.
    fn drop(&mut self) {
        // The tables, and not this value, are what there is.
        let Some(stage2) = Stage2::new(self.format, self.root) else {
            return;
        };
        let mut teardown = stage2.into_teardown();

        // By steps: between them is no critical section, and whoever wants the CPU may have it.
        loop {
            let mut tables = Unread {
                arena: &mut self.arena,
                rcu: rcu::read_lock(),
            };
            if teardown.step(&mut tables, BUDGET) == Progress::Done {
                break;
            }
        }
        self.arena.remove_unread(self.root.pa());
    }
}
