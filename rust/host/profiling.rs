// SPDX-License-Identifier: GPL-2.0

//! Statistical profiling (FEAT_SPE): the host's, and of the host only.

use crate::{
    el2::{
        PMBIDR_EL1,
        PMBIDR_P,
        PMSCR_EL12, //
    },
    machine::VheHost,
    pinned::PinnedCpu,
    sysreg::{
        mrs,
        msr, //
    },
};
use kvm_core::{
    idreg::IdAa64Dfr0El1,
    sysreg::SysReg, //
};

/// Keeps the host's profiling from sampling guests on this CPU: PMSCR_EL1.E0SPE and E1SPE are UNKNOWN
/// after a reset, and the host writes PMSCR_EL2 only. Guests have no access to either.
///
/// Arm ARM DDI 0487, "PMSCR_EL1" and the pseudocode function StatisticalProfilingEnabled.
pub fn exclude_guests(_host: VheHost, _cpu: &PinnedCpu) {
    // SAFETY: The ID registers can be read at EL2.
    let dfr0 = IdAa64Dfr0El1::from_raw(unsafe { mrs!(SysReg::ID_AA64DFR0_EL1) });

    if dfr0.pmsver().get() == 0 {
        return;
    }
    // SAFETY: With FEAT_SPE the register exists; reading it never traps.
    if unsafe { mrs!(PMBIDR_EL1) } & PMBIDR_P != 0 {
        return;
    }
    // SAFETY: At EL2 with VHE (`_host`) this is PMSCR_EL1, which EL2 may write as the profiling
    // buffer is not EL3's. The host at EL2 is profiled by PMSCR_EL2.
    unsafe { msr!(PMSCR_EL12, 0) };
}
