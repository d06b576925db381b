// SPDX-License-Identifier: GPL-2.0

//! A guest's counters and timers in the CPU.
//!
//! The EL1 virtual timer is the guest's alone, and so is the EL1 physical timer where the host has VHE;
//! their registers move with the others of the register table. Here is what is around them: the
//! offsets of the counters, traps, and that no timer of a guest goes on in the host.
//!
//! Source: Arm ARM DDI 0487, "The Generic Timer in AArch64 state", "CNTHCTL_EL2", "CNTPOFF_EL2".

use crate::{
    el2::*,
    machine::VheHost,
    sysreg::{
        mrs,
        msr, //
    }, //
};
use kvm_core::{
    timer::{
        CounterOffsets,
        Frequency,
        Timer, //
    },
    traps::{
        cnthctl,
        CnthctlEl2, //
    },
};

/// The frequency of the counter; [`None`] if firmware has not said it.
pub fn frequency(_host: VheHost) -> Option<Frequency> {
    // SAFETY: The register exists on all CPUs, and is only read.
    Frequency::new(unsafe { mrs!(CNTFRQ_EL0) })
}

/// Sets the offsets of the counters, and what of them traps; the timers are off. `cntpoff` says that
/// the CPUs have CNTPOFF_EL2.
///
/// # Safety
///
/// The host is at EL2 with VHE, no vCPU is loaded on this CPU, and the caller stays on it.
#[inline]
pub(crate) unsafe fn load(offsets: &CounterOffsets, cntpoff: bool) {
    let physical = offsets.get(Timer::Physical);

    // SAFETY: By this function's contract these exist and are nobody else's: the host's own timers and
    // its view of the counters have no offset.
    unsafe {
        msr!(CNTVOFF_EL2, offsets.get(Timer::Virtual));
        if cntpoff {
            msr!(CNTPOFF_EL2, physical);
        }
        let host = CnthctlEl2::from_raw(mrs!(CNTHCTL_EL2));
        msr!(
            CNTHCTL_EL2,
            cnthctl(host, cntpoff, physical == 0).into_raw()
        );
    }
}

/// Switches the timers off, so that none of a guest goes on in the host.
///
/// # Safety
///
/// The host is at EL2 with VHE, and the vCPU's registers have been saved.
#[inline]
pub(crate) unsafe fn put() {
    // SAFETY: By this function's contract these exist, and are the guest's.
    unsafe {
        msr!(CNTV_CTL_EL02, 0);
        msr!(CNTP_CTL_EL02, 0);
    }
}
