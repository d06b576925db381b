// SPDX-License-Identifier: GPL-2.0

//! KVM_SET_USER_MEMORY_REGION: changes of the slots.

use crate::memory::guest::Memory;
use kernel::{
    page::PAGE_SIZE,
    prelude::*, //
};
use kvm_core::memslot::{
    Change,
    Errno,
    Flags,
    Limits,
    Region,
    Request, //
};
use kvm_host::{
    rcu_cell::Fresh,
    uapi::kvm_userspace_memory_region2, //
};

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
        let mut numbers = self.numbers.lock();
        let mut slots = self.slots.update();

        let change = slots
            .plan(&region, &numbers)
            .map_err(|refusal| errno(refusal.errno()))?;
        let gone = match change {
            Change::Nothing => return Ok(()),
            Change::Create { .. } => None,
            Change::Delete { old } | Change::Flags { old, .. } | Change::Move { old, .. } => {
                Some(old)
            }
        };
        let fresh = Fresh::new(slots.changed(&change)?)?;
        numbers.make_room(region.id())?;

        // Nothing fails from here on.
        let Some(gone) = gone else {
            // A fault that looked at the old slots and found one has found what is still there.
            slots.replace(fresh);
            numbers.follow(&change);
            return Ok(());
        };
        // Unmapped while it is still listed: a notifier that does not find the slot must not find that
        // the guest can still reach what was in it. Nothing of it is mapped again until the
        // invalidation that is recorded here has ended, and then by nobody who looked it up before.
        self.mmu.lock().seq.begin(gone.hvas());
        let page = PAGE_SIZE as u64;
        let gfns = gone.gfns();
        self.unmap(gfns.start * page..gfns.end * page);

        slots.replace(fresh);
        numbers.follow(&change);
        self.mmu.lock().seq.end();
        // The VMM may do with the memory what it likes when this returns.
        self.accesses.wait_for_earlier();
        Ok(())
    }
}

fn errno(errno: Errno) -> Error {
    match errno {
        Errno::Einval => EINVAL,
        Errno::Eexist => EEXIST,
        Errno::Efault => EFAULT,
    }
}
