// SPDX-License-Identifier: GPL-2.0

//! The CPU's translation regime for guests, EL1&0.

use crate::{
    bindings,
    machine::VheHost,
    pinned::PinnedCpu, //
};

/// Leaves the CPU with no stage 2 and with no guest's translations in its TLBs, whatever their VMID.
///
/// Arm ARM DDI 0487, "VTTBR_EL2" and "TLBI ALLE1".
pub fn reset_guest_translation(_host: VheHost, _cpu: &PinnedCpu) {
    // SAFETY: The host runs at EL2 with VHE (`VheHost`), where it uses the EL2&0 regime and nothing
    // of EL1&0. Nothing in this crate loads a guest, so there is none to take the tables away from.
    unsafe { bindings::kvm_vhe_reset_guest_translation() }
}

/// Whether hardware may be let set access flags where it has FEAT_HAFDBS: not on AmpereOne
/// (AC03_CPU_38).
pub fn may_set_access_flags() -> bool {
    // SAFETY: Reads what the kernel has found out of its CPUs, at any time.
    !unsafe { bindings::kvm_vhe_access_flag_erratum() }
}

/// Whether a valid entry may be replaced by one of another size that maps the same: no CPU takes a TLB
/// conflict abort for what its TLBs then have twice. Arm ARM DDI 0487, "Support levels for changing
/// table or block size"; the kernel knows CPUs that do not say so in ID_AA64MMFR2_EL1.BBM.
pub fn may_resize_live() -> bool {
    // SAFETY: As above.
    unsafe { bindings::kvm_vhe_live_resize() }
}
