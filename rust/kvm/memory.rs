// SPDX-License-Identifier: GPL-2.0

//! A VM's memory: its slots, and the stage 2 translation that faults fill in.
//!
//! The lock order is: `update`, then `mmu`, under which nothing sleeps.

use crate::cpus::Cpus;
use core::ops::Range;
use kernel::{
    new_mutex, new_spinlock,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        atomic::{
            Atomic,
            Relaxed, //
        },
        Arc,
        Mutex,
        SpinLock, //
    },
    uaccess::{
        UserPtr,
        UserSlice, //
    },
};
use kvm_core::{
    invalidate::InvalidateSeq,
    ipa::IpaBits,
    memslot::{
        self,
        Change,
        Errno,
        Flags,
        Limits,
        Region,
        Request,
        Slot,
        SlotId, //
    },
    stage2::{
        Attributes,
        Config,
        Descriptor,
        EntryAddr,
        Format,
        Level,
        MapError,
        Mapped,
        MemoryType,
        Permissions,
        Progress,
        Stage2,
        Stale,
        TableAddr,
        TableMemory,
        VtcrEl2,
        VttbrEl2, //
    },
    vmid::Vmid,
};
use kvm_host::{
    cache::Caches,
    guest_page::{
        self,
        fault_in,
        signal_hardware_error,
        FaultError,
        Wait, //
    },
    guest_tlb::{
        invalidate_ipas,
        invalidate_local,
        LevelHint,
        Stage2Registers, //
    },
    mmu_notifier::MmuCallbacks,
    percpu::PerCpu,
    pinned::PinnedCpu,
    table_page::{
        publish,
        PageReserve,
        TableArena,
        ZeroedPages, //
    },
    trace,
    uapi::kvm_userspace_memory_region2, //
};

/// Tables that a fault may need.
pub(crate) type Reserve = PageReserve<4>;

/// How many entries a step through the tables visits with the lock held.
const BUDGET: u32 = 512;

/// How many pages a step of a flush cleans with the lock held.
const FLUSH_BUDGET: u32 = 32;

/// In [`Mmu::starts`], a slot that does not exist.
const NO_SLOT: u64 = u64::MAX;

/// What the lock of the tables protects.
struct Mmu {
    /// The slots by guest address.
    slots: KVVec<Slot>,
    /// The first guest page of each slot by its number, by which it is found in `slots`.
    starts: KVVec<u64>,
    stage2: Stage2,
    arena: TableArena,
    seq: InvalidateSeq,
}

/// A VM's memory.
#[pin_data]
pub(crate) struct Memory {
    cpus: Arc<Cpus>,
    ipa: IpaBits,
    root: TableAddr,
    vtcr: u64,
    /// The VM's [`Vmid`], 0 if it never had one.
    vmid: Atomic<u64>,
    /// One more than the number of the vCPU that was last on each CPU. TLBs may hold what is private
    /// to a vCPU, by its ASIDs and without (FEAT_CnP).
    last_vcpu: PerCpu<Atomic<u32>>,
    caches: Caches,
    /// Serialises changes of the slots.
    #[pin]
    update: Mutex<()>,
    #[pin]
    mmu: SpinLock<Mmu>,
}

/// The tables and TLBs as [`Stage2`] works on them.
struct Tables<'a> {
    arena: &'a mut TableArena,
    reserve: Option<&'a mut Reserve>,
    /// Whose translations TLBs may hold; [`None`] for those that no TLB does any more.
    memory: Option<&'a Memory>,
}

impl TableMemory for Tables<'_> {
    fn read(&self, entry: EntryAddr) -> Descriptor {
        let (table, index) = split(entry);
        Descriptor::from_raw(self.arena.table(table).map_or(0, |table| table.read(index)))
    }

    fn write(&mut self, entry: EntryAddr, new: Descriptor) {
        let (table, index) = split(entry);
        if let Some(table) = self.arena.table(table) {
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
        let (table, index) = split(entry);
        match self.arena.table(table) {
            Some(table) => table
                .compare_exchange(index, old.into_raw(), new.into_raw())
                .map_err(Descriptor::from_raw),
            None => Err(Descriptor::INVALID),
        }
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
        // A VM that never ran has nothing in any TLB.
        if let Some((memory, registers)) = self
            .memory
            .and_then(|memory| Some((memory, memory.registers()?)))
        {
            let count = (size / PAGE_SIZE as u64) as usize;
            invalidate_ipas(
                memory.cpus.host(),
                registers,
                ipa,
                PAGE_SIZE as u64,
                count,
                LevelHint::NONE,
            );
        }
    }
}

