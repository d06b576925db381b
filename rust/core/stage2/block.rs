// SPDX-License-Identifier: GPL-2.0

//! How much one entry may map.

use crate::stage2::geometry::{
    Geometry,
    Level, //
};
use core::ops::Range;

/// A page of the guest, and where it is on the other side.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Backing {
    /// The guest's address.
    pub ipa: u64,
    /// The VMM's virtual address of the same byte.
    pub hva: u64,
    /// The host's physical address of it.
    pub pa: u64,
    /// The guest's addresses that are consecutive in the VMM's memory, a memory slot's: `ipa` is one
    /// of them.
    pub gpas: Range<u64>,
    /// The size in bytes of what the host maps at `hva` by one entry, a power of two of at least a
    /// page.
    pub mapped: u64,
}

/// A leaf that is to be made.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Extent {
    /// The level of the entry.
    pub level: Level,
    /// What it spans in bytes.
    pub size: u64,
    /// The guest's first address.
    pub ipa: u64,
    /// The VMM's first address.
    pub hva: u64,
    /// The host's first physical address.
    pub pa: u64,
}

impl Extent {
    /// Returns the guest's addresses.
    #[inline]
    pub const fn ipas(&self) -> Range<u64> {
        self.ipa..self.ipa + self.size
    }

    /// Returns the VMM's addresses.
    #[inline]
    pub const fn hvas(&self) -> Range<u64> {
        self.hva..self.hva + self.size
    }
}

impl Geometry {
    /// Returns the leaf that maps a page alone.
    #[inline]
    pub const fn page(&self, page: &Backing) -> Extent {
        self.extent(Level::L3, page.ipa, page.hva, page.pa)
    }

    /// Returns the leaf of `level` around a page; its size is [`Self::span`] of that.
    #[inline]
    pub const fn extent(&self, level: Level, ipa: u64, hva: u64, pa: u64) -> Extent {
        let size = self.span(level);
        let inside = !(size - 1);
        Extent {
            level,
            size,
            ipa: ipa & inside,
            hva: hva & inside,
            pa: pa & inside,
        }
    }

    /// Returns the largest leaf that may map a page together with what is around it.
    ///
    /// A block is one if the host maps as much by one entry, if the page has the same place in it on
    /// all sides, and if all of it is in the slot: a memory slot may begin and end anywhere, and at
    /// any distance from where its memory is.
    pub fn largest_extent(&self, page: &Backing) -> Extent {
        let fits = |level: &&Level| {
            let extent = self.extent(**level, page.ipa, page.hva, page.pa);
            let inside = extent.size - 1;
            self.has_leaves(**level)
                && **level >= self.start()
                && extent.size <= page.mapped
                && (page.ipa ^ page.hva) & inside == 0
                && (page.ipa ^ page.pa) & inside == 0
                && page.gpas.start <= extent.ipa
                && page.gpas.end - page.ipa > inside - (page.ipa & inside)
        };
        let level = Level::ALL.iter().find(fits).copied();
        self.extent(level.unwrap_or(Level::L3), page.ipa, page.hva, page.pa)
    }
}
