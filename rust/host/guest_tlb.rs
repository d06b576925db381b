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

/// The registers that name a VM's stage 2 and its VMID.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stage2Registers {
    /// VTTBR_EL2, with the VMID.
    pub vttbr: u64,
    /// VTCR_EL2.
    pub vtcr: u64,
}

/// The level of the entries that changed, as a hint of what to invalidate: FEAT_TTL.
///
/// Arm ARM DDI 0487, "TLBI IPAS2E1IS", TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelHint(u64);

impl LevelHint {
    /// No hint: the entries may be of any level. The only one without FEAT_TTL, and where a table
    /// was taken out.
    pub const NONE: Self = Self(0);

    /// A hint that all entries are leaves of a level, 1 to 3, of a stage 2 whose granule is
    /// `1 << granule_shift` bytes. What is none of these gives no hint, which is always right.
    pub const fn leaf(granule_shift: u32, level: u8) -> Self {
        let granule = match granule_shift {
            12 => 0b01,
            14 => 0b10,
            16 => 0b11,
            _ => return Self::NONE,
        };
        // With granules other than 4K the encoding of level 1 is reserved without 52-bit addresses.
        match level {
            1 if granule_shift == 12 => Self(granule << 2 | 1),
            2 | 3 => Self(granule << 2 | level as u64),
            _ => Self::NONE,
        }
    }
}

/// The most entries that one call of [`invalidate_ipas`] invalidates one by one: with interrupts
/// masked, so it is kept short.
pub const MAX_ENTRIES: usize = 64;

/// Invalidates, on all CPUs, what depends on the translation of `count` blocks or pages of `size`
/// bytes, a power of two of at least a page, from `ipa` on: stage 2's entries, and all that combines
/// stages, which has no address of stage 2 any more. Entries that were written before are seen by
/// walkers afterwards.
///
/// Beyond [`MAX_ENTRIES`], all translations of the VMID are invalidated instead.
pub fn invalidate_ipas(
    host: VheHost,
    stage2: Stage2Registers,
    ipa: u64,
    size: u64,
    count: usize,
    hint: LevelHint,
) {
    if count > MAX_ENTRIES {
        return invalidate_vmid(host, stage2);
    }
    let operand = operand(ipa, hint);

    // SAFETY: The host is at EL2 with VHE (`VheHost`) and uses nothing of EL1&0, so that which stage
    // 2 is loaded makes no difference to it, and the function puts back what was. Invalidating costs
    // speed at most.
    unsafe { bindings::kvm_vhe_tlbi_ipa(stage2.vttbr, stage2.vtcr, operand, size >> 12, count) }
}

/// The operand of TLBI for an address.
fn operand(ipa: u64, hint: LevelHint) -> u64 {
    /// The operand has bits 51:12 of the address in its bits 39:0.
    const ADDRESS: u64 = (1 << 40) - 1;
    const TTL_SHIFT: u32 = 44;

    (ipa >> 12 & ADDRESS) | hint.0 << TTL_SHIFT
}

/// Invalidates, on this CPU only, what depends on the translation of the page or block at `ipa`: for a
/// guest that faulted by what is in the TLB while the tables allow more by now.
pub fn invalidate_ipa_here(
    _host: VheHost,
    stage2: Stage2Registers,
    ipa: u64,
    hint: LevelHint,
    _cpu: &PinnedCpu,
) {
    // SAFETY: As in `invalidate_ipas()`.
    unsafe { bindings::kvm_vhe_tlbi_ipa_local(stage2.vttbr, stage2.vtcr, operand(ipa, hint)) }
}

/// Invalidates, on all CPUs, all translations of the VMID, of both stages.
pub fn invalidate_vmid(_host: VheHost, stage2: Stage2Registers) {
    // SAFETY: As in `invalidate_ipas()`.
    unsafe { bindings::kvm_vhe_tlbi_vmid(stage2.vttbr, stage2.vtcr) }
}

/// Invalidates, on this CPU only, all translations of the VMID at stage 1 or combined: what another
/// vCPU of the VM left here, since vCPUs share the VMID, and each has ASIDs and local invalidation
/// of its own. And the instruction cache, into which a vCPU with its MMU off may have fetched from
/// the Point of Coherency what others have cleaned to the Point of Unification only.
pub fn invalidate_local(_host: VheHost, stage2: Stage2Registers, _cpu: &PinnedCpu) {
    // SAFETY: As in `invalidate_ipas()`.
    unsafe { bindings::kvm_vhe_tlbi_local(stage2.vttbr, stage2.vtcr) }
}
