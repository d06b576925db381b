// SPDX-License-Identifier: GPL-2.0

//! A VM's memory, and access to it.

use crate::{
    cpus::Cpus,
    memory::{
        accesses::Accesses,
        log::DirtyRing,
        mmu::{
            Mmu,
            BUDGET, //
        },
        slots::{
            MemorySlot,
            Numbers,
            Slots, //
        },
        tracking::Tracking,
        translation::Translation, //
    },
};
use core::ops::Range;
use kernel::{
    new_mutex, new_spinlock,
    page::PAGE_SIZE,
    prelude::*,
    sync::{
        rcu,
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
    memslot::Slot,
    stage2::{
        Config,
        Format,
        Geometry,
        Leaves,
        Progress, //
    },
};
use kvm_host::{
    cache::Caches,
    guest_tlb::Stage2Registers,
    irqs::IrqsOff,
    pinned::PinnedCpu,
    rcu_cell::{
        Deferred,
        RcuCell, //
    },
    translation::{
        may_resize_live,
        may_set_access_flags, //
    },
};

/// A VM's memory.
#[pin_data]
pub(crate) struct Memory {
    pub(super) cpus: Arc<Cpus>,
    pub(super) ipa: IpaBits,
    pub(super) translation: Translation,
    pub(super) caches: Caches,
    pub(super) geometry: Geometry,
    /// Held while the slots change.
    #[pin]
    pub(super) numbers: Mutex<Numbers>,
    #[pin]
    pub(super) slots: RcuCell<Slots>,
    /// The kernel's accesses, of which none goes on by a slot that is gone or has changed.
    #[pin]
    pub(super) accesses: Accesses,
    #[pin]
    pub(super) mmu: SpinLock<Mmu>,
    pub(super) tracking: Tracking,
}

impl Memory {
    pub(crate) fn new(
        cpus: Arc<Cpus>,
        ipa: IpaBits,
        deferred: Deferred,
    ) -> Result<impl PinInit<Self, Error>> {
        let config = Config::for_cpu(
            cpus.cpu_features(),
            cpus.capabilities().granule,
            ipa,
            cpus.physical_bits(),
        );
        let config = Config {
            hardware_access_flag: config.hardware_access_flag && may_set_access_flags(),
            live_resize: may_resize_live(),
            ..config
        };
        let format = Format::new(config).map_err(|_| EINVAL)?;
        let geometry = *format.geometry();
        let slots = Slots::none()?;
        let (translation, tables) = Translation::new(cpus.clone(), format, deferred.clone())?;

        Ok(try_pin_init!(Self {
            cpus,
            ipa,
            translation,
            caches: Caches::of_system(),
            geometry,
            numbers <- new_mutex!(Numbers::new(), "kvm_vhe::Memory::numbers"),
            slots <- RcuCell::new(slots, deferred),
            accesses <- Accesses::new(),
            mmu <- new_spinlock!(Mmu {
                tables,
                seq: InvalidateSeq::new(),
            }, "kvm_vhe::Memory::mmu"),
            tracking: Tracking::new(),
        }? Error))
    }

    /// A vCPU comes to the current CPU: what it is loaded with. Interrupts are off.
    pub(crate) fn load(&self, cpu: &PinnedCpu, vcpu: u32) -> Option<Stage2Registers<'_>> {
        self.translation.load(cpu, vcpu)
    }

    /// A vCPU has left the current CPU.
    pub(crate) fn put(&self, cpu: &PinnedCpu) {
        self.translation.put(cpu);
    }

    /// Unmaps guest addresses, in bounded steps.
    pub(super) fn unmap(&self, range: Range<u64>) {
        let mut from = range.start;
        loop {
            let mut mmu = self.mmu.lock();
            let progress = mmu.with_tables(&self.translation, None, |walk| {
                walk.unmap(from..range.end, BUDGET)
            });
            match progress {
                Progress::Done => break,
                Progress::More(next) => from = next,
            }
        }
    }

    /// A vCPU that has run starts anew. What the VMM has written to memory meanwhile, through its
    /// caches, is to be seen by a guest whose caches are off, and by its instruction fetches: what is
    /// mapped again after a fault is cleaned. With FEAT_S2FWB all accesses to data are cached, and
    /// there is no more to do than for the instruction caches, unless these need the cleaning, too.
    pub(crate) fn restart(&self) {
        if self.cpus.has_fwb() && self.caches.is_unified() {
            self.caches.invalidate_instructions();
        } else {
            self.unmap(0..self.ipa.size());
        }
    }

    /// How many pages the tables have.
    pub(crate) fn table_pages(&self) -> u64 {
        self.translation.tables().pages()
    }

    /// How many pages and blocks are mapped.
    pub(crate) fn leaves(&self) -> Leaves {
        self.mmu.lock().tables.leaves()
    }

    /// The first guest address that is beyond what the VM can have.
    pub(crate) fn limit(&self) -> u64 {
        self.ipa.size()
    }

    /// What `f` says of the slot at a guest address, if there is one. `f` must not sleep.
    #[inline]
    pub(super) fn at<R>(&self, ipa: u64, f: impl FnOnce(&MemorySlot) -> R) -> Option<R> {
        let rcu = rcu::read_lock();
        self.slots.read_rcu(&rcu).find(ipa).map(f)
    }

    /// Whether there is memory at a guest address that the guest may write to.
    #[inline]
    pub(crate) fn is_writable(&self, irqs: &IrqsOff, ipa: u64) -> bool {
        let slot = self.slots.read(irqs).find(ipa);
        slot.is_some_and(|slot| !slot.is_read_only())
    }

    /// Whether there is memory at a guest address.
    pub(crate) fn is_memory(&self, ipa: u64) -> bool {
        self.at(ipa, |_| ()).is_some()
    }

    /// Returns the VMM's address of a guest address, and what `allowed` gets of its slot. For an
    /// [access](Accesses::during).
    ///
    /// # Errors
    ///
    /// `EFAULT` if there is none, or nothing is allowed.
    fn place<T>(
        &self,
        ipa: u64,
        allowed: impl FnOnce(&MemorySlot) -> Option<T>,
    ) -> Result<(UserPtr, T)> {
        let found = self.at(ipa, |slot| Some((slot.hva(ipa)?, allowed(slot)?)));
        let (hva, allowed) = found.flatten().ok_or(EFAULT)?;

        Ok((UserPtr::from_addr(hva + ipa as usize % PAGE_SIZE), allowed))
    }

    /// Reads guest memory within a page. May sleep.
    pub(crate) fn read(&self, ipa: u64, data: &mut [u8]) -> Result {
        self.accesses.during(|| {
            let (at, ()) = self.place(ipa, |_| Some(()))?;
            UserSlice::new(at, data.len()).reader().read_slice(data)
        })
    }

    /// Writes guest memory within a page, for the vCPU that has the ring, if there are any and it
    /// is one that runs. May sleep.
    pub(crate) fn write(&self, ipa: u64, data: &[u8], ring: Option<&DirtyRing>) -> Result {
        self.accesses.during(|| {
            let (at, slot) =
                self.place(ipa, |slot| (!slot.is_read_only()).then(|| slot.clone()))?;

            UserSlice::new(at, data.len()).writer().write_slice(data)?;
            // The slot may log since then, or have moved, with its log.
            let now = self.mark_dirty(ipa, ring);
            let place = |slot: &Slot| (slot.id(), slot.gfns().start);
            if now.as_ref().map(place) != Some(place(slot.slot())) {
                slot.mark(ipa, ring);
            }
            Ok(())
        })
    }
}
