// SPDX-License-Identifier: GPL-2.0

//! The table that slots are in: chunks of a few slots each, and a list of the chunks.
//!
//! Both are sorted by the guest's addresses. Nobody changes them: a change makes new chunks in place
//! of one or two, and a new list that shares all the others with the old one. So a table that
//! somebody looks at stays what it was, and a change copies little, however many slots there are.

use crate::memslot::slot::Slot;
use core::{
    borrow::Borrow,
    ops::Range, //
};

/// The most slots that a chunk has.
pub const CHUNK: usize = 64;

/// With no more slots than this, two neighbours become one.
const MERGE: usize = CHUNK / 2;

/// A chunk: slots in one piece of storage, which is the caller's.
pub trait Chunk {
    /// A slot, or anything that has one.
    type Slot: Borrow<Slot>;

    /// Returns the slots, sorted by the guest's addresses.
    fn slots(&self) -> &[Self::Slot];
}

/// A chunk as an element of a table's list, with the bounds of what is in it.
///
/// # Invariants
///
/// The chunk has a slot, and the bounds are the least that there are.
#[derive(Clone, Debug)]
pub struct Listed<C> {
    /// The first guest page.
    first: u64,
    /// The VMM's addresses, from the lowest to the highest.
    hvas: Range<u64>,
    chunk: C,
}

impl<C: Chunk> Listed<C> {
    /// Returns the element for a chunk, [`None`] if there is nothing in it.
    pub fn new(chunk: C) -> Option<Self> {
        let slots = chunk.slots();
        let first = slots.first()?.borrow().gfn;
        let mut hvas = slots.first()?.borrow().hvas();
        for slot in slots {
            let own = slot.borrow().hvas();
            hvas = hvas.start.min(own.start)..hvas.end.max(own.end);
        }
        // INVARIANT: `first()` has found a slot, and all have been looked at.
        Some(Self { first, hvas, chunk })
    }

    /// Returns the chunk's slots, one at least.
    #[inline]
    pub fn slots(&self) -> &[C::Slot] {
        self.chunk.slots()
    }

    /// Returns the first guest page.
    #[inline]
    pub(super) const fn first(&self) -> u64 {
        self.first
    }

    /// Returns the bounds of the VMM's addresses.
    #[inline]
    pub(super) const fn hvas(&self) -> &Range<u64> {
        &self.hvas
    }
}

/// Returns the index of the chunk that has the guest's page `gfn` if any has it; [`None`] if all
/// slots are behind it.
#[inline]
pub(super) fn chunk_of<C: Chunk>(list: &[Listed<C>], gfn: u64) -> Option<usize> {
    list.partition_point(|chunk| chunk.first <= gfn)
        .checked_sub(1)
}

/// What is to be in a new chunk: some of what is in old ones, in order, and perhaps a new slot.
#[derive(Debug)]
pub struct Content<'a, S>([&'a [S]; 4]);

impl<'a, S> Content<'a, S> {
    const NOTHING: Self = Self([&[]; 4]);

    const fn with(before: &'a [S], new: &'a S, after: &'a [S]) -> Self {
        Self([before, core::slice::from_ref(new), after, &[]])
    }

    const fn of(before: &'a [S], after: &'a [S], more: &'a [S]) -> Self {
        Self([before, after, more, &[]])
    }

    /// Returns the number of slots, [`CHUNK`] at most.
    pub fn len(&self) -> usize {
        self.parts().map(<[S]>::len).sum()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the slots, in pieces.
    pub fn parts(&self) -> impl Iterator<Item = &'a [S]> {
        self.0.into_iter()
    }
}

/// A change of a table: which chunks go, and what comes in their place.
#[derive(Debug)]
#[must_use]
pub struct Edit<'a, S> {
    /// The indices in the list of the chunks that go.
    pub replaced: Range<usize>,
    contents: [Content<'a, S>; 2],
}

impl<'a, S> Edit<'a, S> {
    fn one(replaced: Range<usize>, content: Content<'a, S>) -> Self {
        Self {
            replaced,
            contents: [content, Content::NOTHING],
        }
    }

    /// Returns what is in each of the new chunks, none of which is empty.
    pub fn contents(&self) -> impl Iterator<Item = &Content<'a, S>> {
        self.contents.iter().filter(|content| !content.is_empty())
    }
}

/// Inserts a slot, no page of which is in the table.
pub fn insert<'a, C: Chunk>(list: &'a [Listed<C>], new: &'a C::Slot) -> Edit<'a, C::Slot> {
    let gfn = new.borrow().gfn;
    let c = chunk_of(list, gfn).unwrap_or(0);
    let slots = list.get(c).map_or(&[][..], Listed::slots);
    let (before, after) = slots.split_at(slots.partition_point(|slot| slot.borrow().gfn < gfn));
    let alone = || Content::with(&[], new, &[]);

    if slots.len() < CHUNK {
        Edit::one(
            c..(c + 1).min(list.len()),
            Content::with(before, new, after),
        )
    } else if after.is_empty() && c + 1 == list.len() {
        // A table that grows at its end has full chunks.
        Edit::one(list.len()..list.len(), alone())
    } else {
        let (low, high) = slots.split_at(CHUNK / 2);
        let contents = if before.len() <= low.len() {
            let after = low.get(before.len()..).unwrap_or_default();
            [
                Content::with(before, new, after),
                Content::of(high, &[], &[]),
            ]
        } else {
            let before = before.get(low.len()..).unwrap_or_default();
            [
                Content::of(low, &[], &[]),
                Content::with(before, new, after),
            ]
        };
        Edit {
            replaced: c..c + 1,
            contents,
        }
    }
}

/// Returns the chunk that has a slot with the first page `gfn`, by index, and its slots before and
/// behind that one.
#[allow(clippy::type_complexity)]
fn around<C: Chunk>(list: &[Listed<C>], gfn: u64) -> Option<(usize, &[C::Slot], &[C::Slot])> {
    let c = chunk_of(list, gfn)?;
    let slots = list.get(c)?.slots();
    let (before, rest) = slots.split_at(slots.partition_point(|slot| slot.borrow().gfn < gfn));
    let (found, after) = rest.split_first()?;
    (found.borrow().gfn == gfn).then_some((c, before, after))
}

/// Puts `new` in the place of the slot that has the same first page; [`None`] if there is none.
pub fn replace<'a, C: Chunk>(list: &'a [Listed<C>], new: &'a C::Slot) -> Option<Edit<'a, C::Slot>> {
    let (c, before, after) = around(list, new.borrow().gfn)?;
    Some(Edit::one(c..c + 1, Content::with(before, new, after)))
}

/// Removes the slot whose first page is `gfn`; [`None`] if there is none.
pub fn remove<C: Chunk>(list: &[Listed<C>], gfn: u64) -> Option<Edit<'_, C::Slot>> {
    let (c, before, after) = around(list, gfn)?;
    let len = before.len() + after.len();
    let small = |other: Option<usize>| {
        let slots = list.get(other?)?.slots();
        (len > 0 && len + slots.len() <= MERGE).then_some(slots)
    };
    Some(if let Some(next) = small(c.checked_add(1)) {
        Edit::one(c..c + 2, Content::of(before, after, next))
    } else if let Some(previous) = small(c.checked_sub(1)) {
        Edit::one(c - 1..c + 1, Content::of(previous, before, after))
    } else {
        Edit::one(c..c + 1, Content::of(before, after, &[]))
    })
}
