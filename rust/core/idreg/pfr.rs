// SPDX-License-Identifier: GPL-2.0

//! Processor feature registers.
//!
//! Source: Arm ARM, the pages of ID_AA64PFR0_EL1, ID_AA64PFR1_EL1 and ID_AA64PFR2_EL1.

use crate::{
    bit_enum,
    bit_struct, //
};

bit_enum! {
    /// The execution states of an Exception level.
    pub enum ElStates: 4 {
        /// The level is not implemented.
        NotImplemented = 0,
        /// AArch64 only.
        Aarch64 = 1,
        /// AArch64 and AArch32.
        Aarch64AndAarch32 = 2,
    }
}

bit_struct! {
    /// AArch64 Processor Feature Register 0.
    pub struct IdAa64Pfr0El1("ID_AA64PFR0_EL1") {
        /// States of EL0; [`None`] for a reserved value, as in `el1`, `el2` and `el3`.
        el0 / with_el0: option 0..=3 as ElStates,
        /// States of EL1.
        el1 / with_el1: option 4..=7 as ElStates,
        /// States of EL2.
        el2 / with_el2: option 8..=11 as ElStates,
        /// States of EL3.
        el3 / with_el3: option 12..=15 as ElStates,
        /// Floating-point: -1 none, 0 implemented, 1 with half precision.
        fp / with_fp: signed 16..=19,
        /// Advanced SIMD: -1 none, 0 implemented, 1 with half precision.
        advsimd / with_advsimd: signed 20..=23,
        /// GIC CPU interface system registers: 0 none, 1 GICv3 or v4.0, 3 GICv4.1.
        gic / with_gic: bits 24..=27,
        /// RAS extension: 1 FEAT_RAS, 2 v1.1, 3 v2.
        ras / with_ras: bits 28..=31,
        /// Scalable vectors: 1 FEAT_SVE.
        sve / with_sve: bits 32..=35,
        /// Secure EL2: 1 FEAT_SEL2.
        sel2 / with_sel2: bits 36..=39,
        /// Memory partitioning and monitoring, major version.
        mpam / with_mpam: bits 40..=43,
        /// Activity monitors: 1 FEAT_AMUv1, 2 v1.1.
        amu / with_amu: bits 44..=47,
        /// Data independent timing: 1 FEAT_DIT.
        dit / with_dit: bits 48..=51,
        /// Realm management: 1 FEAT_RME.
        rme / with_rme: bits 52..=55,
        /// Branch targets trained in one context do not steer another: 1 to 3.
        csv2 / with_csv2: bits 56..=59,
        /// Data loaded speculatively with a fault is not observable: 1.
        csv3 / with_csv3: bits 60..=63,
    }
}

impl IdAa64Pfr0El1 {
    /// Whether the GIC CPU interface has system registers of GICv3 or later.
    #[inline]
    pub const fn has_gic_sysregs(self) -> bool {
        self.gic().get() != 0
    }

    /// Whether EL0 can be in AArch32 state.
    #[inline]
    pub const fn el0_aarch32(self) -> bool {
        matches!(self.el0(), Some(ElStates::Aarch64AndAarch32))
    }

    /// Whether EL1 can be in AArch32 state; a 32-bit VM needs it.
    #[inline]
    pub const fn el1_aarch32(self) -> bool {
        matches!(self.el1(), Some(ElStates::Aarch64AndAarch32))
    }

    /// Whether EL2 is implemented; a reserved value counts as implemented.
    #[inline]
    pub const fn has_el2(self) -> bool {
        !matches!(self.el2(), Some(ElStates::NotImplemented))
    }
}

bit_struct! {
    /// AArch64 Processor Feature Register 1.
    pub struct IdAa64Pfr1El1("ID_AA64PFR1_EL1") {
        /// Branch target identification: 1 FEAT_BTI.
        bt / with_bt: bits 0..=3,
        /// Speculative Store Bypass Safe: 1 PSTATE.SSBS, 2 with MSR and MRS.
        ssbs / with_ssbs: bits 4..=7,
        /// Memory tagging: 1 instructions only, 2 FEAT_MTE2, 3 FEAT_MTE3.
        mte / with_mte: bits 8..=11,
        /// RAS minor version.
        ras_frac / with_ras_frac: bits 12..=15,
        /// MPAM minor version.
        mpam_frac / with_mpam_frac: bits 16..=19,
        /// Scalable matrices: 1 FEAT_SME, 2 FEAT_SME2.
        sme / with_sme: bits 24..=27,
        /// Trapping of RNDR: 1 FEAT_RNG_TRAP.
        rndr_trap / with_rndr_trap: bits 28..=31,
        /// CSV2 minor version.
        csv2_frac / with_csv2_frac: bits 32..=35,
        /// Non-maskable interrupts: 1 FEAT_NMI.
        nmi / with_nmi: bits 36..=39,
        /// Asynchronous tag check faults: 0 with them, 15 without.
        mte_frac / with_mte_frac: bits 40..=43,
        /// Guarded control stack: 1 FEAT_GCS.
        gcs / with_gcs: bits 44..=47,
        /// Translation hardening: 1 FEAT_THE.
        the / with_the: bits 48..=51,
        /// Memory tagging, further: 1 FEAT_MTE_NO_ADDRESS_TAGS and FEAT_MTE_CANONICAL_TAGS.
        mtex / with_mtex: bits 52..=55,
        /// Double fault: 1 FEAT_DoubleFault2.
        df2 / with_df2: bits 56..=59,
        /// Physical fault address registers: 1 FEAT_PFAR.
        pfar / with_pfar: bits 60..=63,
    }
}

bit_struct! {
    /// AArch64 Processor Feature Register 2.
    pub struct IdAa64Pfr2El1("ID_AA64PFR2_EL1") {
        /// Tag access permission of stage 2: 1 FEAT_MTE_PERM.
        mteperm / with_mteperm: bits 0..=3,
        /// Tag checks of stores only: 1 FEAT_MTE_STORE_ONLY.
        mtestoreonly / with_mtestoreonly: bits 4..=7,
        /// FAR_ELx keeps the tag on a tag check fault: 1 FEAT_MTE_TAGGED_FAR.
        mtefar / with_mtefar: bits 8..=11,
        /// GICv5 CPU interface: 1 FEAT_GCIE.
        gcie / with_gcie: bits 12..=15,
        /// Injection of UNDEFINED by PSTATE: 1 FEAT_UINJ.
        uinj / with_uinj: bits 16..=19,
        /// Floating-point mode register: 1 FEAT_FPMR.
        fpmr / with_fpmr: bits 32..=35,
    }
}
