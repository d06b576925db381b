// SPDX-License-Identifier: GPL-2.0

//! Faults of the guest, which fill stage 2.

use crate::memory::{
    guest::Memory,
    tables::Reserve, //
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use kvm_core::stage2::{
    Attributes,
    Level,
    MapError,
    Mapped,
    MemoryType,
    Permissions,
    Stale,
    TableMemory, //
};
use kvm_host::{
    guest_page::{
        self,
        fault_in,
        signal_hardware_error,
        FaultError,
        Wait, //
    },
    table_page::publish, //
};

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
        // In this order: a slot that is found and changes is one whose change ends later.
        let snapshot = self.mmu.lock().seq.snapshot();
        let slot = self.at(ipa, |slot| Some((slot.hva(ipa)?, slot.is_read_only())));
        let Some((hva, read_only)) = slot.flatten() else {
            return Ok(Faulted::NoMemory);
        };
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
        let result = mmu.with_tables(&self.translation, Some(reserve), |stage2, tables| {
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
}
