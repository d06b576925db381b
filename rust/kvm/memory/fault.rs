// SPDX-License-Identifier: GPL-2.0

//! Faults of the guest, which fill stage 2.

use crate::memory::{
    guest::Memory,
    log::DirtyRing,
    mmu::{
        Reserve,
        BUDGET, //
    },
};
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use kvm_core::stage2::{
    Attributes,
    Backing,
    Extent,
    Level,
    Limit,
    MapError,
    MapStep,
    Mapped,
    MemoryType,
    Permissions, //
};
use kvm_host::{
    cache::Caches,
    guest_page::{
        self,
        fault_in,
        signal_hardware_error,
        FaultError,
        FaultedPage,
        Wait, //
    },
    irqs::with_irqs_off,
    table_page::publish,
    task_work::work_was_pending, //
};

/// How often a block is begun anew because other vCPUs map parts of it, before the page has to do.
const ROUNDS: u32 = 4;

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

/// What the guest was about to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Access {
    pub(crate) write: bool,
    pub(crate) execute: bool,
}

/// Maintenance of the caches that memory needs before a guest gets it.
#[derive(Clone, Copy)]
struct Upkeep {
    /// To the Point of Coherency: the guest may look at it past the caches.
    clean: bool,
    /// To the Point of Unification, and the instruction caches.
    sync: bool,
}

impl Memory {
    /// Maps what is at a guest address, after a fault of the vCPU that has the ring, if there are any:
    /// the page, or a block around it. Sleeps.
    ///
    /// # Errors
    ///
    /// `EFAULT` if the VMM has nothing at its address, `ENOMEM`.
    pub(crate) fn fault(
        &self,
        ipa: u64,
        access: Access,
        reserve: &mut Reserve,
        ring: Option<&DirtyRing>,
    ) -> Result<Faulted> {
        let Access { write, execute } = access;
        let ipa = ipa & !(PAGE_SIZE as u64 - 1);
        // In this order: a slot that is found and changes is one whose change ends later.
        let snapshot = self.mmu.lock().seq.snapshot();
        let slot = self.at(ipa, |slot| {
            let flags = (slot.is_read_only(), slot.logs());
            Some((slot.hva(ipa)?, slot.gpas(), flags))
        });
        let Some((hva, gpas, (read_only, logs))) = slot.flatten() else {
            return Ok(Faulted::NoMemory);
        };
        if write && read_only {
            return Ok(Faulted::ReadOnly);
        }
        if write && logs && ring.is_some_and(DirtyRing::is_full) {
            // The vCPU stops before it enters the guest, and faults again after.
            return Ok(Faulted::Mapped);
        }
        reserve.top_up(self.geometry.tables_to_map(Level::L3))?;
        let mut page = match fault_in(hva, write, Wait::Interruptible) {
            Ok(page) => page,
            Err(FaultError::Again) => return Ok(Faulted::Mapped),
            Err(FaultError::Interrupted) => return Ok(Faulted::Interrupted),
            Err(error) => {
                let here = hva as u64..hva as u64 + PAGE_SIZE as u64;
                if self.mmu.lock().seq.must_retry(snapshot, here) {
                    // The slot may be gone, and its memory: that is no error of the VMM's.
                    return Ok(Faulted::Mapped);
                }
                if error == FaultError::HardwareError {
                    signal_hardware_error(hva);
                    return Ok(Faulted::Mapped);
                }
                return Err(error.into());
            }
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
        let upkeep = Upkeep {
            clean: normal && !self.cpus.has_fwb(),
            sync: execute && self.caches.needs_sync(),
        };
        let backing = Backing {
            ipa,
            hva: hva as u64,
            pa: page.physical(),
            gpas,
            // What is logged is logged page by page.
            mapped: if logs {
                PAGE_SIZE as u64
            } else {
                page.mapping_size() as u64
            },
        };
        let mut extent = self.geometry.largest_extent(&backing);
        // The host may map what is several pages to it by one entry, of which this keeps only its own.
        if !self.keep_up(&page, &extent, upkeep).unwrap_or(false) {
            extent = self.geometry.page(&backing);
            self.keep_up(&page, &extent, upkeep)?;
        }
        let writable = page.writable() && !read_only;
        let limit = Limit {
            write: writable,
            execute: normal && page.is_ordinary(),
        };
        // Where instruction fetches see all that is written, nothing is gained by another fault.
        let execute = execute || (limit.execute && !self.caches.needs_sync());
        let (mut from, mut rounds) = (extent.ipa, 1);
        let result = loop {
            let mut mmu = self.mmu.lock();
            // The host's mapping is as large as it was if none of it was invalidated meanwhile.
            if mmu.seq.must_retry(snapshot, extent.hvas()) {
                return Ok(Faulted::Mapped);
            }
            let step = mmu.with_tables(&self.translation, Some(reserve), |walk| {
                let old = walk
                    .lookup(extent.ipa)
                    .filter(|old| old.translate(extent.ipa) == Some(extent.pa))
                    .filter(|old| old.size >= extent.size)
                    .map_or(Permissions::NONE, |old| old.permissions);
                let execute = execute || old.execute.at_el1();
                // What is not written to yet is not writable while that is to be noticed.
                let writable = writable && (write || !logs || old.write);
                let permissions = Permissions::new(true, writable, execute);
                let attributes = Attributes::new(permissions, memory)
                    .ok_or(MapError::Leaf)?
                    .with_limit(limit);
                let step = walk.map_over(from, &extent, &page, attributes, BUDGET)?;
                if let MapStep::Done(Mapped::Same | Mapped::Permissions) = step {
                    // This CPU may have faulted by what its TLB still holds.
                    with_irqs_off(|irqs| self.translation.invalidate_here(irqs.cpu(), ipa));
                }
                Ok::<_, MapError>(step)
            });
            publish();
            match step {
                Ok(MapStep::More(next)) if next == extent.ipa && rounds == ROUNDS => {
                    extent = self.geometry.page(&backing);
                    from = extent.ipa;
                }
                Ok(MapStep::More(next)) => {
                    rounds += u32::from(next == extent.ipa);
                    from = next;
                }
                Ok(MapStep::Done(_)) => {
                    if writable {
                        page.mark_dirty();
                    }
                    if write && logs {
                        // Before the lock is released: whoever protects the page from now on takes
                        // the mark.
                        self.mark_dirty(ipa, ring);
                    }
                    break Ok(());
                }
                Err(error) => break Err(error),
            }
        };
        page.release_mapped();
        match result {
            Ok(()) => Ok(Faulted::Mapped),
            Err(MapError::NoTable) => Err(ENOMEM),
            Err(_) => Err(EFAULT),
        }
    }

    /// Maintains the caches for what is about to be mapped. May sleep.
    ///
    /// Returns whether it is done: not if there is more of it than a page, and the task is wanted
    /// elsewhere. Then the page has to do, or a guest that is interrupted often would get nowhere.
    fn keep_up(&self, page: &FaultedPage, extent: &Extent, upkeep: Upkeep) -> Result<bool> {
        if !upkeep.clean && !upkeep.sync {
            return Ok(true);
        }
        let mut done = 0;
        while done < extent.size {
            if done != 0 && work_was_pending() {
                return Ok(false);
            }
            let (at, bytes) = (
                extent.pa + done,
                (extent.size - done).min(Caches::MAX_BYTES as u64),
            );
            if upkeep.clean {
                self.caches.clean_invalidate(at, bytes as usize)?;
            }
            if upkeep.sync {
                self.caches.sync_instructions(page, at, bytes as usize)?;
            }
            done += bytes;
        }
        Ok(true)
    }
}
