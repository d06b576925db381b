// SPDX-License-Identifier: GPL-2.0

//! GIC CPU interface: what the hypervisor's part of it can do.
//!
//! Source: Arm GIC Architecture Specification IHI 0069, the pages of ICH_VTR_EL2 and ICC_SRE_EL2.

use crate::bit_struct;

bit_struct! {
    /// Interrupt Controller VGIC Type Register.
    pub struct IchVtrEl2("ICH_VTR_EL2") {
        /// List registers, less one; see [`Self::list_registers`].
        listregs / with_listregs: bits 0..=4,
        /// Masking of directly injected interrupts.
        dvim / with_dvim: flag 18,
        /// Separate trapping of writes to ICV_DIR_EL1 (ICH_HCR_EL2.TDIR).
        tds / with_tds: flag 19,
        /// Direct injection of virtual interrupts is *not* supported.
        nv4 / with_nv4: flag 20,
        /// Affinity level 3 may be nonzero.
        a3v / with_a3v: flag 21,
        /// Locally generated SError interrupts.
        seis / with_seis: flag 22,
        /// Virtual interrupt identifiers: 0 is 16 bits, 1 is 24 bits.
        idbits / with_idbits: bits 23..=25,
        /// Virtual preemption bits, less one.
        prebits / with_prebits: bits 26..=28,
        /// Virtual priority bits, less one.
        pribits / with_pribits: bits 29..=31,
    }
}

impl IchVtrEl2 {
    /// Returns the number of list registers, 1 to 16.
    ///
    /// The field could say up to 32, but the architecture has 16 (ICH_LR0_EL2 to ICH_LR15_EL2).
    #[inline]
    pub const fn list_registers(self) -> u8 {
        match self.listregs().get() {
            last @ 0..=15 => last as u8 + 1,
            _ => 16,
        }
    }

    /// Returns the number of virtual priority bits: 5 to 8, by the architecture.
    #[inline]
    pub const fn priority_bits(self) -> u8 {
        self.pribits().get() as u8 + 1
    }

    /// Returns the number of virtual preemption bits: 5 to 7, by the architecture, and not more
    /// than the priority bits.
    #[inline]
    pub const fn preemption_bits(self) -> u8 {
        self.prebits().get() as u8 + 1
    }

    /// Returns the size of virtual interrupt identifiers in bits, 16 or 24; [`None`] for a
    /// reserved value.
    #[inline]
    pub const fn intid_bits(self) -> Option<u8> {
        match self.idbits().get() {
            0 => Some(16),
            1 => Some(24),
            _ => None,
        }
    }
}

bit_struct! {
    /// Interrupt Controller System Register Enable register, EL2.
    pub struct IccSreEl2("ICC_SRE_EL2") {
        /// The system registers of the CPU interface are used, not memory-mapped ones.
        sre / with_sre: flag 0,
        /// FIQ bypass is disabled.
        dfb / with_dfb: flag 1,
        /// IRQ bypass is disabled.
        dib / with_dib: flag 2,
        /// EL1 may access ICC_SRE_EL1.
        enable / with_enable: flag 3,
    }
}
