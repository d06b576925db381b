// SPDX-License-Identifier: GPL-2.0

//! Finding slots in a slice that is sorted by the guest's addresses.

use crate::memslot::slot::{
    Slot,
    SlotId, //
};
use core::{
    borrow::Borrow,
    ops::Range, //
};

/// Returns the index of the slot that has the guest's page `gfn`.
///
/// `hint` is any number, best the result of the last lookup: most hit the same slot again.
#[inline]
pub fn find<S: Borrow<Slot>>(slots: &[S], gfn: u64, hint: usize) -> Option<usize> {
    if let Some(slot) = slots.get(hint) {
        if slot.borrow().gfns().contains(&gfn) {
            return Some(hint);
        }
    }
    let index = slots
        .partition_point(|slot| slot.borrow().gfn <= gfn)
        .checked_sub(1)?;
    slots
        .get(index)
        .map(S::borrow)
        .filter(|slot| slot.gfns().contains(&gfn))
        .map(|_| index)
}

/// Returns the index of the slot with the number `id`. All slots are looked at.
pub fn find_id<S: Borrow<Slot>>(slots: &[S], id: SlotId) -> Option<usize> {
    slots.iter().position(|slot| slot.borrow().id == id)
}

/// Returns the slots that have any of the guest's pages `gfns`, with their indices, in order.
pub fn in_gfn_range<S: Borrow<Slot>>(
    slots: &[S],
    gfns: Range<u64>,
) -> impl Iterator<Item = (usize, &S)> {
    let first = slots.partition_point(|slot| slot.borrow().gfns().end <= gfns.start);
    slots
        .iter()
        .enumerate()
        .skip(first)
        .take_while(move |(_, slot)| {
            let slot: &Slot = (*slot).borrow();
            !gfns.is_empty() && slot.gfn < gfns.end
        })
}

/// A slot some of whose memory is in a range of the VMM's addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HvaHit<'a, S> {
    /// The slot.
    pub slot: &'a S,
    /// Those of its pages that are in the range, one at least.
    pub gfns: Range<u64>,
}

/// Returns the slots that use any of the VMM's addresses `hvas`, in the order of the guest's.
///
/// The same memory may be in several slots. All slots are looked at.
pub fn in_hva_range<S: Borrow<Slot>>(
    slots: &[S],
    hvas: Range<u64>,
) -> impl Iterator<Item = HvaHit<'_, S>> {
    slots.iter().filter_map(move |slot| {
        let gfns = slot.borrow().gfns_of(&hvas);
        (!gfns.is_empty()).then_some(HvaHit { slot, gfns })
    })
}