/// The page that an entry is in, and its index there.
fn split(entry: EntryAddr) -> (u64, usize) {
    let mask = PAGE_SIZE as u64 - 1;
    (entry.pa() & !mask, ((entry.pa() & mask) / 8) as usize)
}

/// What became of a fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Faulted {
    /// The guest can go on.
    Mapped,
    /// There is no memory at the address, or none to fetch instructions from.
    NoMemory,
    /// The memory is read-only for the guest.
    ReadOnly,
    /// A signal is to be looked at first.
    Interrupted,
}

impl Memory {
    pub(crate) fn new(cpus: Arc<Cpus>, ipa: IpaBits) -> Result<impl PinInit<Self, Error>> {
        let config = Config::for_cpu(
            cpus.cpu_features(),
            cpus.capabilities().granule,
            ipa,
            cpus.physical_bits(),
        );
        let format = Format::new(config).map_err(|_| EINVAL)?;
        let geometry = *format.geometry();
        let order = (geometry.root_size() as usize / PAGE_SIZE)
            .max(1)
            .next_power_of_two()
            .trailing_zeros();
        let arena = TableArena::new()?;
        let root =
            TableAddr::new(arena.add(ZeroedPages::new(order)?), config.granule).ok_or(ENOMEM)?;
        let stage2 = Stage2::new(format, root).ok_or(EINVAL)?;

        Ok(try_pin_init!(Self {
            cpus,
            ipa,
            root,
            vtcr: VtcrEl2::new(&format).into_raw(),
            vmid: Atomic::new(0),
            last_vcpu: PerCpu::new()?,
            caches: Caches::of_system(),
            update <- new_mutex!((), "kvm_vhe::Memory::update"),
            mmu <- new_spinlock!(Mmu {
                slots: KVVec::new(),
                starts: KVVec::new(),
                stage2,
                arena,
                seq: InvalidateSeq::new(),
            }, "kvm_vhe::Memory::mmu"),
        }? Error))
    }

    /// The VM's translation for TLB maintenance; [`None`] if it never ran.
    fn registers(&self) -> Option<Stage2Registers> {
        Vmid::from_raw(self.vmid.load(Relaxed)).map(|vmid| self.registers_for(vmid))
    }

    fn registers_for(&self, vmid: Vmid) -> Stage2Registers {
        Stage2Registers {
            vttbr: VttbrEl2::new(self.root, vmid.number()).into_raw(),
            vtcr: self.vtcr,
        }
    }

    /// A vCPU comes to the current CPU: what it is loaded with. Interrupts are off.
    pub(crate) fn load(&self, cpu: &PinnedCpu, vcpu: u32) -> Option<Stage2Registers> {
        let vmid = self.cpus.load_vmid(cpu, &self.vmid)?;
        let registers = self.registers_for(vmid);
        let last = self.last_vcpu.this(cpu);

        if last.load(Relaxed) != vcpu + 1 {
            invalidate_local(self.cpus.host(), registers, cpu);
            last.store(vcpu + 1, Relaxed);
        }
        Some(registers)
    }

    /// A vCPU has left the current CPU.
    pub(crate) fn put(&self, cpu: &PinnedCpu) {
        self.cpus.unload_vmid(cpu, &self.vmid);
    }

