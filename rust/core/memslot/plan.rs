// SPDX-License-Identifier: GPL-2.0

//! What a request does to the slots that exist.

use crate::memslot::{
    chunk::{
        Chunk,
        Listed, //
    },
    lookup::in_gfn_range,
    region::{
        Refusal,
        Region, //
    },
    slot::{
        Flags,
        Slot, //
    },
};
use core::borrow::Borrow;

/// A change of a table of slots. Done as said, there are no overlaps afterwards.
///
/// Before a slot that is deleted or moved can go, nothing may be mapped by way of it any more: the
/// caller unmaps its pages from stage 2, after it made sure that none are mapped anew.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Change {
    /// Everything is as it was asked for.
    Nothing,
    /// `slot` is inserted.
    Create {
        /// The new slot.
        slot: Slot,
    },
    /// `old` is removed.
    Delete {
        /// The slot.
        old: Slot,
    },
    /// `old` is removed, then `slot` inserted. Flags may change, too.
    Move {
        /// What the slot was.
        old: Slot,
        /// What it becomes.
        slot: Slot,
    },
    /// `old` is replaced by `slot`, which differs in its flags.
    Flags {
        /// What the slot was.
        old: Slot,
        /// What it becomes.
        slot: Slot,
    },
}

/// Returns what `region` does to the slots of a table. `old` is the slot with the region's number, if
/// there is one.
///
/// # Errors
///
/// [`Refusal`]: EINVAL if there is no slot to delete or it cannot change this way, EEXIST if it
/// would overlap another, EFAULT if it would leave the VM's address space.
pub fn plan<C: Chunk>(
    list: &[Listed<C>],
    region: &Region,
    old: Option<&Slot>,
) -> Result<Change, Refusal> {
    let Some(pages) = region.pages else {
        let old = *old.ok_or(Refusal::NoSlot)?;
        return Ok(Change::Delete { old });
    };
    let slot = Slot {
        id: region.id,
        gfn: region.gfn,
        pages,
        hva: region.hva,
        page_shift: region.page_shift,
        flags: region.flags,
    };
    if let Some(old) = old.copied() {
        let fixed = Flags::READONLY.union(Flags::GUEST_MEMFD);
        let changed = slot.flags.difference(old.flags);
        if slot.flags.contains(Flags::GUEST_MEMFD)
            || slot.hva != old.hva
            || slot.pages != old.pages
            || changed != changed.without(fixed)
        {
            return Err(Refusal::Fixed);
        }
        if slot.gfn == old.gfn {
            return Ok(if changed.is_empty() {
                Change::Nothing
            } else {
                Change::Flags { old, slot }
            });
        }
    }
    if in_gfn_range(list, slot.gfns()).any(|other| other.borrow().id != slot.id) {
        return Err(Refusal::Overlap);
    }
    if slot.gfns().end > region.gfn_limit {
        return Err(Refusal::Ipa);
    }
    Ok(match old.copied() {
        None => Change::Create { slot },
        Some(old) => Change::Move { old, slot },
    })
}
