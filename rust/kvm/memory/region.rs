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
    Request,
    Slot, //
};
use kvm_host::{
    guest_page::has_driver_mapping,
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
                flags: Flags::READONLY.union(Flags::LOG_DIRTY_PAGES),
            },
        )
        .map_err(|refusal| errno(refusal.errno()))?;
        let mut numbers = self.numbers.lock();
        let mut slots = self.slots.update();

        let change = slots
            .plan(&region, &numbers)
            .map_err(|refusal| errno(refusal.errno()))?;
        let (gone, new) = match change {
            Change::Nothing => return Ok(()),
            Change::Create { slot } | Change::Flags { slot, .. } => (None, Some(slot)),
            Change::Delete { old } => (Some(old), None),
            Change::Move { old, slot } => (Some(old), Some(slot)),
        };
        if let Some(slot) = &new {
            check_mappings(slot)?;
        }
        let log = match &new {
            Some(slot) => self.log_for(slot, slots.with_id(region.id(), &numbers))?,
            None => None,
        };
        let fresh = Fresh::new(slots.changed(&change, log.clone())?)?;
        numbers.make_room(region.id())?;

        // Nothing fails from here on.
        let Some(gone) = gone else {
            // A fault that looked at the old slots and found one has found what is still there.
            slots.replace(fresh);
            numbers.follow(&change);
            if let Some(slot) = begins_to_log(&change) {
                self.begin_log(&slot, log.as_deref());
            }
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

/// A slot that did not log and does from now on.
fn begins_to_log(change: &Change) -> Option<Slot> {
    match change {
        Change::Flags { old, slot } => {
            let more = slot.flags().without(old.flags());
            more.contains(Flags::LOG_DIRTY_PAGES).then_some(*slot)
        }
        _ => None,
    }
}

/// Writes to a device are not logged.
///
/// # Errors
///
/// `EINVAL` if they should be.
fn check_mappings(slot: &Slot) -> Result {
    let hvas = slot.hvas();
    if slot.flags().contains(Flags::LOG_DIRTY_PAGES)
        && has_driver_mapping(hvas.start as usize..hvas.end as usize)
    {
        return Err(EINVAL);
    }
    Ok(())
}

fn errno(errno: Errno) -> Error {
    match errno {
        Errno::Einval => EINVAL,
        Errno::Eexist => EEXIST,
        Errno::Efault => EFAULT,
    }
}
