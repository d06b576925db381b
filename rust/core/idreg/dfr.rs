// SPDX-License-Identifier: GPL-2.0

//! Debug feature registers.
//!
//! Source: Arm ARM, the pages of ID_AA64DFR0_EL1 and ID_AA64DFR1_EL1.

use crate::bit_struct;

bit_struct! {
    /// AArch64 Debug Feature Register 0.
    pub struct IdAa64Dfr0El1("ID_AA64DFR0_EL1") {
        /// Debug architecture: 6 Armv8.0, 7 with VHE, 8 Armv8.2, 9 Armv8.4, 10 Armv8.8, 11 Armv8.9.
        debugver / with_debugver: bits 0..=3,
        /// System registers of the trace unit: 1.
        tracever / with_tracever: bits 4..=7,
        /// PMU: 0 none, 1 PMUv3, 4 and up its successors, 15 implementation defined.
        pmuver / with_pmuver: bits 8..=11,
        /// Breakpoints, less one; see [`Self::breakpoints`].
        brps / with_brps: bits 12..=15,
        /// PMU snapshots: 1 FEAT_PMUv3_SS.
        pmss / with_pmss: bits 16..=19,
        /// Watchpoints, less one; see [`Self::watchpoints`].
        wrps / with_wrps: bits 20..=23,
        /// Synchronous PMU exceptions: 1 FEAT_SEBEP.
        sebep / with_sebep: bits 24..=27,
        /// Breakpoints that match contexts, less one.
        ctx_cmps / with_ctx_cmps: bits 28..=31,
        /// Statistical profiling: 0 none, 1 FEAT_SPE, 2 and up its successors.
        pmsver / with_pmsver: bits 32..=35,
        /// OS double lock: 0 implemented, -1 not.
        doublelock / with_doublelock: signed 36..=39,
        /// Self-hosted trace: 1 FEAT_TRF.
        tracefilt / with_tracefilt: bits 40..=43,
        /// Trace buffer: 1 FEAT_TRBE, 2 v1.1.
        tracebuffer / with_tracebuffer: bits 44..=47,
        /// Multi-threaded PMU: 1 FEAT_MTPMU, -1 none, 0 either.
        mtpmu / with_mtpmu: signed 48..=51,
        /// Branch records: 1 FEAT_BRBE, 2 v1.1.
        brbe / with_brbe: bits 52..=55,
        /// External mode of the trace buffer: 1.
        exttrcbuff / with_exttrcbuff: bits 56..=59,
        /// MDCR_EL2.HPMN may be 0: 1 FEAT_HPMN0.
        hpmn0 / with_hpmn0: bits 60..=63,
    }
}

impl IdAa64Dfr0El1 {
    /// Whether there is a PMU that follows the PMUv3 architecture.
    #[inline]
    pub const fn has_pmuv3(self) -> bool {
        !matches!(self.pmuver().get(), 0 | 15)
    }

    /// Returns the number of breakpoints: 2 to 16 (1 is reserved).
    ///
    /// A CPU with more has 16 here and the true number in ID_AA64DFR1_EL1.
    #[inline]
    pub const fn breakpoints(self) -> u8 {
        self.brps().get() as u8 + 1
    }

    /// Returns the number of watchpoints: 2 to 16 (1 is reserved).
    ///
    /// A CPU with more has 16 here and the true number in ID_AA64DFR1_EL1.
    #[inline]
    pub const fn watchpoints(self) -> u8 {
        self.wrps().get() as u8 + 1
    }
}

bit_struct! {
    /// AArch64 Debug Feature Register 1.
    pub struct IdAa64Dfr1El1("ID_AA64DFR1_EL1") {
        /// System PMU ID.
        syspmuid / with_syspmuid: bits 0..=7,
        /// Breakpoints, less one; 0 means to see ID_AA64DFR0_EL1.
        brps / with_brps: bits 8..=15,
        /// Watchpoints, less one; 0 means to see ID_AA64DFR0_EL1.
        wrps / with_wrps: bits 16..=23,
        /// Breakpoints that match contexts, less one; 0 means to see ID_AA64DFR0_EL1.
        ctx_cmps / with_ctx_cmps: bits 24..=31,
        /// System PMU: 1 FEAT_SPMU, 2 FEAT_SPMU2.
        spmu / with_spmu: bits 32..=35,
        /// PMU instruction counter: 1 FEAT_PMUv3_ICNTR.
        pmicntr / with_pmicntr: bits 36..=39,
        /// Address breakpoint linking: 1 FEAT_ABLE.
        able / with_able: bits 40..=43,
        /// Instrumentation trace: 1 FEAT_ITE.
        ite / with_ite: bits 44..=47,
        /// PMU exceptions: 1 FEAT_EBEP.
        ebep / with_ebep: bits 48..=51,
        /// Freezing of the cycle counter by statistical profiling: 1.
        dpfzs / with_dpfzs: bits 52..=55,
        /// Breakpoints that can be linked, less one.
        abl_cmps / with_abl_cmps: bits 56..=63,
    }
}
