// SPDX-License-Identifier: GPL-2.0

//! Finding slots in a table.

use crate::memslot::{
    chunk::{
        chunk_of,
        Chunk,
        Listed, //
    },
    slot::Slot, //
};
use core::{
    borrow::Borrow,
    ops::Range, //
};

/// What an element of a chunk has.
#[inline(always)]
fn plain<S: Borrow<Slot>>(slot: &S) -> &Slot {
    slot.borrow()
}

/// Returns the slot that has the guest's page `gfn`.
#[inline]
pub fn find<C: Chunk>(list: &[Listed<C>], gfn: u64) -> Option<&C::Slot> {
    let slots = list.get(chunk_of(list, gfn)?)?.slots();
    let index = slots
        .partition_point(|slot| slot.borrow().gfn <= gfn)
        .checked_sub(1)?;
    slots
        .get(index)
        .filter(|slot| plain(*slot).gfns().contains(&gfn))
}

/// Returns the slots that have any of the guest's pages `gfns`, in order.
pub fn in_gfn_range<C: Chunk>(
    list: &[Listed<C>],
    gfns: Range<u64>,
) -> impl Iterator<Item = &C::Slot> {
    let first = chunk_of(list, gfns.start).unwrap_or(0);
    let (start, end) = (gfns.start, if gfns.is_empty() { 0 } else { gfns.end });
    list.iter()
        .skip(first)
        .take_while(move |chunk| chunk.first() < end)
        .flat_map(Listed::slots)
        .skip_while(move |slot| plain(*slot).gfns().end <= start)
        .take_while(move |slot| plain(*slot).gfn < end)
}

/// A slot some of whose memory is in a range of the VMM's addresses.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HvaHit<'a, S> {
    /// The slot.
    pub slot: &'a S,
    /// Those of its pages that are asked for, one at least.
    pub gfns: Range<u64>,
}

/// Returns the slots that use any of the VMM's addresses `hvas` for the guest's page `from` or one
/// behind it, in the order of the guest's addresses.
///
/// The same memory may be in several slots. All chunks from that of `from` on are looked at, of those
/// that have none of the addresses only the bounds.
pub fn in_hva_range<C: Chunk>(
    list: &[Listed<C>],
    from: u64,
    hvas: Range<u64>,
) -> impl Iterator<Item = HvaHit<'_, C::Slot>> {
    let (start, end) = (hvas.start, hvas.end);
    list.iter()
        .skip(chunk_of(list, from).unwrap_or(0))
        .filter(move |chunk| start < chunk.hvas().end && chunk.hvas().start < end)
        .flat_map(move |chunk| {
            let slots = chunk.slots();
            let before = slots.partition_point(|slot| plain(slot).gfns().end <= from);
            slots.get(before..).unwrap_or_default()
        })
        .filter_map(move |slot| {
            let gfns = plain(slot).gfns_of(&hvas);
            let gfns = gfns.start.max(from)..gfns.end;
            (!gfns.is_empty()).then_some(HvaHit { slot, gfns })
        })
}
