// SPDX-License-Identifier: GPL-2.0

//! The controls of a guest: what is set at load, beside its registers.

use kvm_core::{
    lazy::TrapField,
    register::FeatureSet,
    timer::CounterOffsets, //
};

/// What is set at load, beside the registers: the controls of the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controls {
    /// The features whose deferred registers are loaded.
    pub features: FeatureSet,
    /// HCR_EL2, less what changes while the vCPU runs.
    pub hcr: u64,
    /// HCRX_EL2; zero where the CPU has none.
    pub hcrx: u64,
    /// MDCR_EL2, less HPMN.
    pub mdcr: u64,
    /// CPTR_EL2, with the layout for E2H, while the guest's FP/SIMD registers are in the CPU.
    pub cptr: u64,
    /// HFGRTR_EL2 and HFGWTR_EL2.
    pub hfg: u64,
    /// Of HFGWTR_EL2, what tells of writes to registers that are saved only if there were any; none
    /// without FEAT_FGT, and if that is not wanted.
    pub tracking: Option<TrapField>,
    /// HFGITR_EL2.
    pub hfgitr: u64,
    /// HDFGRTR_EL2 and HDFGWTR_EL2.
    pub hdfg: u64,
    /// HFGITR2_EL2.
    pub hfgitr2: u64,
    /// What the guest's counters are behind the host's. [`Feature::PHYSICAL_TIMER`] goes with it.
    ///
    /// [`Feature::PHYSICAL_TIMER`]: kvm_core::register::Feature::PHYSICAL_TIMER
    pub offsets: CounterOffsets,
    /// VPIDR_EL2, the guest's MIDR_EL1, if it is not the CPU's.
    pub vpidr: Option<u64>,
    /// ICH_HCR_EL2: what of the GIC's CPU interface traps.
    pub ich_hcr: u64,
}

/// Which registers of controls the CPUs have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ControlRegisters {
    /// FEAT_FGT.
    pub fgt: bool,
    /// FEAT_FGT2.
    pub fgt2: bool,
    /// FEAT_HCX.
    pub hcx: bool,
    /// FEAT_RAS: VSESR_EL2.
    pub ras: bool,
    /// FEAT_PMUv3: PMUSERENR_EL0.
    pub pmu: bool,
    /// FEAT_MPAM: MPAM2_EL2.
    pub mpam: bool,
    /// FEAT_ECV_POFF: CNTPOFF_EL2.
    pub cntpoff: bool,
}
