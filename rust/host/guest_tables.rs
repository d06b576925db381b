// SPDX-License-Identifier: GPL-2.0

//! The tables of a VM's stage 2: what changes them, and what CPUs know of them.
//!
//! Nothing is written to tables but what [`kvm_core::stage2`] makes of a [`FaultedPage`], and a CPU
//! is given no other tables than these. So code that maps, unmaps and loads by the functions here
//! gives a guest no memory that its VMM did not have when the page was looked up, nor can it have a
//! CPU walk memory that is no table or is one no more.
//!
//! Two things are not seen here: that a page is unmapped before the host's notifier returns, and that
//! no two VMs have a VMID at a time.

use crate::{
    guest_page::FaultedPage,
    guest_tlb::{
        invalidate_ipa_here,
        invalidate_ipas,
        invalidate_vmid,
        Stage2Registers, //
    },
    irqs::IrqsOff,
    machine::VheHost,
    pinned::PinnedCpu,
    rcu_cell::Deferred,
    table_page::{
        publish,
        split,
        PageReserve,
        Table,
        TableArena,
        ZeroedPages, //
    },
};
use core::{
    cell::Cell,
    ops::Range, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        rcu, //
    },
};
use kvm_core::{
    stage2::{
        tlbi::{
            Operands,
            TlbiFeatures, //
        },
        Attributes,
        Descriptor,
        EntryAddr,
        Extent,
        Format,
        Geometry,
        Leaves,
        MapError,
        MapStep,
        Mapping,
        MemoryType,
        Permissions,
        Piece,
        Progress,
        RelaxError,
        Relaxed as RelaxedLeaf,
        SharedStage2,
        SharedTables,
        Split,
        Stage2,
        Stale,
        TableAddr,
        TableMemory,
        TableRead,
        Update, //
    },
    vmid::Vmid, //
};

/// Tables that a fault may need: one for each level but the first.
pub type Reserve = PageReserve<3>;

/// How many entries a step visits between two looks at whether others want the CPU.
const BUDGET: u32 = 512;

/// The tables of a VM. They go with it.
pub struct GuestTables {
    format: Format,
    root: TableAddr,
    shared: SharedStage2,
    host: VheHost,
    features: TlbiFeatures,
    /// The VM's [`Vmid`], 0 if it never had one.
    vmid: Atomic<u64>,
    arena: TableArena,
}

/// The way to change what is mapped, for who has the lock of the tables.
pub struct LockedTables(Stage2);

impl GuestTables {
    /// A root with nothing mapped, and what is to be kept under a lock.
    ///
    /// # Errors
    ///
    /// `ENOMEM`.
    pub fn new(
        format: Format,
        host: VheHost,
        features: TlbiFeatures,
        deferred: Deferred,
    ) -> Result<(Self, LockedTables)> {
        let geometry = format.geometry();
        let order = (geometry.root_size() as usize / PAGE_SIZE)
            .max(1)
            .next_power_of_two()
            .trailing_zeros();
        let arena = TableArena::new(deferred)?;
        let root = TableAddr::new(arena.add(ZeroedPages::new(order)?), geometry.granule())
            .ok_or(ENOMEM)?;
        let stage2 = Stage2::new(format, root).ok_or(EINVAL)?;

        Ok((
            Self {
                format,
                root,
                shared: stage2.shared(),
                host,
                features,
                vmid: Atomic::new(0),
                arena,
            },
            LockedTables(stage2),
        ))
    }

    /// The shape of the tables.
    #[inline]
    pub fn geometry(&self) -> &Geometry {
        self.format.geometry()
    }

    /// How many pages the tables have.
    pub fn pages(&self) -> u64 {
        self.arena.pages()
    }

    /// The word that has the VM's [`Vmid`], or 0 if it never had one.
    #[inline]
    pub fn vmid(&self) -> &Atomic<u64> {
        &self.vmid
    }

