// SPDX-License-Identifier: GPL-2.0

//! Invalidation of a guest's translations.
//!
//! A VHE host lives in the EL2&0 regime; a TLBI concerns a guest's EL1&0 regime, and the VMID in
//! VTTBR_EL2, only with HCR_EL2.TGE clear. The functions in `tlb.S` load the VM's VTTBR_EL2 and
//! VTCR_EL2, clear TGE, invalidate, and put back what was there, with all exceptions masked from the
//! first to the last. So they may be called anywhere, whether or not this CPU has a vCPU loaded, of
//! this VM or of another.
//!
//! Arm ARM DDI 0487, "TLB maintenance instructions", "VTTBR_EL2", "HCR_EL2".

use crate::{
    bindings,
    machine::VheHost,
    pinned::PinnedCpu, //
};
use core::marker::PhantomData;
use kvm_core::stage2::{
    tlbi::Operands,
    Format,
    TableAddr,
    VtcrEl2,
    VttbrEl2, //
};

/// The registers that name a VM's stage 2 and its VMID. The tables stay as long as these.
#[derive(Clone, Copy, Debug)]
pub struct Stage2Registers<'a> {
    /// VTTBR_EL2, with the VMID.
    pub(crate) vttbr: u64,
    /// VTCR_EL2.
    pub(crate) vtcr: u64,
    _tables: PhantomData<&'a ()>,
}

impl<'a> Stage2Registers<'a> {
    /// For tables of this format whose root is there as long as `_owner` is borrowed, and everything
    /// that it leads to.
    #[inline]
    pub(crate) const fn new<T>(format: &Format, root: TableAddr, vmid: u16, _owner: &'a T) -> Self {
        Self {
            vttbr: VttbrEl2::new(root, vmid).into_raw(),
            vtcr: VtcrEl2::new(format).into_raw(),
            _tables: PhantomData,
        }
    }
}

/// Invalidates, on all CPUs, what depends on the translation of some addresses: stage 2's entries, and
/// all that combines stages, which has no address of stage 2 any more. Entries that were written before
/// are seen by walkers afterwards.
///
/// There are ranges among them only if all CPUs have FEAT_TLBIRANGE.
pub fn invalidate_ipas(_host: VheHost, stage2: Stage2Registers<'_>, operands: &Operands) {
    let (entries, ranges) = (operands.entries(), operands.ranges());

    // SAFETY: The host is at EL2 with VHE (`VheHost`) and uses nothing of EL1&0, so that which stage
    // 2 is loaded makes no difference to it, and the function puts back what was. Invalidating costs
    // speed at most. The arrays are as long as it is told.
    unsafe {
        bindings::kvm_vhe_tlbi_ipas(
            stage2.vttbr,
            stage2.vtcr,
            entries.as_ptr(),
            entries.len(),
            ranges.as_ptr(),
            ranges.len(),
        )
    }
}

/// Invalidates, on this CPU only, what depends on the translation of the page or block at `ipa`: for a
/// guest that faulted by what is in the TLB while the tables allow more by now.
pub fn invalidate_ipa_here(
    _host: VheHost,
    stage2: Stage2Registers<'_>,
    ipa: u64,
    _cpu: &PinnedCpu,
) {
    // SAFETY: As in `invalidate_ipas()`. Bits 51:12 of the address, and no hint of a level.
    unsafe {
        bindings::kvm_vhe_tlbi_ipa_local(stage2.vttbr, stage2.vtcr, ipa >> 12 & (1 << 40) - 1)
    }
}

/// Invalidates, on all CPUs, all translations of the VMID, of both stages.
pub fn invalidate_vmid(_host: VheHost, stage2: Stage2Registers<'_>) {
    // SAFETY: As in `invalidate_ipas()`.
    unsafe { bindings::kvm_vhe_tlbi_vmid(stage2.vttbr, stage2.vtcr) }
}

/// Invalidates, on this CPU only, all translations of the VMID at stage 1 or combined: what another
/// vCPU of the VM left here, since vCPUs share the VMID, and each has ASIDs and local invalidation
/// of its own. And the instruction cache, into which a vCPU with its MMU off may have fetched from
/// the Point of Coherency what others have cleaned to the Point of Unification only.
pub fn invalidate_local(_host: VheHost, stage2: Stage2Registers<'_>, _cpu: &PinnedCpu) {
    // SAFETY: As in `invalidate_ipas()`.
    unsafe { bindings::kvm_vhe_tlbi_local(stage2.vttbr, stage2.vtcr) }
}