    fn with_tables<R>(
        &self,
        mmu: &mut Mmu,
        reserve: Option<&mut Reserve>,
        f: impl FnOnce(&mut Stage2, &mut Tables<'_>) -> R,
    ) -> R {
        let mut tables = Tables {
            arena: &mut mmu.arena,
            reserve,
            memory: Some(self),
        };
        f(&mut mmu.stage2, &mut tables)
    }

    /// Unmaps guest addresses, in bounded steps.
    fn unmap(&self, range: Range<u64>) {
        let mut from = range.start;
        loop {
            let mut mmu = self.mmu.lock();
            let progress = self.with_tables(&mut mmu, None, |stage2, tables| {
                stage2.unmap(tables, from..range.end, BUDGET)
            });
            match progress {
                Progress::Done => break,
                Progress::More(next) => from = next,
            }
        }
    }

    /// KVM_SET_USER_MEMORY_REGION2.
    ///
    /// # Errors
    ///
    /// As api.rst, "4.35 KVM_SET_USER_MEMORY_REGION", says.
    pub(crate) fn set_region(&self, region: &kvm_userspace_memory_region2) -> Result {
        let request = Request {
            slot: region.slot,
            flags: region.flags,
            guest_phys_addr: region.guest_phys_addr,
            memory_size: region.memory_size,
            userspace_addr: region.userspace_addr,
            guest_memfd_offset: region.guest_memfd_offset,
        };
        let region = Region::check(
            &request,
            &Limits {
                page: self.cpus.capabilities().granule,
                ipa: self.ipa,
                hva_limit: self.cpus.user_address_limit(),
                flags: Flags::READONLY,
            },
        )
        .map_err(|refusal| errno(refusal.errno()))?;
        let _update = self.update.lock();

        // Only this function changes the slots, under `update`: what is looked at here stays.
        let (change, room) = {
            let mmu = self.mmu.lock();
            let change = memslot::plan(&mmu.slots, &region, mmu.index_of(region.id()))
                .map_err(|refusal| errno(refusal.errno()))?;
            (change, mmu.room_for(region.id()))
        };
        let gone = match change {
            Change::Nothing => return Ok(()),
            Change::Create { .. } => None,
            Change::Delete { at } | Change::Flags { at, .. } => Some(at),
            Change::Move { from, .. } => Some(from),
        };
        // Nothing is allocated under the lock.
        let mut slots = KVVec::with_capacity(room.slots, GFP_KERNEL_ACCOUNT)?;
        let mut starts = KVVec::with_capacity(room.starts, GFP_KERNEL_ACCOUNT)?;
        let gone = gone.and_then(|at| self.mmu.lock().slots.get(at).copied());

        if let Some(gone) = &gone {
            // Unmapped while it is still listed: a notifier that does not find the slot must not
            // find that the guest can still reach what was in it. Nothing of it is mapped again
            // until the invalidation that is recorded here has ended.
            self.mmu.lock().seq.begin(gone.hvas());
            let page = PAGE_SIZE as u64;
            let gfns = gone.gfns();
            self.unmap(gfns.start * page..gfns.end * page);
        }

        let mmu = &mut *self.mmu.lock();
        let changed = mmu
            .make_room(&room, &mut slots, &mut starts)
            .and_then(|()| mmu.change(change));
        // A fault that looked at the old slots must not map what it found.
        if gone.is_none() {
            mmu.seq.begin(0..u64::MAX);
        }
        mmu.seq.end();
        changed
    }

    /// The VMM's address of a guest address, and the slot's flags.
    fn find(mmu: &Mmu, ipa: u64) -> Option<(usize, Flags)> {
        let page = PAGE_SIZE as u64;
        let slot = mmu.slots.get(memslot::find(&mmu.slots, ipa / page, 0)?)?;
        Some((slot.hva_of(ipa / page)? as usize, slot.flags()))
    }

    /// How many pages the tables have.
    pub(crate) fn table_pages(&self) -> u64 {
        self.mmu.lock().arena.pages()
    }

    /// The first guest address that is beyond what the VM can have.
    pub(crate) fn limit(&self) -> u64 {
        self.ipa.size()
    }

    /// Whether there is memory at a guest address.
    pub(crate) fn is_memory(&self, ipa: u64) -> bool {
        Self::find(&self.mmu.lock(), ipa).is_some()
    }

    /// Reads guest memory within a page. May sleep.
    pub(crate) fn read(&self, ipa: u64, data: &mut [u8]) -> Result {
        let (hva, _) = Self::find(&self.mmu.lock(), ipa).ok_or(EFAULT)?;
        let at = hva + ipa as usize % PAGE_SIZE;
        UserSlice::new(UserPtr::from_addr(at), data.len())
            .reader()
            .read_slice(data)
    }

    /// Writes guest memory within a page. May sleep.
    pub(crate) fn write(&self, ipa: u64, data: &[u8]) -> Result {
        let (hva, flags) = Self::find(&self.mmu.lock(), ipa).ok_or(EFAULT)?;
        if flags.contains(Flags::READONLY) {
            return Err(EFAULT);
        }
        let at = hva + ipa as usize % PAGE_SIZE;
        UserSlice::new(UserPtr::from_addr(at), data.len())
            .writer()
            .write_slice(data)
    }

    /// Maps the page at a guest address, after a fault. Sleeps.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the VMM has nothing at its address, `ENOMEM`.
    pub(crate) fn fault(
        &self,
        ipa: u64,
        write: bool,
        execute: bool,
        reserve: &mut Reserve,
    ) -> Result<Faulted> {
        let page_mask = PAGE_SIZE as u64 - 1;
        let ipa = ipa & !page_mask;
        let (hva, flags, snapshot) = {
            let mmu = self.mmu.lock();
            match Self::find(&mmu, ipa) {
                Some((hva, flags)) => (hva, flags, mmu.seq.snapshot()),
                None => return Ok(Faulted::NoMemory),
            }
        };
        let read_only = flags.contains(Flags::READONLY);
        if write && read_only {
            return Ok(Faulted::ReadOnly);
        }
        reserve.top_up(4)?;
        let page = match fault_in(hva, write, Wait::Interruptible) {
            Ok(page) => page,
            Err(FaultError::Again) => return Ok(Faulted::Mapped),
            Err(FaultError::Interrupted) => return Ok(Faulted::Interrupted),
            Err(FaultError::HardwareError) => {
                signal_hardware_error(hva);
                return Ok(Faulted::Mapped);
            }
            Err(error) => return Err(error.into()),
        };
        let memory = match page.memory_type() {
            guest_page::MemoryType::Normal => MemoryType::Normal,
            guest_page::MemoryType::NormalNonCacheable => MemoryType::NormalNonCacheable,
            guest_page::MemoryType::Device => MemoryType::Device,
        };
        let normal = memory == MemoryType::Normal;
        if execute && !(normal && page.is_ordinary()) {
            // A device, or what a driver keeps to itself: the guest's fault, not the VMM's.
            return Ok(Faulted::NoMemory);
        }
        if normal && !self.cpus.has_fwb() {
            // The guest may look at it past the caches.
            self.caches.clean_invalidate(page.physical(), PAGE_SIZE)?;
        }
        if execute {
            self.caches.sync_instructions(&page)?;
        }
        let writable = page.writable() && !read_only;
        let mut mmu = self.mmu.lock();
        if mmu.seq.must_retry(snapshot, hva as u64) {
            return Ok(Faulted::Mapped);
        }
        let result = self.with_tables(&mut mmu, Some(reserve), |stage2, tables| {
            let execute = execute
                || stage2.lookup(tables, ipa).is_some_and(|old| {
                    old.pa == page.physical() && old.permissions.execute.at_el1()
                });
            let permissions = Permissions::new(true, writable, execute);
            let attributes = Attributes::new(permissions, memory).ok_or(MapError::Leaf)?;
            let mapped = stage2.map(tables, ipa, Level::L3, page.physical(), attributes)?;
            if matches!(mapped, Mapped::Same | Mapped::Permissions) {
                // This CPU may have faulted by what its TLB still holds.
                tables.invalidate(ipa, PAGE_SIZE as u64, Stale::Leaves(Level::L3));
            }
            Ok::<_, MapError>(())
        });
        publish();
        if writable && result.is_ok() {
            page.mark_dirty();
        }
        drop(mmu);
        page.release_mapped();
        match result {
            Ok(()) => Ok(Faulted::Mapped),
            Err(MapError::NoTable) => Err(ENOMEM),
            Err(_) => Err(EFAULT),
        }
    }

    /// Cleans and invalidates a part of what is mapped, by address to the Point of Coherency, from a
    /// guest address on. Returns where to go on, and how many bytes it was.
    pub(crate) fn flush_step(&self, from: u64) -> (Option<u64>, u64) {
        let mut bytes = 0;
        let mut mmu = self.mmu.lock();
        let progress = self.with_tables(&mut mmu, None, |stage2, tables| {
            stage2.for_each_mapping(tables, from..u64::MAX, FLUSH_BUDGET, |mapping| {
                if mapping.memory != Some(MemoryType::Normal) {
                    return;
                }
                let mut done = 0;
                while done < mapping.size {
                    let some = (mapping.size - done).min(Caches::MAX_BYTES as u64);
                    let _ = self
                        .caches
                        .clean_invalidate(mapping.pa + done, some as usize);
                    done += some;
                }
                trace::flush_range(mapping.ipa, mapping.size);
                bytes += mapping.size;
            })
        });
        match progress {
            Progress::Done => (None, bytes),
            Progress::More(next) => (Some(next), bytes),
        }
    }
}

fn errno(errno: Errno) -> Error {
    match errno {
        Errno::Einval => EINVAL,
        Errno::Eexist => EEXIST,
        Errno::Efault => EFAULT,
    }
}

impl MmuCallbacks for Memory {
    fn invalidate_range_start(&self, range: Range<usize>, _may_block: bool) {
        let hvas = range.start as u64..range.end as u64;
        let page = PAGE_SIZE as u64;
        // From the record on no fault maps anything in the range, so the lock may be released
        // between steps: a range may be all of a large VM's memory.
        self.mmu.lock().seq.begin(hvas.clone());

        let mut from = 0;
        loop {
            let mut mmu = self.mmu.lock();
            // The slots may change meanwhile, and whoever changes one unmaps it.
            let hit = memslot::in_hva_range(&mmu.slots, hvas.clone())
                .map(|hit| hit.gfns.start * page..hit.gfns.end * page)
                .find(|gpas| gpas.end > from);
            let Some(gpas) = hit else { break };

            from = match self.with_tables(&mut mmu, None, |stage2, tables| {
                stage2.unmap(tables, from.max(gpas.start)..gpas.end, BUDGET)
            }) {
                Progress::Done => gpas.end,
                Progress::More(next) => next,
            };
        }
    }

