// SPDX-License-Identifier: GPL-2.0

//! LPIs' configuration.
//!
//! Source: IHI 0069, "LPI Configuration tables".

use super::id::{
    LpiId,
    FIRST_LPI,
    LPI_BITS, //
};

/// An LPI's configuration.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Default)]
pub struct LpiConfig {
    /// It can be taken.
    pub enabled: bool,
    /// Its priority, of which the two low bits are zero.
    pub priority: u8,
}

impl LpiConfig {
    /// Returns what a byte of the table says.
    #[inline]
    pub const fn from_byte(byte: u8) -> Self {
        Self {
            enabled: byte & 1 != 0,
            priority: byte & 0xfc,
        }
    }
}

/// The LPI configuration table, a byte per LPI.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ConfigTable {
    /// Its IPA, GICR_PROPBASER.Physical_Address.
    pub base: u64,
    /// The number of bits of the INTIDs it has, GICR_PROPBASER.IDbits + 1; more than [`LPI_BITS`]
    /// means the same as that many.
    pub id_bits: u32,
}

impl ConfigTable {
    /// Returns the IPA of an LPI's byte, or [`None`] if it has none.
    pub fn entry(&self, id: LpiId) -> Option<u64> {
        let ids = 1 << self.id_bits.min(LPI_BITS);
        (id.get() < ids).then(|| self.base.wrapping_add((id.get() - FIRST_LPI).into()))
    }
}
