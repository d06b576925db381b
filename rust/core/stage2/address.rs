// SPDX-License-Identifier: GPL-2.0

//! Where tables and their entries are.

use crate::granule::Granule;

/// The physical address of a table.
///
/// # Invariants
///
/// It is aligned to 4 KiB at least and has 52 bits at most.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct TableAddr(u64);

impl TableAddr {
    /// Returns `pa`, or [`None`] if no table of `granule` can be there.
    #[inline]
    pub const fn new(pa: u64, granule: Granule) -> Option<Self> {
        if pa & ((1 << granule.shift()) - 1) == 0 && pa >> 52 == 0 {
            Some(Self(pa))
        } else {
            None
        }
    }

    /// Returns the table that `pa` lies in.
    #[inline]
    pub(super) const fn containing(pa: u64, granule: Granule) -> Self {
        Self(pa & ((1 << 52) - (1 << granule.shift())))
    }

    /// Returns the physical address.
    #[inline]
    pub const fn pa(self) -> u64 {
        self.0
    }

    /// Returns where the entry `index` is.
    #[inline]
    pub(super) const fn entry(self, index: usize) -> EntryAddr {
        EntryAddr(self.0 + index as u64 * 8)
    }
}

/// The physical address of an entry, which lies within the root or a table that was allocated and
/// is not freed yet.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct EntryAddr(u64);

impl EntryAddr {
    /// Returns the physical address, a multiple of 8.
    #[inline]
    pub const fn pa(self) -> u64 {
        self.0
    }
}
