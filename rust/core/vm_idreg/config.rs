// SPDX-License-Identifier: GPL-2.0

//! What is offered to VMs, and what one VM takes of it.

use crate::vm_idreg::{
    features::{
        VmFeature,
        VmFeatures, //
    },
    host::HostIdRegs,
};

/// The features that a version of the module can give to VMs, where that is a choice.
///
/// Features that are not here are either given to every VM as the host has them or to none; the
/// table of fields says which.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Offer {
    /// AArch32 at EL1: KVM_ARM_VCPU_EL1_32BIT.
    pub aarch32_el1: bool,
    /// FPMR and 8-bit floating-point.
    pub fpmr: bool,
    /// A vGICv3.
    pub gicv3: bool,
    /// 64-byte loads and stores.
    pub ls64: bool,
    /// Memory tagging: KVM_CAP_ARM_MTE.
    pub mte: bool,
    /// Pointer authentication: KVM_ARM_VCPU_PTRAUTH_ADDRESS and KVM_ARM_VCPU_PTRAUTH_GENERIC.
    pub pauth: bool,
    /// A PMU: KVM_ARM_VCPU_PMU_V3.
    pub pmuv3: bool,
    /// Stage 1 permission overlays, whose POR_EL0 and POR_EL1 must be switched.
    pub s1poe: bool,
    /// SVE: KVM_ARM_VCPU_SVE.
    pub sve: bool,
}

impl Offer {
    /// What this version of the module virtualizes.
    pub const CURRENT: Self = Self {
        aarch32_el1: false,
        fpmr: true,
        gicv3: true,
        ls64: false,
        mte: false,
        pauth: true,
        pmuv3: false,
        s1poe: true,
        sve: false,
    };
}

/// What one VM is to have.
///
/// A feature that a VM must ask for is there if it is asked for, offered, and the host has it.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct VmConfig {
    /// What there is.
    pub offer: Offer,
    /// The VM has KVM_CAP_ARM_MTE enabled.
    pub mte: bool,
    /// Its vCPUs have both flags of pointer authentication; one without the other is refused by
    /// KVM_ARM_VCPU_INIT.
    pub pauth: bool,
    /// Its vCPUs have KVM_ARM_VCPU_PMU_V3.
    pub pmuv3: bool,
    /// Its vCPUs have KVM_ARM_VCPU_SVE.
    pub sve: bool,
}

/// All that a field's limit depends on.
#[derive(Copy, Clone)]
pub(crate) struct Source<'a> {
    pub(crate) host: &'a HostIdRegs,
    pub(crate) config: &'a VmConfig,
}

/// Whether the VM has memory tagging.
pub(crate) fn has_mte(source: &Source<'_>) -> bool {
    source.config.offer.mte
        && source.config.mte
        && VmFeatures::of(source.host).contains(VmFeature::Mte2)
}

/// Whether the VM has pointer authentication, if the host has.
pub(crate) fn has_pauth(source: &Source<'_>) -> bool {
    source.config.offer.pauth && source.config.pauth
}

/// Whether the VM has a PMU, if the host has.
pub(crate) fn has_pmu(source: &Source<'_>) -> bool {
    source.config.offer.pmuv3 && source.config.pmuv3
}

/// Whether the VM has SVE, if the host has.
pub(crate) fn has_sve(source: &Source<'_>) -> bool {
    source.config.offer.sve && source.config.sve
}
