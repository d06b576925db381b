// SPDX-License-Identifier: GPL-2.0

//! Interrupt numbers (INTIDs).
//!
//! Source: IHI 0069, "INTIDs".

/// The number of SGIs and PPIs, which each vCPU has for itself: INTIDs 0 to 31.
pub const PRIVATE: usize = 32;

/// The most SPIs that a VM has: INTIDs 32 to 1019.
pub const MAX_SPIS: usize = 1020 - PRIVATE;

/// The number of bits of an INTID, LPIs included; GICD_TYPER.IDbits is one less.
pub const INTID_BITS: u32 = 16;

/// The first INTID of an LPI.
pub const FIRST_LPI: u32 = 8192;

/// The INTID of an interrupt: an SGI, a PPI, an SPI or an LPI.
///
/// # Invariants
///
/// Below 1020, or from [`FIRST_LPI`] to the largest number of [`INTID_BITS`] bits: neither one
/// of the special numbers 1020 to 1023, nor reserved, nor of the extended ranges.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(transparent)]
pub struct IntId(u16);

/// What an [`IntId`] belongs to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Software-generated, 0 to 15; private.
    Sgi,
    /// From a device of a CPU, 16 to 31; private.
    Ppi,
    /// Shared, 32 to 1019.
    Spi,
    /// Message-signalled, from [`FIRST_LPI`].
    Lpi,
}

impl IntId {
    /// Returns `number` as an INTID, or [`None`] if no interrupt has it.
    #[inline]
    pub const fn new(number: u32) -> Option<Self> {
        if number < (PRIVATE + MAX_SPIS) as u32
            || (number >= FIRST_LPI && number >> INTID_BITS == 0)
        {
            Some(Self(number as u16))
        } else {
            None
        }
    }

    /// Returns the SGI or PPI with this number, or [`None`] if there is none.
    #[inline]
    pub const fn private(number: u32) -> Option<Self> {
        match Self::new(number) {
            Some(intid) if intid.is_private() => Some(intid),
            _ => None,
        }
    }

    /// Returns the SPI with this INTID, or [`None`] if it is not one.
    #[inline]
    pub const fn spi(number: u32) -> Option<Self> {
        match Self::new(number) {
            Some(intid) if matches!(intid.kind(), Kind::Spi) => Some(intid),
            _ => None,
        }
    }

    /// Returns the LPI with this INTID, or [`None`] if it is not one.
    #[inline]
    pub const fn lpi(number: u32) -> Option<Self> {
        match Self::new(number) {
            Some(intid) if matches!(intid.kind(), Kind::Lpi) => Some(intid),
            _ => None,
        }
    }

    /// Returns the number.
    #[inline]
    pub const fn get(self) -> u32 {
        self.0 as u32
    }

    /// Returns the number as an index: of a private interrupt into a vCPU's [`PRIVATE`].
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }

    /// Returns an SPI's index among the SPIs, from 0; [`None`] if it is not one.
    #[inline]
    pub const fn spi_index(self) -> Option<usize> {
        match self.kind() {
            Kind::Spi => Some(self.0 as usize - PRIVATE),
            Kind::Sgi | Kind::Ppi | Kind::Lpi => None,
        }
    }

    /// Returns what it belongs to.
    #[inline]
    pub const fn kind(self) -> Kind {
        match self.0 {
            0..=15 => Kind::Sgi,
            16..=31 => Kind::Ppi,
            32..=1019 => Kind::Spi,
            _ => Kind::Lpi,
        }
    }

    /// Whether each vCPU has one of its own.
    #[inline]
    pub const fn is_private(self) -> bool {
        (self.0 as usize) < PRIVATE
    }
}
