// SPDX-License-Identifier: GPL-2.0

//! Taking an exception to EL1 with AArch64 state, as injection has to imitate it.
//!
//! Source: Arm ARM, the pseudocode function AArch64.TakeException, and "Exception vectors" for the
//! offsets.

use crate::{
    bit_struct,
    pstate::{
        guest::{
            GuestPstate,
            PstateFeatures, //
        },
        mode::Mode,
        spsr::Pstate, //
    },
};

bit_struct! {
    /// The bits of SCTLR_EL1 that exception entry depends on.
    pub struct SctlrEntry("SCTLR_EL1") {
        /// Set Privileged Access Never: clear makes entry set PSTATE.PAN.
        span / with_span: flag 23,
        /// Default PSTATE.SSBS on entry.
        dssbs / with_dssbs: flag 44,
        /// Set makes entry clear PSTATE.ALLINT, clear makes it set it (FEAT_NMI).
        spintmask / with_spintmask: flag 62,
    }
}

/// The features of the VM that exception entry depends on.
///
/// PSTATE bits of a feature that the VM lacks are RES0 and are left clear.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct EntryFeatures {
    /// FEAT_PAN.
    pub pan: bool,
    /// FEAT_SSBS.
    pub ssbs: bool,
    /// FEAT_DIT.
    pub dit: bool,
    /// FEAT_MTE2.
    pub mte2: bool,
    /// FEAT_NMI.
    pub nmi: bool,
    /// FEAT_EBEP.
    pub ebep: bool,
    /// FEAT_GCS, and GCSCR_EL1.EXLOCKEN is set.
    pub gcs_exlocken: bool,
}

impl EntryFeatures {
    /// Returns what entry depends on in a VM with `features`; `gcs_exlocken` is GCSCR_EL1.EXLOCKEN
    /// of the vCPU.
    #[inline]
    pub const fn of(features: PstateFeatures, gcs_exlocken: bool) -> Self {
        Self {
            pan: features.pan,
            ssbs: features.ssbs,
            dit: features.dit,
            mte2: features.mte2,
            nmi: features.nmi,
            ebep: features.ebep,
            gcs_exlocken: features.gcs && gcs_exlocken,
        }
    }
}

/// Which of the four vectors of a group is taken.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum ExceptionKind {
    /// Synchronous exception.
    Synchronous,
    /// IRQ or vIRQ.
    Irq,
    /// FIQ or vFIQ.
    Fiq,
    /// SError or vSError.
    SError,
}

impl ExceptionKind {
    /// Returns the offset from VBAR_EL1 of the vector for an exception that `from` is interrupted
    /// by, or [`None`] if `from` cannot take one to an AArch64 EL1: EL2, EL3 and AArch32 above EL0.
    #[inline]
    pub const fn vector_offset(self, from: Mode) -> Option<u64> {
        let group = match from {
            Mode::El1t => 0x000,
            Mode::El1h => 0x200,
            Mode::El0t => 0x400,
            Mode::Usr => 0x600,
            _ => return None,
        };
        let vector = match self {
            Self::Synchronous => 0x000,
            Self::Irq => 0x080,
            Self::Fiq => 0x100,
            Self::SError => 0x180,
        };
        Some(group | vector)
    }
}

/// What taking an exception to EL1 writes, but for ELR_EL1, FAR_EL1 and ESR_EL1.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct ExceptionEntry {
    /// PSTATE in the handler.
    pub pstate: GuestPstate,
    /// SPSR_EL1.
    pub spsr: u64,
    /// What to add to VBAR_EL1 for the handler's address.
    pub vector_offset: u64,
}

impl ExceptionEntry {
    /// Returns the effect of an exception of `kind` that is taken to EL1 with AArch64 state.
    ///
    /// [`None`] if `from` is an AArch32 mode above EL0: the exception then goes to AArch32, by
    /// other rules. A VM with nested virtualization (HCR_EL2.NV seen by EL1) is not covered: the
    /// mode that SPSR_EL1 shows is the true one.
    pub const fn new(
        from: GuestPstate,
        kind: ExceptionKind,
        sctlr: SctlrEntry,
        features: EntryFeatures,
    ) -> Option<Self> {
        let Some(vector_offset) = kind.vector_offset(from.mode()) else {
            return None;
        };
        // N, Z, C, V, DIT and PAN have the same places in both formats.
        let old = Pstate::from_raw(from.into_raw());
        let same_el = matches!(from.mode(), Mode::El1t | Mode::El1h);
        // UAO, BTYPE, IL, SS, PACM and UINJ become 0, with PPEND, which only hardware sets.
        let pstate = Pstate::from_raw(0)
            .with_n(old.n())
            .with_z(old.z())
            .with_c(old.c())
            .with_v(old.v())
            .with_dit(features.dit && old.dit())
            .with_pan(features.pan && (old.pan() || !sctlr.span()))
            .with_ssbs(features.ssbs && sctlr.dssbs())
            .with_tco(features.mte2)
            .with_allint(features.nmi && !sctlr.spintmask())
            .with_pm(features.ebep)
            .with_exlock(features.gcs_exlocken && same_el)
            .with_d(true)
            .with_a(true)
            .with_i(true)
            .with_f(true);
        Some(Self {
            pstate: GuestPstate::from_el1h(pstate),
            spsr: from.into_raw(),
            vector_offset,
        })
    }
}
