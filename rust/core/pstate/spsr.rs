// SPDX-License-Identifier: GPL-2.0

//! The two formats of SPSR_ELx.

use crate::{
    bit_struct,
    pstate::mode::Mode, //
};

bit_struct! {
    /// PSTATE of AArch64 state, in the format of SPSR_EL1 and SPSR_EL2.
    ///
    /// Source: Arm ARM, SPSR_EL2, "An exception was taken from AArch64 state". Bits of features
    /// that a PE lacks are RES0 there.
    pub struct Pstate("SPSR_ELx") {
        /// Exception level and stack pointer; [`None`] for a number that is no mode.
        mode / with_mode: option 0..=4 as Mode,
        /// FIQ mask.
        f / with_f: flag 6,
        /// IRQ mask.
        i / with_i: flag 7,
        /// SError mask.
        a / with_a: flag 8,
        /// Debug exception mask.
        d / with_d: flag 9,
        /// Branch type (FEAT_BTI).
        btype / with_btype: bits 10..=11,
        /// Speculative Store Bypass Safe; set means that speculation is allowed (FEAT_SSBS).
        ssbs / with_ssbs: flag 12,
        /// All interrupts mask (FEAT_NMI).
        allint / with_allint: flag 13,
        /// Illegal execution state.
        il / with_il: flag 20,
        /// Software step.
        ss / with_ss: flag 21,
        /// Privileged access never (FEAT_PAN).
        pan / with_pan: flag 22,
        /// User access override (FEAT_UAO).
        uao / with_uao: flag 23,
        /// Data independent timing (FEAT_DIT).
        dit / with_dit: flag 24,
        /// Tag check override (FEAT_MTE).
        tco / with_tco: flag 25,
        /// Overflow condition.
        v / with_v: flag 28,
        /// Carry condition.
        c / with_c: flag 29,
        /// Zero condition.
        z / with_z: flag 30,
        /// Negative condition.
        n / with_n: flag 31,
        /// PMU exception mask (FEAT_EBEP).
        pm / with_pm: flag 32,
        /// PMU exception pending (FEAT_SEBEP).
        ppend / with_ppend: flag 33,
        /// Exception return state lock (FEAT_GCS).
        exlock / with_exlock: flag 34,
        /// Pointer authentication instructions with PC (FEAT_PAuth_LR).
        pacm / with_pacm: flag 35,
        /// Inject an UNDEFINED instruction exception (FEAT_UINJ).
        uinj / with_uinj: flag 36,
    }
}

bit_struct! {
    /// PSTATE of AArch32 state, in the format of SPSR_EL1 and SPSR_EL2.
    ///
    /// Source: Arm ARM, SPSR_EL2, "An exception was taken from AArch32 state". It differs from the
    /// CPSR that AArch32 code sees in the place of DIT, which is bit 21 there.
    pub struct Pstate32("SPSR_ELx, from AArch32") {
        /// Mode; [`None`] for a number that is no mode.
        mode / with_mode: option 0..=4 as Mode,
        /// T32 instruction set.
        t / with_t: flag 5,
        /// FIQ mask.
        f / with_f: flag 6,
        /// IRQ mask.
        i / with_i: flag 7,
        /// SError mask.
        a / with_a: flag 8,
        /// Big-endian data.
        e / with_e: flag 9,
        /// If-Then state, bits 7 to 2.
        it_hi / with_it_hi: bits 10..=15,
        /// Greater than or equal flags.
        ge / with_ge: bits 16..=19,
        /// Illegal execution state.
        il / with_il: flag 20,
        /// Software step.
        ss / with_ss: flag 21,
        /// Privileged access never (FEAT_PAN).
        pan / with_pan: flag 22,
        /// Speculative Store Bypass Safe; set means that speculation is allowed (FEAT_SSBS).
        ssbs / with_ssbs: flag 23,
        /// Data independent timing (FEAT_DIT).
        dit / with_dit: flag 24,
        /// If-Then state, bits 1 and 0.
        it_lo / with_it_lo: bits 25..=26,
        /// Cumulative saturation.
        q / with_q: flag 27,
        /// Overflow condition.
        v / with_v: flag 28,
        /// Carry condition.
        c / with_c: flag 29,
        /// Zero condition.
        z / with_z: flag 30,
        /// Negative condition.
        n / with_n: flag 31,
    }
}
