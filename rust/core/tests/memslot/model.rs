// SPDX-License-Identifier: GPL-2.0

//! The slots of a VM, and what KVM_SET_USER_MEMORY_REGION2 does to them by its specification.

use kvm_core::{
    granule::Granule,
    ipa::IpaBits,
    memslot::{
        find_id,
        plan,
        Change,
        Errno,
        Flags,
        Limits,
        Refusal,
        Region,
        Request,
        Slot, //
    },
};
use std::{
    collections::BTreeMap,
    rc::Rc, //
};

pub const LOG: u32 = 1;
pub const READONLY: u32 = 2;
pub const GUEST_MEMFD: u32 = 4;

pub const PAGE: u64 = 0x1000;

/// A VM with 36 bits of IPA, a VMM with 48 bits of addresses.
pub const LIMITS: Limits = Limits {
    page: Granule::K4,
    ipa: match IpaBits::new(36) {
        Some(ipa) => ipa,
        None => unreachable!(),
    },
    hva_limit: 1 << 48,
    flags: Flags::LOG_DIRTY_PAGES.union(Flags::READONLY),
};

/// A VM's slots as a host would keep them: shared with snapshots that are still in use.
pub type Slots = Vec<Rc<Slot>>;

/// Does what KVM_SET_USER_MEMORY_REGION does.
pub fn set(slots: &mut Slots, request: &Request, limits: &Limits) -> Result<Change, Errno> {
    let region = Region::check(request, limits).map_err(Refusal::errno)?;
    let old = find_id(slots, region.id());
    let change = plan(slots, &region, old).map_err(Refusal::errno)?;
    match change {
        Change::Nothing => {}
        Change::Create { at, slot } => slots.insert(at, Rc::new(slot)),
        Change::Delete { at } => {
            slots.remove(at);
        }
        Change::Move { from, to, slot } => {
            slots.remove(from);
            slots.insert(to, Rc::new(slot));
        }
        Change::Flags { at, slot } => slots[at] = Rc::new(slot),
    }
    Ok(change)
}

pub fn request(slot: u32, flags: u32, gpa: u64, size: u64, hva: u64) -> Request {
    Request {
        slot,
        flags,
        guest_phys_addr: gpa,
        memory_size: size,
        userspace_addr: hva,
        guest_memfd_offset: 0,
    }
}

/// A slot by its number: first page, pages, address and flags.
pub type Model = BTreeMap<u32, (u64, u64, u64, u32)>;

/// What KVM_SET_USER_MEMORY_REGION2 does, page size 4 KiB, by the text of api.rst and with the
/// error numbers of C KVM.
pub fn specified(
    model: &mut Model,
    r: &Request,
    flags: u32,
    gpas: u64,
    hvas: u64,
) -> Result<(), Errno> {
    let mut flags = flags;
    if r.flags & GUEST_MEMFD != 0 {
        flags &= !(LOG | READONLY);
    }
    let (gpa, size, hva) = (
        u128::from(r.guest_phys_addr),
        u128::from(r.memory_size),
        u128::from(r.userspace_addr),
    );
    let offset = u128::from(r.guest_memfd_offset);
    if r.flags & !flags != 0
        || gpa % 4096 != 0
        || size % 4096 != 0
        || hva % 4096 != 0
        || hva + size > u128::from(hvas)
        || r.slot >= 32767
        || gpa + size >= 1 << 64
        || size / 4096 > (1 << 31) - 1
    {
        return Err(Errno::Einval);
    }
    if r.flags & GUEST_MEMFD != 0 && (offset % 4096 != 0 || offset + size >= 1 << 64) {
        return Err(Errno::Einval);
    }
    let old = model.get(&r.slot).copied();
    if size == 0 {
        return model.remove(&r.slot).map(|_| ()).ok_or(Errno::Einval);
    }
    let new = (
        r.guest_phys_addr / 4096,
        r.memory_size / 4096,
        r.userspace_addr,
        r.flags,
    );
    if let Some(old) = old {
        if r.flags & GUEST_MEMFD != 0
            || old.1 != new.1
            || old.2 != new.2
            || (old.3 ^ new.3) & (READONLY | GUEST_MEMFD) != 0
        {
            return Err(Errno::Einval);
        }
    }
    if old.is_none_or(|old| old.0 != new.0) {
        let overlaps = |(id, slot): (&u32, &(u64, u64, u64, u32))| {
            *id != r.slot && slot.0 < new.0 + new.1 && new.0 < slot.0 + slot.1
        };
        if model.iter().any(overlaps) {
            return Err(Errno::Eexist);
        }
        if gpa + size > u128::from(gpas) {
            return Err(Errno::Efault);
        }
    }
    model.insert(r.slot, new);
    Ok(())
}

/// Returns what [`specified`] keeps of each slot.
pub fn content(slots: &Slots) -> Model {
    slots
        .iter()
        .map(|s| {
            let value = (
                s.gfns().start,
                s.pages(),
                s.hvas().start,
                s.flags().into_raw(),
            );
            (u32::from(s.id().get()), value)
        })
        .collect()
}
