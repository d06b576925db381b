// SPDX-License-Identifier: GPL-2.0

//! What a request does to the slots that exist.

use crate::memslot::{
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

/// A change of a sorted slice of slots. Done as said, the slice stays sorted and free of overlaps.
///
/// Before a slot that is deleted or moved can go, nothing may be mapped by way of it any more: the
/// caller unmaps its pages from stage 2, after it made sure that none are mapped anew.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Change {
    /// Everything is as it was asked for.
    Nothing,
    /// `slot` is inserted as element `at`.
    Create {
        /// The new element's index.
        at: usize,
        /// The new slot.
        slot: Slot,
    },
    /// Element `at` is removed.
    Delete {
        /// The index.
        at: usize,
    },
    /// Element `from` is removed, then `slot` inserted as element `to`. Flags may change, too.
    Move {
        /// The old index.
        from: usize,
        /// The new index, in a slice that lacks the old element.
        to: usize,
        /// What the slot becomes.
        slot: Slot,
    },
    /// Element `at` is replaced by `slot`, which has other flags.
    Flags {
        /// The index.
        at: usize,
        /// What the slot becomes.
        slot: Slot,
    },
}

/// Returns what `region` does to `slots`, which are sorted by address and do not overlap.
///
/// `old` is the index of the slot with the region's number, if it exists: what
/// [`find_id`](crate::memslot::find_id) returns, or the caller's own map.
///
/// # Errors
///
/// [`Refusal`]: EINVAL if there is no slot to delete or it cannot change this way, EEXIST if it
/// would overlap another, EFAULT if it would leave the VM's address space.
pub fn plan<S: Borrow<Slot>>(
    slots: &[S],
    region: &Region,
    old: Option<usize>,
) -> Result<Change, Refusal> {
    let old = old.and_then(|at| Some((at, slots.get(at)?.borrow())));
    let Some(pages) = region.pages else {
        let (at, _) = old.ok_or(Refusal::NoSlot)?;
        return Ok(Change::Delete { at });
    };
    let slot = Slot {
        id: region.id,
        gfn: region.gfn,
        pages,
        hva: region.hva,
        page_shift: region.page_shift,
        flags: region.flags,
    };
    if let Some((at, old)) = old {
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
                Change::Flags { at, slot }
            });
        }
    }
    if in_gfn_range(slots, slot.gfns()).any(|(_, other)| other.borrow().id != slot.id) {
        return Err(Refusal::Overlap);
    }
    if slot.gfns().end > region.gfn_limit {
        return Err(Refusal::Ipa);
    }
    let to = slots.partition_point(|other| other.borrow().gfn < slot.gfn);
    Ok(match old {
        None => Change::Create { at: to, slot },
        Some((from, _)) => Change::Move {
            from,
            to: if from < to { to - 1 } else { to },
            slot,
        },
    })
}