    fn invalidate_range_end(&self, _range: Range<usize>) {
        self.mmu.lock().seq.end();
    }

    fn release(&self) {
        {
            // Nothing is mapped from here on.
            self.mmu.lock().seq.begin(0..u64::MAX);
        }
        self.unmap(0..self.ipa.size());
    }
}

/// The capacities that a change of the slots needs; 0 where there is enough.
struct Room {
    slots: usize,
    starts: usize,
}

impl Mmu {
    /// The index of the slot with this number.
    fn index_of(&self, id: SlotId) -> Option<usize> {
        let start = *self.starts.get(usize::from(id.get()))?;
        memslot::find(&self.slots, start, 0)
    }

    /// What a change of the slot with this number needs at most.
    fn room_for(&self, id: SlotId) -> Room {
        let number = usize::from(id.get());

        Room {
            slots: if self.slots.len() < self.slots.capacity() {
                0
            } else {
                (self.slots.len() * 2).max(8)
            },
            starts: if number < self.starts.len() {
                0
            } else {
                (number + 1).next_power_of_two().max(8)
            },
        }
    }

    fn insert(&mut self, at: usize, slot: Slot) -> Result {
        let start = self
            .starts
            .get_mut(usize::from(slot.id().get()))
            .ok_or(ENOMEM)?;
        self.slots
            .insert_within_capacity(at, slot)
            .map_err(|_| ENOMEM)?;
        *start = slot.gfns().start;
        Ok(())
    }

