// SPDX-License-Identifier: GPL-2.0

//! Cache type register.
//!
//! Source: Arm ARM, the page of CTR_EL0.

use crate::bit_struct;

bit_struct! {
    /// Cache Type Register.
    pub struct CtrEl0("CTR_EL0") {
        /// log2 of the words in the smallest instruction cache line.
        iminline / with_iminline: bits 0..=3,
        /// Level 1 instruction cache: 2 VIPT, 3 PIPT.
        l1ip / with_l1ip: bits 14..=15,
        /// log2 of the words in the smallest data cache line.
        dminline / with_dminline: bits 16..=19,
        /// log2 of the words of the exclusives reservation granule; 0 not given.
        erg / with_erg: bits 20..=23,
        /// log2 of the words of the cache write-back granule; 0 not given.
        cwg / with_cwg: bits 24..=27,
        /// Data cache clean is not needed for instruction coherence.
        idc / with_idc: flag 28,
        /// Instruction cache invalidate is not needed for instruction coherence.
        dic / with_dic: flag 29,
        /// log2 of the words covered by the tags of the smallest cache line.
        tminline / with_tminline: bits 32..=37,
    }
}

impl CtrEl0 {
    /// Returns the size in bytes of the smallest data cache line, the stride for DC by address.
    #[inline]
    pub const fn data_line_bytes(self) -> u32 {
        4 << self.dminline().get()
    }

    /// Returns the size in bytes of the smallest instruction cache line, the stride for IC by
    /// address.
    #[inline]
    pub const fn instruction_line_bytes(self) -> u32 {
        4 << self.iminline().get()
    }
}
