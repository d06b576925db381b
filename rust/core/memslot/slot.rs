// SPDX-License-Identifier: GPL-2.0

//! One slot.

use core::{
    fmt,
    num::NonZeroU64,
    ops::Range, //
};

/// The number of a slot, less than [`SlotId::COUNT`].
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct SlotId(u16);

impl SlotId {
    /// How many slots a VM can have, which is what KVM_CAP_NR_MEMSLOTS reports.
    pub const COUNT: u16 = 32767;

    /// Returns `id`, or [`None`] if it is not less than [`Self::COUNT`].
    #[inline]
    pub const fn new(id: u16) -> Option<Self> {
        if id < Self::COUNT {
            Some(Self(id))
        } else {
            None
        }
    }

    /// Returns the number.
    #[inline]
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// KVM_MEM_* flags of a slot.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Default)]
#[repr(transparent)]
pub struct Flags(u32);

impl Flags {
    /// No flag.
    pub const NONE: Self = Self(0);
    /// KVM_MEM_LOG_DIRTY_PAGES: writes are recorded for KVM_GET_DIRTY_LOG.
    pub const LOG_DIRTY_PAGES: Self = Self(1 << 0);
    /// KVM_MEM_READONLY: writes exit with KVM_EXIT_MMIO.
    pub const READONLY: Self = Self(1 << 1);
    /// KVM_MEM_GUEST_MEMFD: memory is in a guest_memfd.
    pub const GUEST_MEMFD: Self = Self(1 << 2);

    /// Returns the flags as the UAPI has them; which of them exist is not looked at.
    #[inline]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// Returns the UAPI's number.
    #[inline]
    pub const fn into_raw(self) -> u32 {
        self.0
    }

    /// Whether all of `other` are set.
    #[inline]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns the flags that are set in either.
    #[inline]
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Returns the flags of `self` that are not in `other`.
    #[inline]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Returns the flags that are set in one and not in the other.
    #[inline]
    #[must_use]
    pub const fn difference(self, other: Self) -> Self {
        Self(self.0 ^ other.0)
    }

    /// Whether no flag is set.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A memory slot: consecutive pages of the guest that are consecutive in the VMM's memory.
///
/// # Invariants
///
/// Neither range of addresses, of the guest or of the VMM, wraps around in 64 bits.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Slot {
    pub(super) id: SlotId,
    pub(super) gfn: u64,
    pub(super) pages: NonZeroU64,
    pub(super) hva: u64,
    pub(super) page_shift: u32,
    pub(super) flags: Flags,
}

impl Slot {
    /// Returns the slot's number.
    #[inline]
    pub const fn id(&self) -> SlotId {
        self.id
    }

    /// Returns the guest's page numbers.
    #[inline]
    pub const fn gfns(&self) -> Range<u64> {
        self.gfn..self.gfn + self.pages.get()
    }

    /// Returns the number of pages.
    #[inline]
    pub const fn pages(&self) -> u64 {
        self.pages.get()
    }

    /// Returns the VMM's virtual addresses.
    #[inline]
    pub const fn hvas(&self) -> Range<u64> {
        self.hva..self.hva + (self.pages.get() << self.page_shift)
    }

    /// Returns the flags.
    #[inline]
    pub const fn flags(&self) -> Flags {
        self.flags
    }

    /// Returns the VMM's address of the guest's page `gfn`, if it is in the slot.
    #[inline]
    pub const fn hva_of(&self, gfn: u64) -> Option<u64> {
        match gfn.checked_sub(self.gfn) {
            Some(page) if page < self.pages.get() => Some(self.hva + (page << self.page_shift)),
            _ => None,
        }
    }

    /// Returns the guest's pages that any part of `hvas` backs; empty if none.
    #[inline]
    pub fn gfns_of(&self, hvas: &Range<u64>) -> Range<u64> {
        let own = self.hvas();
        let start = hvas.start.max(own.start);
        let end = hvas.end.min(own.end);
        if start >= end {
            return self.gfn..self.gfn;
        }
        let first = (start - own.start) >> self.page_shift;
        let last = (end - 1 - own.start) >> self.page_shift;
        self.gfn + first..self.gfn + last + 1
    }
}