    fn remove(&mut self, at: usize) -> Result<Slot> {
        let slot = self.slots.remove(at).map_err(|_| EINVAL)?;
        if let Some(start) = self.starts.get_mut(usize::from(slot.id().get())) {
            *start = NO_SLOT;
        }
        Ok(slot)
    }

    /// Takes the new storage, if there is any, for what is there.
    fn make_room(
        &mut self,
        room: &Room,
        slots: &mut KVVec<Slot>,
        starts: &mut KVVec<u64>,
    ) -> Result {
        if room.slots != 0 {
            slots.extend_from_slice(&self.slots, GFP_ATOMIC)?;
            core::mem::swap(&mut self.slots, slots);
        }
        if room.starts != 0 {
            starts.extend_from_slice(&self.starts, GFP_ATOMIC)?;
            starts.resize(room.starts, NO_SLOT, GFP_ATOMIC)?;
            core::mem::swap(&mut self.starts, starts);
        }
        Ok(())
    }

    /// Changes the slots, for which there is room.
    fn change(&mut self, change: Change) -> Result {
        match change {
            Change::Nothing => Ok(()),
            Change::Create { at, slot } => self.insert(at, slot),
            Change::Delete { at } => self.remove(at).map(|_| ()),
            Change::Move { from, to, slot } => {
                self.remove(from)?;
                self.insert(to, slot)
            }
            Change::Flags { at, slot } => {
                *self.slots.get_mut(at).ok_or(EINVAL)? = slot;
                Ok(())
            }
        }
    }
}

impl Drop for Mmu {
    /// Frees the tables. No CPU has them in VTTBR_EL2 any more: there are no vCPUs. What TLBs still
    /// hold is tagged with a VMID that no VM gets before they are clean.
    fn drop(&mut self) {
        let root = self.stage2.root();
        // The tables, and not this value, are what there is.
        let Some(stage2) = Stage2::new(*self.stage2.format(), root) else {
            return;
        };
        let mut teardown = stage2.into_teardown();
        let mut tables = Tables {
            arena: &mut self.arena,
            reserve: None,
            memory: None,
        };
        while let Progress::More(_) = teardown.step(&mut tables, BUDGET) {}
        tables.free(root);
    }
}