    /// What a CPU is given that is to use the tables under a VMID.
    #[inline]
    pub fn registers(&self, vmid: Vmid) -> Stage2Registers<'_> {
        Stage2Registers::new(&self.format, self.root, vmid.number(), self)
    }

    /// What names the VM's translations to TLBs; [`None`] if it never ran.
    fn in_tlbs(&self) -> Option<Stage2Registers<'_>> {
        Vmid::from_raw(self.vmid.load(Relaxed)).map(|vmid| self.registers(vmid))
    }

    /// Takes the translation of a guest address out of this CPU's TLB.
    #[inline]
    pub fn invalidate_here(&self, cpu: &PinnedCpu, ipa: u64) {
        if let Some(registers) = self.in_tlbs() {
            invalidate_ipa_here(self.host, registers, ipa, cpu);
        }
    }

    /// Takes the translations of guest addresses out of the TLBs, which are stale in this way. A VM
    /// that never ran has nothing in any.
    pub fn invalidate(&self, ipa: u64, size: u64, stale: Stale) {
        // The VM may be about to be loaded with another VMID. Whoever reads the old one here has
        // written to the tables before the new one was stored, so that no walk under that finds
        // what was there: who loads VMIDs has the other barrier.
        publish();
        if let Some(registers) = self.in_tlbs() {
            match Operands::new(self.geometry(), self.features, ipa, size, stale) {
                Some(operands) => invalidate_ipas(self.host, registers, &operands),
                None => invalidate_vmid(self.host, registers),
            }
        }
    }

    /// What is mapped at an address, at the moment.
    #[inline]
    pub fn lookup(&self, irqs: &IrqsOff, ipa: u64) -> Option<Mapping> {
        self.shared.lookup(&Unlocked::new(self, irqs), ipa)
    }

    /// [`SharedStage2::set_accessed`], and walkers see it.
    #[inline]
    pub fn set_accessed(&self, irqs: &IrqsOff, ipa: u64) -> bool {
        let done = self.shared.set_accessed(&Unlocked::new(self, irqs), ipa);
        publish();
        done
    }

    /// [`SharedStage2::relax`], and walkers see it. This CPU's TLB is the caller's.
    ///
    /// # Errors
    ///
    /// [`RelaxError`].
    #[inline]
    pub fn relax(
        &self,
        irqs: &IrqsOff,
        ipa: u64,
        more: Permissions,
    ) -> Result<RelaxedLeaf, RelaxError> {
        let relaxed = self.shared.relax(&Unlocked::new(self, irqs), ipa, more)?;
        publish();
        Ok(relaxed)
    }
}

impl Drop for GuestTables {
    /// Frees the tables. No CPU has them in VTTBR_EL2 any more, as [`Stage2Registers`] borrows them.
    /// What TLBs still hold is tagged with a VMID that no VM gets before they are clean.
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

impl LockedTables {
    /// Calls `f` with what changes the tables, which are the VM's, and into which tables of `reserve`
    /// come if any are needed. Walkers see all of it when this returns.
    pub fn with<R>(
        &mut self,
        tables: &GuestTables,
        reserve: Option<&mut Reserve>,
        f: impl FnOnce(&mut Walk<'_>) -> R,
    ) -> R {
        let rcu = rcu::read_lock();
        f(&mut Walk {
            stage2: &mut self.0,
            tables: Locked {
                tables,
                reserve,
                rcu: &rcu,
                last: Cell::new(None),
            },
        })
    }

    /// How many pages and blocks are mapped.
    pub fn leaves(&self) -> Leaves {
        self.0.leaves()
    }
}

/// [`Stage2`]'s operations on a VM's tables. Who allows more publishes it, by [`publish`].
pub struct Walk<'a> {
    stage2: &'a mut Stage2,
    tables: Locked<'a>,
}

impl Walk<'_> {
    /// [`Stage2::lookup`].
    pub fn lookup(&self, ipa: u64) -> Option<Mapping> {
        self.stage2.lookup(&self.tables, ipa)
    }

    /// [`Stage2::for_each_mapping`].
    pub fn for_each_mapping(
        &self,
        range: Range<u64>,
        budget: u32,
        visit: impl FnMut(Mapping),
    ) -> Progress {
        self.stage2
            .for_each_mapping(&self.tables, range, budget, visit)
    }

    /// [`Stage2::for_each_piece`].
    pub fn for_each_piece(
        &self,
        range: Range<u64>,
        memory: MemoryType,
        budget: u32,
        bytes: u64,
        visit: impl FnMut(Piece),
    ) -> Progress {
        self.stage2
            .for_each_piece(&self.tables, range, memory, budget, bytes, visit)
    }

