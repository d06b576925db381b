// SPDX-License-Identifier: GPL-2.0

//! The names of CPUs and of groups of them.

/// A CPU's affinity: the fields Aff3 to Aff0 of its MPIDR_EL1, in their places.
///
/// # Invariants
///
/// All other bits are clear.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
#[repr(transparent)]
pub struct Affinity(u64);

impl Affinity {
    /// The bits of MPIDR_EL1 that are affinity: 39 to 32 and 23 to 0.
    pub const MASK: u64 = 0xff_00ff_ffff;

    /// Returns an argument of a PSCI call as an affinity, or [`None`] if another bit is set.
    #[inline]
    pub const fn new(raw: u64) -> Option<Self> {
        if raw & !Self::MASK == 0 {
            Some(Self(raw))
        } else {
            None
        }
    }

    /// Returns the affinity in MPIDR_EL1; its other bits are dropped.
    #[inline]
    pub const fn from_mpidr(mpidr: u64) -> Self {
        Self(mpidr & Self::MASK)
    }

    /// Returns the bits.
    #[inline]
    pub const fn into_raw(self) -> u64 {
        self.0
    }

    /// Whether both belong to the same instance of `level`: a CPU, a cluster and so on.
    #[inline]
    pub const fn same_at(self, other: Self, level: AffinityLevel) -> bool {
        (self.0 ^ other.0) & level.mask() == 0
    }
}

/// An affinity level: 0 is a CPU, each further one a group of the one below. It is at most 3.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[repr(transparent)]
pub struct AffinityLevel(u8);

impl AffinityLevel {
    /// Returns an argument of AFFINITY_INFO as a level, or [`None`] if there is no such level.
    #[inline]
    pub const fn new(level: u64) -> Option<Self> {
        if level <= 3 {
            Some(Self(level as u8))
        } else {
            None
        }
    }

    /// Returns the affinity bits that count at this level: its own field and those above.
    #[inline]
    pub const fn mask(self) -> u64 {
        Affinity::MASK
            & match self.0 {
                0 => u64::MAX,
                1 => u64::MAX << 8,
                2 => u64::MAX << 16,
                _ => u64::MAX << 32,
            }
    }
}
