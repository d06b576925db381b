// SPDX-License-Identifier: GPL-2.0

//! Pages to write-protect, in batches.

use crate::dirty::{
    bitmap::WORD_PAGES,
    page::Page, //
};

/// Some of 64 pages that follow each other in a slot.
///
/// # Invariants
///
/// Bit 0 of `mask` is set.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    slot: u32,
    offset: u64,
    mask: u64,
}

impl Batch {
    /// Returns the batch of a page.
    pub const fn new(page: Page) -> Self {
        Self {
            slot: page.slot,
            offset: page.offset,
            mask: 1,
        }
    }

    /// Returns the slot's number, and the address space's in bits 31 to 16, as user space wrote it.
    #[inline]
    pub const fn slot(&self) -> u32 {
        self.slot
    }

    /// Adds a page, before or behind those there are. Returns whether it found room.
    pub fn add(&mut self, page: Page) -> bool {
        if page.slot != self.slot {
            return false;
        }
        if let Some(behind) = page.offset.checked_sub(self.offset) {
            if behind < WORD_PAGES {
                self.mask |= 1 << behind;
                return true;
            }
            return false;
        }
        let before = self.offset - page.offset;
        if before > u64::from(self.mask.leading_zeros()) {
            return false;
        }
        self.mask = (self.mask << before) | 1;
        self.offset = page.offset;
        true
    }

    /// Returns the pages of a slot with `pages` pages that are in the batch: the first's offset in the
    /// slot, and a bit for each from there on. [`None`] if it has none of them: user space wrote what
    /// it liked.
    pub const fn within(&self, pages: u64) -> Option<(u64, u64)> {
        let mask = match pages.checked_sub(self.offset) {
            None | Some(0) => return None,
            Some(rest) if rest < WORD_PAGES => self.mask & ((1 << rest) - 1),
            Some(_) => self.mask,
        };

        if mask == 0 {
            None
        } else {
            Some((self.offset, mask))
        }
    }
}
