// SPDX-License-Identifier: GPL-2.0

//! The pseudo-registers' identifiers and bits.
//!
//! Source: Documentation/virt/kvm/arm/fw-pseudo-registers.rst; the numbers are from the arm64
//! asm/kvm.h.

use crate::{
    bit_struct,
    firmware::workaround::Workaround, //
};

bit_struct! {
    /// Standard secure services.
    pub struct StdBmap("KVM_REG_ARM_STD_BMAP") {
        /// TRNG 1.0.
        trng_v1_0 / with_trng_v1_0: flag 0,
    }
}

bit_struct! {
    /// Standard hypervisor services.
    pub struct StdHypBmap("KVM_REG_ARM_STD_HYP_BMAP") {
        /// Stolen time.
        pv_time / with_pv_time: flag 0,
    }
}

bit_struct! {
    /// Vendor-specific hypervisor services, function numbers 0 to 63.
    pub struct VendorHypBmap("KVM_REG_ARM_VENDOR_HYP_BMAP") {
        /// The calls by which KVM and its services are found.
        func_feat / with_func_feat: flag 0,
        /// The host's wall clock.
        ptp / with_ptp: flag 1,
    }
}

bit_struct! {
    /// Vendor-specific hypervisor services, function numbers 64 to 127.
    ///
    /// The bits only tell the guest that the calls are there. User space carries them out, and has
    /// them forwarded by the filter.
    pub struct VendorHypBmap2("KVM_REG_ARM_VENDOR_HYP_BMAP_2") {
        /// How many kinds of CPU the VM may come to run on.
        discover_impl_ver / with_discover_impl_ver: flag 0,
        /// The ID registers of one of these kinds.
        discover_impl_cpus / with_discover_impl_cpus: flag 1,
    }
}

/// A pseudo-register. All are 64 bits wide.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum FwRegister {
    /// KVM_REG_ARM_PSCI_VERSION, a [`psci::Version`](crate::psci::Version).
    PsciVersion,
    /// KVM_REG_ARM_SMCCC_ARCH_WORKAROUND_1, _2 or _3.
    Workaround(Workaround),
    /// KVM_REG_ARM_STD_BMAP, a [`StdBmap`].
    StdBmap,
    /// KVM_REG_ARM_STD_HYP_BMAP, a [`StdHypBmap`].
    StdHypBmap,
    /// KVM_REG_ARM_VENDOR_HYP_BMAP, a [`VendorHypBmap`].
    VendorHypBmap,
    /// KVM_REG_ARM_VENDOR_HYP_BMAP_2, a [`VendorHypBmap2`].
    VendorHypBmap2,
}

impl FwRegister {
    /// All of them, as KVM_GET_REG_LIST lists them for every vCPU.
    pub const ALL: [Self; 8] = [
        Self::PsciVersion,
        Self::Workaround(Workaround::One),
        Self::Workaround(Workaround::Two),
        Self::Workaround(Workaround::Three),
        Self::StdBmap,
        Self::StdHypBmap,
        Self::VendorHypBmap,
        Self::VendorHypBmap2,
    ];

    /// KVM_REG_ARM_FW without its shift: the coprocessor number of the first group.
    pub const GROUP: u64 = 0x14;

    /// KVM_REG_ARM_FW_FEAT_BMAP without its shift: that of the bitmaps.
    pub const BITMAP_GROUP: u64 = 0x16;

    /// Returns the identifier for KVM_GET_ONE_REG and KVM_SET_ONE_REG.
    pub const fn id(self) -> u64 {
        /// KVM_REG_ARM64 and KVM_REG_SIZE_U64.
        const ARM64_U64: u64 = 0x6030 << 48;
        let (group, number) = match self {
            Self::PsciVersion => (Self::GROUP, 0),
            Self::Workaround(Workaround::One) => (Self::GROUP, 1),
            Self::Workaround(Workaround::Two) => (Self::GROUP, 2),
            Self::Workaround(Workaround::Three) => (Self::GROUP, 3),
            Self::StdBmap => (Self::BITMAP_GROUP, 0),
            Self::StdHypBmap => (Self::BITMAP_GROUP, 1),
            Self::VendorHypBmap => (Self::BITMAP_GROUP, 2),
            Self::VendorHypBmap2 => (Self::BITMAP_GROUP, 3),
        };
        ARM64_U64 | (group << 16) | number
    }

    /// Returns the register of this identifier.
    ///
    /// [`None`] for any other identifier, one with another size included: ENOENT within the two
    /// groups.
    pub fn from_id(id: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|register| register.id() == id)
    }
}
