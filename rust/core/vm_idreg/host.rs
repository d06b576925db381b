// SPDX-License-Identifier: GPL-2.0

//! The ID registers of the host, from which those of VMs are made.

use crate::{
    idreg::IdAa64Pfr0El1,
    sysreg::SysReg,
    vm_idreg::{
        space::SlotArray,
        view::IdView, //
    },
};

/// What the host knows about its CPUs beyond their ID registers.
///
/// The default is the cautious answer to each question.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct HostFacts {
    /// No CPU is affected by Spectre variant 2, although ID_AA64PFR0_EL1.CSV2 may not say so.
    pub spectre_v2_unaffected: bool,
    /// No CPU is affected by Meltdown, although ID_AA64PFR0_EL1.CSV3 may not say so.
    pub meltdown_unaffected: bool,
    /// An erratum makes CNTVOFF_EL2 unusable for WFIT and WFET.
    pub broken_cntvoff: bool,
}

/// The ID registers that all CPUs of the host have in common.
#[derive(Clone, Debug)]
pub struct HostIdRegs {
    values: SlotArray,
    facts: HostFacts,
}

impl HostIdRegs {
    /// Returns the host with these registers; see `HostIdRegs::read`.
    pub(crate) fn new(values: SlotArray, facts: HostFacts) -> Self {
        Self { values, facts }
    }

    /// Returns what else is known of the host.
    #[inline]
    pub fn facts(&self) -> HostFacts {
        self.facts
    }

    /// Whether all CPUs can run AArch32 at EL0. If not, a VM's ID registers of AArch32 read as zero
    /// and ignore writes.
    #[inline]
    pub fn has_aarch32_el0(&self) -> bool {
        self.reg::<IdAa64Pfr0El1>().el0_aarch32()
    }
}

impl IdView for HostIdRegs {
    #[inline]
    fn raw(&self, reg: SysReg) -> u64 {
        self.values.raw(reg)
    }
}
