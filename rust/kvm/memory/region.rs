// SPDX-License-Identifier: GPL-2.0

//! KVM_SET_USER_MEMORY_REGION: changes of the slots.

use crate::memory::guest::Memory;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use kvm_core::memslot::{
    self,
    Change,
    Errno,
    Flags,
    Limits,
    Region,
    Request, //
};
use kvm_host::uapi::kvm_userspace_memory_region2;

impl Memory {
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
            let change = memslot::plan(
                mmu.slots.as_slice(),
                &region,
                mmu.slots.index_of(region.id()),
            )
            .map_err(|refusal| errno(refusal.errno()))?;
            (change, mmu.slots.room_for(region.id()))
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
        let gone = gone.and_then(|at| self.mmu.lock().slots.as_slice().get(at).copied());

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
            .slots
            .make_room(&room, &mut slots, &mut starts)
            .and_then(|()| mmu.slots.change(change));
        // A fault that looked at the old slots must not map what it found.
        if gone.is_none() {
            mmu.seq.begin(0..u64::MAX);
        }
        mmu.seq.end();
        changed
    }
}

fn errno(errno: Errno) -> Error {
    match errno {
        Errno::Einval => EINVAL,
        Errno::Eexist => EEXIST,
        Errno::Efault => EFAULT,
    }
}
