// SPDX-License-Identifier: GPL-2.0

//! Stage 2 tables for a test's guest: one page of the kernel's, with a program.

use crate::{
    cache::Caches,
    guest_tlb::Stage2Registers,
    rcu_cell::Deferred,
    table_page::{
        publish,
        PageReserve,
        TableArena,
        ZeroedPages, //
    },
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::rcu, //
};
use kvm_core::stage2::{
    Attributes,
    Descriptor,
    EntryAddr,
    Format,
    Level,
    MemoryType,
    Permissions,
    Progress,
    Stage2,
    Stale,
    TableAddr,
    TableMemory,
    TableRead, //
};

/// The tables, and the page.
pub struct TestTables {
    format: Format,
    root: TableAddr,
    code: u64,
    arena: TableArena,
}

impl TestTables {
    /// Tables that map a page with this in it at a guest address.
    ///
    /// # Errors
    ///
    /// `ENOMEM`; `EINVAL` if the address is none of a page, or the page has no room for it.
    pub fn new(format: Format, ipa: u64, program: &[u64]) -> Result<Self> {
        let geometry = format.geometry();
        let order = (geometry.root_size() as usize / PAGE_SIZE)
            .max(1)
            .next_power_of_two()
            .trailing_zeros();
        let (root_pages, code_page) = (ZeroedPages::new(order)?, ZeroedPages::new(0)?);
        let mut reserve = PageReserve::new();
        reserve.top_up(4)?;
        let arena = TableArena::new(Deferred::new()?)?;
        // From here on what is in the arena goes by `Drop`.
        let code = arena.add(code_page);
        let root = TableAddr::new(arena.add(root_pages), geometry.granule()).ok_or(EINVAL)?;
        let this = Self {
            format,
            root,
            code,
            arena,
        };

        this.write_program(program)?;
        let attributes = Attributes::new(Permissions::new(true, true, true), MemoryType::Normal)
            .ok_or(EINVAL)?;
        Stage2::new(format, root)
            .ok_or(EINVAL)?
            .map(
                &mut Tables {
                    arena: &this.arena,
                    rcu: rcu::read_lock(),
                    reserve: &mut reserve,
                    format: &format,
                },
                ipa,
                Level::L3,
                code,
                attributes,
            )
            .map_err(|_| EINVAL)?;
        publish();
        Ok(this)
    }

    fn write_program(&self, program: &[u64]) -> Result {
        {
            let rcu = rcu::read_lock();
            let page = self.arena.table(self.code, &rcu).ok_or(EINVAL)?;
            for (index, pair) in program.iter().enumerate() {
                page.write(index, *pair)?;
            }
        }
        // With stage 1 off, instruction fetches need not look at data caches.
        Caches::of_system().clean_invalidate(self.code, PAGE_SIZE)
    }

    /// What a CPU is given that is to use the tables under a VMID.
    pub fn registers(&self, vmid: u16) -> Stage2Registers<'_> {
        Stage2Registers::new(&self.format, self.root, vmid, self)
    }
}

impl Drop for TestTables {
    fn drop(&mut self) {
        // The tables, and not this value, are what there is.
        if let Some(stage2) = Stage2::new(self.format, self.root) {
            let mut teardown = stage2.into_teardown();
            let mut tables = Tables {
                arena: &self.arena,
                rcu: rcu::read_lock(),
                reserve: &mut PageReserve::new(),
                format: &self.format,
            };
            while let Progress::More(_) = teardown.step(&mut tables, 512) {}
        }
        self.arena.remove_unread(self.root.pa());
        self.arena.remove_unread(self.code);
    }
}

/// The tables as [`Stage2`] works on them.
struct Tables<'a> {
    arena: &'a TableArena,
    rcu: rcu::Guard,
    reserve: &'a mut PageReserve<4>,
    format: &'a Format,
}

impl TableRead for Tables<'_> {
    fn read(&self, entry: EntryAddr) -> Descriptor {
        self.arena.entry(entry, &self.rcu)
    }
}

impl TableMemory for Tables<'_> {
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
        let granule = self.format.geometry().granule();
        TableAddr::new(self.arena.add(self.reserve.take()?), granule)
    }

    fn free(&mut self, table: TableAddr) {
        self.arena.remove(table.pa());
    }

    /// The tables are only added to while the guest runs.
    fn invalidate(&mut self, _ipa: u64, _size: u64, _stale: Stale) {}
}
