// SPDX-License-Identifier: GPL-2.0

//! The slots of a VM, and what KVM_SET_USER_MEMORY_REGION2 does to them by its specification.

use kvm_core::{
    granule::Granule,
    ipa::IpaBits,
    memslot::{
        find,
        insert,
        plan,
        remove,
        replace,
        Change,
        Chunk,
        Edit,
        Errno,
        Flags,
        Limits,
        Listed,
        Refusal,
        Region,
        Request,
        Slot,
        SlotId, //
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

/// Slots that are shared with tables that are still in use.
#[derive(Clone, Debug)]
pub struct Shared(pub Rc<Vec<Slot>>);

impl Chunk for Shared {
    type Slot = Slot;

    fn slots(&self) -> &[Slot] {
        &self.0
    }
}

/// A VM's slots as a host would keep them.
#[derive(Clone, Default, Debug)]
pub struct Slots {
    pub list: Vec<Listed<Shared>>,
    /// The first page of each slot.
    numbers: BTreeMap<SlotId, u64>,
}

impl Slots {
    pub fn new() -> Self {
        Self::default()
    }

    /// All slots, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Slot> {
        self.list.iter().flat_map(Listed::slots)
    }

    /// The slot with a number.
    pub fn find_id(&self, id: SlotId) -> Option<&Slot> {
        let slot = find(&self.list, *self.numbers.get(&id)?).unwrap();
        assert_eq!(slot.id(), id);
        Some(slot)
    }
}

/// The list that an edit makes.
fn edited(list: &[Listed<Shared>], edit: Edit<'_, Slot>) -> Vec<Listed<Shared>> {
    let mut new = list[..edit.replaced.start].to_vec();
    for content in edit.contents() {
        let slots: Vec<Slot> = content.parts().flatten().copied().collect();
        assert_eq!(slots.len(), content.len());
        new.push(Listed::new(Shared(Rc::new(slots))).unwrap());
    }
    new.extend_from_slice(&list[edit.replaced.end..]);
    new
}

/// Does what KVM_SET_USER_MEMORY_REGION does.
pub fn set(slots: &mut Slots, request: &Request, limits: &Limits) -> Result<Change, Errno> {
    let region = Region::check(request, limits).map_err(Refusal::errno)?;
    let old = slots.find_id(region.id());
    let change = plan(&slots.list, &region, old).map_err(Refusal::errno)?;
    let list = &slots.list;
    slots.list = match &change {
        Change::Nothing => return Ok(change),
        Change::Create { slot } => edited(list, insert(list, slot)),
        Change::Delete { old } => edited(list, remove(list, old.gfns().start).unwrap()),
        Change::Move { old, slot } => {
            let list = edited(list, remove(list, old.gfns().start).unwrap());
            edited(&list, insert(&list, slot))
        }
        Change::Flags { slot, .. } => edited(list, replace(list, slot).unwrap()),
    };
    match &change {
        Change::Delete { old } => slots.numbers.remove(&old.id()),
        Change::Create { slot } | Change::Move { slot, .. } | Change::Flags { slot, .. } => {
            slots.numbers.insert(slot.id(), slot.gfns().start)
        }
        Change::Nothing => None,
    };
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
