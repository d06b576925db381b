// SPDX-License-Identifier: GPL-2.0

//! Translation granules.

use core::fmt;

/// The size of the smallest page, and of a table, that a translation regime uses.
///
/// Arm ARM DDI 0487, "Translation granules" in the chapter on the AArch64 Virtual Memory System
/// Architecture.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Granule {
    /// 4 KiB.
    K4,
    /// 16 KiB.
    K16,
    /// 64 KiB.
    K64,
}

impl Granule {
    /// All granules.
    pub const ALL: &'static [Self] = &[Self::K4, Self::K16, Self::K64];

    /// Returns the granule of `bytes` bytes, such as a host's page size, or [`None`] if there is
    /// no such granule.
    #[inline]
    pub const fn from_page_size(bytes: usize) -> Option<Self> {
        match bytes {
            0x1000 => Some(Self::K4),
            0x4000 => Some(Self::K16),
            0x1_0000 => Some(Self::K64),
            _ => None,
        }
    }

    /// Returns log2 of the size in bytes: 12, 14 or 16.
    #[inline]
    pub const fn shift(self) -> u32 {
        match self {
            Self::K4 => 12,
            Self::K16 => 14,
            Self::K64 => 16,
        }
    }
}

impl fmt::Display for Granule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::K4 => "4K",
            Self::K16 => "16K",
            Self::K64 => "64K",
        })
    }
}
