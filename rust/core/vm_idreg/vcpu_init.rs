// SPDX-License-Identifier: GPL-2.0

//! The features that KVM_ARM_VCPU_INIT asks for.
//!
//! Source: api.rst, "4.82 KVM_ARM_VCPU_INIT".

use core::fmt;

use crate::{
    idreg::{
        IdAa64Isar1El1,
        IdAa64Isar2El1,
        IdAa64Pfr0El1, //
    },
    vm_idreg::{
        config::{
            Offer,
            VmConfig, //
        },
        features::{
            VmFeature,
            VmFeatures, //
        },
        host::HostIdRegs,
        view::IdView, //
    },
};

/// The features of a vCPU: the first word of `struct kvm_vcpu_init`'s `features`.
///
/// # Invariants
///
/// Only bits that have a name are set, and the combination is one that the module supports.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct VcpuFeatures(u32);

/// Why KVM_ARM_VCPU_INIT refuses a set of features.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum BadVcpuFeatures {
    /// A bit has no name. ENOENT.
    Unknown,
    /// The host or the module lacks a feature, or they do not go together. EINVAL.
    Unsupported,
}

impl fmt::Display for BadVcpuFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unknown => "unknown vCPU feature",
            Self::Unsupported => "vCPU features that are not supported, or not together",
        })
    }
}

impl VcpuFeatures {
    /// KVM_ARM_VCPU_POWER_OFF: the vCPU starts powered off.
    pub const POWER_OFF: u32 = 1 << 0;
    /// KVM_ARM_VCPU_EL1_32BIT: EL1 is AArch32.
    pub const EL1_32BIT: u32 = 1 << 1;
    /// KVM_ARM_VCPU_PSCI_0_2: PSCI 0.2 or later.
    pub const PSCI_0_2: u32 = 1 << 2;
    /// KVM_ARM_VCPU_PMU_V3: a PMU.
    pub const PMU_V3: u32 = 1 << 3;
    /// KVM_ARM_VCPU_SVE: scalable vectors.
    pub const SVE: u32 = 1 << 4;
    /// KVM_ARM_VCPU_PTRAUTH_ADDRESS: address authentication.
    pub const PTRAUTH_ADDRESS: u32 = 1 << 5;
    /// KVM_ARM_VCPU_PTRAUTH_GENERIC: generic authentication.
    pub const PTRAUTH_GENERIC: u32 = 1 << 6;
    /// KVM_ARM_VCPU_PMU_V3_STRICT: no PMU unless the VMM selects one.
    pub const PMU_V3_STRICT: u32 = 1 << 9;

    /// Bits 0 to 9; 7 and 8 are nested virtualization.
    const KNOWN: u32 = (1 << 10) - 1;

    const PTRAUTH: u32 = Self::PTRAUTH_ADDRESS | Self::PTRAUTH_GENERIC;

    /// Returns the bits that a VMM can set: those that the module offers and the host has.
    pub fn supported(offer: &Offer, host: &HostIdRegs) -> u32 {
        let features = VmFeatures::of(host);
        let has = |feature| features.contains(feature);
        [
            (
                offer.aarch32_el1 && host.reg::<IdAa64Pfr0El1>().el1_aarch32(),
                Self::EL1_32BIT,
            ),
            (
                offer.pmuv3 && has(VmFeature::PmuV3),
                Self::PMU_V3 | Self::PMU_V3_STRICT,
            ),
            (offer.sve && has(VmFeature::Sve), Self::SVE),
            (offer.pauth && has_full_pauth(host), Self::PTRAUTH),
        ]
        .into_iter()
        .filter(|(supported, _)| *supported)
        .fold(Self::POWER_OFF | Self::PSCI_0_2, |bits, (_, more)| {
            bits | more
        })
    }

    /// Checks `features` of `struct kvm_vcpu_init` for a VM; `mte` says that it has
    /// KVM_CAP_ARM_MTE enabled.
    ///
    /// # Errors
    ///
    /// [`BadVcpuFeatures`].
    pub fn check(
        features: &[u32; 7],
        offer: &Offer,
        host: &HostIdRegs,
        mte: bool,
    ) -> Result<Self, BadVcpuFeatures> {
        let [first, others @ ..] = features;
        let has = |bit| first & bit != 0;
        if first & !Self::KNOWN != 0 || others.iter().any(|word| *word != 0) {
            return Err(BadVcpuFeatures::Unknown);
        }
        let wrong = first & !Self::supported(offer, host) != 0
            || has(Self::PTRAUTH_ADDRESS) != has(Self::PTRAUTH_GENERIC)
            || (has(Self::PMU_V3_STRICT) && !has(Self::PMU_V3))
            || (has(Self::EL1_32BIT) && mte);
        if wrong {
            return Err(BadVcpuFeatures::Unsupported);
        }
        Ok(Self(*first))
    }

    /// Whether the vCPU has a feature, one of the constants.
    #[inline]
    pub const fn contains(self, bit: u32) -> bool {
        self.0 & bit != 0
    }

    /// Whether `other` asks for the same VM: all vCPUs of a VM must, in each KVM_ARM_VCPU_INIT.
    /// Whether a vCPU starts powered off is its own matter.
    #[inline]
    pub const fn is_same_vm(self, other: Self) -> bool {
        (self.0 ^ other.0) & !Self::POWER_OFF == 0
    }

    /// Returns what the VM is to have.
    pub fn config(self, offer: Offer, mte: bool) -> VmConfig {
        VmConfig {
            offer,
            mte,
            pauth: self.contains(Self::PTRAUTH_ADDRESS),
            pmuv3: self.contains(Self::PMU_V3),
            sve: self.contains(Self::SVE),
        }
    }
}

/// Whether the host authenticates both addresses and data, and both by the one algorithm that the
/// architecture allows a CPU to have. HCR_EL2.API traps all of it or nothing.
fn has_full_pauth(host: &HostIdRegs) -> bool {
    let (isar1, isar2): (IdAa64Isar1El1, IdAa64Isar2El1) = (host.reg(), host.reg());
    let mut algorithms = 0;
    let mut full = 0;
    for (address, generic) in [
        (isar1.apa(), isar1.gpa()),
        (isar1.api(), isar1.gpi()),
        (isar2.apa3(), isar2.gpa3()),
    ] {
        if address != 0 || generic != 0 {
            algorithms += 1;
        }
        if address != 0 && generic == 1 {
            full += 1;
        }
    }
    algorithms == 1 && full == 1
}
