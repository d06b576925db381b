// SPDX-License-Identifier: GPL-2.0

//! What invalidates a range of addresses in TLBs: operands of TLBI IPAS2E1IS and RIPAS2E1IS.
//!
//! Source: Arm ARM, "TLBI IPAS2E1IS", "TLBI RIPAS2E1IS"; FEAT_TTL, FEAT_TLBIRANGE.

use crate::{
    granule::Granule,
    stage2::{
        geometry::{
            Geometry,
            Level, //
        },
        memory::Stale, //
    },
};

/// What CPUs have for the invalidation of TLBs.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TlbiFeatures {
    /// FEAT_TTL: operands may say the level.
    pub ttl: bool,
    /// FEAT_TLBIRANGE: one instruction may be about a range.
    pub range: bool,
}

/// The most operands for single entries.
pub const MAX_ENTRIES: usize = 64;
/// The most operands for ranges: one for each scale.
pub const MAX_RANGES: usize = 4;

/// Pages whose number takes more than the largest range.
const TOO_MANY: u64 = 1 << 21;

/// Operands that together are about a range of addresses.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Operands {
    entries: [u64; MAX_ENTRIES],
    entry_count: usize,
    ranges: [u64; MAX_RANGES],
    range_count: usize,
}

impl Operands {
    /// Returns the operands for what is stale in a range, whose addresses are multiples of the granule.
    ///
    /// [`None`] if all of the VM's translations are better invalidated, since it takes too many.
    pub fn new(
        geometry: &Geometry,
        features: TlbiFeatures,
        ipa: u64,
        size: u64,
        stale: Stale,
    ) -> Option<Self> {
        let mut operands = Self {
            entries: [0; MAX_ENTRIES],
            entry_count: 0,
            ranges: [0; MAX_RANGES],
            range_count: 0,
        };
        let (span, level) = match stale {
            Stale::Leaves(level) => (geometry.span(level), Some(level).filter(|_| features.ttl)),
            Stale::Tables => (geometry.span(Level::L3), None),
        };
        // A leaf is meant whole.
        let first = ipa & !(span - 1);
        let end = (ipa + size).checked_add(span - 1)? & !(span - 1);
        let mut at = first;
        // With FEAT_LPA2's descriptors a range begins at a multiple of 64 KiB.
        let aligned = if geometry.ds() { 1 << 16 } else { 1 };
        while at < end {
            let pages = (end - at) >> geometry.granule().shift();
            let few = pages < 2 || (end - at) / span <= 1;
            if features.range && at % aligned == 0 && !few {
                if pages > TOO_MANY {
                    return None;
                }
                at += operands.add_range(geometry, at, pages, level)?;
            } else {
                *operands.entries.get_mut(operands.entry_count)? =
                    ((at >> 12) & ENTRY_ADDRESS) | (hint(geometry, level) << ENTRY_TTL);
                operands.entry_count += 1;
                at += span;
            }
        }
        Some(operands)
    }

    /// Adds the largest range that begins at `at` and is not beyond as many pages, two at least.
    /// Returns its size in bytes.
    fn add_range(
        &mut self,
        geometry: &Geometry,
        at: u64,
        pages: u64,
        level: Option<Level>,
    ) -> Option<u64> {
        let scale = (0..4u64)
            .rev()
            .find(|scale| pages >> (5 * scale + 1) != 0)?;
        let unit = 1 << (5 * scale + 1);
        let count = (pages / unit).min(32);
        let tg = match geometry.granule() {
            Granule::K4 => 1,
            Granule::K16 => 2,
            Granule::K64 => 3,
        };
        let address = if geometry.ds() {
            at >> 16
        } else {
            at >> geometry.granule().shift()
        };
        // Without 52-bit addresses there are no blocks of level 1 but with 4 KiB.
        let ttl = match level {
            Some(level @ (Level::L1 | Level::L2 | Level::L3))
                if hint(geometry, Some(level)) != 0 =>
            {
                u64::from(level.get())
            }
            _ => 0,
        };
        *self.ranges.get_mut(self.range_count)? = (address & RANGE_ADDRESS)
            | (ttl << 37)
            | ((count - 1) << 39)
            | (scale << 44)
            | (tg << 46);
        self.range_count += 1;
        Some((count * unit) << geometry.granule().shift())
    }

    /// Returns the operands of IPAS2E1IS.
    #[inline]
    pub fn entries(&self) -> &[u64] {
        self.entries.get(..self.entry_count).unwrap_or(&[])
    }

    /// Returns the operands of RIPAS2E1IS.
    #[inline]
    pub fn ranges(&self) -> &[u64] {
        self.ranges.get(..self.range_count).unwrap_or(&[])
    }
}

/// Bits 51:12 of the address are in bits 39:0.
const ENTRY_ADDRESS: u64 = (1 << 40) - 1;
const ENTRY_TTL: u32 = 44;
const RANGE_ADDRESS: u64 = (1 << 37) - 1;

/// The field TTL of an operand for an entry; 0 is no hint, which is always right.
fn hint(geometry: &Geometry, level: Option<Level>) -> u64 {
    let granule = match geometry.granule() {
        Granule::K4 => 0b01,
        Granule::K16 => 0b10,
        Granule::K64 => 0b11,
    };
    match (level, geometry.granule()) {
        (Some(Level::L1), Granule::K4) => (granule << 2) | 1,
        (Some(level @ (Level::L2 | Level::L3)), _) => (granule << 2) | u64::from(level.get()),
        _ => 0,
    }
}