    /// [`Stage2::map_over`] of what is around a page.
    ///
    /// # Errors
    ///
    /// [`MapError`]; [`MapError::Leaf`] also if it is not around the page, if
    /// [`FaultedPage::mapping_size`] did not say that so much is contiguous there, or for writing where
    /// the page is not writable.
    pub fn map_over(
        &mut self,
        from: u64,
        extent: &Extent,
        page: &FaultedPage,
        attributes: Attributes,
        budget: u32,
    ) -> Result<MapStep, MapError> {
        let writes = attributes.permissions().write || attributes.limit().write;
        if !page.is_part_of(extent.pa, extent.size) || (writes && !page.writable()) {
            return Err(MapError::Leaf);
        }
        self.stage2
            .map_over(&mut self.tables, from, extent, attributes, budget)
    }

    /// [`Stage2::unmap`].
    pub fn unmap(&mut self, range: Range<u64>, budget: u32) -> Progress {
        self.stage2.unmap(&mut self.tables, range, budget)
    }

    /// [`Stage2::split`].
    pub fn split(&mut self, range: Range<u64>, budget: u32) -> Split {
        self.stage2.split(&mut self.tables, range, budget)
    }

    /// [`Stage2::write_protect`].
    pub fn write_protect(&mut self, range: Range<u64>, budget: u32) -> Update {
        self.stage2.write_protect(&mut self.tables, range, budget)
    }

    /// [`Stage2::write_protect_pages`].
    pub fn write_protect_pages(&mut self, ipa: u64, mask: u64) -> bool {
        self.stage2.write_protect_pages(&mut self.tables, ipa, mask)
    }

    /// [`Stage2::clear_accessed`].
    pub fn clear_accessed(&mut self, range: Range<u64>, budget: u32) -> Update {
        self.stage2.clear_accessed(&mut self.tables, range, budget)
    }

    /// [`GuestTables::invalidate`].
    pub fn invalidate(&self, ipa: u64, size: u64, stale: Stale) {
        self.tables.tables.invalidate(ipa, size, stale);
    }
}

/// The tables and TLBs as [`Stage2`] works on them, for who holds the lock.
struct Locked<'a> {
    tables: &'a GuestTables,
    reserve: Option<&'a mut Reserve>,
    rcu: &'a rcu::Guard,
    /// The table that was accessed last, and its address: those who go through a range go through one
    /// after the other. It stays one of the VM's until it is freed here.
    last: Cell<Option<(u64, Table<'a>)>>,
}

impl<'a> Locked<'a> {
    /// The table that an entry is in, and its index there.
    #[inline]
    fn locate(&self, entry: EntryAddr) -> Option<(Table<'a>, usize)> {
        let (physical, index) = split(entry);

        match self.last.get() {
            Some((last, table)) if last == physical => Some((table, index)),
            _ => {
                let table = self.tables.arena.table(physical, self.rcu)?;
                self.last.set(Some((physical, table)));
                Some((table, index))
            }
        }
    }
}

impl TableRead for Locked<'_> {
    #[inline]
    fn read(&self, entry: EntryAddr) -> Descriptor {
        let raw = self.locate(entry).map(|(table, index)| table.read(index));
        Descriptor::from_raw(raw.unwrap_or(0))
    }
}

impl TableMemory for Locked<'_> {
    #[inline]
    fn write(&mut self, entry: EntryAddr, new: Descriptor) {
        if let Some((table, index)) = self.locate(entry) {
            // The index is within a page.
            let _ = table.write(index, new.into_raw());
        }
    }

    #[inline]
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
            self.tables.arena.add(pages),
            self.tables.geometry().granule(),
        )
    }

    fn free(&mut self, table: TableAddr) {
        self.last.set(None);
        self.tables.arena.remove(table.pa());
    }

    fn invalidate(&mut self, ipa: u64, size: u64, stale: Stale) {
        self.tables.invalidate(ipa, size, stale);
    }
}

/// The tables as [`SharedStage2`] works on them, without the lock.
struct Unlocked<'a> {
    arena: &'a TableArena,
    irqs: &'a IrqsOff,
}

impl<'a> Unlocked<'a> {
    #[inline]
    fn new(tables: &'a GuestTables, irqs: &'a IrqsOff) -> Self {
        Self {
            arena: &tables.arena,
            irqs,
        }
    }
}

impl TableRead for Unlocked<'_> {
    #[inline]
    fn read(&self, entry: EntryAddr) -> Descriptor {
        self.arena.entry(entry, self.irqs)
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
        self.arena.exchange_entry(entry, old, new, self.irqs)
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
