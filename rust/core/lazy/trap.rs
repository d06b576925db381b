// SPDX-License-Identifier: GPL-2.0

//! The bits of a control register by which a bank's accesses trap.

/// A field of a control register: what it is while accesses trap, and otherwise.
///
/// # Invariants
///
/// Both values are within the mask, and differ.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TrapField {
    mask: u64,
    trapping: u64,
}

impl TrapField {
    /// Bits that trap if they are set, such as MDCR_EL2.TDA. There must be some.
    pub const fn if_set(mask: u64) -> Self {
        assert!(mask != 0);
        // INVARIANT: All of the mask, and nothing, are different parts of it.
        Self {
            mask,
            trapping: mask,
        }
    }

    /// Bits that trap if they are clear, such as CPTR_EL2.FPEN with E2H, or HFGWTR_EL2.nPIR_EL1.
    /// There must be some.
    pub const fn if_clear(mask: u64) -> Self {
        assert!(mask != 0);
        // INVARIANT: As above.
        Self { mask, trapping: 0 }
    }

    /// The bits of both fields, of one register. They must not have a bit in common.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        assert!(self.mask & other.mask == 0);
        // INVARIANT: Each is so in its part of the mask.
        Self {
            mask: self.mask | other.mask,
            trapping: self.trapping | other.trapping,
        }
    }

    /// All bits of the field.
    #[inline(always)]
    pub const fn mask(self) -> u64 {
        self.mask
    }

    /// Returns `register` with accesses trapping, or not; its other bits are as they were.
    #[inline]
    #[must_use]
    pub const fn apply(self, register: u64, trap: bool) -> u64 {
        let value = if trap {
            self.trapping
        } else {
            self.trapping ^ self.mask
        };
        register & !self.mask | value
    }

    /// Whether accesses trap with this value of the register: all of the field says so.
    #[inline]
    pub const fn traps(self, register: u64) -> bool {
        register & self.mask == self.trapping
    }
}
